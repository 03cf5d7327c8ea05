// Package sim simulates Ordergroove, as the contract describes it: the REST API with real state and validation, orders
// that can be placed, signed webhooks with Ordergroove's retries, and faults that can be added. The demo, the tests and
// `termed simulate` run against it, and judge the product by its records.
//
// It never shares a rule with the product: it judges termed subscriptions by the orders placed alone.
package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// Options of a Simulator. The zero value of a field means the default it names.
type Options struct {
	Key      string // the x-api-key that is accepted; default "simulated-api-key"
	Payloads fs.FS  // recorded payloads, <type>.json, that events are made from; required

	// ExtraDataAsText selects the contract's other reading of extra_data: a JSON string, in requests and answers.
	ExtraDataAsText bool

	// Snapshot says where an order.success carries its items: "top" (default), "data", or "none".
	Snapshot string

	// OrderEvents also sends an order.create for each new upcoming order, and an order.change_next_order_date for each
	// changed date.
	OrderEvents bool

	// ItemEvents also sends an item.successfully_placed for each item of a placed order.
	ItemEvents bool

	RequestsPerMinute int              // further calls are answered 429; default no limit
	PageSize          int              // maximum; default 100
	Seed              uint64           // of the public ids; default 0: the same ids in every run
	Now               func() time.Time // default time.Now
	OnCall            func(Call)       // called for each API call when it has been answered
}

// Simulator is one merchant's Ordergroove.
type Simulator struct {
	o Options

	mu            sync.Mutex
	subscriptions map[string]*Subscription
	orders        map[string]*Order
	items         map[string]*Item
	addresses     map[string]map[string]json.RawMessage
	incentives    []Incentive
	ids           []string // of the subscriptions, oldest first
	calls         []Call
	faults        []*Fault
	outbox        []Event
	idCount       int // how many ids were given out
	minute        time.Time
	callsInMinute int
	changing      map[string]bool // the subscriptions of which a change is in progress
	overlaps      int
	ahead         time.Duration // what the clock was put forward by
	lose          int           // how many of the next events are never delivered
	heldUntil     time.Time     // until when nothing is delivered
}

// Subscription is one product for one customer, and a record of what was done to it.
type Subscription struct {
	ID           string          `json:"public_id"`
	Customer     string          `json:"customer"`
	Product      string          `json:"product"`
	ExtraData    json.RawMessage `json:"extra_data"` // an object as it was last written; null at first
	Live         bool            `json:"live"`
	CancelReason string          `json:"cancel_reason"`
	Prepaid      json.RawMessage `json:"prepaid_subscription_context"`
	Fields       map[string]any  `json:"-"` // all other fields

	Placed  int       `json:"orders_placed"`     // placed orders that had an item of it
	Writes  int       `json:"writes"`            // how often extra_data was overwritten
	Cancels int       `json:"effective_cancels"` // how often a call canceled it while it was live
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Order is one order. Its status is a code of the contract, section 2.
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

// Incentive is a discount on an order or on one item, as it was created.
type Incentive struct {
	Order, Item  string
	ExternalCode string
	Name         string
	DiscountType string
	Value        string
	Field        string
	Target       string
}

// Order status codes.
const (
	statusUnsent   = 1
	statusCanceled = 4
	statusSuccess  = 5
)

// Call is one request to the REST API.
type Call struct {
	Method       string
	Path         string
	Subscription string // the subscription that path or query name, or ""
	Status       int    // of the answer; 0 where the connection was closed instead
	At           time.Time
}

// New returns a Simulator without subscriptions.
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
		o:             o,
		subscriptions: map[string]*Subscription{},
		orders:        map[string]*Order{},
		items:         map[string]*Item{},
		addresses:     map[string]map[string]json.RawMessage{},
		changing:      map[string]bool{},
	}
}

// Subscriptions returns all subscriptions as they are now, oldest first.
func (s *Simulator) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Subscription, len(s.ids))
	for i, id := range s.ids {
		all[i] = *s.subscriptions[id]
	}
	return all
}

// Subscription returns one subscription as it is now.
func (s *Simulator) Subscription(id string) (Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subscriptions[id]
	if !ok {
		return Subscription{}, false
	}
	return *sub, true
}

// Overlaps returns how often a change of a subscription arrived while another change of it was in progress.
func (s *Simulator) Overlaps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overlaps
}

// Calls returns all API calls so far.
func (s *Simulator) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// now is the time by the simulator's clock.
func (s *Simulator) now() time.Time { return s.o.Now().Add(s.ahead) }

// newID returns a public id of 32 hex digits. Ids are the same in every run with the same seed that creates the same
// objects.
func (s *Simulator) newID(kind string) string {
	s.idCount++
	name := fmt.Appendf(nil, "%s %d", kind, s.idCount)
	if s.o.Seed != 0 {
		name = fmt.Appendf(name, " %d", s.o.Seed)
	}
	sum := sha256.Sum256(name)
	return fmt.Sprintf("%s%06x", hex.EncodeToString(sum[:13]), s.idCount)
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}
