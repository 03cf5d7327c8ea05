package cancelapp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// errUnsettled says that which shipment the upcoming order will be is not known yet: one before it was placed, or is
// being placed, and is not recorded.
var errUnsettled = errors.New("the order before the upcoming one is not recorded yet")

// IsUnsettled says whether which shipment the upcoming order will be is not known yet.
func IsUnsettled(err error) bool { return errors.Is(err, errUnsettled) }

// Upcoming is a subscription's upcoming order, and its place in the schedule.
type Upcoming struct {
	Order    ordergroove.Order  // the zero value: it does not exist yet
	Items    []ordergroove.Item // all that it carries
	Known    ledger.Schedule
	Position schedule.Position
}

// Exists says whether there is an upcoming order.
func (u Upcoming) Exists() bool { return u.Order.ID != "" }

// Own returns the items of a subscription.
func (u Upcoming) Own(subscription string) []ordergroove.Item {
	var own []ordergroove.Item
	for _, item := range u.Items {
		if item.Subscription == subscription {
			own = append(own, item)
		}
	}
	return own
}

// Others returns the other subscriptions that the order carries, each once.
func (u Upcoming) Others(subscription string) []string {
	var others []string
	for _, item := range u.Items {
		if item.Subscription != "" && item.Subscription != subscription {
			others = append(others, item.Subscription)
		}
	}
	slices.Sort(others)
	return slices.Compact(others)
}

// Upcoming asks for a subscription's upcoming order and gives it its place. IsUnsettled: that is not known yet.
func (a *App) Upcoming(ctx context.Context, sub counter.Subscription) (Upcoming, error) {
	orders, err := a.api.Orders(ctx, sub.ID, ordergroove.StatusUnsent)
	if err != nil || len(orders) == 0 {
		return Upcoming{}, err
	}
	id, place := NextOrder(orders)
	next := slices.IndexFunc(orders, func(o ordergroove.Order) bool { return o.ID == id })
	u := Upcoming{Order: orders[next]}
	if u.Items, err = a.api.OrderItems(ctx, id); err != nil {
		return u, err
	}
	known, found, err := a.store.Schedule(ctx, sub.ID)
	if err != nil {
		return u, err
	}
	recorded, err := a.store.Shipments(ctx, sub.ID)
	if err != nil {
		return u, err
	}
	if u.Known, err = a.place(ctx, u, sub.ID, known, found, recorded); err != nil {
		return u, err
	}
	if u.Known.Place != place && !slices.Contains(u.Known.Moved, u.Order.Place.Format(time.DateOnly)) {
		u.Known.Original = place // it is new, or somebody else moved it
	}
	u.Known.Place = place
	tally := counter.Tally(sub.Number, recorded)
	u.Position = schedule.Position{
		Slot:     u.Known.Slot,
		Shipment: sub.CheckoutShipments + tally.Orders + 1,
		Date:     a.Rules().Schedule.DateOf(time.UnixMilli(u.Known.Original).UTC()),
	}
	return u, nil
}

// place works out how many orders were upcoming before this one, from the one that was known before.
func (a *App) place(
	ctx context.Context, u Upcoming, subscription string, known ledger.Schedule, found bool, recorded []counter.Shipment,
) (ledger.Schedule, error) {
	next := ledger.Schedule{Order: u.Order.ID, Placed: len(recorded)}
	for _, item := range u.Own(subscription) {
		next.Items = append(next.Items, item.ID)
	}
	isItem := func(id string) bool { return slices.Contains(known.Items, id) }
	isRecorded := slices.ContainsFunc(recorded, func(s counter.Shipment) bool { return s.Order == known.Order })
	switch {
	case !found:
		next.Slot = len(recorded)
		return next, a.allRecorded(ctx, subscription, recorded)
	case known.Order == next.Order, !isRecorded && slices.ContainsFunc(next.Items, isItem): // it moved to another order
		known.Order = next.Order
		known.Items = next.Items
		return known, nil
	}
	next.Slot = known.Slot + len(recorded) - known.Placed
	if isRecorded {
		return next, nil
	}
	skipped, err := a.wasSkipped(ctx, subscription, known.Order)
	if err == nil && skipped {
		next.Slot++
	}
	return next, err
}

// allRecorded says, of a subscription whose schedule is looked at for the first time, whether all its placed orders are
// recorded.
func (a *App) allRecorded(ctx context.Context, subscription string, recorded []counter.Shipment) error {
	placed, err := a.api.PlacedItems(ctx, subscription)
	if err != nil {
		return err
	}
	// safeguard: adjust-counted
	if len(counter.Without(shipmentsIn(subscription, placed, a.now()), recorded)) > 0 {
		return errUnsettled
	}
	return nil
}

// wasSkipped says whether an order that is not upcoming any more went by without the subscription. One that was placed
// with it, or is being placed, will be recorded.
func (a *App) wasSkipped(ctx context.Context, subscription, order string) (bool, error) {
	o, err := a.api.Order(ctx, order)
	switch {
	case errors.Is(err, ordergroove.ErrNotFound):
		return true, nil
	case err != nil:
		return false, err
	}
	switch o.Status {
	case ordergroove.StatusUnsent, ordergroove.StatusRejected, ordergroove.StatusCanceled:
		return true, nil
	case ordergroove.StatusMerged:
		return false, nil
	}
	items, err := a.api.OrderItems(ctx, order)
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(items, func(i ordergroove.Item) bool { return i.Subscription == subscription }) {
		return true, nil
	}
	return false, fmt.Errorf("%w: %s", errUnsettled, order)
}
