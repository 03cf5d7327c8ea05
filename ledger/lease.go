package ledger

import (
	"errors"

	"github.com/termed/termed/counter"
)

// ErrLeaseLost says that somebody else holds the subscription by now: nothing was written.
var ErrLeaseLost = errors.New("lease lost")

// ErrLeased says that a sync is in progress: nothing was written.
var ErrLeased = errors.New("subscription is being processed")

// ErrStale says that facts have changed what a step was worked out from: nothing was written.
var ErrStale = errors.New("facts changed meanwhile")

// ErrPaused says that an operator has paused all changes at Ordergroove: nothing was written.
var ErrPaused = errors.New("all changes at Ordergroove are paused")

// ThrottledError says that an end that nobody saw coming has to wait: nothing was written.
type ThrottledError struct {
	Until    int64 // when to ask again, UTC unix milliseconds
	HeldBack bool  // the hour's ends are used up; else others may be more urgent, which is known in a moment
}

func (e *ThrottledError) Error() string { return "its end waits for the throttle" }

// ErrUnknown says that a subscription is not recorded.
var ErrUnknown = errors.New("subscription not found")

// Subscription is what is recorded of one subscription, with its place in the queue of syncs.
type Subscription struct {
	counter.Subscription
	Created  int64 // when it was first recorded
	Due      int64 // when it is synced next; 0: when something happens
	Priority Priority
	Attempts int    // failed attempts since the last sync that worked
	Error    string // of the last attempt; "" where it worked
	Revision int64  // of the facts
	Upcoming string // the orders that its next shipments were on when its placed orders were last asked for; "": unknown
	// ChangedAt is when a change at Ordergroove was last about to be made; 0: never.
	ChangedAt int64
	// Adjustments is the number of its schedule adjustments about which something is left to do.
	Adjustments int
	// Trace is the context of the trace that made it due; "": none.
	Trace string
}

// Lease is the exclusive, expiring right to sync one subscription, with the subscription as it was when the lease was
// taken. Every write under it is fenced by Token: a worker that lost its lease changes nothing. News that came since
// makes the subscription due again.
type Lease struct {
	Subscription
	Token string
	Until int64
}

// Step is what one action of a sync changes, committed on its own.
type Step struct {
	Enrollment counter.Enrollment  // as it is to be recorded
	Next       *counter.Enrollment // the one that follows it
	Counted    bool                // worked out from the number of shipments: refused where there are others by now
	Shipments  []counter.Shipment  // found by asking
	Intent     *Intent             // what is about to be changed at Ordergroove; nil: nothing
	OpenedAt   *int64              // from when on shipments belong to the enrollment
	Action     *Action             // what a person asked for, as it is to be recorded
	Adjustment *Adjustment         // of one order of its schedule, as it is to be recorded
	Schedule   *Schedule           // what is known of its upcoming order
	Journal    []JournalEntry
	Notify
}

// Intent is a change at Ordergroove that is about to be made. It is refused while changes are paused, and an end that
// nobody saw coming while there were too many of them in the last hour.
type Intent struct {
	At          int64
	Unexplained bool // it begins such an end
	Limit       EndLimit
}

// EndLimit is how many ends an hour nobody needs to have seen coming: the larger of a number and a part of the active
// enrollments.
type EndLimit struct {
	PerHour int
	Percent int
}

// Notify is what there is to notify, committed with what caused it.
type Notify struct {
	Messages []Message
	Notified []string // the orders of shipments that no notification has to tell about any more
}

// Outcome ends a sync and gives the lease back.
type Outcome struct {
	At           int64
	Subscription counter.Subscription
	Next         int64 // when to sync again; 0: when something happens
	RemindAt     int64 // when to sync again because a notification may be due by then; 0: never
	Attempts     int
	Priority     Priority // of the next sync
	Error        string   // why the sync failed; "" where it did not
	Trace        string   // that the next sync is part of, unless there is news; "": none
	Action       *Action  // what became of what a person asked for
	Journal      []JournalEntry
	Notify
}
