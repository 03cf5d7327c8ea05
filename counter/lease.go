package counter

import "errors"

// ErrLeaseLost says that somebody else holds the subscription by now: nothing was written.
var ErrLeaseLost = errors.New("the lease was lost")

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
	Page       Ledger     // sku, term and due are kept
	Shipments  []Shipment // found by asking
	Counter    *int       // about to be sent, or adopted
	Adjustment *int       // adopted; refused where Made is no longer the number of shipments
	Cancelling bool       // a cancel is about to be sent
	Made       int        // the shipments that Adjustment was worked out from
	Entries    []Entry
}

// Outcome ends a look and lets go of the lease.
type Outcome struct {
	At       int64  // now, UTC unix milliseconds
	Ledger   Ledger // facts, adjustment and counters sent are not kept; the rest is
	Next     int64  // when to look again, UTC unix milliseconds; 0: when something happens
	Attempts int
	Urgency  Urgency // of the next look
	Error    string  // why the look was in vain; "" where it was not
	Entries  []Entry
}
