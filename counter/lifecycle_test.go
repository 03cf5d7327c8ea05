package counter_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/termed/termed/counter"
)

// lifecycle is a model to which everything can happen, and beside it what a person would count by hand.
type lifecycle struct {
	*model
	expected expected
}

// expected is the term as a person counts it.
type expected struct {
	termed   bool
	checkout int // shipments of the checkout
	due      int
	made     int
	sku      string // of whose term
	ends     int    // cancellations that were ours to make
	closed   bool   // ended by us, and not continued since
}

func (x expected) left() int { return max(0, x.due-x.made) }

func (x expected) over() bool { return x.closed && x.left() == 0 }

// reached follows the expectation to where the term's end leads.
func (m *lifecycle) reached() {
	x := &m.expected
	if m.live && x.left() > 0 {
		x.closed = false
	}
	for x.termed && x.left() == 0 && m.live {
		term := m.terms[x.sku]
		if x.closed { // somebody reactivated it
			switch term.OnReactivation {
			case counter.NewTerm: // it begins with the reactivation
				x.made = 0
				x.due = term.Shipments
				x.checkout = 0
				x.closed = false
				continue
			case counter.ReleaseReactivation:
				x.termed = false
				return
			}
		} else {
			switch term.OnComplete {
			case counter.RenewAtEnd:
				x.made -= x.due
				x.due = term.Shipments
				x.checkout = 0
				continue
			case counter.ReleaseAtEnd, counter.SwapAtEnd:
				x.termed = false
				return
			}
		}
		x.ends++
		x.closed = true
		return
	}
	if x.termed && x.left() == 0 && !x.closed {
		term := m.terms[x.sku]
		// Canceled by somebody else at its very end.
		x.closed = term.OnComplete == "" || term.OnComplete == counter.CancelAtEnd
	}
}

// begins starts a term in the expectation.
func (m *lifecycle) begins(sku string, checkout, due int) {
	m.expected = expected{
		termed:   true,
		sku:      sku,
		checkout: checkout,
		due:      due,
		ends:     m.expected.ends,
	}
}

// TestLifecycle is the law for everything that can happen to a term besides its shipments: agents, customers and
// operators act in any order; orders are announced late or never; syncs crash anywhere. Once settled, all is as a
// person would count it.
func TestLifecycle(t *testing.T) {
	for range 50 { // what goes wrong here goes wrong once in some thousand lifecycles
		rapid.Check(t, checkLifecycle)
	}
}

func checkLifecycle(t *rapid.T) {
	keys := counter.Keys{
		ShipmentsTotal: "term_total", ShipmentsMade: "term_made", LastShipment: "term_last",
	}.WithDefaults()
	draw := func(name string, shipments int, set map[string]string) counter.Term {
		return counter.Term{
			Name:          name,
			SKUs:          []string{name, name + "-DECAF"},
			Shipments:     shipments,
			Keys:          keys,
			Set:           set,
			SwapTo:        "TEA",
			FirstShipment: rapid.SampledFrom([]counter.First{counter.Checkout, counter.Recurring}).Draw(t, "first"),
			OnComplete: rapid.SampledFrom([]counter.OnComplete{
				"", counter.RenewAtEnd, counter.ReleaseAtEnd, counter.SwapAtEnd,
			}).Draw(t, "on_complete"),
			OnReactivation: rapid.SampledFrom([]counter.OnReactivation{"", counter.NewTerm, counter.ReleaseReactivation}).Draw(t,
				"on_reactivation"),
			OnSwap: rapid.SampledFrom([]counter.OnSwap{"", counter.Restart}).Draw(t, "on_swap"),
		}
	}
	a := draw("A", 3, map[string]string{"gift": `"true"`})
	b := draw("B", 5, nil)
	m := &lifecycle{model: newModel("A", map[string]counter.Term{"A": a, "A-DECAF": a, "B": b, "B-DECAF": b})}
	m.begins("A", a.CheckoutShipments(), a.OrdersDue())
	m.reached()
	m.settle(t)
	settled := func(t *rapid.T) { // what people do is days apart, and syncs are minutes after it
		m.reached()
		m.settle(t)
	}
	t.Repeat(map[string]func(*rapid.T){
		"": func(t *rapid.T) {
			if m.extra["theirs"] != "1.10" {
				t.Fatalf("a foreign key changed: %v", m.extra)
			}
		},
		"order": func(t *rapid.T) {
			if !m.live || m.expected.termed && m.expected.left() == 0 {
				return
			}
			m.place()
			m.expected.made++
			if rapid.Bool().Draw(t, "announced at once") {
				m.announce(len(m.placed) - 1)
			}
			if !m.expected.termed || m.expected.left() > 0 {
				return
			}
			m.announceAll() // the last order of a term is announced long before the next is due
			settled(t)
		},
		"announce": func(t *rapid.T) {
			if len(m.placed) > 0 {
				m.announce(rapid.IntRange(0, len(m.placed)-1).Draw(t, "order"))
			}
		},
		"sync": func(t *rapid.T) { m.sync(t, rapid.IntRange(0, 8).Draw(t, "steps")) },
		"swap": func(t *rapid.T) {
			settled(t)
			m.swap(rapid.SampledFrom([]string{"A", "A-DECAF", "B", "B-DECAF", "COFFEE"}).Draw(t, "to"))
			settled(t)
		},
		"set length": func(t *rapid.T) {
			m.announceAll()
			settled(t)
			n := rapid.IntRange(0, 9).Draw(t, "shipments")
			next, err := counter.SetLength(m.subscription(), n)
			allowed := m.expected.termed && n >= max(1, m.expected.checkout+m.expected.made)
			if (err == nil) != allowed {
				t.Fatalf("SetLength to %d: %v; expected %+v\n%+v\n%+v", n, err, m.expected, m.enrollments, m.shipments)
			}
			if allowed {
				m.save(next.Enrollment)
				m.expected.due = n - m.expected.checkout
				settled(t)
			}
		},
		"apply term": func(t *rapid.T) {
			m.announceAll()
			settled(t)
			term, ok := m.terms[m.sku]
			if !ok {
				return
			}
			before := m.subscription()
			if after, err := counter.ApplyTerm(before, term); err == nil {
				m.save(after.Enrollment)
				m.expected.due += after.OrdersDue - before.OrdersDue
				settled(t)
			}
		},
		"release": func(t *rapid.T) {
			settled(t)
			if next, err := counter.Release(m.subscription()); err == nil {
				m.save(next.Enrollment)
				m.expected.termed = false
			} else if m.expected.termed {
				t.Fatalf("Release: %v; expected %+v", err, m.expected)
			}
		},
		"customer cancels": func(t *rapid.T) {
			m.live = false
			settled(t)
		},
		"reactivated": func(t *rapid.T) {
			m.announceAll()
			settled(t)
			if !m.live {
				m.live = true
				m.clock += day
				m.reactivatedAt = m.clock
				settled(t)
			}
		},
		"wipe": func(*rapid.T) {
			e := m.current()
			if e.CounterConfirmed != nil && e.State != counter.Released && m.expected.termed {
				m.extra = map[string]string{"theirs": "1.10"}
			}
		},
	})
	m.announceAll()
	m.reached()
	m.settle(t)
	m.judge(t)
	m.settlesAgain(t)
}

// swap gives the subscription another product; a fact enrolls a released one again when its product's term is another.
func (m *lifecycle) swap(to string) {
	if to == m.sku {
		return
	}
	was := m.expected
	term, termed := m.terms[to]
	m.sku = to
	m.clock += day
	if m.current().State == counter.Released {
		if next, ok := counter.Reenroll(m.current(), term.Open(to, "subscription.sku_swap", m.clock)); termed && ok {
			m.enrollments = append(m.enrollments, next)
			m.begins(to, term.CheckoutShipments(), term.OrdersDue())
		}
		return
	}
	switch {
	case !termed:
		m.expected.termed = false
	case slices.Contains(term.SKUs, was.sku):
		m.expected.sku = to
	case term.OnSwap == counter.Restart:
		m.begins(to, 0, term.Shipments)
	default:
		m.begins(to, was.checkout, max(0, term.Shipments-was.checkout))
		m.expected.made = was.made
		m.expected.closed = was.closed
	}
}

func (m *lifecycle) judge(t *rapid.T) {
	x := m.expected
	fail := func(format string, args ...any) {
		t.Fatalf("%s\nenrollments %+v\nshipments %+v\nextra %v live %v sku %s\nexpected %+v",
			fmt.Sprintf(format, args...), m.enrollments, m.shipments, m.extra, m.live, m.sku, x)
	}
	if !x.termed {
		if len(m.extra) != 1 || m.current().State != counter.Released {
			fail("it was released")
		}
		return
	}
	want := map[string]string{
		"theirs":              "1.10",
		"termed":              `"true"`,
		"fulfillment_counter": strconv.Quote(strconv.Itoa(x.left())),
		"term_total":          strconv.Quote(strconv.Itoa(x.checkout + x.due)),
		"term_made":           strconv.Quote(strconv.Itoa(x.checkout + x.made)),
	}
	maps.Copy(want, m.terms[x.sku].Set)
	if x.left() <= 1 {
		want["term_last"] = `"true"`
	}
	if x.over() {
		want["hide"] = "true"
	}
	if !maps.Equal(want, m.extra) {
		fail("extra_data is not %v", want)
	}
	if x.over() && m.live {
		fail("its term is over, and it is live")
	}
	if m.cancels > x.ends {
		fail("canceled %d times, %d were ours to make", m.cancels, x.ends)
	}
}
