package counter

import (
	"errors"
	"fmt"
)

// MaxShipments is the longest term there can be, in shipments.
const MaxShipments = 1000

// ErrRefused says that an operator's change cannot be made: the error says why, and nothing was changed.
var ErrRefused = errors.New("refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Changed says whether an operator's change made the enrollment another one.
func Changed(before, after Enrollment) bool {
	return before.Term != after.Term || before.OrdersDue != after.OrdersDue ||
		before.Adjustment != after.Adjustment || before.ClosedAs != after.ClosedAs ||
		before.Permission.Approval != after.Permission.Approval
}

// SetLength makes a subscription last a number of shipments in all, the checkout's included. It cannot be less than the
// shipments already made; equal to them, the term is complete now.
func SetLength(s Subscription, shipments int) (Subscription, error) {
	switch {
	case s.State == Released || s.IsReleasing():
		return s, refused("it is released, so it has no term to extend or shorten")
	case s.Prepaid:
		return s, refused("it is prepaid: Ordergroove counts it")
	case s.IsNew() && s.Permission.Approval != ApprovalNeeded && s.State == Attention:
		return s, refused("it needs attention first: %s", s.Reason)
	case s.IsNew() && s.Permission.Approval != ApprovalNeeded:
		return s, refused("it was not synced yet: try again in a moment, or see `termed explain`")
	case shipments < 1 || shipments > MaxShipments:
		return s, refused("%d is not a possible number of shipments: 1 to %d", shipments, MaxShipments)
	// safeguard: not-below-shipped
	case shipments < s.ShipmentsMade():
		made := s.ShipmentsMade()
		return s, refused("%s already made; %d would complete the term now", count(made, "shipment"), made)
	}
	s.Adjustment = shipments - s.CheckoutShipments - s.OrdersDue
	return approved(s), nil
}

// NeedsApproval says whether the subscription waits for a person's word: to be written, to be ended, or to be ended
// without waiting for the throttle.
func NeedsApproval(s Subscription) bool {
	if s.State == Released || s.IsReleasing() {
		return false
	}
	unshipped := s.State == Attention && s.Reason == UnshippedZero
	return s.Permission.Approval == ApprovalNeeded || s.State == Throttled || unshipped
}

// Approve lets a subscription that waits for a person's word be written and ended.
func Approve(s Subscription) (Subscription, error) {
	switch {
	case s.State == Released || s.IsReleasing():
		return s, refused("it is released")
	case !NeedsApproval(s):
		return s, refused("it needs no approval")
	}
	return approved(s), nil
}

// approved is for what an operator does on purpose. One that waited goes on at its next sync.
func approved(s Subscription) Subscription {
	s.Permission.Approval = ApprovalGiven
	if s.State == AwaitingApproval || s.State == Throttled {
		s.State = Completing
	}
	return s
}

// Release takes a subscription out of its term: termed's keys are to be removed from extra_data, and the subscription
// continues unmanaged. It stays released as long as its product is in that term.
func Release(s Subscription) (Subscription, error) {
	if s.State == Released {
		return s, refused("it is already released")
	}
	s.ClosedAs = ClosedReleased
	s.ClosedAt = 0
	return s, nil
}

// Enroll takes an operator's release back, also one that is not carried out yet. The enrollment goes on as one does
// that resumes after an early cancellation: it is recounted, so what was placed meanwhile counts. Termed says whether
// the product is in a term.
func Enroll(s Subscription, termed bool) (Subscription, error) {
	switch {
	case s.ClosedAs != ClosedReleased && s.State == Released:
		return s, refused("it was not released by an operator: %s", s.Reason)
	case s.ClosedAs != ClosedReleased:
		return s, refused("it is not released")
	case !termed:
		return s, refused("its product %s is in no term", s.SKU)
	}
	if s.State == Released {
		s.State = Ended
		s.Reason = "enrolled again by an operator"
	}
	s.ClosedAs = ""
	s.ClosedAt = 0
	return s, nil
}

// ApplyTerm gives an open enrollment the length that its term has now. What was added to it or taken from it
// individually stays.
func ApplyTerm(s Subscription, term Term) (Subscription, error) {
	switch {
	case s.State == Released, s.State == Completed, s.State == Ended:
		return s, refused("it is %s", s.State)
	case s.Prepaid:
		return s, refused("it is prepaid: Ordergroove counts it")
	case s.IsReleasing():
		return s, refused("it is about to be released")
	}
	s.Enrollment = s.WithLength(term)
	return approved(s), nil
}
