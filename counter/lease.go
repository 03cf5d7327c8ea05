package counter

import "errors"

// ErrLeaseLost says that somebody else holds the subscription by now: nothing was written.
var ErrLeaseLost = errors.New("the lease was lost")

// ErrHeld says that a look is under way: nothing was written.
var ErrHeld = errors.New("somebody is at work on it")

// ErrStale says that shipments arrived since an adoption was worked out: nothing was written.
var ErrStale = errors.New("there is news since")

// Lease is the right of one worker to change one subscription for a while, with the page as it stood when it was claimed.
// Everything written under it is fenced by Claim: a worker that lost its lease changes nothing.
type Lease struct {
	Ledger
	Claim    string
	Until    int64 // UTC unix milliseconds
	Revision int64 // of the facts; news that came since makes the subscription due again
	Attempts int   // looks in vain since the last that worked
	Urgency  Urgency
}

// Step is what one action changes in the ledger, committed on its own.
type Step struct {
	Page       Ledger            // as the look sees it: sku, term, due and the checkout's boxes are kept
	Shipments  []Shipment        // found by asking
	History    bool              // these were placed before we knew of the subscription: no news to tell of
	Counter    *int              // about to be sent, or adopted
	Put        map[string]string // members about to be sent besides the recipe's, with those sent before
	Adjustment *int              // adopted; refused where Page.Made is no longer the number of shipments
	Next       *Ledger           // the page from now on, of a new term or another length; refused likewise
	Cancelling bool              // a cancel is about to be sent
	Blocking   bool              // it is, because somebody reactivated the subscription after its end
	Entries    []Entry
	Dispatch
}

// Apply returns a page as the step leaves it. The page is the ledger's own, with the shipments of the step.
func (s Step) Apply(l Ledger) Ledger {
	l.SKU, l.Term, l.AtCheckout, l.Due = s.Page.SKU, s.Page.Term, s.Page.AtCheckout, s.Page.Due
	if s.Adjustment != nil {
		l.Adjustment = *s.Adjustment
	}
	if s.Counter != nil {
		l = l.Sending(*s.Counter)
	}
	if s.Put != nil {
		l.Put = s.Put
	}
	if s.Cancelling && !l.CancelSent {
		l.CancelSent, l.CancelAfter = true, l.ReactivatedAt
	}
	l.Blocking = l.Blocking || s.Blocking
	if n := s.Next; n != nil {
		l.SKU, l.Term, l.AtCheckout, l.Due, l.Adjustment = n.SKU, n.Term, n.AtCheckout, n.Due, n.Adjustment
		l.Past, l.Made = n.Past, n.Made
		l.Completed, l.CancelSent, l.Blocking = n.Completed, n.CancelSent, n.Blocking
	}
	return l
}

// Dispatch is what there is to tell of, committed with what caused it.
type Dispatch struct {
	Posts []Post
	Told  []string // the orders of boxes that no notice has to tell of any more
}

// Outcome ends a look and lets go of the lease.
type Outcome struct {
	At       int64  // now, UTC unix milliseconds
	Ledger   Ledger // facts, adjustment and counters sent are not kept; the rest is
	Next     int64  // when to look again, UTC unix milliseconds; 0: when something happens
	Remind   int64  // when to look again because a notice may be due by then, UTC unix milliseconds; 0: never
	Attempts int
	Urgency  Urgency // of the next look
	Error    string  // why the look was in vain; "" where it was not
	Entries  []Entry
	Dispatch
}
