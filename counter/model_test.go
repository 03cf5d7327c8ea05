package counter_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/termed/termed/counter"
)

// machine is one subscription in memory: Ordergroove's side, our ledger, and a look that can crash between any two of its
// steps. It is the smallest store and API that keep their promises.
type machine struct {
	term counter.Term

	// Ordergroove's side.
	placed  int
	live    bool
	extra   map[string]string
	cancels int

	// Our side: what is committed.
	shipments map[string]string // order → source
	page      counter.Ledger
}

func newMachine(due int) *machine {
	term := gift
	term.Shipments = due + 1
	return &machine{
		term: term, live: true, extra: map[string]string{"theirs": "1.10"}, shipments: map[string]string{},
		page: counter.Ledger{Subscription: "s1", SKU: "GIFT", Term: "Gift", Due: due, State: counter.Enrolled},
	}
}

func (m *machine) ledger() counter.Ledger {
	l := m.page
	l.Made = len(m.shipments)
	for _, source := range m.shipments {
		if source != counter.Reconciled {
			l.Announced++
		}
	}
	return l
}

// look runs the controller for at most so many steps; fewer than it takes is a crash. It says whether it came to rest.
func (m *machine) look(t *rapid.T, steps int) bool {
	recounted := false
	writtenNow := m.page.Written
	for range steps {
		ours := map[string]string{}
		for _, key := range []string{"fulfillment_counter", "termed", "hide"} {
			if value, ok := m.extra[key]; ok {
				ours[key] = value
			}
		}
		l := m.ledger()
		l.Written = writtenNow
		plan := counter.Decide(m.term, l, counter.Remote{
			SKU: "GIFT", Termed: true, Live: m.live, Extra: ours, Recounted: recounted,
		})
		switch plan.Do {
		case counter.Rest:
			m.page.State, m.page.Written = plan.State, writtenNow
			m.page.Completed = plan.State == counter.Completed || m.page.Completed && l.Remaining() == 0
			return true
		case counter.Recount:
			for i := range m.placed {
				if order := fmt.Sprint("order", i); m.shipments[order] == "" {
					m.shipments[order] = counter.Reconciled
				}
			}
			recounted = true
		case counter.Adopt:
			m.page = m.page.Sending(*plan.Counter)
			m.page.Adjustment = plan.Adjustment
			writtenNow = plan.Counter
		case counter.Write:
			m.page = m.page.Sending(*plan.Counter) // committed before the call
			if rapid.Bool().Draw(t, "crash before the call") {
				return false
			}
			for key, value := range plan.Set {
				m.extra[key] = value
			}
			for _, key := range plan.Unset {
				delete(m.extra, key)
			}
			writtenNow = plan.Counter
		case counter.Cancel:
			if l.Remaining() != 0 || m.extra["hide"] != "true" {
				t.Fatalf("cancelled with %d to go, hide %s", l.Remaining(), m.extra["hide"])
			}
			if m.live {
				m.cancels++
			}
			m.live = false
		default:
			t.Fatalf("no such action: %s", plan.Do)
		}
	}
	return false
}

// rest looks until it comes to rest; a bounded number of looks must do.
func (m *machine) rest(t *rapid.T) {
	for range 50 {
		if m.look(t, 10) {
			return
		}
	}
	t.Fatalf("no rest: %+v, extra %v", m.page, m.extra)
}

// The law of the project: orders placed, announced in any order, as often as you like or never before the end, looks that
// crash anywhere in between: at rest the counter is what is due less the distinct orders, and there was one cancel at zero.
func TestAnyOrderAnyDuplicatesAnyCrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		due := rapid.IntRange(0, 5).Draw(t, "due")
		m := newMachine(due)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if m.extra["theirs"] != "1.10" {
					t.Fatalf("a foreign member changed: %v", m.extra)
				}
				if m.cancels > 1 || m.cancels == 1 && m.placed < due {
					t.Fatalf("%d cancels with %d of %d placed", m.cancels, m.placed, due)
				}
			},
			"place": func(*rapid.T) {
				if m.live && m.placed < due {
					m.placed++
				}
			},
			"announce": func(t *rapid.T) {
				if m.placed == 0 {
					return
				}
				order := fmt.Sprint("order", rapid.IntRange(0, m.placed-1).Draw(t, "order"))
				if m.shipments[order] == "" {
					m.shipments[order] = "evt"
				}
			},
			"look": func(t *rapid.T) { m.look(t, rapid.IntRange(0, 6).Draw(t, "steps")) },
			"wipe": func(*rapid.T) {
				if m.page.Written != nil { // before the first confirmed write it is the same as never written
					m.extra = map[string]string{"theirs": "1.10"}
				}
			},
			"write back": func(t *rapid.T) {
				if len(m.page.Sent) > 0 && m.page.Written != nil {
					old := rapid.SampledFrom(m.page.Sent).Draw(t, "old")
					value, _ := json.Marshal(strconv.Itoa(old))
					m.extra["fulfillment_counter"] = string(value)
				}
			},
		})
		for i := range m.placed { // in the end every order is announced
			if order := fmt.Sprint("order", i); m.shipments[order] == "" {
				m.shipments[order] = "evt"
			}
		}
		m.rest(t)
		left := due - m.placed
		if want := strconv.Quote(strconv.Itoa(left)); m.extra["fulfillment_counter"] != want {
			t.Fatalf("the counter is %s, want %s: %+v", m.extra["fulfillment_counter"], want, m.ledger())
		}
		if m.live != (left > 0) || (m.extra["hide"] == "true") != (left == 0) {
			t.Fatalf("with %d to go: live %v, extra %v", left, m.live, m.extra)
		}
		before := fmt.Sprint(m)
		m.rest(t)
		if after := fmt.Sprint(m); after != before {
			t.Fatalf("a second look changed something:\n%s\n%s", before, after)
		}
	})
}
