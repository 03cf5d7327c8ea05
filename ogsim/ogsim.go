// Package ogsim is a simulator of the other side, built from the contract: the REST API with real state and validation,
// orders that can be placed, signed webhooks with Ordergroove's retries, and faults that can be switched on. It is what
// the demo, the tests and `termed simulate` talk to, and its record is their oracle.
//
// It never shares a rule with the product: what it knows of termed subscriptions it knows from orders placed.
package ogsim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a Simulator. The zero value of a field means the default it names.
type Options struct {
	Key      string // x-api-key that is accepted; default "simulated-api-key"
	Payloads fs.FS  // recorded payloads, <type>.json, that events are made from; required
	// ExtraDataAsText is the other reading of the contract: extra_data is typed as a JSON string, for what is sent and what
	// is answered.
	ExtraDataAsText bool
	// Snapshot says where an order.success carries its items: "top" (default), "data", or "none".
	Snapshot string
	// ItemEvents also announces each item of a placed order by item.successfully_placed.
	ItemEvents        bool
	RequestsPerMinute int              // more are answered 429; default no limit
	PageSize          int              // the largest page of a list; default 100
	Now               func() time.Time // default time.Now
	OnCall            func(Call)       // told of each API call when it has been answered
}

// Simulator is one merchant's Ordergroove.
type Simulator struct {
	o Options

	mu            sync.Mutex
	subscriptions map[string]*Subscription
	orders        map[string]*Order
	items         map[string]*Item
	sequence      []string // subscription ids in the order of their making
	calls         []Call
	faults        []*Fault
	outbox        []Event
	made          int // ids given out
	window        time.Time
	inWindow      int
	changing      map[string]bool // paths' subscriptions with a change in hand
	overlaps      int
}

// Subscription is one product for one customer, and the record of what was done to it.
type Subscription struct {
	ID           string          `json:"public_id"`
	Customer     string          `json:"customer"`
	Product      string          `json:"product"`
	ExtraData    json.RawMessage `json:"extra_data"` // an object, as it was last written; null at first
	Live         bool            `json:"live"`
	CancelReason string          `json:"cancel_reason"`
	Prepaid      json.RawMessage `json:"prepaid_subscription_context"`
	Fields       map[string]any  `json:"-"` // everything else that was set

	Placed  int       `json:"orders_placed"`     // its part in orders that were placed
	Writes  int       `json:"writes"`            // overwrites of extra_data
	Cancels int       `json:"effective_cancels"` // cancels that found it live
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Order is one order; its status is a code of the contract's, section 2.
type Order struct {
	ID       string
	Customer string
	Status   int
	Place    time.Time
	Fields   map[string]any
}

// Item is one line of an order.
type Item struct {
	ID           string
	Order        string
	Subscription string // "" for a one-time item
	Product      string
	Quantity     int
}

// Order status codes.
const (
	unsent    = 1
	rejected  = 3
	cancelled = 4
	success   = 5
)

// Call is one request to the REST API, as the simulator saw it.
type Call struct {
	Method, Path string
	Subscription string // that it was about, where it was about one
	Status       int    // answered; 0: the connection was closed instead
	At           time.Time
}

// New makes a Simulator without subscriptions.
func New(o Options) *Simulator {
	if o.Key == "" {
		o.Key = "simulated-api-key"
	}
	if o.Snapshot == "" {
		o.Snapshot = "top"
	}
	if o.PageSize == 0 {
		o.PageSize = 100
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Simulator{
		o: o, subscriptions: map[string]*Subscription{}, orders: map[string]*Order{}, items: map[string]*Item{},
		changing: map[string]bool{},
	}
}

// NewSubscription is what a subscription is made from.
type NewSubscription struct {
	Customer  string          `json:"customer"`
	Product   string          `json:"product"`
	ExtraData json.RawMessage `json:"extra_data"` // a JSON object; default null
	Prepaid   json.RawMessage `json:"prepaid_subscription_context"`
	Silent    bool            `json:"silent"` // made by an agent in the Admin: no event is sent (contract, section 1)
}

// Subscribe makes a live subscription with an upcoming order, and puts its creation event into the outbox.
func (s *Simulator) Subscribe(n NewSubscription) (Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	fields, err := s.recordedObject("subscription.create")
	if err != nil {
		return Subscription{}, err
	}
	sub := &Subscription{
		ID: s.newID("subscription"), Customer: n.Customer, Product: n.Product, ExtraData: orNull(n.ExtraData),
		Prepaid: orNull(n.Prepaid), Live: true, Fields: fields, Created: now, Updated: now,
	}
	s.subscriptions[sub.ID] = sub
	s.sequence = append(s.sequence, sub.ID)
	s.nextOrder(sub)
	if n.Silent {
		return *sub, nil
	}
	return *sub, s.announce("subscription.create", s.subscriptionObject(sub, true), nil)
}

// Place places one order with the next boxes of the given subscriptions, and one-time items of the given products. Those
// that are not live have no next box and are left out; without any live one nothing is placed and the id is "".
func (s *Simulator) Place(subscriptions []string, oneTime ...string) (order string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []*Subscription
	for _, id := range subscriptions {
		sub, ok := s.subscriptions[id]
		if !ok {
			return "", fmt.Errorf("there is no subscription %s", id)
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

// Fail lets a subscription's upcoming order fail with a status code and announces it by the event type; the order stays
// upcoming or goes, as the code says.
func (s *Simulator) Fail(subscription, eventType string, status int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.upcoming(subscription)
	if order == nil {
		return fmt.Errorf("subscription %s has no upcoming order", subscription)
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

// SwapOnce puts another product on a subscription's upcoming order, for that order alone.
func (s *Simulator) SwapOnce(subscription, product string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.upcoming(subscription)
	if order == nil {
		return fmt.Errorf("subscription %s has no upcoming order", subscription)
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
		return fmt.Errorf("there is no subscription %s", subscription)
	}
	return s.swap(sub, product)
}

// Reschedule changes when a subscription's upcoming order is placed.
func (s *Simulator) Reschedule(subscription string, place time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := s.upcoming(subscription)
	if order == nil {
		return fmt.Errorf("subscription %s has no upcoming order", subscription)
	}
	order.Place = place
	return nil
}

// Forget takes a subscription away as if it had never been.
func (s *Simulator) Forget(subscription string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscriptions, subscription)
	s.sequence = slices.DeleteFunc(s.sequence, func(id string) bool { return id == subscription })
}

// Edit overwrites a subscription's extra_data, as another application or an agent does, without a call to the API.
func (s *Simulator) Edit(subscription string, extraData json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[subscription]
	if !ok {
		return fmt.Errorf("there is no subscription %s", subscription)
	}
	sub.ExtraData, sub.Updated = orNull(extraData), s.o.Now()
	return nil
}

// CancelByAgent cancels a subscription as the Admin does, and announces it.
func (s *Simulator) CancelByAgent(subscription string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[subscription]
	if !ok {
		return fmt.Errorf("there is no subscription %s", subscription)
	}
	return s.cancel(sub, "8|Too expensive", false)
}

// Reactivate makes a cancelled subscription live again, and announces it.
func (s *Simulator) Reactivate(subscription string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[subscription]
	if !ok {
		return fmt.Errorf("there is no subscription %s", subscription)
	}
	return s.reactivate(sub)
}

// Subscriptions returns every subscription as it is now, in the order of their making.
func (s *Simulator) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Subscription, len(s.sequence))
	for i, id := range s.sequence {
		all[i] = *s.subscriptions[id]
	}
	return all
}

// Subscription returns one as it is now.
func (s *Simulator) Subscription(id string) (Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[id]
	if !ok {
		return Subscription{}, false
	}
	return *sub, true
}

// Overlaps returns how often a change of a subscription arrived while another of the same was in hand.
func (s *Simulator) Overlaps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overlaps
}

// Calls returns every API call so far.
func (s *Simulator) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *Simulator) nextOrder(sub *Subscription) {
	fields, err := s.recordedObject("order.create")
	if err != nil {
		fields = map[string]any{} // an order without its totals
	}
	order := &Order{
		ID: s.newID("order"), Customer: sub.Customer, Status: unsent, Place: s.o.Now().AddDate(0, 1, 0), Fields: fields,
	}
	s.orders[order.ID] = order
	s.addItem(order, sub.ID, sub.Product)
}

func (s *Simulator) addItem(order *Order, subscription, product string) {
	item := &Item{ID: s.newID("item"), Order: order.ID, Subscription: subscription, Product: product, Quantity: 1}
	s.items[item.ID] = item
}

// upcoming returns the unsent order that holds the subscription's next box, or nil.
func (s *Simulator) upcoming(subscription string) *Order {
	for _, item := range s.items {
		if item.Subscription == subscription && s.orders[item.Order].Status == unsent {
			return s.orders[item.Order]
		}
	}
	return nil
}

// move takes the subscription's next box off its order and puts it on another.
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

// itemsOf returns an order's items in a stable order.
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
	order.Status, order.Place = success, s.o.Now()
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

// usePrepaid takes an order from what a prepaid subscription has paid for. One that is used up is renewed, or ends by itself
// (contract, section 2, "Prepaid subscriptions").
func (s *Simulator) usePrepaid(sub *Subscription) (ended bool, err error) {
	var context map[string]any
	if json.Unmarshal(sub.Prepaid, &context) != nil || context == nil {
		return false, nil
	}
	left, _ := context["prepaid_orders_remaining"].(float64)
	if left--; left <= 0 {
		if context["renewal_behavior"] == "cancel" {
			left, ended = 0, true
		} else {
			left, _ = context["prepaid_orders_per_billing"].(float64)
		}
	}
	context["prepaid_orders_remaining"] = left
	if sub.Prepaid, err = json.Marshal(context); err != nil || !ended {
		return ended, err
	}
	return true, s.cancel(sub, "", false)
}

func (s *Simulator) cancel(sub *Subscription, reason string, ours bool) error {
	if !sub.Live {
		return nil
	}
	sub.Live, sub.CancelReason, sub.Updated = false, reason, s.o.Now()
	if ours {
		sub.Cancels++
	}
	if order := s.upcoming(sub.ID); order != nil {
		for _, item := range s.itemsOf(order.ID) {
			if item.Subscription == sub.ID {
				delete(s.items, item.ID)
			}
		}
		if len(s.itemsOf(order.ID)) == 0 {
			order.Status = cancelled
		}
	}
	return s.announce("subscription.cancel", s.subscriptionObject(sub, true), nil)
}

func (s *Simulator) swap(sub *Subscription, product string) error {
	sub.Product, sub.Updated = product, s.o.Now()
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
	sub.Live, sub.CancelReason, sub.Updated = true, "", s.o.Now()
	s.nextOrder(sub)
	return s.announce("subscription.reactivate", s.subscriptionObject(sub, true), nil)
}

// newID makes a public id: 32 hex digits, the same in every run that does the same.
func (s *Simulator) newID(kind string) string {
	s.made++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, s.made))
	return fmt.Sprintf("%s%06x", hex.EncodeToString(sum[:13]), s.made)
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}
