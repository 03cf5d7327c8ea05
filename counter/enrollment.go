package counter

import (
	"slices"
	"strconv"
)

// State says where an enrollment is in its term.
type State string

// The states of an enrollment.
const (
	Enrolled             State = "enrolled"          // known and not synced yet: whether it is termed is not confirmed
	Active               State = "active"            // shipments to come
	Completing           State = "completing"        // the counter is zero, and Ordergroove has not confirmed the end yet
	AwaitingApproval     State = "awaiting_approval" // complete, and ended only once a person has approved it
	Throttled            State = "throttled"         // complete, and its end waits for the throttle on unexplained ends
	BlockingReactivation State = "blocking"          // reactivated after its end: it is being hidden and canceled again
	Completed            State = "completed"         // the counter is zero, hidden, not live
	Ended                State = "ended"             // canceled early by somebody else; a reactivation resumes it
	Released             State = "released"          // not in a term, or no longer
	Attention            State = "attention"         // only a person can resolve it, and the reason says what
)

// Closing says how an enrollment was closed.
type Closing string

// How an enrollment is closed. Only one that is released stays out of its term; the others can be continued or followed
// by the next.
const (
	ClosedCompleted Closing = "completed" // its term was complete
	ClosedCanceled  Closing = "canceled"  // somebody else canceled the subscription early; a reactivation opens it again
	ClosedReleased  Closing = "released"  // an operator, or the term's own rule, took it out of the term
	ClosedSwapped   Closing = "swapped"   // its product was swapped for one of another term, or of none
)

// Why an enrollment was opened: the types of the events that matter to the rules (contract, section 1), and what is no
// event.
const (
	OpenedByCreation     = "subscription.create"
	OpenedBySwap         = "subscription.sku_swap"
	OpenedByRenewal      = "renewal"      // the one before was complete, and the term renews
	OpenedByRestart      = "restart"      // the product was swapped, and the term of the new product restarts
	OpenedByReactivation = "reactivation" // reactivated after the end, and the term starts a new one
	OpenedByRetry        = "retry"        // a released subscription turned out to be termed again
)

// Enrollment is one run of a term by one subscription. A subscription has one open enrollment at most; earlier ones are
// its history. The counter is derived from what it says and stored nowhere. Times are UTC unix milliseconds.
type Enrollment struct {
	Number int // 1 for a subscription's first
	Term   string
	SKU    string // the product that it was last seen with

	// OpenedAt is the time, by Ordergroove's clock, from which on shipments belong to it. 0 is the beginning: the
	// subscription's for the first enrollment, for a later one the moment at which the one before had all its shipments.
	OpenedAt int64
	OpenedBy string // the event type that announced it, Reconciled, or one of the reasons above

	CheckoutShipments int // shipments of the term that the checkout made: 1 or 0
	OrdersDue         int // recurring orders due: the term's when it was opened
	Adjustment        int // added to (or taken from) the orders due: adopted from extra_data, or set by an operator

	Written

	State  State
	Reason string // why it is in attention, ended, released or waiting

	Permission Permission

	// CancelRequestedAt is the time of the latest fact known, by Ordergroove's clock, when its cancellation was first
	// requested. A reactivation after it means that the cancellation took effect and somebody took it back. 0: not
	// requested.
	CancelRequestedAt int64

	CanceledBy string // who canceled the subscription early through termed; "": nobody did

	// ClosedAs says how it was closed at ClosedAt. With ClosedAt 0 it is decided and not done yet: an operator's release
	// waits for the sync that carries it out.
	ClosedAs Closing
	ClosedAt int64

	LastShipmentNotified bool // that one shipment remains was notified

	Placed Placed
}

// Written is what was put into extra_data.
type Written struct {
	CountersSent     []int // the counters ever sent or adopted, the latest last, each once
	CounterConfirmed *int  // the last counter that Ordergroove confirmed; nil: none yet
	// Keys of extra_data set besides the recipe's: raw JSON by name, "" for a changing value.
	ManagedKeys map[string]string
	RespelledAt int64 // when values were last rewritten that were right and spelled otherwise; 0: never
}

// Permission says whether an enrollment may be written and ended, and what was held back.
type Permission struct {
	Approval Approval
	// SeenRunning says that a sync found or put a counter above 0 in extra_data, and Ordergroove confirmed it.
	SeenRunning bool
	AdmittedAt  int64  // when its end was first begun; 0: not yet
	Withheld    string // the change that was held back by the last sync; "": none
}

// Approval is a person's word on an enrollment. The zero value is for one that needs none, as far as is known.
type Approval string

// The approvals.
const (
	ApprovalNeeded Approval = "needed" // it ran before its SKU was listed, or observe mode held back its end
	ApprovalGiven  Approval = "given"  // an operator approved it, or changed its length
)

// Placed counts the placed orders of an enrollment. It is derived from its shipments.
type Placed struct {
	Orders     int
	ByWebhook  int   // those that a webhook announced; the others were found by asking Ordergroove
	Unnotified int   // those of this enrollment or an earlier one that no notification has told about
	LastAt     int64 // when the last order of this enrollment or an earlier one was placed
}

// Subscription is what is recorded of one subscription: who, what Ordergroove last said of it, and its current
// enrollment.
type Subscription struct {
	ID            string
	Customer      string
	CreatedAt     int64 // when it was created at Ordergroove; 0: unknown
	Live          bool  // at the last sync
	Prepaid       bool  // at the last sync: Ordergroove counts it, and ends it
	ReactivatedAt int64 // when somebody last reactivated it, by Ordergroove's clock; 0: never

	// The order that would be one too many while the term is complete and the subscription could not be ended, and when it
	// is to be placed; "" and 0: unknown.
	PendingExtraOrder string
	PendingExtraPlace int64

	Enrollment
}

// Remaining is the counter's true value: the recurring orders still to be placed, never below 0 (I2).
func (e Enrollment) Remaining() int {
	// safeguard: derived-counter
	return max(0, e.OrdersDue+e.Adjustment-e.Placed.Orders)
}

// OrdersTotal is the number of recurring orders that the term lasts, adjustments included.
func (e Enrollment) OrdersTotal() int {
	return max(0, e.OrdersDue+e.Adjustment)
}

// ShipmentsTotal is the number of shipments that the term lasts, the checkout's and adjustments included.
func (e Enrollment) ShipmentsTotal() int {
	return e.CheckoutShipments + e.OrdersTotal()
}

// ShipmentsMade is the number of shipments made, the checkout's included.
func (e Enrollment) ShipmentsMade() int {
	return e.CheckoutShipments + e.Placed.Orders
}

// Unwritten is the number of orders placed since the counter that we wrote last, less what an operator has added since.
func (e Enrollment) Unwritten() int {
	if e.CounterConfirmed == nil {
		return 0
	}
	return *e.CounterConfirmed - e.Remaining()
}

// IsNew says whether no counter was ever sent or adopted, so that everything about the term is still provisional.
func (e Enrollment) IsNew() bool {
	return len(e.CountersSent) == 0
}

// HasSent says whether the counter was ever sent or adopted: if extra_data has it, nobody else put it there first.
func (e Enrollment) HasSent(counter int) bool {
	return slices.Contains(e.CountersSent, counter)
}

// HasLatest says whether a value of extra_data is the counter that was sent or confirmed last.
func (e Enrollment) HasLatest(raw string) bool {
	if raw == "" {
		return false
	}
	found := readCounter(map[string]string{"": raw}, "")
	if found.kind != number {
		return false
	}
	return e.CounterConfirmed != nil && found.n == *e.CounterConfirmed ||
		len(e.CountersSent) > 0 && found.n == e.CountersSent[len(e.CountersSent)-1]
}

// isStale says whether a counter of ours is older than the last one confirmed. A write that was recorded and never
// landed is not that: then extra_data still has the last one confirmed.
func (e Enrollment) isStale(counter int) bool {
	return e.CounterConfirmed != nil &&
		slices.Index(e.CountersSent, counter) < slices.Index(e.CountersSent, *e.CounterConfirmed)
}

// IsReleasing says whether a release was decided and is not carried out yet.
func (e Enrollment) IsReleasing() bool {
	return e.ClosedAs == ClosedReleased && e.State != Released
}

// IsReleasedFrom says whether it was released, or is to be, from the term with this name, or while it had this product:
// the term may have another name by now. One that left because no term named its product is not: it can be enrolled
// again.
func (e Enrollment) IsReleasedFrom(term, sku string) bool {
	left := e.ClosedAs == ClosedReleased || e.State == Released && e.ClosedAs == ClosedCompleted
	return left && (e.Term == term || e.SKU == sku)
}

// reactivatedAfterEnd says whether our cancellation took effect and somebody reactivated the subscription after it. The
// times are Ordergroove's own, so clocks that differ do no harm.
func (e Enrollment) reactivatedAfterEnd(reactivatedAt int64) bool {
	// safeguard: reactivated-cancel
	reversed := e.CancelRequestedAt != 0 && reactivatedAt > max(e.Placed.LastAt, e.CancelRequestedAt)
	return e.ClosedAs == ClosedCompleted && e.State != Ended || reversed
}

// manages says whether the value of a key in extra_data is one that we put there.
func (e Enrollment) manages(key, value string) bool {
	ours, there := e.ManagedKeys[key]
	// safeguard: others-keys
	return there && (ours == "" || sameValue(ours, value))
}

// AtOvershipRisk says whether the term is complete and the subscription still live: its next order would be one too
// many.
func (s Subscription) AtOvershipRisk() bool {
	return s.Live && !s.Prepaid && s.State != Released && s.Remaining() == 0
}

// Progress says how far the term is, as people read it: "2 of 3" shipments, the checkout's included.
func (s Subscription) Progress() string {
	if s.Prepaid {
		return "prepaid"
	}
	return strconv.Itoa(s.ShipmentsMade()) + " of " + strconv.Itoa(s.ShipmentsTotal())
}

// WithTerm returns the enrollment at the beginning of a term: it keeps the length that it begins with.
func (e Enrollment) WithTerm(term Term, sku string) Enrollment {
	e.SKU = sku
	e.Term = term.Name
	e.CheckoutShipments = term.CheckoutShipments()
	e.OrdersDue = term.OrdersDue()
	return e
}

// WithLength returns the enrollment with the length of a term: the shipments made so far count.
func (e Enrollment) WithLength(term Term) Enrollment {
	e.Term = term.Name
	e.OrdersDue = max(0, term.Shipments-e.CheckoutShipments)
	return e
}

// withSent returns the enrollment with a counter among those sent, as the latest.
func (e Enrollment) withSent(counter int) Enrollment {
	sent := slices.DeleteFunc(slices.Clone(e.CountersSent), func(c int) bool { return c == counter })
	e.CountersSent = append(sent, counter)
	return e
}

// AssumeSent returns the enrollment with the counters that may have been sent since a copy of it was made: one for each
// order that the copy did not know, the last of them confirmed. Of them none in extra_data is somebody's edit, and any
// other is one of the last.
func (e Enrollment) AssumeSent() Enrollment {
	if len(e.CountersSent) == 0 {
		return e
	}
	for c := e.CountersSent[len(e.CountersSent)-1] - 1; c >= e.Remaining(); c-- {
		e = e.withSent(c)
		e.CounterConfirmed = &c
	}
	return e
}

// withManagedKeys returns the enrollment with the keys that are about to be set, those of the recipe left out.
func (e Enrollment) withManagedKeys(keys Keys, set map[string]string) Enrollment {
	managed := map[string]string{}
	for name, value := range e.ManagedKeys {
		managed[name] = value
	}
	for name, value := range set {
		switch name {
		case keys.Counter, keys.Termed, keys.Hide: // the recipe's
		case keys.ShipmentsTotal, keys.ShipmentsMade, keys.LastShipment:
			managed[name] = "" // its value changes: whatever is there is ours
		default:
			managed[name] = value
		}
	}
	e.ManagedKeys = managed
	return e
}

// Open returns an enrollment at the beginning of a term, as an event announces it.
func (t Term) Open(sku, by string, at int64) Enrollment {
	return Enrollment{Number: 1, OpenedAt: at, OpenedBy: by, State: Enrolled}.WithTerm(t, sku)
}

// Reenroll returns the enrollment that follows a released one, and whether there is one: a subscription stays out of
// the term that it was released from.
func Reenroll(released, next Enrollment) (Enrollment, bool) {
	// safeguard: not-enrolled-again
	if released.State != Released || released.IsReleasedFrom(next.Term, next.SKU) {
		return released, false
	}
	next.Number = released.Number + 1
	// What the released one has stays with it, also when an event comes again, or the creation comes late.
	next.OpenedAt = max(next.OpenedAt, second(max(released.Placed.LastAt, released.ClosedAt-clockSkew)))
	return next, true
}
