package ledger

import (
	"slices"

	"github.com/termed/termed/counter"
)

// Facts are what one event says: sets, so that recording them twice is recording them once.
type Facts struct {
	Enrollments []Enrollment
	Shipments   []counter.Shipment // of subscriptions that are enrolled, or enrolled above; others are ignored
	Openings    []Opening
	Reactivated []Reactivation
	Changed     []string  // subscriptions about which only a sync can tell what happened
	Canceled    []string  // subscriptions that were canceled: no news of one that we completed
	Scheduled   Scheduled // whose upcoming order is new, or changed
	OrderRead   string    // the order whose items had to be asked for, so that they are asked for once
	Priority    Priority  // of the syncs that they make due
}

// Scheduled says about whose upcoming order there is news: a customer's, or a subscription's; "": nobody's. It matters
// to subscriptions with adjustments only.
type Scheduled struct {
	Customer     string
	Subscription string
}

// Subscriptions are those that the facts are about, each once.
func (f Facts) Subscriptions() []string {
	ids := slices.Concat(f.Changed, f.Canceled)
	for _, e := range f.Enrollments {
		ids = append(ids, e.Subscription)
	}
	for _, s := range f.Shipments {
		ids = append(ids, s.Subscription)
	}
	for _, r := range f.Reactivated {
		ids = append(ids, r.Subscription)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Enrollment says that a subscription of a termed SKU exists.
type Enrollment struct {
	Subscription string
	Customer     string
	CreatedAt    int64 // when it was created at Ordergroove, UTC unix milliseconds; 0: the event does not say
	counter.Enrollment
	// FromCreation says that the event is the subscription's creation: all its orders are of the term.
	FromCreation bool
	// OwnProduct says that the SKU is the subscription's own, so that a released subscription is enrolled again. The SKU
	// of an item is not: a one-time swap can put a termed SKU on an evergreen subscription's order.
	OwnProduct bool
}

// Opening says from when on shipments belong to a subscription's current enrollment, UTC unix milliseconds.
type Opening struct {
	Subscription string
	Enrollment   int // its number: of no other
	At           int64
}

// Reactivation says that somebody made a subscription live again.
type Reactivation struct {
	Subscription string
	At           int64 // the event's own time
}

// Priority says which of the due subscriptions is synced first. The zero value is Normal.
type Priority int

// The priorities.
const (
	Background Priority = -1 // found by reconciling
	Normal     Priority = 0  // something happened
	Urgent     Priority = 1  // overship risk: complete and still live
)

// Settlement says what became of an event.
type Settlement struct {
	Facts    Facts
	At       int64
	Next     int64  // when to try again; 0: it is settled
	Attempts int    // failed attempts so far
	Error    string // why the last attempt failed
	Dead     bool   // it can never be processed: kept for a person to look at
	Ignored  string // why it is ignored, if its facts are about no subscription of ours
	Trace    string // the context of its trace, which the syncs are part of that its facts make due; "": none
}
