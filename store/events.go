package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

func dueOf(d *ledger.Event) *int64 {
	if d.Status != ledger.EventPending {
		return nil
	}
	return &d.Received
}

// Append files an event and says whether it is new. Without an error it is committed and synced.
func (s *Store) Append(ctx context.Context, e ledger.Event) (fresh bool, err error) {
	fresh, err = s.inbox.file(ctx, &e)
	if err != nil {
		return false, wrap("filing an event", err)
	}
	if fresh && e.Status == ledger.EventPending {
		s.wake(kindEvents)
	}
	if !fresh {
		// safeguard: conflicting-body
		err = s.quarantineConflict(ctx, e)
	}
	return fresh, err
}

// quarantineConflict keeps an event that has the key of another one and a different body: it is quarantined under a key
// of its own for a person to look at, since one of the two is not what it says.
func (s *Store) quarantineConflict(ctx context.Context, e ledger.Event) error {
	var first []byte
	err := s.reads.GetContext(ctx, &first, s.reads.Rebind(`select body from events where created = ? and id = ?`),
		e.Created, e.ID)
	if err != nil || len(first) == 0 || bytes.Equal(first, e.Body) { // a body that was forgotten is like any
		return wrap("comparing with the first event of this id", err)
	}
	sum := sha256.Sum256(e.Body)
	e.ID += " sha256:" + hex.EncodeToString(sum[:])
	e.Status = ledger.EventQuarantined
	_, err = s.inbox.file(ctx, &e)
	return wrap("filing a conflicting event", err)
}

// ClaimEvents takes up to n due events, oldest due first, and keeps them from other workers until the given time: those
// of a worker that dies are due again then. Up to retries of them have failed before, and these come first: however
// many are new, what failed is tried again.
func (s *Store) ClaimEvents(ctx context.Context, at, until int64, n, retries int) ([]ledger.Event, error) {
	if idle, err := s.nothingDue(ctx, `select 1 from events where due <= ? limit 1`, at); idle || err != nil {
		return nil, wrap("looking for due events", err)
	}
	var claimed []ledger.Event
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		claimed = nil
		for _, part := range []struct {
			which string
			most  int
		}{{"attempts > 0", retries}, {"attempts = 0", n}} {
			var some []ledger.Event
			if err := tx.Select(&some, tx.Rebind(`
				update events
				set due = ?
				where (created, id) in (
					select created, id
					from events
					where due <= ? and `+part.which+`
					order by due, created, id
					limit ? `+s.dialect.skipLocked+`)
				returning created, id, type, received, body, attempts, trace`),
				until, at, min(part.most, n-len(claimed))); err != nil {
				return err
			}
			claimed = append(claimed, some...)
		}
		return nil
	})
	if err != nil {
		return nil, wrap("claiming events", err)
	}
	return claimed, nil
}

// RenewEvent keeps an event that is claimed until a time from other workers for longer. ledger.ErrLeaseLost: the claim
// has expired, or the event is settled and may be due at another time.
func (s *Store) RenewEvent(ctx context.Context, e ledger.Event, claimedUntil, until int64) error {
	return wrap("renewing the claim of event "+e.ID, s.writer.do(ctx, func(tx *sqlx.Tx) error {
		// safeguard: renewed-claim
		return oneRow(tx, `update events set due = ? where due = ? and created = ? and id = ? and status = 'pending'`,
			until, claimedUntil, e.Created, e.ID)
	}))
}

// oneRow runs a statement that changes the one row that the caller holds: ledger.ErrLeaseLost where it holds none.
func oneRow(tx *sqlx.Tx, query string, args ...any) error {
	result, err := tx.Exec(tx.Rebind(query), args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	// safeguard: reconciliation-fence
	return ledger.ErrLeaseLost
}

// nothingDue keeps an idle service from writing: it asks on a connection that only reads.
func (s *Store) nothingDue(ctx context.Context, query string, args ...any) (bool, error) {
	var one int
	err := s.reads.GetContext(ctx, &one, s.reads.Rebind(query), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return false, err
}

// OrderRead says whether the items of an order were asked for before, for any event.
func (s *Store) OrderRead(ctx context.Context, order string) (bool, error) {
	unread, err := s.nothingDue(ctx, `select 1 from orders_read where order_id = ?`, order)
	return !unread && err == nil, wrap("looking up order "+order, err)
}

// SettleEvent records what became of an event, together with its facts: one transaction, so that an event is done
// exactly when its facts are recorded.
func (s *Store) SettleEvent(ctx context.Context, e ledger.Event, v ledger.Settlement) error {
	var r recorder
	err := s.writer.change(ctx, v.Facts.Subscriptions(), func(tx *sqlx.Tx) error {
		r = recorder{dialect: s.dialect, tx: tx, at: v.At}
		if err := r.record(v.Facts); err != nil {
			return err
		}
		if err := r.trace(v.Trace); err != nil {
			return err
		}
		status := settledStatus(v, r.ours)
		reason := ""
		if status == ledger.EventIgnored {
			reason = v.Ignored
		}
		// safeguard: facts-with-settlement
		if _, err := tx.Exec(tx.Rebind(`
			update events
			set status = ?, due = ?, attempts = ?, last_error = ?, reason = ?
			where created = ? and id = ? and status = 'pending'`),
			string(status), nullable(v.Next), v.Attempts, v.Error, reason, e.Created, e.ID); err != nil {
			return err
		}
		return linkEvent(tx, e, v.Facts.Subscriptions())
	})
	if err == nil {
		s.recorded(r)
	}
	return wrap("settling event "+e.ID, err)
}

// linkEvent records which subscriptions of ours an event is about.
func linkEvent(tx *sqlx.Tx, e ledger.Event, subscriptions []string) error {
	for _, id := range subscriptions {
		if _, err := tx.Exec(tx.Rebind(`
			insert into event_subscriptions (subscription, created, id)
			select id, cast(? as bigint), cast(? as text)
			from subscriptions
			where id = ?
			on conflict do nothing`), e.Created, e.ID, id); err != nil {
			return wrap("linking the event to "+id, err)
		}
	}
	return nil
}

// Event is a row of the inbox, without its body.
type Event struct {
	Created   int64              `db:"created"`
	ID        string             `db:"id"`
	Type      string             `db:"type"`
	Received  int64              `db:"received"`
	Status    ledger.EventStatus `db:"status"`
	Attempts  int                `db:"attempts"`
	Due       sql.NullInt64      `db:"due"` // next attempt, UTC unix milliseconds
	LastError string             `db:"last_error"`
	Reason    string             `db:"reason"` // why it was ignored
}

// EventFilter selects events; an empty field selects all.
type EventFilter struct {
	Status       ledger.EventStatus
	Type         string
	Subscription string
	Since        int64  // received since, UTC unix milliseconds
	IDPrefix     string // what the ID begins with
}

// Events returns the latest n events that a filter selects, newest first.
func (s *Store) Events(ctx context.Context, f EventFilter, n int) ([]Event, error) {
	clause := "where received >= ?"
	args := []any{f.Since}
	for _, c := range []struct{ sql, value string }{
		{"status = ?", string(f.Status)},
		{"type = ?", f.Type},
		{"(created, id) in (select created, id from event_subscriptions where subscription = ?)", f.Subscription},
	} {
		if c.value != "" {
			clause += " and " + c.sql
			args = append(args, c.value)
		}
	}
	if f.IDPrefix != "" {
		clause += " and substr(id, 1, ?) = ?"
		args = append(args, utf8.RuneCountInString(f.IDPrefix), f.IDPrefix)
	}
	var events []Event
	err := s.reads.SelectContext(ctx, &events, s.reads.Rebind(`
		select created, id, type, received, status, attempts, due, last_error, reason
		from events
		`+clause+`
		order by received desc, id
		limit ?`), append(args, n)...)
	return events, wrap("reading the inbox", err)
}

// EventBody returns an event's body as it came, and the subscriptions of ours that it is about.
func (s *Store) EventBody(ctx context.Context, e Event) (body []byte, subscriptions []string, err error) {
	if err := s.reads.GetContext(ctx, &body, s.reads.Rebind(`select body from events where created = ? and id = ?`),
		e.Created, e.ID); err != nil {
		return nil, nil, wrap("reading the body of "+e.ID, err)
	}
	err = s.reads.SelectContext(ctx, &subscriptions, s.reads.Rebind(`
		select subscription
		from event_subscriptions
		where created = ? and id = ?
		order by subscription`+s.dialect.bytewise), e.Created, e.ID)
	return body, subscriptions, wrap("reading the subscriptions of "+e.ID, err)
}

func settledStatus(v ledger.Settlement, ours bool) ledger.EventStatus {
	switch {
	case v.Next != 0:
		return ledger.EventPending
	case v.Dead:
		return ledger.EventDead
	case ours:
		return ledger.EventDone
	}
	return ledger.EventIgnored
}

// LastDelivery returns when an event was filed last before a time, both UTC unix milliseconds; 0: none is remembered.
func (s *Store) LastDelivery(ctx context.Context, before int64) (int64, error) {
	var at int64
	err := s.reads.GetContext(ctx, &at,
		s.reads.Rebind(`select coalesce(max(received), 0) from events where received < ?`), before)
	return at, wrap("reading the last delivery", err)
}

// maxGapEvents bounds the events that gaps are measured from: a shop with more has no gaps worth measuring.
const maxGapEvents = 100_000

// DeliveryGaps returns the n longest times between two deliveries since a time, in milliseconds, the longest first, and
// when the first of these deliveries was; both times UTC unix milliseconds.
func (s *Store) DeliveryGaps(ctx context.Context, since int64, n int) (gaps []int64, first int64, err error) {
	// The database would have to keep all of them to sort their gaps.
	rows, err := s.reads.QueryContext(ctx,
		s.reads.Rebind(`select received from events where received >= ? order by received desc limit ?`),
		since, maxGapEvents)
	if err != nil {
		return nil, 0, wrap("reading deliveries", err)
	}
	defer rows.Close()
	for rows.Next() {
		later := first
		if err := rows.Scan(&first); err != nil {
			return nil, 0, wrap("reading deliveries", err)
		}
		if later != 0 {
			gaps = insertLongest(gaps, later-first, n)
		}
	}
	return gaps, first, wrap("reading deliveries", rows.Err())
}

// insertLongest keeps the n longest gaps, the longest first.
func insertLongest(gaps []int64, gap int64, n int) []int64 {
	shorter, _ := slices.BinarySearchFunc(gaps, gap, func(other, gap int64) int { return cmp.Compare(gap, other) })
	if shorter == n {
		return gaps
	}
	gaps = slices.Insert(gaps, shorter, gap)
	return gaps[:min(n, len(gaps))]
}
