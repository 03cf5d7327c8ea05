package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// Status of an event in the inbox.
const (
	StatusPending     = "pending"     // to be worked on when due
	StatusDone        = "done"        // its facts are in the ledger
	StatusIgnored     = "ignored"     // not about anything of ours
	StatusDead        = "dead"        // it can never work; kept
	StatusQuarantined = "quarantined" // authentic but unreadable; kept raw
)

func statusOf(v ordergroove.Verdict) string {
	if v == ordergroove.Accepted {
		return StatusPending
	}
	return string(v)
}

func dueOf(d *ordergroove.Delivery) *int64 {
	if d.Verdict != ordergroove.Accepted {
		return nil
	}
	return &d.Received
}

// Append files a delivery and says whether it was not there yet. Without an error it is committed and synced.
func (s *Store) Append(ctx context.Context, d ordergroove.Delivery) (fresh bool, err error) {
	fresh, err = s.writer.file(ctx, &d)
	if err != nil {
		return false, wrap("filing an event", err)
	}
	if fresh && d.Verdict == ordergroove.Accepted {
		signal(s.eventsDue)
	}
	if !fresh {
		err = s.keepOther(ctx, d)
	}
	return fresh, err
}

// keepOther keeps a delivery that has the key of another event and is not the same: it is quarantined under a key of its own
// for a person to look at, since one of the two is not what it says.
func (s *Store) keepOther(ctx context.Context, d ordergroove.Delivery) error {
	var first []byte
	err := s.reads.GetContext(ctx, &first, s.reads.Rebind(`select body from events where created = ? and id = ?`), d.Created, d.ID)
	if err != nil || bytes.Equal(first, d.Body) {
		return wrap("comparing with the first of its id", err)
	}
	sum := sha256.Sum256(d.Body)
	d.ID += " sha256:" + hex.EncodeToString(sum[:])
	d.Verdict = ordergroove.Quarantined
	_, err = s.writer.file(ctx, &d)
	return wrap("filing an event of a known id", err)
}

// ClaimEvents takes up to n due events, oldest due first, and keeps them from other takers until the given time: whoever
// dies with them in hand leaves them due then.
func (s *Store) ClaimEvents(ctx context.Context, at, until int64, n int) ([]ordergroove.Delivery, error) {
	if idle, err := s.nothingDue(ctx, `select 1 from events where due <= ? limit 1`, at); idle || err != nil {
		return nil, wrap("looking for due events", err)
	}
	var claimed []ordergroove.Delivery
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		claimed = nil
		return tx.Select(&claimed, tx.Rebind(`
			update events
			set due = ?
			where (created, id) in (
				select created, id
				from events
				where due <= ?
				order by due, created, id
				limit ? `+s.dialect.skipLocked+`)
			returning created, id, type, received, body, attempts`), until, at, n)
	})
	if err != nil {
		return nil, wrap("claiming events", err)
	}
	return claimed, nil
}

// nothingDue keeps an idle service from writing: the question is asked on a connection that only reads.
func (s *Store) nothingDue(ctx context.Context, query string, args ...any) (bool, error) {
	var one int
	err := s.reads.GetContext(ctx, &one, s.reads.Rebind(query), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return false, err
}

// OrderRead says whether the items of an order were asked for before, for whatever event.
func (s *Store) OrderRead(ctx context.Context, order string) (bool, error) {
	unread, err := s.nothingDue(ctx, `select 1 from orders_read where order_id = ?`, order)
	return !unread && err == nil, wrap("looking up order "+order, err)
}

// Settle records what became of an event, together with its facts: one transaction, so that an event is done exactly when
// its facts are in the ledger.
func (s *Store) Settle(ctx context.Context, d ordergroove.Delivery, v counter.Settlement) error {
	var news bool
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		f := learning{tx: tx, at: v.At}
		if err := f.learn(v.Facts); err != nil {
			return err
		}
		news = f.news
		status, due := settled(v, f.ours)
		_, err := tx.Exec(tx.Rebind(`
			update events
			set status = ?, due = ?, attempts = ?, last_error = ?
			where created = ? and id = ? and status = 'pending'`),
			status, due, v.Attempts, v.Error, d.Created, d.ID)
		return err
	})
	if err == nil && news {
		signal(s.subscriptionsDue)
	}
	return wrap("settling event "+d.ID, err)
}

// Event is a row of the inbox, without its body.
type Event struct {
	Created   int64         `db:"created"`
	ID        string        `db:"id"`
	Type      string        `db:"type"`
	Received  int64         `db:"received"`
	Status    string        `db:"status"`
	Attempts  int           `db:"attempts"`
	Due       sql.NullInt64 `db:"due"` // when it is tried again, UTC unix milliseconds
	LastError string        `db:"last_error"`
}

// Events returns the latest n events in a status, or in any for "", newest first.
func (s *Store) Events(ctx context.Context, status string, n int) ([]Event, error) {
	var events []Event
	err := s.reads.SelectContext(ctx, &events, s.reads.Rebind(`
		select created, id, type, received, status, attempts, due, last_error
		from events
		where status = ? or ? = ''
		order by received desc, id
		limit ?`), status, status, n)
	return events, wrap("reading the inbox", err)
}

// RetryEvents makes dead events due at once: the one with the id, or, for "", all. It says how many.
func (s *Store) RetryEvents(ctx context.Context, id string, at int64) (int64, error) {
	return s.retry(ctx, `
		update events
		set status = 'pending', due = ?, attempts = 0
		where status = 'dead' and (id = ? or ? = '')`, at, id, id)
}

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

func settled(v counter.Settlement, ours bool) (status string, due *int64) {
	switch {
	case v.Next != 0:
		return StatusPending, &v.Next
	case v.Dead:
		return StatusDead, nil
	case ours:
		return StatusDone, nil
	}
	return StatusIgnored, nil
}

// LastDelivery returns when an event was filed last, UTC unix milliseconds; 0: none is remembered.
func (s *Store) LastDelivery(ctx context.Context) (int64, error) {
	var at int64
	err := s.reads.GetContext(ctx, &at, `select coalesce(max(received), 0) from events`)
	return at, wrap("reading the last delivery", err)
}

// rhythmEvents bounds what a shop's rhythm is learned from: one with more events than that has no silences to learn.
const rhythmEvents = 100_000

// Silences returns the n longest times between two deliveries since a time, in milliseconds, the longest first, and when the
// first of these deliveries was; both times UTC unix milliseconds.
func (s *Store) Silences(ctx context.Context, since int64, n int) (silences []int64, first int64, err error) {
	const deliveries = `(select received from events where received >= ? order by received desc limit ?) as latest`
	if err := s.reads.GetContext(ctx, &first, s.reads.Rebind(`select coalesce(min(received), 0) from `+deliveries), since, rhythmEvents); err != nil {
		return nil, 0, wrap("reading the first delivery", err)
	}
	err = s.reads.SelectContext(ctx, &silences, s.reads.Rebind(`
		select silence
		from (select received - lag(received) over (order by received) as silence from `+deliveries+`) as silences
		where silence is not null
		order by silence desc
		limit ?`), since, rhythmEvents, n)
	return silences, first, wrap("reading the silences between deliveries", err)
}
