package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

// CountEvents counts the selected events by their status.
func (s *Store) CountEvents(ctx context.Context, q EventQuery) (map[ledger.EventStatus]int, error) {
	clause, args := q.conditions()
	var rows []struct {
		Status ledger.EventStatus `db:"status"`
		N      int                `db:"n"`
	}
	err := s.reads.SelectContext(ctx, &rows, s.reads.Rebind(
		`select status, count(*) as n from events where `+clause+` group by status`), args...)
	counted := map[ledger.EventStatus]int{}
	for _, r := range rows {
		counted[r.Status] = r.N
	}
	return counted, wrap("counting events", err)
}

// retryAtATime is how many events become due in one transaction, so that webhooks that arrive meanwhile hardly wait.
const retryAtATime = 1000

// RetryEvents makes those of the selected events due at a time, UTC unix milliseconds, that are dead. It says how many,
// also to progress, if that is not nil, again and again. After an error those it counted so far are due.
func (s *Store) RetryEvents(ctx context.Context, q EventQuery, at int64, progress func(int)) (int, error) {
	q.Status = ledger.EventDead
	all := 0
	for last := (retried{}); ; {
		batch, err := s.retryBatch(ctx, q, last, at)
		if err != nil {
			return all, wrap("retrying events", err)
		}
		all += len(batch)
		if progress != nil {
			progress(all)
		}
		if len(batch) < retryAtATime {
			return all, nil
		}
		last = batch[len(batch)-1] // one that is dead again by then is not retried for ever
	}
}

// retried is the key of an event, and what it is ordered by.
type retried struct {
	Received int64  `db:"received"`
	Created  int64  `db:"created"`
	ID       string `db:"id"`
}

// retryBatch makes the first events due that were received after the last one.
func (s *Store) retryBatch(ctx context.Context, q EventQuery, last retried, at int64) ([]retried, error) {
	clause, args := q.conditions()
	bytewise := s.dialect.bytewise
	query := `
		select received, created, id
		from events
		where ` + clause + ` and (received, created, id` + bytewise + `) > (?, ?, ?)
		order by received, created, id` + bytewise + `
		limit ?`
	args = append(args, last.Received, last.Created, last.ID, retryAtATime)
	var batch []retried
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		batch = nil // the transaction may be tried again
		if err := tx.Select(&batch, tx.Rebind(query), args...); err != nil {
			return err
		}
		for _, e := range batch {
			if _, err := tx.Exec(tx.Rebind(`
				update events
				set status = 'pending', due = ?, attempts = 0
				where created = ? and id = ? and status = 'dead'`), at, e.Created, e.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return batch, err
}

// retry makes something due by one statement, and says how many.
func (s *Store) retry(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.Exec(tx.Rebind(query), args...)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return 0, wrap("retrying", err)
	}
	return n, nil
}
