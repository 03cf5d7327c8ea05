package store

import (
	"context"
	"strings"

	"github.com/jmoiron/sqlx"
)

// Prune forgets events that are settled, orders read, and notices delivered, longer ago than before, at most n of each,
// and says how many events went. It holds up whoever writes for as long as n take. Shipments and the journal are for
// ever.
func (s *Store) Prune(ctx context.Context, before int64, n int) (int64, error) {
	var gone int64
	err := s.writer.do(ctx, func(tx *sqlx.Tx) (err error) {
		if gone, err = pruneEvents(tx, before, n); err != nil {
			return err
		}
		for _, forget := range []struct {
			statement string
			args      []any
		}{
			{`delete from orders_read
			  where order_id in (select order_id from orders_read where at < ? limit ?)`, []any{before, n}},
			{`delete from unexplained_ends where at < ?`, []any{before}},
			{`delete from actions where finished > 0 and finished <= ?`, []any{before}},
			{`delete from messages
			  where (id, endpoint) in (select id, endpoint from messages where created < ? and status = 'delivered' limit ?)`,
				[]any{before, n}},
		} {
			if _, err := tx.Exec(tx.Rebind(forget.statement), forget.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, wrap("pruning events", err)
	}
	return gone, nil
}

// pruneEvents forgets events with what they were about.
func pruneEvents(tx *sqlx.Tx, before int64, n int) (int64, error) {
	var gone []struct {
		Created int64  `db:"created"`
		ID      string `db:"id"`
	}
	err := tx.Select(&gone, tx.Rebind(`
		delete from events
		where (created, id) in (
			select created, id
			from events
			where received < ? and status in ('done', 'ignored')
			order by received
			limit ?)
		returning created, id`), before, n)
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	keys := make([]any, 0, 2*len(gone))
	for _, e := range gone {
		keys = append(keys, e.Created, e.ID)
	}
	_, err = tx.Exec(tx.Rebind(`
		delete from event_subscriptions
		where (created, id) in (values `+
		strings.TrimSuffix(strings.Repeat(`(cast(? as bigint), cast(? as text)), `, len(gone)), ", ")+`)`), keys...)
	return int64(len(gone)), err
}
