package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// NewSubscription describes a subscription to create.
type NewSubscription struct {
	ID        string          `json:"public_id"` // default a new one
	Customer  string          `json:"customer"`
	Product   string          `json:"product"`
	ExtraData json.RawMessage `json:"extra_data"` // a JSON object; default null
	Prepaid   json.RawMessage `json:"prepaid_subscription_context"`
	Silent    bool            `json:"silent"` // created in the Admin: no event is sent (contract, section 1)
}

// Subscribe creates a live subscription with an upcoming order, and puts its creation event into the outbox.
func (s *Simulator) Subscribe(n NewSubscription) (Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	fields, err := s.recordedObject("subscription.create")
	if err != nil {
		return Subscription{}, err
	}
	id := n.ID
	if id == "" {
		id = s.newID("subscription")
	}
	if _, taken := s.subscriptions[id]; taken {
		return Subscription{}, fmt.Errorf("there is a subscription %s already", id)
	}
	sub := &Subscription{
		ID:        id,
		Customer:  n.Customer,
		Product:   n.Product,
		ExtraData: orNull(n.ExtraData),
		Live:      true,
		Prepaid:   orNull(n.Prepaid),
		Fields:    fields,
		Created:   now,
		Updated:   now,
	}
	s.subscriptions[sub.ID] = sub
	s.ids = append(s.ids, sub.ID)
	s.nextOrder(sub)
	if n.Silent {
		return *sub, nil
	}
	return *sub, s.announce("subscription.create", s.subscriptionObject(sub, true), nil)
}

// Place places one order with the next items of the given subscriptions, and one-time items of the given products.
// Subscriptions that are not live are left out. Where none is live, nothing is placed and the id is "".
func (s *Simulator) Place(subscriptions []string, oneTime ...string) (order string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []*Subscription
	for _, id := range subscriptions {
		sub, ok := s.subscriptions[id]
		if !ok {
			return "", unknownSubscription(id)
		}
		if sub.Live {
			live = append(live, sub)
		}
	}
	if len(live) == 0 {
		return "", nil
	}
	into := s.upcoming(live[0].ID)
	for _, sub := range live[1:] {
		s.move(sub.ID, into)
	}
	for _, product := range oneTime {
		s.addItem(into, "", product)
	}
	return into.ID, s.place(into)
}

// Advance puts the clock forward, and places the orders that are due by then, at most one of each subscription:
// whoever is told of it may have to change the subscription before the next.
func (s *Simulator) Advance(d time.Duration) (orders []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
	for _, id := range slices.Clone(s.ids) {
		order := s.upcoming(id)
		if order == nil || !s.subscriptions[id].Live || order.Place.After(s.now()) || slices.Contains(orders, order.ID) {
			continue
		}
		orders = append(orders, order.ID)
		if err := s.place(order); err != nil {
			return orders, err
		}
	}
	return orders, nil
}

// Fail gives a subscription's upcoming order a status code of a failure, and announces it with an event of the type.
func (s *Simulator) Fail(subscription, eventType string, status int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.upcoming(subscription)
	if order == nil {
		return noUpcomingOrder(subscription)
	}
	order.Status = status
	object := s.orderObject(order, true)
	if err := s.announce(eventType, object, nil); err != nil {
		return err
	}
	if sub := s.subscriptions[subscription]; sub.Live {
		s.nextOrder(sub)
	}
	return nil
}

// Combine moves a subscription's upcoming items to another one's upcoming order, so that both are placed together.
func (s *Simulator) Combine(subscription, into string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.upcoming(into)
	if order == nil || s.upcoming(subscription) == nil {
		return noUpcomingOrder(subscription)
	}
	s.move(subscription, order)
	return nil
}

// SwapOnce puts another product on a subscription's upcoming order, for that order only.
func (s *Simulator) SwapOnce(subscription, product string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.upcoming(subscription)
	if order == nil {
		return noUpcomingOrder(subscription)
	}
	for _, item := range s.itemsOf(order.ID) {
		if item.Subscription == subscription {
			item.Product = product
		}
	}
	return nil
}

// Swap changes a subscription's product, as an agent does, and announces it.
func (s *Simulator) Swap(subscription, product string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[subscription]
	if !ok {
		return unknownSubscription(subscription)
	}
	return s.swap(sub, product)
}

// Reschedule changes when a subscription's upcoming order will be placed.
func (s *Simulator) Reschedule(subscription string, place time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.upcoming(subscription)
	if order == nil {
		return noUpcomingOrder(subscription)
	}
	order.Place = place
	return nil
}

// Forget deletes a subscription as if it had never existed.
func (s *Simulator) Forget(subscription string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscriptions, subscription)
	s.ids = slices.DeleteFunc(s.ids, func(id string) bool { return id == subscription })
}

// Edit overwrites a subscription's extra_data, as another application or an agent does, without a call to the API.
func (s *Simulator) Edit(subscription string, extraData json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[subscription]
	if !ok {
		return unknownSubscription(subscription)
	}
	sub.ExtraData = orNull(extraData)
	sub.Updated = s.now()
	return nil
}

// CancelByAgent cancels a subscription as the Admin does, and announces it.
func (s *Simulator) CancelByAgent(subscription string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[subscription]
	if !ok {
		return unknownSubscription(subscription)
	}
	return s.cancel(sub, "8|Too expensive", false)
}

// Reactivate makes a canceled subscription live again, and announces it.
func (s *Simulator) Reactivate(subscription string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[subscription]
	if !ok {
		return unknownSubscription(subscription)
	}
	return s.reactivate(sub)
}

func unknownSubscription(id string) error {
	return fmt.Errorf("unknown subscription %s", id)
}

func noUpcomingOrder(subscription string) error {
	return fmt.Errorf("subscription %s has no upcoming order", subscription)
}
