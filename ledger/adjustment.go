package ledger

import (
	"encoding/json"
	"errors"

	"github.com/termed/termed/counter/schedule"
)

// AdjustmentStatus is the state of a schedule adjustment.
type AdjustmentStatus string

// The states of an adjustment.
const (
	AdjustmentPending   AdjustmentStatus = "pending"   // its order has not come, or it is being applied
	AdjustmentApplied   AdjustmentStatus = "applied"   // Ordergroove has done all of it
	AdjustmentMissed    AdjustmentStatus = "missed"    // the schedule went past its order
	AdjustmentFailed    AdjustmentStatus = "failed"    // Ordergroove refused it, or it does not fit its order
	AdjustmentAttention AdjustmentStatus = "attention" // whether it was applied cannot be known: a person has to check
	AdjustmentCanceled  AdjustmentStatus = "canceled"  // taken back before it was applied
)

// AdjustmentStatuses are all there are.
var AdjustmentStatuses = []AdjustmentStatus{
	AdjustmentPending, AdjustmentApplied, AdjustmentMissed, AdjustmentFailed, AdjustmentAttention, AdjustmentCanceled,
}

// ErrUnknownAdjustment says that there is no such adjustment.
var ErrUnknownAdjustment = errors.New("adjustment not found")

// ErrAdjustmentExists says that an adjustment with the same idempotency key is recorded for something else.
var ErrAdjustmentExists = errors.New("another adjustment has this idempotency key")

// Adjustment is a change of one order of a subscription's schedule, from its creation to what became of it. Times are
// UTC unix milliseconds.
type Adjustment struct {
	ID           string
	Subscription string
	Enrollment   int    // of the one whose shipment it is for; 0: it is for an order, whatever that counts for
	Key          string // the idempotency key: one with the same key is the same adjustment
	Spec         schedule.Spec
	Slot         int // of the schedule, which the matcher's cycle was fixed to
	Actor        string
	Status       AdjustmentStatus
	Order        string // that it was applied to, or is being applied to; "": none yet
	Reason       string // why it is missed, failed, canceled, or in attention
	Created      int64
	Updated      int64
	Calls        []AdjustmentCall // worked out when its order came
}

// CallStatus is the state of one call of an adjustment.
type CallStatus string

// The states of a call.
const (
	CallPlanned CallStatus = ""     // not made, or it is known to have had no effect
	CallSent    CallStatus = "sent" // recorded before it is made: it may have had its effect
	CallDone    CallStatus = "done"
)

// AdjustmentCall is one call to Ordergroove that an adjustment consists of.
type AdjustmentCall struct {
	Operation string          `json:"operation"`
	Object    string          `json:"object,omitempty"` // the order or item that it changes
	Body      json.RawMessage `json:"body,omitempty"`   // erased once the adjustment is settled
	Status    CallStatus      `json:"status,omitempty"`
	At        int64           `json:"at,omitempty"` // when it was last about to be made
	// After says that it sets something back, and is made when the order is no longer upcoming.
	After bool `json:"after,omitempty"`
}

// IsOpen says whether there is something left to do about it.
func (a Adjustment) IsOpen() bool {
	if a.Status == AdjustmentPending {
		return true
	}
	for _, c := range a.Calls {
		if c.After && c.Status != CallDone {
			return a.Status != AdjustmentCanceled
		}
	}
	return false
}

// Schedule is what is known of the upcoming order of a subscription that has adjustments, so that the next one can be
// given its place.
type Schedule struct {
	Order    string
	Items    []string // the subscription's items on it: an item that moves to another order keeps its id
	Slot     int      // how many orders were upcoming before it
	Placed   int      // the shipments of the subscription that were recorded when it was first seen
	Place    int64    // when it is to be placed, as last seen; UTC unix milliseconds
	Original int64    // the same, before an adjustment moved it
	Moved    []string // the dates that adjustments moved it to, YYYY-MM-DD in UTC
}
