package counter

// Shipment is a box on its way: one subscription's part in one placed order. The pair is its identity, whatever event
// told of it, however often.
type Shipment struct {
	Subscription string
	Order        string
	SKU          string
	Source       string // the event id that told of it, or Reconciled
	At           int64  // when it was placed: the event's own time, or when we found it; UTC unix milliseconds
}

// Reactivation says that somebody made a subscription live again.
type Reactivation struct {
	Subscription string
	At           int64 // the event's own time, UTC unix milliseconds
}

// Reconciled is the source of a shipment found by asking Ordergroove rather than by a webhook.
const Reconciled = "reconcile"

// Enrolment says that a subscription of a termed SKU exists.
type Enrolment struct {
	Subscription string
	SKU          string
	Term         string
	Customer     string
	AtCheckout   int
	Due          int
	How          string // the event type that told of it
	At           int64  // the event's own time, UTC unix milliseconds; 0: none tells
	// OwnProduct says that the SKU is the subscription's own, so that a page which was released opens again. The SKU of
	// an item is not: a one-time swap can put a termed SKU on an evergreen subscription's order.
	OwnProduct bool
}

// Facts is what one event says: sets, so that learning them twice is learning them once.
type Facts struct {
	Enrolments  []Enrolment
	Shipments   []Shipment // of subscriptions that are enrolled, or enrolled above; others are not ours
	Changed     []string   // subscriptions that something happened to which only a look can tell
	Reactivated []Reactivation
	Cancelled   []string // subscriptions that were cancelled: no news of one that we completed
	OrderRead   string   // the order whose items had to be asked for, not to ask twice
	Urgency     Urgency  // of what they make due
}

// Urgency says which of the subscriptions that are due goes first. The zero value is News.
type Urgency int

const (
	Background Urgency = -1 // found by comparing with Ordergroove
	News       Urgency = 0  // something happened
	Looming    Urgency = 1  // complete and still live: the next order would be a box too many
)

// Settlement says what became of one event.
type Settlement struct {
	Facts    Facts
	At       int64  // UTC unix milliseconds
	Next     int64  // when to try again, UTC unix milliseconds; 0: it is settled
	Attempts int    // in vain so far
	Error    string // why it was in vain
	Dead     bool   // it can never work: kept for a person to look at
}

// Entry is one line of the journal: who did what to a subscription, and why.
type Entry struct {
	Subscription string
	At           int64  // UTC unix milliseconds
	Actor        string // ByOrdergroove, ByTermed, or an operator's name
	What         string // enrolled, shipment, counter, adopted, restored, cancel, completed …
	Before       string
	After        string
	Reason       string
}

// Actors of the journal that are no person.
const (
	ByOrdergroove = "ordergroove"
	ByTermed      = "termed"
)
