package cancelapp

import (
	"context"
	"math"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// alertAfter is how many failed syncs a complete subscription has before a person is alerted: the first failures pass
// by themselves.
const alertAfter = 3

// needsAlert says whether a subscription at overship risk needs a person: its end failed again and again, or it is held
// back. Observe mode ends nothing, so it alerts nobody.
func (s *subscriptionSync) needsAlert(attempts int) bool {
	if s.Observe {
		return false
	}
	return s.sub.State == counter.Attention || s.sub.Permission.Withheld != "" || attempts >= alertAfter
}

// alertOvership is for a subscription that is complete and could not be ended, the worst state there is. It finds out
// which order would be one too many, and says how long there is left. Where nothing can be asked it says what was known
// before. The log has it every time, a notification once for each order.
func (s *subscriptionSync) alertOvership(ctx context.Context, attempts int) {
	known := s.sub.PendingExtraOrder
	if s.throttled != nil && s.lease.Attempts == 0 {
		known = "" // while it waited in line, nobody was alerted
	}
	if s.askNextOrder(ctx) == nil {
		if s.sub.PendingExtraOrder == "" {
			return // nothing is coming
		}
		if s.sub.PendingExtraOrder != known {
			s.enter("overship", known, s.sub.PendingExtraOrder,
				"complete, and could not be ended; this order, placed "+s.whenPlaced()+", would be one too many")
		}
	}
	facts := []any{"subscription", s.sub.ID, "order", s.sub.PendingExtraOrder}
	if place := instant(s.sub.PendingExtraPlace); !place.IsZero() {
		hours := place.Sub(s.o.Now()).Hours()
		facts = append(facts, "place", place, "hours_left", math.Round(hours*10)/10)
	}
	s.o.Log.ErrorContext(ctx,
		"overship risk: subscription is complete and could not be ended, its next order would be one too many", facts...)
	if s.sub.PendingExtraOrder != known || s.sub.PendingExtraOrder == "" && attempts == alertAfter {
		s.post(counter.Notification{
			Type:         counter.OvershipRisk,
			At:           s.now(),
			Subscription: s.sub,
			Order:        s.sub.PendingExtraOrder,
			Place:        s.sub.PendingExtraPlace,
		})
	}
}

// askNextOrder finds out which order would be one too many.
func (s *subscriptionSync) askNextOrder(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ordergroove.WithPriority(context.WithoutCancel(ctx), ordergroove.Urgent),
		closingTime)
	defer cancel()
	orders, err := s.api.Orders(asking, s.sub.ID, ordergroove.StatusUnsent)
	if err == nil {
		s.sub.PendingExtraOrder, s.sub.PendingExtraPlace = NextOrder(orders)
	}
	return err
}

func (s *subscriptionSync) whenPlaced() string {
	if s.sub.PendingExtraPlace == 0 {
		return "on a day that Ordergroove does not say"
	}
	return "at " + instant(s.sub.PendingExtraPlace).Format(time.DateTime)
}

// NextOrder returns the order that is placed first, and when, UTC unix milliseconds; one that does not say when comes
// last.
func NextOrder(orders []ordergroove.Order) (id string, place int64) {
	for _, o := range orders {
		at := int64(0)
		if !o.Place.IsZero() {
			at = o.Place.UnixMilli()
		}
		if id == "" || at != 0 && (place == 0 || at < place) {
			id, place = o.ID, at
		}
	}
	return id, place
}

// instant is a time of UTC unix milliseconds; 0 is the zero time.
func instant(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMilli(at).UTC()
}
