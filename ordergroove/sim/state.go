package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nextOrder creates a subscription's upcoming order.
func (s *Simulator) nextOrder(sub *Subscription) {
	fields, err := s.recordedObject("order.create")
	if err != nil {
		fields = map[string]any{} // an order without its totals
	}
	order := &Order{
		ID:       s.newID("order"),
		Customer: sub.Customer,
		Status:   statusUnsent,
		Place:    s.after(sub),
		Fields:   fields,
	}
	s.orders[order.ID] = order
	s.addItem(order, sub.ID, sub.Product)
	if s.o.OrderEvents && err == nil {
		_ = s.announce("order.create", s.orderObject(order, true), nil) // recorded: its fields are the order's
	}
}

// after is when the order after one that is placed now will be, by the subscription's frequency; without one a month
// later.
func (s *Simulator) after(sub *Subscription) time.Time {
	every, err := strconv.Atoi(fmt.Sprint(sub.Fields["every"]))
	if err != nil {
		every = 1
	}
	switch fmt.Sprint(sub.Fields["every_period"]) {
	case "1":
		return s.now().AddDate(0, 0, every)
	case "2":
		return s.now().AddDate(0, 0, 7*every)
	case "4":
		return s.now().AddDate(every, 0, 0)
	}
	return s.now().AddDate(0, every, 0)
}

func (s *Simulator) addItem(order *Order, subscription, product string) {
	item := &Item{
		ID:           s.newID("item"),
		Order:        order.ID,
		Subscription: subscription,
		Product:      product,
		Quantity:     1,
	}
	s.items[item.ID] = item
}

// upcoming returns the subscription's unsent order, or nil.
func (s *Simulator) upcoming(subscription string) *Order {
	for _, item := range s.items {
		if item.Subscription == subscription && s.orders[item.Order].Status == statusUnsent {
			return s.orders[item.Order]
		}
	}
	return nil
}

// move moves the subscription's upcoming items to another order.
func (s *Simulator) move(subscription string, into *Order) {
	from := s.upcoming(subscription)
	for _, item := range s.itemsOf(from.ID) {
		if item.Subscription == subscription {
			item.Order = into.ID
		}
	}
	if from != into && len(s.itemsOf(from.ID)) == 0 {
		delete(s.orders, from.ID)
	}
}

// itemsOf returns an order's items, sorted by id.
func (s *Simulator) itemsOf(order string) []*Item {
	var items []*Item
	for _, item := range s.items {
		if item.Order == order {
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(a, b *Item) int { return strings.Compare(a.ID, b.ID) })
	return items
}

func (s *Simulator) place(order *Order) error {
	order.Status = statusSuccess
	order.Place = s.now()
	items := s.itemsOf(order.ID)
	seen := map[string]bool{}
	for _, item := range items {
		sub := s.subscriptions[item.Subscription]
		if sub == nil || seen[sub.ID] {
			continue
		}
		seen[sub.ID] = true
		sub.Placed++
		ended, err := s.usePrepaid(sub)
		if err != nil {
			return err
		}
		if sub.Live && !ended {
			s.nextOrder(sub)
		}
	}
	return s.announcePlaced(order, items)
}

// usePrepaid subtracts an order from those that were paid for. A prepaid subscription that has none left is renewed, or
// ends by itself (contract, section 2, "Prepaid subscriptions").
func (s *Simulator) usePrepaid(sub *Subscription) (ended bool, err error) {
	var context map[string]any
	if json.Unmarshal(sub.Prepaid, &context) != nil || context == nil {
		return false, nil //nolint:nilerr // what is not an object is not prepaid
	}
	remaining, _ := context["prepaid_orders_remaining"].(float64)
	remaining--
	if remaining <= 0 {
		if ended = context["renewal_behavior"] == "cancel"; ended {
			remaining = 0
		} else {
			remaining, _ = context["prepaid_orders_per_billing"].(float64)
		}
	}
	context["prepaid_orders_remaining"] = remaining
	if sub.Prepaid, err = json.Marshal(context); err != nil || !ended {
		return ended, err
	}
	return true, s.cancel(sub, "", false)
}

// cancel ends a subscription. Only a cancel by a call counts in its record.
func (s *Simulator) cancel(sub *Subscription, reason string, byCall bool) error {
	if !sub.Live {
		return nil
	}
	sub.Live = false
	sub.CancelReason = reason
	sub.Updated = s.now()
	if byCall {
		sub.Cancels++
	}
	if order := s.upcoming(sub.ID); order != nil {
		for _, item := range s.itemsOf(order.ID) {
			if item.Subscription == sub.ID {
				delete(s.items, item.ID)
			}
		}
		if len(s.itemsOf(order.ID)) == 0 {
			order.Status = statusCanceled
		}
	}
	return s.announce("subscription.cancel", s.subscriptionObject(sub, true), nil)
}

func (s *Simulator) swap(sub *Subscription, product string) error {
	sub.Product = product
	sub.Updated = s.now()
	if order := s.upcoming(sub.ID); order != nil {
		for _, item := range s.itemsOf(order.ID) {
			if item.Subscription == sub.ID {
				item.Product = product
			}
		}
	}
	return s.announce("subscription.sku_swap", s.subscriptionObject(sub, true), nil)
}

func (s *Simulator) reactivate(sub *Subscription) error {
	if sub.Live {
		return nil
	}
	sub.Live = true
	sub.CancelReason = ""
	sub.Updated = s.now()
	s.nextOrder(sub)
	return s.announce("subscription.reactivate", s.subscriptionObject(sub, true), nil)
}
