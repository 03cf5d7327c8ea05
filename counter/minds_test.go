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

// mind is a subscription to which everything can happen: Ordergroove's side, our ledger with the few rules that the store keeps,
// looks that crash between any two steps, and beside them what a person with a pencil would write down.
type mind struct {
	terms map[string]counter.Term // by SKU

	// Ordergroove's side.
	sku   string
	live  bool
	extra map[string]string
	boxes []string // the SKU of each order placed

	// Our side: what is committed.
	page      counter.Ledger
	shipments map[int]bool // of boxes, by their place among them
	reopened  int          // boxes placed when it was termed again

	pencil pencil
}

// pencil is the term as a person counts it.
type pencil struct {
	termed    bool
	checkout  int // boxes of the checkout
	due, made int
	sku       string // of whose term
	ends      int    // cancellations that were ours to make
	cancels   int    // that were made
	over      bool   // ended by us
}

func (p pencil) left() int { return max(0, p.due-p.made) }

func (m *mind) ledger() counter.Ledger {
	l := m.page
	l.Made = len(m.shipments) - l.Past
	l.Announced = 0
	return l
}

func (m *mind) term() (counter.Term, bool) {
	if t, ok := m.terms[m.sku]; ok {
		return t, true
	}
	if t, ok := m.terms[m.page.SKU]; ok {
		return t, false
	}
	return counter.Term{Name: m.page.Term, Keys: gift.Keys}, false
}

// look goes at most so many steps; fewer than it takes is a crash. It says whether it came to rest.
func (m *mind) look(t *rapid.T, steps int) bool {
	recounted, written := false, m.page.Written
	for range steps {
		term, termed := m.term()
		l := m.ledger()
		l.Written, l.Live = written, m.live
		if termed && l.Fresh() {
			l = l.Under(term, m.sku)
		}
		remote := counter.Remote{SKU: m.sku, Termed: termed, Live: m.live, Extra: map[string]string{}, Recounted: recounted}
		for _, name := range counter.Members(term, l) {
			if value, ok := m.extra[name]; ok {
				remote.Extra[name] = value
			}
		}
		plan := counter.Decide(term, l, remote)
		step := counter.Step{Page: l}
		switch plan.Do {
		case counter.Rest:
			l.SKU = m.sku
			if termed && plan.State != counter.Released {
				l.Term = term.Name
			}
			m.page = l.Resting(plan)
			m.page.Blocking = false
			return true
		case counter.Recount:
			for i := m.reopened; i < len(m.boxes); i++ {
				m.shipments[i] = true
			}
			recounted = true
			m.page = step.Apply(m.page)
		case counter.Adopt:
			t.Fatalf("nobody but us writes counters here: %+v, %v", l, m.extra)
		case counter.Write:
			step.Counter, step.Put = plan.Counter, l.Putting(term.Keys, plan.Set)
			m.page = step.Apply(m.page) // committed before the call
			if rapid.IntRange(0, 3).Draw(t, "crash before the call") == 0 {
				return false
			}
			maps.Copy(m.extra, plan.Set)
			for _, key := range plan.Unset {
				delete(m.extra, key)
				delete(m.page.Put, key)
			}
			if plan.Counter != nil {
				written = plan.Counter
			}
		case counter.Cancel:
			step.Cancelling, step.Blocking = true, plan.Blocks
			m.page = step.Apply(m.page)
			if rapid.IntRange(0, 3).Draw(t, "crash before the cancel") == 0 {
				return false
			}
			if l.Remaining() != 0 || m.extra["hide"] != "true" {
				t.Fatalf("cancelled with %d to go, hide %s", l.Remaining(), m.extra["hide"])
			}
			m.live = false
			m.pencil.cancels++
		case counter.Begin:
			step.Next = plan.Page
			m.page = step.Apply(m.page)
		case counter.Swap:
			m.sku = plan.SKU
		default:
			t.Fatalf("no such action: %s", plan.Do)
		}
	}
	return false
}

func (m *mind) rest(t *rapid.T) {
	for range 60 {
		if m.look(t, 12) {
			return
		}
	}
	t.Fatalf("no rest: %+v, extra %v", m.page, m.extra)
}

// reached follows the pencil to where the term's end leads.
func (m *mind) reached() {
	p := &m.pencil
	for p.termed && p.left() == 0 && m.live {
		term := m.terms[p.sku]
		if p.over { // somebody reactivated it
			switch term.OnReactivation {
			case counter.NewTerm:
				p.made, p.due, p.checkout, p.over = p.made-p.due, term.Shipments, 0, false
				continue
			case counter.ReleaseReactivation:
				p.termed = false
				return
			}
		} else {
			switch term.OnComplete {
			case counter.RenewAtEnd:
				p.made, p.due, p.checkout = p.made-p.due, term.Shipments, 0
				continue
			case counter.ReleaseAtEnd, counter.SwapAtEnd:
				p.termed = false
				return
			}
		}
		p.ends++
		p.over = true
		return
	}
	if p.termed && p.left() == 0 && !p.over {
		term := m.terms[p.sku]
		p.over = term.OnComplete == "" || term.OnComplete == counter.CancelAtEnd // cancelled by somebody else at its very end
	}
}

// begins starts a term on the pencil.
func (m *mind) begins(sku string, checkout, due int) {
	m.pencil = pencil{termed: true, sku: sku, checkout: checkout, due: due, ends: m.pencil.ends, cancels: m.pencil.cancels}
}

// TestChangesOfMind is the law for everything that can happen to a term besides its boxes: agents, customers and operators change
// their minds in any order; orders are announced late or never; looks crash anywhere. At rest all is as the pencil has it.
func TestChangesOfMind(t *testing.T) {
	for range 50 { // what goes wrong here goes wrong once in some thousand lives
		rapid.Check(t, changesOfMind)
	}
}

func changesOfMind(t *rapid.T) {
	keys := counter.Keys{Total: "term_total", Made: "term_made", Last: "term_last"}.WithDefaults()
	draw := func(name string, shipments int, set map[string]string) counter.Term {
		return counter.Term{
			Name: name, SKUs: []string{name, name + "-DECAF"}, Shipments: shipments, Keys: keys, Set: set, SwapTo: "TEA",
			FirstShipment:  rapid.SampledFrom([]counter.First{counter.Checkout, counter.Recurring}).Draw(t, "first"),
			OnComplete:     rapid.SampledFrom([]counter.OnComplete{"", counter.RenewAtEnd, counter.ReleaseAtEnd, counter.SwapAtEnd}).Draw(t, "on_complete"),
			OnReactivation: rapid.SampledFrom([]counter.OnReactivation{"", counter.NewTerm, counter.ReleaseReactivation}).Draw(t, "on_reactivation"),
			OnSwap:         rapid.SampledFrom([]counter.OnSwap{"", counter.Restart}).Draw(t, "on_swap"),
		}
	}
	a, b := draw("A", 3, map[string]string{"gift": `"true"`}), draw("B", 5, nil)
	m := &mind{
		terms: map[string]counter.Term{"A": a, "A-DECAF": a, "B": b, "B-DECAF": b}, sku: "A", live: true,
		extra: map[string]string{"theirs": "1.10"}, shipments: map[int]bool{},
		page: counter.Ledger{Subscription: "s1", State: counter.Enrolled, Live: true}.Under(a, "A"),
	}
	m.begins("A", a.AtCheckout(), a.Due())
	m.reached()
	m.rest(t)
	settled := func(t *rapid.T) { // changes of mind are days apart, and looks are minutes after them
		m.reached()
		m.rest(t)
	}
	t.Repeat(map[string]func(*rapid.T){
		"": func(t *rapid.T) {
			if m.extra["theirs"] != "1.10" {
				t.Fatalf("a foreign member changed: %v", m.extra)
			}
		},
		"box": func(t *rapid.T) {
			if !m.live || m.pencil.termed && m.pencil.left() == 0 {
				return
			}
			m.boxes = append(m.boxes, m.sku)
			m.pencil.made++
			if rapid.Bool().Draw(t, "announced at once") {
				m.announce(len(m.boxes) - 1)
			}
			if !m.pencil.termed || m.pencil.left() > 0 {
				return
			}
			m.announceAll() // the last box of a term is heard of long before the next is due
			settled(t)
		},
		"announce": func(t *rapid.T) {
			if len(m.boxes) > 0 {
				m.announce(rapid.IntRange(0, len(m.boxes)-1).Draw(t, "box"))
			}
		},
		"look": func(t *rapid.T) { m.look(t, rapid.IntRange(0, 8).Draw(t, "steps")) },
		"swap": func(t *rapid.T) {
			settled(t)
			m.swap(rapid.SampledFrom([]string{"A", "A-DECAF", "B", "B-DECAF", "COFFEE"}).Draw(t, "to"))
			settled(t)
		},
		"resize": func(t *rapid.T) {
			m.announceAll()
			settled(t)
			n := rapid.IntRange(0, 9).Draw(t, "shipments")
			next, err := counter.Resize(m.ledger(), n)
			allowed := m.pencil.termed && n >= max(1, m.pencil.checkout+m.pencil.made)
			if (err == nil) != allowed {
				t.Fatalf("Resize to %d: %v; the pencil has %+v", n, err, m.pencil)
			}
			if allowed {
				m.page.Adjustment = next.Adjustment
				if m.pencil.due = n - m.pencil.checkout; m.pencil.left() > 0 {
					m.pencil.over = false
				}
				settled(t)
			}
		},
		"apply": func(t *rapid.T) {
			m.announceAll()
			settled(t)
			term, ok := m.terms[m.sku]
			if !ok {
				return
			}
			before := m.ledger()
			if after, err := counter.Apply(before, term); err == nil {
				m.page.Due = after.Due
				m.pencil.due += after.Due - before.Due
				settled(t)
			}
		},
		"release": func(t *rapid.T) {
			settled(t)
			if next, err := counter.LetGo(m.ledger()); err == nil {
				m.page.Exempt = next.Exempt
				m.pencil.termed = false
			} else if m.pencil.termed {
				t.Fatalf("LetGo: %v; the pencil has %+v", err, m.pencil)
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
				m.page.ReactivatedAt++
				settled(t)
			}
		},
		"wipe": func(*rapid.T) {
			if m.page.Written != nil && m.page.State != counter.Released && m.pencil.termed {
				m.extra = map[string]string{"theirs": "1.10"}
			}
		},
	})
	m.announceAll()
	m.reached()
	m.rest(t)
	m.judge(t)
	before := fmt.Sprint(m)
	m.rest(t)
	if after := fmt.Sprint(m); after != before {
		t.Fatalf("a second look changed something:\n%s\n%s", before, after)
	}
}

// announce files the news of a box, as the store does.
func (m *mind) announce(box int) {
	if m.page.State != counter.Released && box >= m.reopened {
		m.shipments[box] = true
	}
}

func (m *mind) announceAll() {
	for box := range m.boxes {
		m.announce(box)
	}
}

// swap gives it another product; the store opens a released page again when its product's term is another.
func (m *mind) swap(to string) {
	if to == m.sku {
		return
	}
	was := m.pencil
	term, termed := m.terms[to]
	m.sku = to
	if m.page.State == counter.Released {
		if termed && !m.page.ExemptFrom(term.Name, to) {
			m.page = m.ledger().Reopen(1).Under(term, to)
			m.page.Made = 0
			m.page.Past = len(m.shipments)
			m.reopened = len(m.boxes)
			m.begins(to, term.AtCheckout(), term.Due())
		}
		return
	}
	switch {
	case !termed:
		m.pencil.termed = false
	case slices.Contains(term.SKUs, was.sku):
		m.pencil.sku = to
	case term.OnSwap == counter.Restart:
		m.begins(to, 0, term.Shipments)
	default:
		m.begins(to, was.checkout, max(0, term.Shipments-was.checkout))
		m.pencil.made, m.pencil.over = was.made, was.over && m.pencil.left() == 0
		m.pencil.over = was.over && m.pencil.due-was.made <= 0
	}
}

func (m *mind) judge(t *rapid.T) {
	p := m.pencil
	fail := func(format string, args ...any) {
		t.Fatalf("%s\nledger %+v\nextra %v live %v sku %s\npencil %+v", fmt.Sprintf(format, args...), m.ledger(), m.extra, m.live, m.sku, p)
	}
	if !p.termed {
		if len(m.extra) != 1 || m.page.State != counter.Released {
			fail("it was released")
		}
		return
	}
	want := map[string]string{
		"theirs": "1.10", "termed": `"true"`, "fulfillment_counter": strconv.Quote(strconv.Itoa(p.left())),
		"term_total": strconv.Quote(strconv.Itoa(p.checkout + p.due)), "term_made": strconv.Quote(strconv.Itoa(p.checkout + p.made)),
	}
	maps.Copy(want, m.terms[p.sku].Set)
	if p.left() <= 1 {
		want["term_last"] = `"true"`
	}
	if p.over {
		want["hide"] = "true"
	}
	if !maps.Equal(want, m.extra) {
		fail("extra_data is not %v", want)
	}
	if p.over && m.live {
		fail("its term is over, and it is live")
	}
	if p.cancels > p.ends {
		fail("cancelled %d times, %d were ours to make", p.cancels, p.ends)
	}
}
