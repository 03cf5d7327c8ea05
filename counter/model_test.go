package counter_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/termed/termed/counter"
)

// day is the time between two things that people do, in milliseconds.
const day = 24 * 60 * 60 * 1000

// model is one subscription in memory: Ordergroove's side, what is recorded on ours, and a sync that can crash between
// any two of its steps. It is the smallest store and API that keep their promises; the rules are the product's own.
type model struct {
	terms map[string]counter.Term // by SKU

	// Ordergroove's side.
	sku     string
	live    bool
	extra   map[string]string
	placed  []counter.Shipment // in the order of their placing
	clock   int64
	cancels int

	// Our side: what is committed.
	reactivatedAt int64
	enrollments   []counter.Enrollment
	shipments     []counter.Shipment
}

func newModel(sku string, terms map[string]counter.Term) *model {
	m := &model{
		terms: terms,
		sku:   sku,
		live:  true,
		extra: map[string]string{"theirs": "1.10"},
		clock: day,
	}
	m.enrollments = []counter.Enrollment{terms[sku].Open(sku, "subscription.create", 0)}
	return m
}

// current is the current enrollment, counted from the shipments as the store does.
func (m *model) current() counter.Enrollment {
	m.shipments = counter.Assign(m.enrollments, m.shipments)
	e := m.enrollments[len(m.enrollments)-1]
	e.Placed = counter.Tally(e.Number, m.shipments)
	return e
}

func (m *model) subscription() counter.Subscription {
	return counter.Subscription{ID: "s1", Live: m.live, ReactivatedAt: m.reactivatedAt, Enrollment: m.current()}
}

func (m *model) save(e counter.Enrollment) {
	if last := len(m.enrollments) - 1; m.enrollments[last].Number == e.Number {
		m.enrollments[last] = e
		return
	}
	m.enrollments = append(m.enrollments, e)
}

// term is the one of the product; where that is not termed, the enrollment's own continues.
func (m *model) term() (counter.Term, bool) {
	if t, ok := m.terms[m.sku]; ok {
		return t, true
	}
	e := m.current()
	if t, ok := m.terms[e.SKU]; ok {
		return t, false
	}
	return counter.Term{Name: e.Term, Keys: gift.Keys, Removed: true}, false
}

func (m *model) observe(term counter.Term, termed, recounted bool) counter.Observed {
	o := counter.Observed{
		SKU:           m.sku,
		Termed:        termed,
		Live:          m.live,
		ReactivatedAt: m.reactivatedAt,
		Extra:         map[string]string{},
		Recounted:     recounted,
	}
	for _, name := range counter.OurKeys(term, m.current()) {
		if value, ok := m.extra[name]; ok {
			o.Extra[name] = value
		}
	}
	return o
}

// sync takes a number of steps; fewer than it needs is a crash. It says whether it settled.
func (m *model) sync(t *rapid.T, steps int) bool {
	recounted := false
	for range steps {
		term, termed := m.term()
		e := m.current()
		if termed && e.IsNew() && e.State != counter.Released {
			e = e.WithTerm(term, m.sku)
		}
		o := m.observe(term, termed, recounted)
		plan := counter.Decide(term, e, o)
		prepared := counter.Prepare(term, e, plan, o, m.clock)
		m.save(prepared) // committed before the call
		if plan.Do != counter.Settle && rapid.IntRange(0, 3).Draw(t, "crash before the call") == 0 {
			return false
		}
		m.call(t, plan, prepared)
		switch plan.Do {
		case counter.Recount:
			m.shipments = append(m.shipments, counter.Without(m.placed, m.shipments)...)
			recounted = true
		case counter.OpenNext:
			m.save(counter.Close(e, plan, m.clock))
			m.enrollments = append(m.enrollments, counter.Advance(term, e, plan, o, m.clock))
			continue
		}
		m.save(counter.Advance(term, prepared, plan, o, m.clock))
		if plan.Do == counter.Settle {
			return true
		}
	}
	return false
}

// call does at Ordergroove what the plan asks for.
func (m *model) call(t *rapid.T, plan counter.Plan, e counter.Enrollment) {
	switch plan.Do {
	case counter.Write:
		maps.Copy(m.extra, plan.Set)
		for _, key := range plan.Unset {
			delete(m.extra, key)
		}
	case counter.Cancel:
		if e.Remaining() != 0 || m.extra["hide"] != "true" {
			t.Fatalf("canceled with %d to go, hide %s", e.Remaining(), m.extra["hide"])
		}
		if m.live {
			m.cancels++
		}
		m.live = false
	case counter.Swap:
		m.sku = plan.SKU
	}
}

// settle syncs until there is nothing to do; a bounded number of syncs must be enough.
func (m *model) settle(t *rapid.T) {
	for range 60 {
		if m.sync(t, 12) {
			return
		}
	}
	t.Fatalf("it does not settle: %+v, extra %v", m.current(), m.extra)
}

// place places the next order, which nobody has announced yet.
func (m *model) place() {
	m.clock += day
	m.placed = append(m.placed, counter.Shipment{
		Order: fmt.Sprintf("order%03d", len(m.placed)), SKU: m.sku, Source: "evt", At: m.clock,
	})
}

// announce records the webhook of an order, as the store does.
func (m *model) announce(n int) {
	if m.current().State != counter.Released {
		m.shipments = append(m.shipments, counter.Without(m.placed[n:n+1], m.shipments)...)
	}
}

func (m *model) announceAll() {
	for n := range m.placed {
		m.announce(n)
	}
}

// The law of the project: orders placed, announced in any order, any number of times or never before the end, syncs
// that crash anywhere in between: once settled, the counter is what is due less the distinct orders, and there was one
// cancel at zero.
func TestAnyOrderAnyDuplicatesAnyCrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		due := rapid.IntRange(0, 5).Draw(t, "due")
		term := gift
		term.Shipments = due + 1
		m := newModel("GIFT", map[string]counter.Term{"GIFT": term})
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if m.extra["theirs"] != "1.10" {
					t.Fatalf("a foreign key changed: %v", m.extra)
				}
				if m.cancels > 1 || m.cancels == 1 && len(m.placed) < due {
					t.Fatalf("%d cancels with %d of %d placed", m.cancels, len(m.placed), due)
				}
			},
			"place": func(*rapid.T) {
				if m.live && len(m.placed) < due {
					m.place()
				}
			},
			"announce": func(t *rapid.T) {
				if len(m.placed) > 0 {
					m.announce(rapid.IntRange(0, len(m.placed)-1).Draw(t, "order"))
				}
			},
			"sync": func(t *rapid.T) { m.sync(t, rapid.IntRange(0, 6).Draw(t, "steps")) },
			"wipe": func(*rapid.T) {
				if m.current().CounterConfirmed != nil { // before the first confirmed write it is the same as never written
					m.extra = map[string]string{"theirs": "1.10"}
				}
			},
			"write back": func(t *rapid.T) {
				e := m.current()
				if len(e.CountersSent) > 0 && e.CounterConfirmed != nil {
					old := rapid.SampledFrom(e.CountersSent).Draw(t, "old")
					value, _ := json.Marshal(strconv.Itoa(old))
					m.extra["fulfillment_counter"] = string(value)
				}
			},
		})
		m.announceAll()
		m.settle(t)
		left := due - len(m.placed)
		if want := strconv.Quote(strconv.Itoa(left)); m.extra["fulfillment_counter"] != want {
			t.Fatalf("the counter is %s, want %s: %+v", m.extra["fulfillment_counter"], want, m.current())
		}
		if m.live != (left > 0) || (m.extra["hide"] == "true") != (left == 0) {
			t.Fatalf("with %d to go: live %v, extra %v", left, m.live, m.extra)
		}
		m.settlesAgain(t)
	})
}

// settlesAgain checks that a second sync changes nothing.
func (m *model) settlesAgain(t *rapid.T) {
	before := fmt.Sprint(*m)
	m.settle(t)
	if after := fmt.Sprint(*m); after != before {
		t.Fatalf("a second sync changed something:\n%s\n%s", before, after)
	}
}
