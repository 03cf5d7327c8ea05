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

	AtCheckout int // boxes of the term that the checkout shipped: 1 or 0
	Due        int // recurring orders due: the term's when it started
	Made       int // distinct orders placed, those of earlier terms left out
	Past       int // distinct orders placed that belong to earlier terms
	Announced  int // those of Made that a webhook told us of; the others we found by asking
	Adjustment int // what was added to (or taken from) the term: adopted from extra_data, or set by an operator

	Sent    []int // the counters ever sent or adopted, the latest last, each once
	Written *int  // the last counter that Ordergroove confirmed; nil: none yet

	// When we learned that it is termed, UTC unix milliseconds; 0: from its beginning, since its creation said so.
	TermedFrom int64

	// By Ordergroove's clock, UTC unix milliseconds; 0: never.
	LastShipment  int64
	ReactivatedAt int64 // by somebody

	CancelSent  bool  // we asked for its cancellation
	CancelAfter int64 // the last reactivation known when we first did, as ReactivatedAt
	Blocking    bool  // that was because somebody reactivated it after its end

	// Exempt is the term that it was released from, by an operator or by the term's own end, though its product belongs to
	// it; "" for none. While it is not released yet, it is to be.
	Exempt   string
	Reopened bool // it was released once, and is termed again since TermedFrom

	// Put are the members of extra_data that we put there besides the recipe's: raw JSON by name, or "" for one whose value
	// changes, so that whatever stands there is ours.
	Put map[string]string

	Untold   int  // boxes that no notice has told of
	LastTold bool // that one box is left was told

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

// Under returns the page as it is at the beginning of a term: a subscription keeps the length that it started with.
func (l Ledger) Under(term Term, sku string) Ledger {
	l.SKU, l.Term, l.AtCheckout, l.Due = sku, term.Name, term.AtCheckout(), term.Due()
	return l
}

// Lasting returns the page with the length of a term: the boxes made of it so far count.
func (l Ledger) Lasting(term Term) Ledger {
	l.Term, l.Due = term.Name, max(0, term.Shipments-l.AtCheckout)
	return l
}

// Anew returns the page at the beginning of a further term: so many of the boxes made belong to the terms before. No checkout
// ships a box of it.
func (l Ledger) Anew(term Term, sku string, before int) Ledger {
	l.SKU, l.Term, l.AtCheckout, l.Due, l.Adjustment = sku, term.Name, 0, term.Shipments, 0
	l.Past, l.Made = l.Past+before, l.Made-before
	l.Completed, l.CancelSent, l.Blocking = false, false, false
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

// Reopen returns the page of a subscription that was released and is termed again since a time: all boxes so far belong to
// what was before.
func (l Ledger) Reopen(at int64) Ledger {
	return Ledger{
		Subscription: l.Subscription, Customer: l.Customer, Past: l.Past + l.Made, State: Enrolled, Live: true,
		Reopened: true, TermedFrom: at, LastShipment: l.LastShipment, ReactivatedAt: l.ReactivatedAt,
	}
}

// Resting returns the page as it is once a plan has come to rest.
func (l Ledger) Resting(p Plan) Ledger {
	l.State, l.Reason = p.State, p.Reason
	if p.State != Attention { // one that is to be released, and could not be, still is to be
		l.Exempt = p.Exempt
	}
	if l.Remaining() > 0 {
		l.CancelSent = false // the term goes on; a cancel sent for an end that was taken back is history
	}
	if !l.Looming() {
		l.ExtraOrder, l.ExtraPlace = "", 0
	}
	l.Completed = p.State == Completed || l.Completed && l.Remaining() == 0
	return l
}

// Length is the number of boxes that the term lasts, the checkout's and adjustments included.
func (l Ledger) Length() int {
	return l.AtCheckout + l.Total()
}

// Boxes is the number of boxes made, the checkout's included.
func (l Ledger) Boxes() int {
	return l.AtCheckout + l.Made
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

// ExemptFrom says whether it was released, or is to be, from a term that is called so, or while it had this product: the term may
// be called something else by now.
func (l Ledger) ExemptFrom(term, sku string) bool {
	return l.Exempt != "" && (l.Exempt == term || l.SKU == sku)
}

// Putting returns Put as it is when members are about to be set.
func (l Ledger) Putting(keys Keys, set map[string]string) map[string]string {
	put := map[string]string{}
	for name, value := range l.Put {
		put[name] = value
	}
	for name, value := range set {
		switch name {
		case keys.Counter, keys.Termed, keys.Hide: // the recipe's
		case keys.Total, keys.Made, keys.Last:
			put[name] = ""
		default:
			put[name] = value
		}
	}
	return put
}

// put says whether a member's value is one that we put there.
func (l Ledger) put(name, value string) bool {
	ours, there := l.Put[name]
	return there && (ours == "" || sameValue(ours, value))
}

// takenBack says whether our cancellation took effect and somebody reactivated the subscription after it. The times are
// Ordergroove's own, so no clock of ours is in it.
func (l Ledger) takenBack() bool {
	return l.Completed || l.CancelSent && l.ReactivatedAt > max(l.LastShipment, l.CancelAfter)
}

// wentBack says whether a counter we know is older than the last one confirmed. A write that was recorded and never
// landed is not that: then the last one confirmed still stands.
func (l Ledger) wentBack(counter int) bool {
	return l.Written != nil && slices.Index(l.Sent, counter) < slices.Index(l.Sent, *l.Written)
}

// Show is how far a term is, as people read it: boxes of boxes, the checkout's included.
func (l Ledger) Show() string {
	if l.Prepaid {
		return "prepaid"
	}
	return strconv.Itoa(l.Boxes()) + " of " + strconv.Itoa(l.Length())
}
