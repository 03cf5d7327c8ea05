package counter

import (
	"slices"
	"strconv"
)

// State is where a subscription stands in its term.
type State string

const (
	Enrolled   State = "enrolled"   // known, not yet looked at: whether it is termed at all is not confirmed
	Active     State = "active"     // boxes to come
	Completing State = "completing" // zero, the end not yet confirmed by Ordergroove
	Completed  State = "completed"  // zero, hidden, not live
	Ended      State = "ended"      // cancelled early by somebody else; a reactivation resumes it where it was
	Released   State = "released"   // not termed, or no longer
	Attention  State = "attention"  // a person must look; the reason says why
)

// Ledger is what we know of one subscription: one page of the ledger. What it says of shipments are facts; the counter is
// derived from them and stored nowhere.
type Ledger struct {
	Subscription string
	SKU          string
	Term         string
	Customer     string

	Due        int // recurring orders due: the term's when it started
	Made       int // distinct orders placed
	Announced  int // those of Made that a webhook told us of; the others we found by asking
	Adjustment int // what others added to (or took from) the term, and we adopted

	Sent    []int // the counters ever sent or adopted, the latest last, each once
	Written *int  // the last counter that Ordergroove confirmed; nil: none yet

	// When we learned that it is termed, UTC unix milliseconds; 0: from its beginning, since its creation said so.
	TermedFrom int64

	// By Ordergroove's clock, UTC unix milliseconds; 0: never.
	LastShipment  int64
	ReactivatedAt int64 // by somebody

	CancelSent bool // we asked for its cancellation

	State     State
	Reason    string // why attention, ended or released
	Live      bool   // at the last look
	Prepaid   bool   // at the last look: Ordergroove counts it, and ends it
	Completed bool   // the term came to its end once

	// The order that would be a box too many, while the subscription is complete and could not be ended: its id, and when it
	// is to be placed, UTC unix milliseconds; "" and 0: none is known of.
	ExtraOrder string
	ExtraPlace int64
}

// Fresh says whether nothing was ever sent or adopted, so that everything about the term is still provisional.
func (l Ledger) Fresh() bool {
	return len(l.Sent) == 0
}

// Under returns the page as it is under a term: a subscription keeps the length that it started with.
func (l Ledger) Under(term Term, sku string) Ledger {
	l.SKU, l.Term, l.Due = sku, term.Name, term.Due()
	return l
}

// Remaining is the counter's true value: what is due and not yet made, never below 0 (I2).
func (l Ledger) Remaining() int {
	return max(0, l.Due+l.Adjustment-l.Made)
}

// Total is the number of recurring orders that the term lasts, adjustments included.
func (l Ledger) Total() int {
	return max(0, l.Due+l.Adjustment)
}

// Knows says whether the counter is one that we ever sent or adopted: if it stands in extra_data, nobody else put it
// there for the first time.
func (l Ledger) Knows(counter int) bool {
	return slices.Contains(l.Sent, counter)
}

// Sending returns the page as it is once the counter counts as sent.
func (l Ledger) Sending(counter int) Ledger {
	sent := slices.DeleteFunc(slices.Clone(l.Sent), func(c int) bool { return c == counter })
	l.Sent = append(sent, counter)
	return l
}

// Looming says whether the term is complete and the subscription still live: its next order would be a box too many.
func (l Ledger) Looming() bool {
	return l.Live && !l.Prepaid && l.State != Released && l.Remaining() == 0
}

// takenBack says whether our cancellation took effect and somebody reactivated the subscription after it. Then a further
// cancel would not be the term's end but a quarrel. Both times are Ordergroove's own, so no clock of ours is in it.
func (l Ledger) takenBack() bool {
	return l.Completed || l.CancelSent && l.ReactivatedAt > l.LastShipment
}

// wentBack says whether a counter we know is older than the last one confirmed. A write that was recorded and never
// landed is not that: then the last one confirmed still stands.
func (l Ledger) wentBack(counter int) bool {
	return l.Written != nil && slices.Index(l.Sent, counter) < slices.Index(l.Sent, *l.Written)
}

// Show is how far a term is, as people read it.
func (l Ledger) Show() string {
	if l.Prepaid {
		return "prepaid"
	}
	return strconv.Itoa(l.Made) + " of " + strconv.Itoa(l.Total())
}
