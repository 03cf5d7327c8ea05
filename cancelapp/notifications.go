package cancelapp

import (
	"context"
	"slices"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// remindInterval is how often the store is asked whose reminder is due.
const remindInterval = time.Minute

// remind makes subscriptions due that asked for it: to announce the last shipment a while before its order, or to look
// for an order that is to be adjusted.
func (a *App) remind(ctx context.Context) {
	clock := time.NewTicker(remindInterval)
	defer clock.Stop()
	for {
		if err := a.store.Remind(ctx, a.now()); err != nil && ctx.Err() == nil {
			a.logStoreError(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// notifyAll works out what there is to notify at the end of a sync. It goes into the outbox with the sync's outcome.
func (s *subscriptionSync) notifyAll(ctx context.Context) error {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	if err := s.notifyUntil(asking, s.sub, 0); err != nil {
		return err
	}
	s.announceLastShipment(asking)
	return nil
}

// notifyUntil notifies what happened up to a state of the subscription, without the latest shipments beyond it.
func (s *subscriptionSync) notifyUntil(ctx context.Context, sub counter.Subscription, beyond int) error {
	var shipments []counter.Shipment
	if sub.Placed.Unnotified > 0 {
		all, err := s.store.Shipments(ctx, sub.ID)
		if err != nil {
			return err
		}
		if beyond == 0 {
			sub.Placed = counter.Tally(sub.Number, all) // one may have been announced since the last step
		}
		shipments = slices.DeleteFunc(all, func(x counter.Shipment) bool { return x.Notified || x.Enrollment == 0 })
		shipments = shipments[:max(0, len(shipments)-beyond)]
	}
	for _, n := range counter.Notifications(s.before, sub, shipments, s.now()) {
		s.post(n)
	}
	for _, shipment := range shipments {
		s.notify.Notified = append(s.notify.Notified, shipment.Order)
	}
	return nil
}

func (s *subscriptionSync) post(n counter.Notification) {
	s.notify.Messages = append(s.notify.Messages, s.Messages(n)...)
}

// announceLastShipment announces, once, that the next shipment is the last: when one remains, or as long before its
// order is placed as the settings say. Until then it makes sure that the subscription is synced again.
func (s *subscriptionSync) announceLastShipment(ctx context.Context) {
	oneRemains := s.sub.Remaining() == 1 && !s.sub.Prepaid && !s.sub.IsNew()
	s.sub.LastShipmentNotified = s.sub.LastShipmentNotified && oneRemains
	if !oneRemains || s.sub.LastShipmentNotified || s.sub.State != counter.Active {
		return
	}
	n := counter.Notification{Type: counter.LastShipmentNext, At: s.now(), Subscription: s.sub}
	if len(s.Messages(n)) == 0 {
		return // no endpoint wants it: no call is spent on it
	}
	if s.RemindBefore > 0 {
		orders, err := s.api.Orders(ctx, s.sub.ID, ordergroove.StatusUnsent)
		if err != nil {
			s.remindAt = s.now() + time.Hour.Milliseconds()
			return
		}
		n.Order, n.Place = NextOrder(orders)
		if from := n.Place - s.RemindBefore.Milliseconds(); n.Place != 0 && from > s.now() {
			s.remindAt = from
			return
		}
	}
	s.sub.LastShipmentNotified = true
	s.post(n)
}
