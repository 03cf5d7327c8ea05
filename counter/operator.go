package counter

import (
	"errors"
	"fmt"
)

// MaxShipments is the longest term there can be, in boxes.
const MaxShipments = 1000

// ErrRefused says that a wish of an operator's cannot be: the error says why, and nothing was changed.
var ErrRefused = errors.New("refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Amended says whether an operator's wish made another page of one.
func Amended(before, after Ledger) bool {
	return before.Term != after.Term || before.Due != after.Due || before.Adjustment != after.Adjustment || before.Exempt != after.Exempt
}

// Resize makes a subscription last so many boxes in all, the checkout's included. What was made stays made: fewer than that is
// refused, and just as many means that it is complete now.
func Resize(l Ledger, shipments int) (Ledger, error) {
	switch {
	case l.State == Released || l.Exempt != "":
		return l, refused("it is released: there is no term to be longer or shorter")
	case l.Prepaid:
		return l, refused("it is prepaid: Ordergroove counts it")
	case l.Fresh():
		return l, refused("it was not looked at yet: try again in a moment, or see `termed explain`")
	case shipments < 1 || shipments > MaxShipments:
		return l, refused("%d is no number of shipments: 1 to %d", shipments, MaxShipments)
	case shipments < l.Boxes():
		return l, refused("%s were made already; %d would end it now", count(l.Boxes(), "shipment"), l.Boxes())
	}
	l.Adjustment = shipments - l.AtCheckout - l.Due
	return l, nil
}

// LetGo releases a subscription from its term: our members are to be taken away, and nothing ends it. It stays so while its
// product belongs to the term.
func LetGo(l Ledger) (Ledger, error) {
	if l.State == Released {
		return l, refused("it is released already")
	}
	l.Exempt = l.Term
	return l, nil
}

// Apply gives a subscription that is under way the length that its term has by now. What was added to it or taken from it on
// its own account stays.
func Apply(l Ledger, term Term) (Ledger, error) {
	switch l.State {
	case Released, Completed, Ended:
		return l, refused("it is %s", l.State)
	}
	if l.Prepaid {
		return l, refused("it is prepaid: Ordergroove counts it")
	}
	if l.Exempt != "" {
		return l, refused("it is to be released")
	}
	return l.Lasting(term), nil
}
