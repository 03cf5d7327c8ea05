package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Simulator) listItems(r *request) answer {
	q := r.URL.Query()
	var items []*Item
	for _, item := range s.items {
		if s.itemMatches(item, q) {
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(a, b *Item) int { return strings.Compare(a.ID, b.ID) })
	rows := make([]any, len(items))
	for i, item := range items {
		rows[i] = s.itemObject(item)
	}
	return s.page(r, rows)
}

func (s *Simulator) itemMatches(item *Item, q url.Values) bool {
	return fits(q.Get("order"), item.Order) &&
		fits(q.Get("subscription"), item.Subscription) &&
		fits(q.Get("status"), strconv.Itoa(s.orders[item.Order].Status))
}

// fits says whether a value passes a filter; an empty filter lets every value pass.
func fits(filter, value string) bool {
	return filter == "" || filter == value
}

func (s *Simulator) changeItemQuantity(r *request, item *Item) answer {
	if sub := s.subscriptions[item.Subscription]; sub != nil && string(sub.Prepaid) != "null" {
		return badRequest("quantity", "Not for prepaid subscriptions.")
	}
	if r.number("quantity") < 1 {
		return badRequest("quantity", "Ensure this value is greater than or equal to 1.")
	}
	if s.orders[item.Order].Status != statusUnsent {
		return badRequest("order", "This order was sent already.")
	}
	item.Quantity = r.number("quantity")
	return answer{}
}

func (s *Simulator) changeItemProduct(r *request, item *Item) answer {
	if a := r.missing("product"); a.status != 0 {
		return a
	}
	if s.orders[item.Order].Status != statusUnsent {
		return badRequest("order", "This order was sent already.")
	}
	item.Product = r.text("product")
	return answer{}
}

func (s *Simulator) listOrders(r *request) answer {
	q := r.URL.Query()
	subscription := q.Get("subscription")
	ofSubscription := s.ordersOf(subscription)
	var orders []*Order
	for _, order := range s.orders {
		if fits(q.Get("customer"), order.Customer) && fits(q.Get("status"), strconv.Itoa(order.Status)) &&
			(subscription == "" || ofSubscription[order.ID]) {
			orders = append(orders, order)
		}
	}
	slices.SortFunc(orders, func(a, b *Order) int { return strings.Compare(a.ID, b.ID) })
	rows := make([]any, len(orders))
	for i, order := range orders {
		rows[i] = s.orderObject(order, false)
	}
	return s.page(r, rows)
}

// ordersOf returns the ids of the orders that have an item of a subscription.
func (s *Simulator) ordersOf(subscription string) map[string]bool {
	ids := map[string]bool{}
	for _, item := range s.items {
		if item.Subscription == subscription {
			ids[item.Order] = true
		}
	}
	return ids
}

// holds says whether an order has an item of a subscription.
func (s *Simulator) holds(order *Order, subscription string) bool {
	return slices.ContainsFunc(s.itemsOf(order.ID), func(i *Item) bool { return i.Subscription == subscription })
}

// skipSubscription takes the subscription's items off the order and creates its next order.
func (s *Simulator) skipSubscription(r *request, order *Order) answer {
	sub := s.subscriptions[r.text("subscription")]
	if sub == nil || !s.holds(order, sub.ID) || order.Status != statusUnsent {
		return badRequest("subscription", "This subscription is not on this order.")
	}
	for _, item := range s.itemsOf(order.ID) {
		if item.Subscription == sub.ID {
			delete(s.items, item.ID)
		}
	}
	s.nextOrder(sub)
	return s.announceOrder("order.skip_order", order)
}

func (s *Simulator) cancelOrder(r *request, order *Order) answer {
	if order.Status != statusUnsent {
		return badRequest("status", "Only an unsent order can be canceled.")
	}
	order.Status = statusCanceled
	for _, item := range s.itemsOf(order.ID) {
		if sub := s.subscriptions[item.Subscription]; sub != nil && sub.Live {
			s.nextOrder(sub)
		}
	}
	return s.announceOrder("order.cancel", order)
}

func (s *Simulator) sendNow(r *request, order *Order) answer {
	if order.Status != statusUnsent {
		return badRequest("status", "Only an unsent order can be sent.")
	}
	if a := s.announceOrder("order.send_now", order); a.status != 0 {
		return a
	}
	if err := s.place(order); err != nil {
		return internalError(err)
	}
	return answer{}
}

func (s *Simulator) announceOrder(eventType string, order *Order) answer {
	if err := s.announce(eventType, s.orderObject(order, true), nil); err != nil {
		return internalError(err)
	}
	return answer{}
}

func (s *Simulator) changePlaceDate(r *request, order *Order) answer {
	place, err := time.Parse(time.DateTime, r.text("place"))
	if err != nil {
		return badRequest("place", "Datetime has wrong format. Use YYYY-MM-DD HH:MM:SS.")
	}
	if order.Status != statusUnsent {
		return badRequest("status", "Only an unsent order can be changed.")
	}
	if place.Before(s.now().Truncate(24 * time.Hour)) {
		return badRequest("place", "The date is in the past.")
	}
	order.Place = place
	return s.announceUpcoming("order.change_next_order_date", order)
}

// announceUpcoming announces news about an upcoming order, where the options say so.
func (s *Simulator) announceUpcoming(eventType string, order *Order) answer {
	if !s.o.OrderEvents {
		return answer{}
	}
	return s.announceOrder(eventType, order)
}

func changeOrderField(name string) change[*Order] {
	return func(s *Simulator, r *request, order *Order) answer {
		if a := r.missing(name); a.status != 0 {
			return a
		}
		if order.Status != statusUnsent {
			return badRequest("status", "Only an unsent order can be changed.")
		}
		if _, known := s.addresses[r.text(name)]; name == "shipping_address" && !known {
			return badRequest(name, "Invalid pk - object does not exist.")
		}
		order.Fields[name] = r.text(name)
		return answer{}
	}
}

func (s *Simulator) createAddress(r *request) answer {
	a := r.missing("customer", "address_type", "first_name", "last_name", "address", "city",
		"state_province_code", "zip_postal_code", "country_code", "phone")
	if a.status != 0 {
		return a
	}
	if kind := r.text("address_type"); kind != "shipping_address" && kind != "billing_address" {
		return badRequest("address_type", fmt.Sprintf("%q is not a valid choice.", kind))
	}
	for name := range r.fields {
		if r.text(name) == "" {
			return badRequest(name, "This field may not be blank.")
		}
	}
	id := s.newID("address")
	s.addresses[id] = r.fields
	address := map[string]any{"public_id": id}
	for name, value := range r.fields {
		address[name] = value
	}
	return answer{http.StatusCreated, address}
}

// incentiveFields are what a target can have a discount on.
var incentiveFields = []string{"item total_price", "order sub_total", "order shipping_total"}

func (s *Simulator) createIncentive(r *request) answer {
	if a := r.missing("merchant", "customer", "stacking_type", "incentive"); a.status != 0 {
		return a
	}
	_, order := r.fields["order"]
	_, item := r.fields["item"]
	if order == item {
		return badRequest("order", "Exactly one of order and item is required.")
	}
	var incentive struct {
		Name   string `json:"name"`
		Kind   string `json:"discount_type"`
		Value  string `json:"value"`
		Field  string `json:"field"`
		Type   string `json:"type"`
		Target string `json:"target"`
	}
	if json.Unmarshal(r.fields["incentive"], &incentive) != nil {
		return badRequest("incentive", "Expected a dictionary.")
	}
	known := incentive.Target == "item" && s.items[r.text("item")] != nil ||
		incentive.Target == "order" && s.orders[r.text("order")] != nil
	switch {
	case !slices.Contains(incentiveFields, incentive.Target+" "+incentive.Field):
		return badRequest("incentive", "This field is not valid for this target.")
	case !known:
		return badRequest(incentive.Target, "Invalid pk - object does not exist.")
	case incentive.Kind != "Discount Percent" && incentive.Kind != "Discount Amount", incentive.Type != "Discount",
		incentive.Name == "", !isDecimal(incentive.Value):
		return badRequest("incentive", "Not a valid discount.")
	case r.text("stacking_type") != "base" && r.text("stacking_type") != "additional":
		return badRequest("stacking_type", "Not a valid choice.")
	}
	s.incentives = append(s.incentives, Incentive{
		Order:        r.text("order"),
		Item:         r.text("item"),
		ExternalCode: r.text("external_code"),
		Name:         incentive.Name,
		DiscountType: incentive.Kind,
		Value:        incentive.Value,
		Field:        incentive.Field,
		Target:       incentive.Target,
	})
	created := map[string]any{"public_id": s.newID("incentive"), "incentive": r.fields["incentive"]}
	return answer{http.StatusCreated, created}
}

// isDecimal says whether a text is a number with two decimals.
func isDecimal(text string) bool {
	whole, cents, found := strings.Cut(text, ".")
	_, err := strconv.Atoi(whole)
	return found && err == nil && len(cents) == 2
}

// Incentives returns the discounts created so far.
func (s *Simulator) Incentives() []Incentive {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.incentives)
}

// Address returns a field of an address that was created, and whether there is such an address.
func (s *Simulator) Address(id, field string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	address, found := s.addresses[id]
	return (&request{fields: address}).text(field), found
}

// PlacedOrders returns the orders that were placed with a subscription, in that sequence.
func (s *Simulator) PlacedOrders(subscription string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var placed []*Order
	for id := range s.ordersOf(subscription) {
		if order := s.orders[id]; order.Status == statusSuccess {
			placed = append(placed, order)
		}
	}
	slices.SortFunc(placed, func(a, b *Order) int { return a.Place.Compare(b.Place) })
	ids := make([]string, len(placed))
	for i, order := range placed {
		ids[i] = order.ID
	}
	return ids
}

// Order returns an order with its items.
func (s *Simulator) Order(id string) (Order, []Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	order, found := s.orders[id]
	if !found {
		return Order{}, nil
	}
	var items []Item
	for _, item := range s.itemsOf(id) {
		items = append(items, *item)
	}
	copied := *order
	copied.Fields = maps.Clone(order.Fields)
	return copied, items
}
