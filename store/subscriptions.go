package store

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// subscriptionRow is a subscription with its lease and its current enrollment.
type subscriptionRow struct {
	ledger.Subscription
	lease      string
	leaseUntil int64
}

// read selects subscriptions with their current enrollments. The clause begins with where, or is empty.
func read(ctx context.Context, q queryer, clause string, args ...any) ([]subscriptionRow, error) {
	rows, err := q.QueryxContext(ctx, q.Rebind(selectSubscriptions+clause), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []subscriptionRow
	for rows.Next() {
		var r subscriptionRow
		if err := rows.Scan(r.fields()...); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

var selectSubscriptions = `
	select s.id, s.customer, s.created_at, s.live, s.prepaid, s.reactivated_at, s.extra_order, s.extra_place,
	       s.created, coalesce(s.due, 0), s.priority, s.attempts, s.last_error, s.revision, s.upcoming, s.changed_at,
	       s.adjustments, s.trace,
	       s.lease, s.lease_until,
	       e.number, e.` + strings.Join(names(enrollmentColumns(new(counter.Enrollment))),
	", e.") + `, ` + placedColumns + `
	from subscriptions s
	join enrollments e on e.subscription = s.id
	 and e.number = (select max(number) from enrollments where subscription = s.id) `

// fields are where a row of selectSubscriptions is read into.
func (r *subscriptionRow) fields() []any {
	targets := []any{
		&r.ID, &r.Customer, &r.CreatedAt, (*flag)(&r.Live), (*flag)(&r.Prepaid), &r.ReactivatedAt, &r.PendingExtraOrder,
		&r.PendingExtraPlace,
		&r.Created, &r.Due, &r.Priority, &r.Attempts, &r.Error, &r.Revision, &r.Upcoming, &r.ChangedAt,
		&r.Adjustments, &r.Trace,
		&r.lease, &r.leaseUntil,
		&r.Number,
	}
	targets = append(targets, fields(enrollmentColumns(&r.Enrollment))...)
	return append(targets, placedFields(&r.Enrollment)...)
}

// Claim takes leases on up to n due subscriptions that nobody holds, those of the highest priority and then the longest
// due first, until the given time. Each claim has a token of its own, which every later write under it must match. Up
// to retries of them have failed before, and these come first: however many are new, what failed is tried again. While
// a database that was brought back from a copy is recounted there are none.
func (s *Store) Claim(ctx context.Context, at, until int64, n, retries int) ([]ledger.Lease, error) {
	idle, err := s.nothingDue(ctx, `select 1 from subscriptions where due <= ? and lease_until <= ? limit 1`, at, at)
	if idle || err != nil {
		return nil, wrap("looking for due subscriptions", err)
	}
	token := s.tokens + rand.Text()
	var claimed []subscriptionRow
	err = s.writer.do(ctx, func(tx *sqlx.Tx) error {
		claimed = nil
		var ids []string
		claim := func(which string, most int) error {
			var some []string
			// safeguard: urgent-due-first
			// safeguard: lease
			// safeguard: restored-not-synced
			err := tx.Select(&some, tx.Rebind(`
				update subscriptions
				set lease = ?, lease_until = ?
				where id in (
					select id
					from subscriptions
					where due <= ? and lease_until <= ? and `+notRestored+` and `+which+`
					order by priority desc, due, id
					limit ? `+s.dialect.skipLocked+`)
				returning id`), token, until, at, at, most)
			ids = append(ids, some...)
			return err
		}
		if err := claim("attempts > 0", retries); err != nil {
			return err
		}
		if err := claim("attempts = 0", n-len(ids)); err != nil || len(ids) == 0 {
			return err
		}
		query, args, err := sqlx.In(`where s.id in (?) order by s.priority desc, s.due, s.id`, ids)
		if err != nil {
			return err
		}
		claimed, err = read(context.Background(), tx, query, args...)
		return err
	})
	if err != nil {
		return nil, wrap("claiming subscriptions", err)
	}
	leases := make([]ledger.Lease, len(claimed))
	for i, r := range claimed {
		leases[i] = ledger.Lease{Subscription: r.Subscription, Token: token, Until: until}
	}
	return leases, nil
}

// ClaimOne takes the lease on one subscription, whether or not it is due, until the given time. ledger.ErrLeased: a
// sync is in progress; ledger.ErrUnknown: there is no such subscription.
func (s *Store) ClaimOne(ctx context.Context, id string, at, until int64) (ledger.Lease, error) {
	token := s.tokens + rand.Text()
	var claimed subscriptionRow
	err := s.writer.change(ctx, []string{id}, func(tx *sqlx.Tx) error {
		row, found, err := s.dialect.current(tx, id)
		switch {
		case err != nil:
			return err
		case !found:
			return ledger.ErrUnknown
		// safeguard: action-waits
		case row.leaseUntil > at:
			return ledger.ErrLeased
		}
		claimed = row
		return oneRow(tx, `update subscriptions set lease = ?, lease_until = ? where id = ? and lease = ?`,
			token, until, id, row.lease)
	})
	if err != nil {
		return ledger.Lease{}, wrap("claiming "+id, err)
	}
	return ledger.Lease{Subscription: claimed.Subscription, Token: token, Until: until}, nil
}

// Renew extends a lease until the given time. ledger.ErrLeaseLost: somebody else holds the subscription.
func (s *Store) Renew(ctx context.Context, lease ledger.Lease, until int64) error {
	return wrap("renewing the lease of "+lease.ID, s.writer.change(ctx, []string{lease.ID}, func(tx *sqlx.Tx) error {
		return oneRow(tx, `update subscriptions set lease_until = ? where id = ? and lease = ?`, until, lease.ID, lease.Token)
	}))
}

// RetryFailed makes every event and subscription due at once that waits for the next attempt after an error.
func (s *Store) RetryFailed(ctx context.Context, at int64) error {
	retry := func(query, kind string) error {
		n, err := s.retry(ctx, query, at, at)
		if err == nil && n > 0 {
			s.wake(kind)
		}
		return err
	}
	return errors.Join(
		retry(`
			update events
			set due = ?
			where (created, id) in (
				select created, id
				from events
				where due > ? and last_error <> ''
				order by due, created, id `+s.dialect.skipLocked+`)`, kindEvents),
		retry(`
			update subscriptions
			set due = ?
			where id in (
				select id
				from subscriptions
				where due > ? and last_error <> ''
				order by priority desc, due, id `+s.dialect.skipLocked+`)`, kindSubscriptions))
}

// Record commits one step of a sync and answers the subscription as it is then. ledger.ErrLeaseLost: somebody else
// holds the subscription. ledger.ErrStale: facts have changed what the step was worked out from. ledger.ErrPaused and
// *ledger.ThrottledError: what the step is about to change may not be changed now.
func (s *Store) Record(ctx context.Context, lease ledger.Lease, step ledger.Step) (counter.Subscription, error) {
	var after subscriptionRow
	err := s.writer.change(ctx, []string{lease.ID}, func(tx *sqlx.Tx) error {
		before, err := s.leased(tx, lease)
		if err != nil {
			return err
		}
		// safeguard: stale-step
		if isStale(step, before.Enrollment) {
			return ledger.ErrStale
		}
		if err := s.dialect.permit(tx, lease.ID, step.Intent); err != nil {
			return err
		}
		if err := recordStep(tx, lease.ID, step); err != nil {
			return err
		}
		after, err = s.leased(tx, lease)
		return err
	})
	if err != nil {
		return counter.Subscription{}, wrap("recording a step of "+lease.ID, err)
	}
	if len(step.Messages) > 0 {
		s.wake(kindMessages)
	}
	return after.Subscription.Subscription, nil
}

// isStale says whether facts have changed what a step was worked out from: which enrollment is the current one, since
// when shipments belong to it, or how many they are.
func isStale(step ledger.Step, now counter.Enrollment) bool {
	e := step.Enrollment
	return e.Number != now.Number || e.OpenedAt != now.OpenedAt ||
		step.Counted && e.Placed.Orders != now.Placed.Orders
}

func recordStep(tx *sqlx.Tx, id string, step ledger.Step) error {
	if step.Intent != nil {
		if _, err := tx.Exec(tx.Rebind(`update subscriptions set changed_at = ? where id = ?`),
			step.Intent.At, id); err != nil {
			return err
		}
	}
	for _, shipment := range step.Shipments {
		if _, err := insertShipment(tx, shipment); err != nil {
			return err
		}
	}
	if err := saveEnrollment(tx, id, step.Enrollment); err != nil {
		return err
	}
	if step.OpenedAt != nil {
		if err := setOpening(tx, id, step.Enrollment.Number, *step.OpenedAt); err != nil {
			return err
		}
	}
	if step.Next != nil {
		if err := saveEnrollment(tx, id, *step.Next); err != nil {
			return err
		}
	}
	if len(step.Shipments) > 0 || step.OpenedAt != nil || step.Next != nil {
		if _, err := assign(tx, id); err != nil {
			return err
		}
	}
	if err := saveAction(tx, step.Action); err != nil {
		return err
	}
	if err := saveSchedule(tx, id, step.Schedule); err != nil {
		return err
	}
	if err := saveAdjustment(tx, step.Adjustment); err != nil {
		return err
	}
	if err := notify(tx, id, step.Notify); err != nil {
		return err
	}
	return writeAll(tx, step.Journal)
}

// Finish ends a sync and gives the lease back. News since the claim makes the subscription due at once.
func (s *Store) Finish(ctx context.Context, lease ledger.Lease, o ledger.Outcome) error {
	var news bool
	err := s.writer.change(ctx, []string{lease.ID}, func(tx *sqlx.Tx) error {
		now, err := s.leased(tx, lease)
		if err != nil {
			return err
		}
		due := o.Next
		// safeguard: news-during-sync
		if news = now.Revision != lease.Revision; news && o.Attempts == 0 {
			due = o.At
		}
		if err := saveEnrollment(tx, lease.ID, o.Subscription.Enrollment); err != nil {
			return err
		}
		sub := o.Subscription
		if _, err := tx.Exec(tx.Rebind(`
			update subscriptions
			set live = ?, prepaid = ?, created_at = ?, extra_order = ?, extra_place = ?, remind_at = ?,
			    due = ?, lease = '', lease_until = 0, attempts = ?, last_error = ?
			where id = ?`),
			flag(sub.Live), flag(sub.Prepaid), sub.CreatedAt, sub.PendingExtraOrder, sub.PendingExtraPlace, o.RemindAt,
			nullable(due), o.Attempts, o.Error, lease.ID); err != nil {
			return err
		}
		// What is due again has the priority that it has by now: its liveness and its count may have changed in this sync.
		if err := prioritize(tx, lease.ID, o.Priority); err != nil {
			return err
		}
		if !news && lease.Trace != o.Trace {
			if _, err := tx.Exec(tx.Rebind(`update subscriptions set trace = ? where id = ?`), o.Trace, lease.ID); err != nil {
				return err
			}
		}
		if err := saveAction(tx, o.Action); err != nil {
			return err
		}
		// safeguard: notification-with-cause
		if err := notify(tx, lease.ID, o.Notify); err != nil {
			return err
		}
		return writeAll(tx, o.Journal)
	})
	if err == nil && news {
		s.wake(kindSubscriptions)
	}
	if err == nil && len(o.Messages) > 0 {
		s.wake(kindMessages)
	}
	return wrap("finishing the sync of "+lease.ID, err)
}

// leased reads the subscription of a lease inside a transaction and fails where the lease is somebody else's by now.
// The row is locked: news that commits between this read and our write would be overwritten.
func (s *Store) leased(tx *sqlx.Tx, lease ledger.Lease) (subscriptionRow, error) {
	if err := s.dialect.lock(tx, lease.ID); err != nil {
		return subscriptionRow{}, err
	}
	// safeguard: lease-fence
	rows, err := read(context.Background(), tx, `where s.id = ? and s.lease = ?`, lease.ID, lease.Token)
	if err != nil {
		return subscriptionRow{}, err
	}
	if len(rows) == 0 {
		return subscriptionRow{}, ledger.ErrLeaseLost
	}
	return rows[0], nil
}

// prioritize gives a subscription a priority: urgent where its term is complete and its end is not confirmed, and never
// less than the given one or, while it is due, than the one that it has.
func prioritize(tx *sqlx.Tx, id string, p ledger.Priority) error {
	_, err := tx.Exec(tx.Rebind(`
		update subscriptions
		set priority = case
			when live = 1 and prepaid = 0 and exists (
				select 1
				from enrollments e
				where e.subscription = subscriptions.id
				  and e.number = (select max(number) from enrollments where subscription = subscriptions.id)
				  and e.state not in ('released', 'completed', 'ended', 'awaiting_approval', 'throttled')
				  and e.orders_due + e.adjustment <= (
					select count(*) from shipments where subscription = e.subscription and enrollment = e.number))
			then 1
			when due is not null and priority > ? then priority
			else ?
		end
		where id = ?`), p, p, id)
	return wrap("setting the priority", err)
}

// Subscription returns one subscription, or ledger.ErrUnknown.
func (s *Store) Subscription(ctx context.Context, id string) (ledger.Subscription, error) {
	found, err := s.find(ctx, `where s.id = ?`, id)
	if err == nil && len(found) == 0 {
		err = wrap("reading "+id, ledger.ErrUnknown)
	}
	if err != nil {
		return ledger.Subscription{}, err
	}
	return found[0], nil
}

// Enrollments returns every enrollment that a subscription has had, the first one first.
func (s *Store) Enrollments(ctx context.Context, subscription string) ([]counter.Enrollment, error) {
	all, err := enrollmentsOf(ctx, s.reads, subscription)
	return all, wrap("reading the enrollments of "+subscription, err)
}

func (s *Store) find(ctx context.Context, clause string, args ...any) ([]ledger.Subscription, error) {
	rows, err := read(ctx, s.reads, clause, args...)
	if err != nil {
		return nil, wrap("reading subscriptions", err)
	}
	all := make([]ledger.Subscription, len(rows))
	for i, r := range rows {
		all[i] = r.Subscription
	}
	return all, nil
}

// RetrySubscriptions makes subscriptions due at once: the one with the id, or, for "", all that need attention or
// failed. It says how many.
func (s *Store) RetrySubscriptions(ctx context.Context, id string, at int64) (int64, error) {
	return s.retry(ctx, `
		update subscriptions
		set due = ?, attempts = 0, revision = revision + 1
		where id = ? or (? = '' and (last_error <> '' or exists (
			select 1
			from enrollments e
			where e.subscription = subscriptions.id and e.state = 'attention'
			  and e.number = (select max(number) from enrollments where subscription = subscriptions.id))))`, at, id, id)
}

// Overship counts the subscriptions that are complete and could not be ended so far.
type Overship struct {
	Subscriptions int `db:"n" json:"subscriptions"`
	Orders        int `db:"orders" json:"orders"` // those that are known to have an order coming
	// When the first of these is placed, UTC unix milliseconds; 0: unknown.
	FirstPlace int64 `db:"first_place" json:"first_place"`
}

// OvershipRisk counts the subscriptions whose next order would be one too many.
func (s *Store) OvershipRisk(ctx context.Context) (Overship, error) {
	var o Overship
	err := s.reads.GetContext(ctx, &o, `
		select count(*) as n, count(case when s.extra_order <> '' then 1 end) as orders,
		       coalesce(min(case when s.extra_place > 0 then s.extra_place end), 0) as first_place
		from subscriptions s
		where s.state in ('completing', 'blocking', 'attention', 'awaiting_approval', 'throttled')
		  and s.live = 1 and s.prepaid = 0 and s.made >= s.total`)
	return o, wrap("counting what is at overship risk", err)
}

// current locks and reads a subscription; found says whether there is one.
func (d dialect) current(tx *sqlx.Tx, subscription string) (row subscriptionRow, found bool, err error) {
	if err := d.lock(tx, subscription); err != nil {
		return row, false, err
	}
	rows, err := read(context.Background(), tx, `where s.id = ?`, subscription)
	if err != nil || len(rows) == 0 {
		return row, false, err
	}
	return rows[0], true, nil
}

// lock keeps other transactions from a subscription. It is a statement of its own: what is read after it is as new as
// the lock.
func (d dialect) lock(tx *sqlx.Tx, subscription string) error {
	if d.lockRow == "" {
		return nil
	}
	_, err := tx.Exec(tx.Rebind(`select id from subscriptions where id = ? `+d.lockRow), subscription)
	return err
}

func nullable(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}
