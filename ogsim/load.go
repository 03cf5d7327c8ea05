package ogsim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Load plays many subscriptions' lives against a running service: some to their end, some half-way, some evergreen, with
// duplicates and disorder.
type Load struct {
	Subscriptions int
	Products      []Product
	Duplicates    float64 // the part of events that is sent twice
	Disorder      float64 // the part of events that is sent late, in random order
	Seed          uint64
	AtATime       int  // deliveries under way; default 16
	Calm          bool // each round is waited for, as boxes a month apart are: no two are written in one look
}

// Product is a SKU with the recurring orders due of its subscriptions, or Evergreen.
type Product struct {
	SKU string
	Due int
}

// Report is what a load did, and what was wrong after it.
type Report struct {
	Subscriptions, Completed, Evergreens int
	Shipments                            int // of termed subscriptions
	Deliveries                           int
	Calls, Reads, Writes                 int
	Faults                               []string // the oracle's, by subscription
	Took                                 time.Duration
}

// String prints the figures.
func (r Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d subscriptions (%d completed, %d evergreen), %d shipments, %d deliveries in %.1f s\n",
		r.Subscriptions, r.Completed, r.Evergreens, r.Shipments, r.Deliveries, r.Took.Seconds())
	fmt.Fprintf(&s, "%d API calls (%d reads, %d writes): %.2f calls per shipment\n",
		r.Calls, r.Reads, r.Writes, float64(r.Calls)/float64(max(1, r.Shipments)))
	if len(r.Faults) == 0 {
		s.WriteString("exact: every counter, hide, live and foreign member is as the record says\n")
	}
	for _, fault := range r.Faults {
		s.WriteString("WRONG " + fault + "\n")
	}
	return s.String()
}

// life is one subscription of a load.
type life struct {
	id    string
	due   int
	boxes int // that it will see
	first json.RawMessage
}

// Run plays the load: rounds of orders, each delivered before the next, but for what comes late. Settled waits until the
// service has nothing more to do.
func (l Load) Run(ctx context.Context, sim *Simulator, sender *Sender, settled func(context.Context) error) (Report, error) {
	start := time.Now()
	if l.AtATime == 0 {
		l.AtATime = 16
	}
	random := rand.New(rand.NewPCG(l.Seed, 0))
	lives, err := l.begin(sim, random)
	if err != nil {
		return Report{}, err
	}
	report := Report{Subscriptions: len(lives)}
	late := []Event{}
	for round := 0; ; round++ {
		var events []Event
		for _, e := range sim.Take() {
			if random.Float64() < l.Disorder {
				late = append(late, e)
				continue
			}
			events = append(events, e)
		}
		placed, err := placeRound(sim, random, lives, round)
		if err != nil {
			return report, err
		}
		if placed == 0 && len(events) == 0 {
			break
		}
		events = l.withDuplicates(random, events)
		report.Deliveries += len(events)
		if err := sender.SendAll(ctx, events, l.AtATime); err != nil {
			return report, err
		}
		if l.Calm {
			if err := settled(ctx); err != nil {
				return report, err
			}
		}
	}
	random.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
	late = l.withDuplicates(random, late)
	report.Deliveries += len(late)
	if err := sender.SendAll(ctx, late, l.AtATime); err != nil {
		return report, err
	}
	if err := l.end(ctx, sim, sender, settled); err != nil {
		return report, err
	}
	report.judge(sim, lives)
	report.Took = time.Since(start)
	return report, nil
}

// end waits for the service, delivering what its own changes announce, until there is nothing of either.
func (l Load) end(ctx context.Context, sim *Simulator, sender *Sender, settled func(context.Context) error) error {
	for {
		if err := settled(ctx); err != nil {
			return err
		}
		events := sim.Take()
		if len(events) == 0 {
			return nil
		}
		if err := sender.SendAll(ctx, events, l.AtATime); err != nil {
			return err
		}
	}
}

func (l Load) begin(sim *Simulator, random *rand.Rand) ([]life, error) {
	lives := make([]life, l.Subscriptions)
	for i := range lives {
		product := l.Products[i%len(l.Products)]
		first := json.RawMessage(fmt.Sprintf(
			`{"note <&> %d":"a \u2028 b","big":%d.10,"long":90071992547409931234,"tiny":1e400,"no":null,"deep":{"a":[1,{"b":""}]},"":true}`, i, i))
		sub, err := sim.Subscribe(NewSubscription{Customer: fmt.Sprintf("customer-%d", i/2), Product: product.SKU, ExtraData: first})
		if err != nil {
			return nil, err
		}
		lives[i] = life{id: sub.ID, due: product.Due, boxes: product.Due, first: first}
		if product.Due == Evergreen {
			lives[i].boxes = 1 + random.IntN(4)
		} else if random.IntN(3) == 0 {
			lives[i].boxes = random.IntN(product.Due + 1) // still under way at the end
		}
	}
	return lives, nil
}

// placeRound places the next box of every subscription that has one coming; of one customer's two, sometimes on one order
// with a one-time item.
func placeRound(sim *Simulator, random *rand.Rand, lives []life, round int) (placed int, err error) {
	for i := 0; i < len(lives); i++ {
		if lives[i].boxes <= round {
			continue
		}
		on, oneTime := []string{lives[i].id}, []string(nil)
		if i%2 == 0 && i+1 < len(lives) && lives[i+1].boxes > round && random.IntN(2) == 0 {
			on, oneTime = append(on, lives[i+1].id), []string{"ONE-TIME-MUG"}
			i++
		}
		order, err := sim.Place(on, oneTime...)
		if err != nil {
			return placed, err
		}
		if order != "" {
			placed++
		}
	}
	return placed, nil
}

func (l Load) withDuplicates(random *rand.Rand, events []Event) []Event {
	for _, e := range events {
		if random.Float64() < l.Duplicates {
			events = append(events, e)
		}
	}
	return events
}

func (r *Report) judge(sim *Simulator, lives []life) {
	for _, life := range lives {
		sub, _ := sim.Subscription(life.id)
		if life.due == Evergreen {
			r.Evergreens++
		} else {
			r.Shipments += sub.Placed
			if sub.Placed >= life.due {
				r.Completed++
			}
		}
		if sub.Placed != life.boxes {
			r.Faults = append(r.Faults, fmt.Sprintf("%s: %d boxes shipped, %d were ordered", life.id, sub.Placed, life.boxes))
		}
		for _, fault := range Judge(sub, life.due, life.first) {
			r.Faults = append(r.Faults, life.id+": "+fault)
		}
	}
	if n := sim.Overlaps(); n > 0 {
		r.Faults = append(r.Faults, fmt.Sprintf("%d times a subscription had two changes in hand at once", n))
	}
	for _, call := range sim.Calls() {
		r.Calls++
		if call.Method == "GET" {
			r.Reads++
		} else {
			r.Writes++
		}
	}
}
