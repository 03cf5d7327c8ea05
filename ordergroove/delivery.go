package ordergroove

// Verdict is what the door made of an authentic delivery.
type Verdict string

const (
	Accepted    Verdict = "accepted"    // to be worked on
	Ignored     Verdict = "ignored"     // of a type that the contract does not name: kept, not worked on
	Quarantined Verdict = "quarantined" // authentic but unreadable: kept raw for a person to look at
)

// Delivery is one authentic webhook as it came, with what filing it takes. (Created, ID) is its key: the same in every
// duplicate of an event.
type Delivery struct {
	Created  int64  // UTC unix milliseconds, the event's own; when it came, for a quarantined one
	ID       string // the event's own; a hash of the body, for a quarantined one
	Type     string
	Received int64 // UTC unix milliseconds
	Body     []byte
	Verdict  Verdict
	Attempts int // how often it has been tried in vain
}
