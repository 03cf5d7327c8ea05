// Package ledger holds the records that the receiver, the workers, the store and the console exchange. It has no
// behavior beyond what a record says of itself, and does no I/O. Times are UTC unix milliseconds.
package ledger

// EventStatus is the state of an event in the inbox.
type EventStatus string

// The states of an event.
const (
	EventPending     EventStatus = "pending"     // to be processed when due
	EventDone        EventStatus = "done"        // its facts are recorded
	EventIgnored     EventStatus = "ignored"     // not about a termed subscription, or of an unknown type; kept
	EventDead        EventStatus = "dead"        // can never be processed; kept
	EventQuarantined EventStatus = "quarantined" // authentic but unreadable; kept raw for a person to look at
)

// EventStatuses are all states of an event.
var EventStatuses = []EventStatus{EventPending, EventDone, EventIgnored, EventDead, EventQuarantined}

// WhyNotRetried says for each state but EventDead why a retry by hand would change nothing.
var WhyNotRetried = map[EventStatus]string{
	EventPending:     "pending, so processed without a retry",
	EventDone:        "done already",
	EventIgnored:     "ignored, since nothing in it concerns a termed subscription",
	EventQuarantined: "quarantined, and would be again",
}

// Event is one authentic delivery as it came. (Created, ID) is its key: the same in every duplicate of an event.
type Event struct {
	Created  int64  // the event's own time; the time of receipt for a quarantined one
	ID       string // the event's own; a hash of the body for a quarantined one
	Type     string
	Received int64
	Body     []byte
	Status   EventStatus
	Attempts int    // failed attempts so far
	Trace    string // the context of the trace of its delivery (package tracing); "": none
}
