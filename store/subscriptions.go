package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// page is a row of subscriptions with what is counted from shipments. The counts are never stored: stored, they could be
// wrong.
type page struct {
	ID            string        `db:"id"`
	SKU           string        `db:"sku"`
	Term          string        `db:"term"`
	Customer      string        `db:"customer"`
	Due           int           `db:"shipments_due"`
	Adjust        int           `db:"adjustment"`
	Sent          string        `db:"counters_sent"`
	Written       sql.NullInt64 `db:"counter_written"`
	State         string        `db:"state"`
	Reason        string        `db:"reason"`
	Live          bool          `db:"live"`
	Prepaid       bool          `db:"prepaid"`
	Completed     bool          `db:"completed"`
	ExtraOrder    string        `db:"extra_order"`
	ExtraPlace    int64         `db:"extra_place"`
	Urgency       int           `db:"urgency"`
	Upcoming      string        `db:"upcoming"`
	EnrolledBy    string        `db:"enrolled_by"`
	EnrolledAt    int64         `db:"enrolled_at"`
	ReactivatedAt int64         `db:"reactivated_at"`
	CancelSent    bool          `db:"cancel_sent"`
	CancelAfter   int64         `db:"cancel_after"`
	Blocking      bool          `db:"blocking"`
	AtCheckout    int           `db:"at_checkout"`
	Past          int           `db:"past"`
	Exempt        string        `db:"exempt"`
	Reopened      bool          `db:"reopened"`
	Members       string        `db:"members"`
	LastTold      bool          `db:"last_told"`
	ClaimUntil    int64         `db:"claim_until"`
	LastShipment  int64         `db:"last_shipment"`
	Revision      int64         `db:"revision"`
	Attempts      int           `db:"attempts"`
	DueAt         sql.NullInt64 `db:"due"`
	LastError     string        `db:"last_error"`
	Shipped       int           `db:"shipped"` // in all its terms
	Untold        int           `db:"untold"`
	Announced     int           `db:"announced"`
}

const selectPage = `
	select id, sku, term, customer, shipments_due, adjustment, counters_sent, counter_written, state, reason, live, prepaid, completed,
	       extra_order, extra_place, reactivated_at, cancel_sent, urgency, upcoming, revision, attempts, due, last_error,
	       enrolled_by, enrolled_at, cancel_after, blocking, at_checkout, past, exempt, reopened, members, last_told, claim_until,
	       (select count(*) from shipments where subscription = subscriptions.id) as shipped,
	       (select count(*) from shipments where subscription = subscriptions.id and told = 0) as untold,
	       (select coalesce(max(at), 0) from shipments where subscription = subscriptions.id) as last_shipment,
	       (select count(*) from shipments where subscription = subscriptions.id and source <> '` + counter.Reconciled + `') as announced
	from subscriptions `

func (p page) ledger() counter.Ledger {
	l := counter.Ledger{
		Subscription: p.ID, SKU: p.SKU, Term: p.Term, Customer: p.Customer,
		AtCheckout: p.AtCheckout, Due: p.Due, Made: p.Shipped - p.Past, Past: p.Past, Announced: max(0, p.Announced-p.Past), Adjustment: p.Adjust,
		Sent: splitCounters(p.Sent), LastShipment: p.LastShipment,
		ReactivatedAt: p.ReactivatedAt, CancelSent: p.CancelSent, CancelAfter: p.CancelAfter, Blocking: p.Blocking,
		Exempt: p.Exempt, Reopened: p.Reopened, Put: splitMembers(p.Members), Untold: p.Untold, LastTold: p.LastTold,
		State: counter.State(p.State), Reason: p.Reason, Live: p.Live, Prepaid: p.Prepaid, Completed: p.Completed,
		ExtraOrder: p.ExtraOrder, ExtraPlace: p.ExtraPlace,
	}
	if p.EnrolledBy != ordergroove.SubscriptionCreate {
		l.TermedFrom = p.EnrolledAt
	}
	if p.Written.Valid {
		written := int(p.Written.Int64)
		l.Written = &written
	}
	return l
}

// Claim takes up to n due subscriptions whose lease is free, the most urgent and then the longest due first, until the given
// time. Each claim has a fresh id, which every later write under it must match.
func (s *Store) Claim(ctx context.Context, at, until int64, n int) ([]counter.Lease, error) {
	idle, err := s.nothingDue(ctx, `select 1 from subscriptions where due <= ? and claim_until <= ? limit 1`, at, at)
	if idle || err != nil {
		return nil, wrap("looking for due subscriptions", err)
	}
	claim := s.claims + rand.Text()
	var pages []page
	err = s.writer.do(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.Exec(tx.Rebind(`
			update subscriptions
			set claim = ?, claim_until = ?
			where id in (
				select id
				from subscriptions
				where due <= ? and claim_until <= ?
				order by urgency desc, due, id
				limit ? `+s.dialect.skipLocked+`)`), claim, until, at, at, n); err != nil {
			return err
		}
		pages = nil
		return tx.Select(&pages, tx.Rebind(selectPage+`where claim = ?`), claim)
	})
	if err != nil {
		return nil, wrap("claiming subscriptions", err)
	}
	leases := make([]counter.Lease, len(pages))
	for i, p := range pages {
		leases[i] = counter.Lease{Ledger: p.ledger(), Claim: claim, Until: until, Revision: p.Revision, Attempts: p.Attempts, Urgency: counter.Urgency(p.Urgency)}
	}
	return leases, nil
}

// Record commits one step of a look and answers the page as it is then. counter.ErrLeaseLost: somebody else holds the
// subscription. counter.ErrStale: an adoption, or a new term, was worked out from fewer shipments than there are.
func (s *Store) Record(ctx context.Context, lease counter.Lease, step counter.Step) (counter.Ledger, error) {
	var after page
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		for _, shipment := range step.Shipments {
			if _, err := insertShipment(tx, shipment, step.History); err != nil {
				return err
			}
		}
		before, err := s.held(tx, lease)
		if err != nil {
			return err
		}
		if (step.Adjustment != nil || step.Next != nil) && before.Shipped-before.Past != step.Page.Made {
			return counter.ErrStale
		}
		next := step.Apply(before.ledger())
		if _, err := tx.Exec(tx.Rebind(`
			update subscriptions
			set sku = ?, term = ?, at_checkout = ?, shipments_due = ?, adjustment = ?, past = ?, counters_sent = ?, members = ?,
			    completed = ?, cancel_sent = ?, cancel_after = ?, blocking = ?
			where id = ?`),
			next.SKU, next.Term, next.AtCheckout, next.Due, next.Adjustment, next.Past, joinCounters(next.Sent), joinMembers(next.Put),
			asInteger(next.Completed), asInteger(next.CancelSent), next.CancelAfter, asInteger(next.Blocking), lease.Subscription); err != nil {
			return err
		}
		if err := writeAll(tx, step.Entries); err != nil {
			return err
		}
		if err := dispatch(tx, lease.Subscription, step.Dispatch); err != nil {
			return err
		}
		after, err = s.held(tx, lease)
		return err
	})
	if err != nil {
		return counter.Ledger{}, wrap("recording a step of "+lease.Subscription, err)
	}
	if len(step.Posts) > 0 {
		signal(s.noticesDue)
	}
	return after.ledger(), nil
}

// Finish ends a look and lets go of the lease. News since the claim makes the subscription due at once.
func (s *Store) Finish(ctx context.Context, lease counter.Lease, o counter.Outcome) error {
	var next *int64
	if o.Next != 0 {
		next = &o.Next
	}
	var news bool
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		now, err := s.held(tx, lease)
		if err != nil {
			return err
		}
		due := next
		if news = now.Revision != lease.Revision; news && o.Attempts == 0 {
			due = &o.At
		}
		l := o.Ledger
		if _, err := tx.Exec(tx.Rebind(`
			update subscriptions
			set sku = ?, term = ?, at_checkout = ?, shipments_due = ?, counter_written = ?, cancel_sent = ?, blocking = ?, state = ?,
			    reason = ?, live = ?, prepaid = ?, completed = ?, extra_order = ?, extra_place = ?, exempt = ?, members = ?, last_told = ?,
			    remind_at = ?, due = ?, claim = '', claim_until = 0, attempts = ?, last_error = ?
			where id = ?`),
			l.SKU, l.Term, l.AtCheckout, l.Due, l.Written, asInteger(l.CancelSent), asInteger(l.Blocking), string(l.State),
			l.Reason, asInteger(l.Live), asInteger(l.Prepaid), asInteger(l.Completed), l.ExtraOrder, l.ExtraPlace, l.Exempt, joinMembers(l.Put),
			asInteger(l.LastTold), o.Remind, due, o.Attempts, o.Error, lease.Subscription); err != nil {
			return err
		}
		// What is due again is as urgent as it is by now: its liveness and its count may have changed under this look.
		if _, err := tx.Exec(tx.Rebind(`update subscriptions set urgency = `+urgencyNow+` where id = ?`), o.Urgency, o.Urgency, lease.Subscription); err != nil {
			return err
		}
		if err := dispatch(tx, lease.Subscription, o.Dispatch); err != nil {
			return err
		}
		return writeAll(tx, o.Entries)
	})
	if err == nil && news {
		signal(s.subscriptionsDue)
	}
	if err == nil && len(o.Posts) > 0 {
		signal(s.noticesDue)
	}
	return wrap("finishing the look at "+lease.Subscription, err)
}

// held reads the page of a lease inside a transaction and fails where the lease is somebody else's by now. The row is
// locked: news that commits between this read and our write would be overwritten.
func (s *Store) held(tx *sqlx.Tx, lease counter.Lease) (page, error) {
	var pages []page
	err := tx.Select(&pages, tx.Rebind(selectPage+`where id = ? and claim = ? `+s.dialect.lockRow), lease.Subscription, lease.Claim)
	if err != nil {
		return page{}, err
	}
	if len(pages) == 0 {
		return page{}, counter.ErrLeaseLost
	}
	return pages[0], nil
}

// Subscription is a page of the ledger with the work that waits on it.
type Subscription struct {
	counter.Ledger
	Next     int64 // when it is looked at again, UTC unix milliseconds; 0: when something happens
	Attempts int   // looks in vain since the last that worked
	Error    string

	EnrolledBy string // the event type that told of it, or counter.Reconciled
	EnrolledAt int64  // UTC unix milliseconds
}

// Subscriptions returns the pages of the ledger in a state, or all for "", in the order of enrolment.
func (s *Store) Subscriptions(ctx context.Context, state counter.State) ([]Subscription, error) {
	var pages []page
	err := s.reads.SelectContext(ctx, &pages, s.reads.Rebind(selectPage+`
		where state = ? or ? = ''
		order by enrolled_at, id`), string(state), string(state))
	if err != nil {
		return nil, wrap("reading the ledger", err)
	}
	all := make([]Subscription, len(pages))
	for i, p := range pages {
		all[i] = p.subscription()
	}
	return all, nil
}

// ErrUnknown says that a subscription is not in the ledger.
var ErrUnknown = errors.New("not in the ledger")

// Subscription returns one page of the ledger, or ErrUnknown.
func (s *Store) Subscription(ctx context.Context, id string) (Subscription, error) {
	var p page
	err := s.reads.GetContext(ctx, &p, s.reads.Rebind(selectPage+`where id = ?`), id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrUnknown
	}
	return p.subscription(), wrap("reading "+id, err)
}

func (p page) subscription() Subscription {
	return Subscription{
		Ledger: p.ledger(), Next: p.DueAt.Int64, Attempts: p.Attempts, Error: p.LastError,
		EnrolledBy: p.EnrolledBy, EnrolledAt: p.EnrolledAt,
	}
}

// Shipments returns a subscription's boxes, oldest first.
func (s *Store) Shipments(ctx context.Context, subscription string) ([]counter.Shipment, error) {
	return s.shipments(ctx, subscription, "")
}

// Untold returns the boxes of a subscription that no notice has told of, oldest first.
func (s *Store) Untold(ctx context.Context, subscription string) ([]counter.Shipment, error) {
	return s.shipments(ctx, subscription, "and told = 0")
}

func (s *Store) shipments(ctx context.Context, subscription, which string) ([]counter.Shipment, error) {
	var all []counter.Shipment
	err := s.reads.SelectContext(ctx, &all, s.reads.Rebind(`
		select subscription, order_id as "order", sku, source, at
		from shipments
		where subscription = ? `+which+`
		order by at, order_id`), subscription)
	return all, wrap("reading the shipments of "+subscription, err)
}

// RetrySubscriptions makes subscriptions due at once: the one with the id, or, for "", all that need attention or failed. It
// says how many.
func (s *Store) RetrySubscriptions(ctx context.Context, id string, at int64) (int64, error) {
	return s.retry(ctx, `
		update subscriptions
		set due = ?, attempts = 0, revision = revision + 1
		where id = ? or (? = '' and (state = 'attention' or last_error <> ''))`, at, id, id)
}

func joinCounters(counters []int) string {
	texts := make([]string, len(counters))
	for i, c := range counters {
		texts[i] = strconv.Itoa(c)
	}
	return strings.Join(texts, ",")
}

func splitCounters(text string) []int {
	if text == "" {
		return nil
	}
	var counters []int
	for part := range strings.SplitSeq(text, ",") {
		if n, err := strconv.Atoi(part); err == nil {
			counters = append(counters, n)
		}
	}
	return counters
}

func joinMembers(members map[string]string) string {
	if len(members) == 0 {
		return ""
	}
	text, _ := json.Marshal(members) // texts always marshal
	return string(text)
}

func splitMembers(text string) map[string]string {
	var members map[string]string
	_ = json.Unmarshal([]byte(text), &members) // "" is none
	return members
}

func asInteger(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Guarded are the subscriptions that are complete and could not be ended so far.
type Guarded struct {
	Subscriptions int   `db:"n" json:"subscriptions"`
	Orders        int   `db:"orders" json:"orders"`           // those that are known to have an order coming
	FirstPlace    int64 `db:"first_place" json:"first_place"` // when the first of these orders is placed, UTC unix milliseconds; 0: unknown
}

// Guarded counts the subscriptions whose next order would be a box too many.
func (s *Store) Guarded(ctx context.Context) (Guarded, error) {
	var g Guarded
	err := s.reads.GetContext(ctx, &g, `
		select count(*) as n, count(case when extra_order <> '' then 1 end) as orders,
		       coalesce(min(case when extra_place > 0 then extra_place end), 0) as first_place
		from subscriptions
		where live = 1 and prepaid = 0 and state in ('completing', 'attention')
		  and shipments_due + adjustment + past <= (select count(*) from shipments where subscription = subscriptions.id)`)
	return g, wrap("counting what is guarded", err)
}
