package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Load runs many subscriptions against a running service: some to their end, some half-way, some evergreen, with
// duplicate and disordered events.
type Load struct {
	Subscriptions int
	Products      []Product
	Duplicates    float64 // the share of events that is sent twice
	Disorder      float64 // the share of events that is sent late, in random order
	Seed          uint64
	Concurrency   int // deliveries at once; default 16

	// WaitPerRound waits for the service after each round of orders, because real shipments are a month apart. Without it
	// one sync may handle several shipments.
	WaitPerRound bool
}

// Product is a SKU with the recurring orders due of its subscriptions, or Evergreen.
type Product struct {
	SKU       string
	OrdersDue int
}

// Report is what a load did, and what was wrong after it.
type Report struct {
	Subscriptions int
	Completed     int
	Evergreens    int
	Shipments     int // of termed subscriptions
	Deliveries    int
	Calls         int
	Reads         int
	Writes        int
	Violations    []string // found by Judge, each with its subscription
	Took          time.Duration
}

// String returns the figures and the violations as text.
func (r Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d subscriptions (%d completed, %d evergreen), %d shipments, %d deliveries in %.1f s\n",
		r.Subscriptions, r.Completed, r.Evergreens, r.Shipments, r.Deliveries, r.Took.Seconds())
	fmt.Fprintf(&s, "%d API calls (%d reads, %d writes): %.2f calls per shipment\n",
		r.Calls, r.Reads, r.Writes, float64(r.Calls)/float64(max(1, r.Shipments)))
	if len(r.Violations) == 0 {
		s.WriteString("all correct: fulfillment_counter, hide, live and all foreign keys of every subscription\n")
	}
	for _, violation := range r.Violations {
		s.WriteString("WRONG " + violation + "\n")
	}
	return s.String()
}

// expected is one subscription of a load, and what must become of it.
type expected struct {
	id        string
	ordersDue int
	orders    int             // how many will be placed
	extraData json.RawMessage // at first
}

// loadRun is one run of a load.
type loadRun struct {
	Load
	sim           *Simulator
	sender        *Sender
	settled       func(context.Context) error
	random        *rand.Rand
	subscriptions []expected
	late          []Event
	report        Report
}

// Run runs the load in rounds of orders. The events of a round are delivered before the next, except those that are
// sent late. Settled must wait until the service has no more work.
func (l Load) Run(
	ctx context.Context, sim *Simulator, sender *Sender, settled func(context.Context) error,
) (Report, error) {
	start := time.Now()
	if l.Concurrency == 0 {
		l.Concurrency = 16
	}
	r := &loadRun{
		Load:    l,
		sim:     sim,
		sender:  sender,
		settled: settled,
		random:  rand.New(rand.NewPCG(l.Seed, 0)),
	}
	if err := r.subscribe(); err != nil {
		return Report{}, err
	}
	r.report.Subscriptions = len(r.subscriptions)
	if err := r.playRounds(ctx); err != nil {
		return r.report, err
	}
	if err := r.deliverLate(ctx); err != nil {
		return r.report, err
	}
	if err := r.finish(ctx); err != nil {
		return r.report, err
	}
	r.judge()
	r.countCalls()
	r.report.Took = time.Since(start)
	return r.report, nil
}

// subscribe creates the subscriptions and draws how many orders each will have.
func (r *loadRun) subscribe() error {
	for i := range r.Subscriptions {
		product := r.Products[i%len(r.Products)]
		extraData := json.RawMessage(fmt.Sprintf(
			`{"note <&> %d":"a \u2028 b","big":%d.10,"long":90071992547409931234,"tiny":1e400,"no":null,`+
				`"deep":{"a":[1,{"b":""}]},"":true}`, i, i))
		sub, err := r.sim.Subscribe(NewSubscription{
			Customer: fmt.Sprintf("customer-%d", i/2), Product: product.SKU, ExtraData: extraData,
		})
		if err != nil {
			return err
		}
		orders := product.OrdersDue
		if product.OrdersDue == Evergreen {
			orders = 1 + r.random.IntN(4)
		} else if r.random.IntN(3) == 0 {
			orders = r.random.IntN(product.OrdersDue + 1) // some orders may remain at the end
		}
		r.subscriptions = append(r.subscriptions, expected{sub.ID, product.OrdersDue, orders, extraData})
	}
	return nil
}

func (r *loadRun) playRounds(ctx context.Context) error {
	for round := 0; ; round++ {
		events := r.holdBackLate(r.sim.Take())
		placed, err := r.placeRound(round)
		if err != nil {
			return err
		}
		if placed == 0 && len(events) == 0 {
			return nil
		}
		if err := r.deliver(ctx, events); err != nil {
			return err
		}
		if !r.WaitPerRound {
			continue
		}
		if err := r.settled(ctx); err != nil {
			return err
		}
	}
}

// holdBackLate returns the events to send now and keeps the others until the end.
func (r *loadRun) holdBackLate(events []Event) []Event {
	var now []Event
	for _, e := range events {
		if r.random.Float64() < r.Disorder {
			r.late = append(r.late, e)
			continue
		}
		now = append(now, e)
	}
	return now
}

// placeRound places the next order of every subscription that has one left. Two of one customer sometimes share an
// order, together with a one-time item.
func (r *loadRun) placeRound(round int) (placed int, err error) {
	for i := 0; i < len(r.subscriptions); i++ {
		if r.subscriptions[i].orders <= round {
			continue
		}
		ids := []string{r.subscriptions[i].id}
		var oneTime []string
		if r.sharesOrder(i, round) {
			ids = append(ids, r.subscriptions[i+1].id)
			oneTime = []string{"ONE-TIME-MUG"}
			i++
		}
		order, err := r.sim.Place(ids, oneTime...)
		if err != nil {
			return placed, err
		}
		if order != "" {
			placed++
		}
	}
	return placed, nil
}

// sharesOrder draws whether a subscription shares its order with the next one of the same customer.
func (r *loadRun) sharesOrder(i, round int) bool {
	return i%2 == 0 && i+1 < len(r.subscriptions) && r.subscriptions[i+1].orders > round && r.random.IntN(2) == 0
}

func (r *loadRun) deliver(ctx context.Context, events []Event) error {
	for _, e := range events {
		if r.random.Float64() < r.Duplicates {
			events = append(events, e)
		}
	}
	r.report.Deliveries += len(events)
	return r.sender.SendAll(ctx, events, r.Concurrency)
}

func (r *loadRun) deliverLate(ctx context.Context) error {
	r.random.Shuffle(len(r.late), func(i, j int) { r.late[i], r.late[j] = r.late[j], r.late[i] })
	return r.deliver(ctx, r.late)
}

// finish waits for the service and delivers the events that its changes cause, until there is no more of either.
func (r *loadRun) finish(ctx context.Context) error {
	for {
		if err := r.settled(ctx); err != nil {
			return err
		}
		events := r.sim.Take()
		if len(events) == 0 {
			return nil
		}
		if err := r.sender.SendAll(ctx, events, r.Concurrency); err != nil {
			return err
		}
	}
}

func (r *loadRun) judge() {
	for _, e := range r.subscriptions {
		sub, _ := r.sim.Subscription(e.id)
		if e.ordersDue == Evergreen {
			r.report.Evergreens++
		} else {
			r.report.Shipments += sub.Placed
			if sub.Placed >= e.ordersDue {
				r.report.Completed++
			}
		}
		if sub.Placed != e.orders {
			r.report.addViolation("%s: %d orders were placed, want %d", e.id, sub.Placed, e.orders)
		}
		for _, violation := range Judge(sub, e.ordersDue, e.extraData) {
			r.report.addViolation("%s: %s", e.id, violation)
		}
	}
	if n := r.sim.Overlaps(); n > 0 {
		r.report.addViolation("%d times two changes of one subscription overlapped", n)
	}
}

func (r *Report) addViolation(format string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

func (r *loadRun) countCalls() {
	for _, call := range r.sim.Calls() {
		r.report.Calls++
		if call.Method == "GET" {
			r.report.Reads++
		} else {
			r.report.Writes++
		}
	}
}
