package cancelapp

import (
	"context"
	"math"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// guardAfter is how many looks in vain a complete subscription has before a person is told: the first failures pass by
// themselves.
const guardAfter = 3

// guard is for a subscription that is complete and could not be ended so often, the worst state there is. It finds out which
// order would be a box too many, and tells how long there is left. Where nothing can be asked it tells what was known before.
// The log has it every time, a notice once for each order.
func (l *look) guard(ctx context.Context, attempts int) {
	asking, cancel := context.WithTimeout(ordergroove.WithUrgency(context.WithoutCancel(ctx), ordergroove.Urgent), closingTime)
	defer cancel()
	known := l.page.ExtraOrder
	orders, err := l.api.Orders(asking, l.page.Subscription, ordergroove.StatusUnsent)
	if err == nil {
		l.page.ExtraOrder, l.page.ExtraPlace = firstToCome(orders)
		if l.page.ExtraOrder != "" && l.page.ExtraOrder != known {
			when := "on a day that Ordergroove does not say"
			if l.page.ExtraPlace != 0 {
				when = "at " + instant(l.page.ExtraPlace).Format(time.DateTime)
			}
			l.enter("guard", known, l.page.ExtraOrder, "complete, and could not be ended; this order, to be placed "+when+", would be a box too many")
		}
	}
	if err == nil && l.page.ExtraOrder == "" {
		return // nothing is coming
	}
	facts := []any{"subscription", l.page.Subscription, "order", l.page.ExtraOrder}
	if place := instant(l.page.ExtraPlace); !place.IsZero() {
		hours := place.Sub(l.o.Now()).Hours()
		facts = append(facts, "place", place, "hours_left", math.Round(hours*10)/10)
	}
	l.o.Log.Error("a subscription is complete and could not be ended: its next order would be a box too many", facts...)
	if l.page.ExtraOrder != known || l.page.ExtraOrder == "" && attempts == guardAfter {
		l.post(counter.Notice{Type: counter.ExtraOrder, At: l.now(), Page: l.page, Order: l.page.ExtraOrder, Place: l.page.ExtraPlace})
	}
}

// firstToCome returns the order that is placed first, and when, UTC unix milliseconds; one that does not say when comes last.
func firstToCome(orders []ordergroove.Order) (id string, place int64) {
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
