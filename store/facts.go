package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// recorder records the facts of one event. Each is an insert that does nothing the second time; only real news makes a
// subscription due.
type recorder struct {
	dialect
	tx       *sqlx.Tx
	at       int64
	priority ledger.Priority // of what becomes due
	ours     bool            // a fact was about a subscription of ours, known already or not
	due      []string        // the subscriptions that became due
	shipped  int64           // how many shipments are new
}

// recorded takes note of what a committed transaction recorded.
func (s *Store) recorded(r recorder) {
	s.shipments.Add(r.shipped)
	if len(r.due) > 0 {
		s.wake(kindSubscriptions)
	}
}

func (r *recorder) record(f ledger.Facts) error {
	r.priority = f.Priority
	// Rows are touched in one order everywhere, or two instances deadlock.
	slices.SortFunc(f.Enrollments,
		func(a, b ledger.Enrollment) int { return strings.Compare(a.Subscription, b.Subscription) })
	slices.SortFunc(f.Shipments,
		func(a, b counter.Shipment) int { return strings.Compare(a.Subscription, b.Subscription) })
	for _, e := range f.Enrollments {
		if err := r.enroll(e); err != nil {
			return fmt.Errorf("enrolling %s: %w", e.Subscription, err)
		}
	}
	for _, o := range f.Openings {
		if err := r.open(o); err != nil {
			return err
		}
	}
	for _, s := range f.Shipments {
		if err := r.ship(s); err != nil {
			return fmt.Errorf("recording shipment %s of %s: %w", s.Order, s.Subscription, err)
		}
	}
	for _, id := range f.Changed {
		if err := r.touch(id, counter.Released); err != nil {
			return err
		}
	}
	for _, reactivation := range f.Reactivated {
		if err := r.reactivate(reactivation); err != nil {
			return err
		}
	}
	for _, id := range f.Canceled {
		// One that we completed is known to be canceled: it was us.
		if err := r.touch(id, counter.Completed); err != nil {
			return err
		}
	}
	if err := r.reschedule(f.Scheduled); err != nil {
		return err
	}
	if f.OrderRead == "" {
		return nil
	}
	_, err := r.exec(`insert into orders_read (order_id, at) values (?, ?) on conflict do nothing`, f.OrderRead, r.at)
	return err
}

// trace makes the syncs of what became due part of a trace; "": of none.
func (r *recorder) trace(traceparent string) error {
	if traceparent == "" {
		return nil
	}
	for _, id := range r.due {
		if _, err := r.exec(`update subscriptions set trace = ? where id = ?`, traceparent, id); err != nil {
			return fmt.Errorf("tracing %s: %w", id, err)
		}
	}
	return nil
}

// enroll opens a subscription's first enrollment, or the next one of a subscription that was released from another
// term.
func (r *recorder) enroll(e ledger.Enrollment) error {
	r.ours = true
	e.Number = 1
	if e.OpenedAt == 0 && !e.FromCreation {
		e.OpenedAt = r.at
	}
	if e.OpenedBy != counter.Reconciled {
		e.OpenedAt -= e.OpenedAt % 1000 // events count seconds; what was found now was placed before now
	}
	n, err := r.exec(`
		insert into subscriptions (id, customer, created_at, created, due, priority, revision)
		values (?, ?, ?, ?, ?, ?, 1)
		on conflict do nothing`, e.Subscription, e.Customer, e.CreatedAt, r.at, r.at, r.priority)
	if err != nil {
		return err
	}
	if n == 0 {
		return r.enrollKnown(e)
	}
	return r.openEnrollment(e, e.Enrollment)
}

func (r *recorder) enrollKnown(e ledger.Enrollment) error {
	known, found, err := r.current(r.tx, e.Subscription)
	if err != nil || !found {
		return err
	}
	if e.FromCreation && known.Number == 1 && known.OpenedBy != counter.OpenedByCreation {
		// A creation that comes late still says that it was termed from its beginning, and when that was.
		if err := r.lateCreation(e, known.State); err != nil {
			return err
		}
		return r.open(ledger.Opening{Subscription: e.Subscription, Enrollment: known.Number})
	}
	next, ok := counter.Reenroll(known.Enrollment, e.Enrollment)
	if !ok || !e.OwnProduct {
		return nil
	}
	if _, err := r.exec(`
		update subscriptions
		set live = 1, due = ?, priority = ?, revision = revision + 1
		where id = ?`, r.at, r.priority, e.Subscription); err != nil {
		return err
	}
	return r.openEnrollment(e, next)
}

// lateCreation records the creation of a subscription that is known already. It explains an end that waits.
func (r *recorder) lateCreation(e ledger.Enrollment, state counter.State) error {
	if _, err := r.exec(`update enrollments set opened_by = ? where subscription = ? and number = 1`,
		e.OpenedBy, e.Subscription); err != nil {
		return err
	}
	_, err := r.exec(`update subscriptions set created_at = ? where id = ?`, e.CreatedAt, e.Subscription)
	if err != nil || state != counter.Throttled {
		return err
	}
	return r.touch(e.Subscription, counter.Released)
}

func (r *recorder) openEnrollment(fact ledger.Enrollment, e counter.Enrollment) error {
	if err := saveEnrollment(r.tx, fact.Subscription, e); err != nil {
		return err
	}
	if _, err := assign(r.tx, fact.Subscription); err != nil {
		return err
	}
	r.due = append(r.due, fact.Subscription)
	return write(r.tx, ledger.JournalEntry{
		Subscription: fact.Subscription,
		At:           r.at,
		Actor:        ledger.ByOrdergroove,
		What:         "enrolled",
		After:        e.SKU,
		Reason:       e.OpenedBy,
	})
}

// open moves the beginning of the current enrollment.
func (r *recorder) open(o ledger.Opening) error {
	known, found, err := r.current(r.tx, o.Subscription)
	if err != nil || !found || known.Number != o.Enrollment || known.OpenedAt == o.At {
		return err
	}
	if err := setOpening(r.tx, o.Subscription, known.Number, o.At); err != nil {
		return err
	}
	// setOpening may have included shipments; what counts anew is to be written.
	moved, err := assign(r.tx, o.Subscription)
	if err != nil || !moved {
		return err
	}
	return r.touch(o.Subscription, counter.Released)
}

func (r *recorder) ship(s counter.Shipment) error {
	known, found, err := r.current(r.tx, s.Subscription)
	if err != nil || !found || known.State == counter.Released {
		return err
	}
	r.ours = true
	fresh, err := insertShipment(r.tx, s)
	if err != nil || !fresh {
		return err
	}
	r.shipped++
	if _, err := assign(r.tx, s.Subscription); err != nil {
		return err
	}
	return r.touch(s.Subscription, counter.Released)
}

// reschedule makes the subscriptions due that have adjustments and whose upcoming order there is news about.
func (r *recorder) reschedule(s ledger.Scheduled) error {
	if s == (ledger.Scheduled{}) {
		return nil
	}
	var ids []string
	// safeguard: only-adjusted
	if err := r.tx.Select(&ids, r.tx.Rebind(`
		select id
		from subscriptions
		where adjustments > 0 and (id = ? or customer = ? and customer <> '')
		order by id`), s.Subscription, s.Customer); err != nil {
		return fmt.Errorf("looking up what has adjustments: %w", err)
	}
	for _, id := range ids {
		r.ours = true
		if err := r.touch(id, counter.Released); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) reactivate(reactivation ledger.Reactivation) error {
	if _, err := r.exec(`update subscriptions set reactivated_at = ? where id = ? and reactivated_at < ?`,
		reactivation.At, reactivation.Subscription, reactivation.At); err != nil {
		return err
	}
	return r.touch(reactivation.Subscription, counter.Released)
}

// touch makes a subscription of ours due, unless it is in the given state. One that failed lately keeps its time: news
// is no reason to try earlier, except for one that needs attention, whose person may just have resolved it.
func (r *recorder) touch(id string, unless counter.State) error {
	known, found, err := r.current(r.tx, id)
	if err != nil {
		return fmt.Errorf("looking up %s: %w", id, err)
	}
	if !found || known.State == counter.Released {
		return nil
	}
	r.ours = true
	if known.State == unless {
		return nil
	}
	r.due = append(r.due, id)
	due := r.at
	attempts := known.Attempts
	switch {
	case known.State == counter.Attention, known.State == counter.Throttled: // it may be over by now
		attempts = 0
	case known.Attempts > 0 && known.Due != 0:
		due = known.Due
	}
	if _, err := r.exec(`update subscriptions set revision = revision + 1, attempts = ? where id = ?`,
		attempts, id); err != nil {
		return err
	}
	if err := prioritize(r.tx, id, r.priority); err != nil {
		return err
	}
	_, err = r.exec(`update subscriptions set due = ? where id = ?`, due, id)
	return err
}

func (r *recorder) exec(query string, args ...any) (int64, error) {
	result, err := r.tx.Exec(r.tx.Rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
