package ledger

import "errors"

// ActionKind is what a person asks for at Ordergroove.
type ActionKind string

// The kinds of action.
const (
	ActionCancel ActionKind = "cancel" // cancel the subscription now
	ActionSkip   ActionKind = "skip"   // take its items off the next order
)

// ActionStatus is the state of an action.
type ActionStatus string

// The states of an action.
const (
	ActionStarted ActionStatus = "started" // the call is about to be made, or was
	ActionUnknown ActionStatus = "unknown" // no answer came in time: nothing more is sent, and its outcome is read
	ActionDone    ActionStatus = "done"
	ActionFailed  ActionStatus = "failed" // Ordergroove refused it, or did not do it
)

// ErrActionExists says that an action with the same key is recorded for something else: nothing was written.
var ErrActionExists = errors.New("another action has this idempotency key")

// Action is one thing that a person asked for, recorded before the call that carries it out. Times are UTC unix
// milliseconds.
type Action struct {
	Key          string // the idempotency key: an action with the same key is the same action
	Subscription string
	Kind         ActionKind
	Actor        string
	Reason       string // of a cancel: "<code>|<details>", or ""
	Order        string // of a skip: the order that was shown
	Status       ActionStatus
	Detail       string // of one that failed: why, in Ordergroove's words where it said so
	Created      int64
	Finished     int64 // 0: not yet
}

// IsOpen says whether its outcome is not known yet.
func (a Action) IsOpen() bool { return a.Status == ActionStarted || a.Status == ActionUnknown }

// IsSame says whether another action asks for the same.
func (a Action) IsSame(other Action) bool {
	return a.Subscription == other.Subscription && a.Kind == other.Kind
}
