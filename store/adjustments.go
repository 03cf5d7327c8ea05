package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
)

const adjustmentColumns = `id, subscription, enrollment, key, spec, slot, actor, status, order_id, reason, created,
	updated, calls`

// AdjustmentQuery selects adjustments; the zero value of a field selects all.
type AdjustmentQuery struct {
	Subscription string
	Status       ledger.AdjustmentStatus
	Type         string // of the action
	Before       AdjustmentMark
	Limit        int // at most so many; 0: all
}

// AdjustmentMark is a place in the list of adjustments, the newest first. The zero value is its beginning.
type AdjustmentMark struct {
	Created int64
	ID      string
}

// Adjustments returns the selected adjustments, the newest first.
func (s *Store) Adjustments(ctx context.Context, q AdjustmentQuery) ([]ledger.Adjustment, error) {
	clause := "where 1 = 1"
	var args []any
	for _, c := range []struct{ sql, value string }{
		{"subscription = ?", q.Subscription},
		{"status = ?", string(q.Status)},
		{"type = ?", q.Type},
	} {
		if c.value != "" {
			clause += " and " + c.sql
			args = append(args, c.value)
		}
	}
	if q.Before != (AdjustmentMark{}) {
		clause += " and (created, id) < (?, ?)"
		args = append(args, q.Before.Created, q.Before.ID)
	}
	clause += " order by created desc, id desc"
	if q.Limit > 0 {
		clause += " limit ?"
		args = append(args, q.Limit)
	}
	return adjustments(ctx, s.reads, clause, args...)
}

// OpenAdjustments returns a subscription's adjustments about which something is left to do, in the order in which they
// were created.
func (s *Store) OpenAdjustments(ctx context.Context, subscription string) ([]ledger.Adjustment, error) {
	return adjustments(ctx, s.reads, `where subscription = ? and open = 1 order by created, id`, subscription)
}

// AdjustmentsOf returns what was done to an order, or may have been, in the order in which it was asked for.
func (s *Store) AdjustmentsOf(ctx context.Context, subscription, order string) ([]ledger.Adjustment, error) {
	return adjustments(ctx, s.reads, `
		where subscription = ? and order_id = ? and status in ('applied', 'attention')
		order by created, id`, subscription, order)
}

// Adjustment returns one adjustment, or ledger.ErrUnknownAdjustment.
func (s *Store) Adjustment(ctx context.Context, subscription, id string) (ledger.Adjustment, error) {
	return s.oneAdjustment(ctx, `where subscription = ? and id = ?`, subscription, id)
}

// AdjustmentByKey returns the adjustment of a subscription that was created with an idempotency key, or
// ledger.ErrUnknownAdjustment.
func (s *Store) AdjustmentByKey(ctx context.Context, subscription, key string) (ledger.Adjustment, error) {
	return s.oneAdjustment(ctx, `where subscription = ? and key = ?`, subscription, key)
}

func (s *Store) oneAdjustment(ctx context.Context, clause string, args ...any) (ledger.Adjustment, error) {
	all, err := adjustments(ctx, s.reads, clause, args...)
	if err == nil && len(all) == 0 {
		err = ledger.ErrUnknownAdjustment
	}
	if err != nil {
		return ledger.Adjustment{}, err
	}
	return all[0], nil
}

func adjustments(ctx context.Context, q queryer, clause string, args ...any) ([]ledger.Adjustment, error) {
	rows, err := q.QueryxContext(ctx, q.Rebind(`select `+adjustmentColumns+` from adjustments `+clause), args...)
	if err != nil {
		return nil, wrap("reading adjustments", err)
	}
	defer rows.Close()
	var all []ledger.Adjustment
	for rows.Next() {
		var a ledger.Adjustment
		if err := rows.Scan(&a.ID, &a.Subscription, &a.Enrollment, &a.Key, asJSON{&a.Spec, false}, &a.Slot, &a.Actor,
			(*string)(&a.Status), &a.Order, &a.Reason, &a.Created, &a.Updated, asJSON{&a.Calls, false}); err != nil {
			return nil, wrap("reading an adjustment", err)
		}
		all = append(all, a)
	}
	return all, wrap("reading adjustments", rows.Err())
}

// saveAdjustment records an adjustment, or what became of it. One that is taken back or settled stays so.
func saveAdjustment(tx *sqlx.Tx, a *ledger.Adjustment) error {
	if a == nil {
		return nil
	}
	spec, err := json.Marshal(a.Spec)
	if err != nil {
		return err
	}
	result, err := tx.Exec(tx.Rebind(`
		insert into adjustments (`+adjustmentColumns+`, type, open)
		values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		on conflict (id) do update set spec = excluded.spec, status = excluded.status, order_id = excluded.order_id,
			reason = excluded.reason, updated = excluded.updated, calls = excluded.calls, open = excluded.open
		where adjustments.open = 1`),
		a.ID, a.Subscription, a.Enrollment, a.Key, string(spec), a.Slot, a.Actor, string(a.Status), a.Order, a.Reason,
		a.Created, a.Updated, asJSON{a.Calls, len(a.Calls) == 0}, string(a.Spec.Action.Type), flag(a.IsOpen()))
	if err != nil {
		return wrap("recording an adjustment", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ledger.ErrStale)
	}
	_, err = tx.Exec(tx.Rebind(`
		update subscriptions
		set adjustments = (select count(*) from adjustments where subscription = ? and open = 1)
		where id = ?`), a.Subscription, a.Subscription)
	return wrap("counting adjustments", err)
}

// addressEvents is how many events of a subscription are searched for an address.
const addressEvents = 50

// BodiesOf returns the bodies of a subscription's events that are kept, the latest first, at most a few dozen.
func (s *Store) BodiesOf(ctx context.Context, subscription string) ([][]byte, error) {
	var bodies [][]byte
	err := s.reads.SelectContext(ctx, &bodies, s.reads.Rebind(`
		select e.body
		from event_subscriptions es
		join events e on e.created = es.created and e.id = es.id
		where es.subscription = ?
		order by es.created desc
		limit ?`), subscription, addressEvents)
	return bodies, wrap("reading the events of "+subscription, err)
}

// Schedule returns what is known of the upcoming order of a subscription that has adjustments; found says whether
// anything is.
func (s *Store) Schedule(ctx context.Context, subscription string) (known ledger.Schedule, found bool, err error) {
	err = s.reads.QueryRowxContext(ctx, s.reads.Rebind(`
		select order_id, items, slot, placed, place, original, moved
		from schedules
		where subscription = ?`), subscription).Scan(
		&known.Order, asJSON{&known.Items, false}, &known.Slot, &known.Placed, &known.Place, &known.Original,
		asJSON{&known.Moved, false})
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Schedule{}, false, nil
	}
	return known, err == nil, wrap("reading the schedule of "+subscription, err)
}

func saveSchedule(tx *sqlx.Tx, subscription string, known *ledger.Schedule) error {
	if known == nil {
		return nil
	}
	_, err := tx.Exec(tx.Rebind(`
		insert into schedules (subscription, order_id, items, slot, placed, place, original, moved)
		values (?, ?, ?, ?, ?, ?, ?, ?)
		on conflict (subscription) do update set order_id = excluded.order_id, items = excluded.items,
			slot = excluded.slot, placed = excluded.placed, place = excluded.place, original = excluded.original,
			moved = excluded.moved`),
		subscription, known.Order, asJSON{known.Items, len(known.Items) == 0}, known.Slot, known.Placed, known.Place,
		known.Original, asJSON{known.Moved, len(known.Moved) == 0})
	return wrap("recording the schedule of "+subscription, err)
}

// forgetAddresses takes back a customer's adjustments that would send an order to an address, and erases it.
func forgetAddresses(ctx context.Context, tx *sqlx.Tx, customer string, at int64) error {
	all, err := adjustments(ctx, tx, `
		where type = ? and open = 1 and subscription in (select id from subscriptions where customer = ?)`,
		string(schedule.UpdateShipping), customer)
	if err != nil {
		return err
	}
	for _, a := range all {
		a.Status = ledger.AdjustmentCanceled
		a.Reason = "its customer was forgotten"
		a.Updated = at
		a.Spec = a.Spec.WithoutAddress()
		a.Calls = nil
		if err := saveAdjustment(tx, &a); err != nil {
			return err
		}
	}
	return nil
}
