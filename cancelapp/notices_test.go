package cancelapp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/store"
)

// told are the types of notices in the outbox, in the order of their making.
func (b *bubble) told() []string {
	b.t.Helper()
	all, err := b.db.Notices(b.t.Context(), "", 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b store.Notice) int { return strings.Compare(a.ID, b.ID) })
	var types []string
	for _, n := range all {
		types = append(types, n.Type)
	}
	return types
}

// announcing addresses every notice to one endpoint.
func announcing() func(counter.Notice) []counter.Post {
	n := 0
	return func(notice counter.Notice) []counter.Post {
		n++
		return []counter.Post{{ID: fmt.Sprintf("msg_%09d", n), Endpoint: "e", Type: notice.Type, Subscription: notice.Page.Subscription, At: notice.At, Body: []byte("{}")}}
	}
}

// The last shipment is announced so long before its order is placed, by the date that the order has then, and once.
func TestLastShipmentAhead(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.app.Reload(cancelapp.Rules{Terms: b.terms, Announce: announcing(), RemindBefore: 3 * time.Hour})
		sub := b.gift()
		b.settled()
		b.place(sub)
		b.settled()
		if err := b.sim.Reschedule(sub.ID, time.Now().Add(5*time.Hour)); err != nil {
			t.Fatal(err)
		}
		b.nudge(sub) // its date was another when it was asked for
		b.settled()
		time.Sleep(110 * time.Minute)
		if got := b.told(); slices.Contains(got, counter.LastShipmentNext) {
			t.Errorf("early: %v", got)
		}
		// Its customer puts it off.
		if err := b.sim.Reschedule(sub.ID, time.Now().Add(5*time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(110 * time.Minute)
		if got := b.told(); slices.Contains(got, counter.LastShipmentNext) {
			t.Errorf("put off, and told all the same: %v", got)
		}
		time.Sleep(15 * time.Minute)
		b.nudge(sub)
		b.settled()
		if got, want := b.told(), []string{counter.TermStarted, counter.TermShipment, counter.LastShipmentNext}; !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		b.place(sub)
		b.settled()
		b.judge(sub)
	})
}

// Where nobody wants to know of the last shipment, no call is spent on its date; what happens meanwhile is not told of later.
func TestNobodyListens(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.app.Reload(cancelapp.Rules{Terms: b.terms, RemindBefore: 3 * time.Hour})
		sub := b.gift()
		b.settled()
		before := len(b.sim.Calls())
		b.place(sub)
		b.settled()
		if calls := len(b.sim.Calls()) - before; calls != 2 {
			t.Errorf("%d calls for a box, want a GET and a PATCH", calls)
		}
		b.app.Reload(cancelapp.Rules{Terms: b.terms, Announce: announcing()})
		b.place(sub)
		b.settled()
		if got, want := b.told(), []string{counter.TermShipment, counter.TermCompleted}; !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}

// Each term is told of as its own: the old one's end before the new one's start, and the new one as it begins.
func TestTermsAreTold(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		var heard notices
		b.under(func(term *counter.Term) { term.OnReactivation, term.OnSwap = counter.NewTerm, counter.Restart }, heard.note)
		sub := b.gift()
		b.settled()
		b.place(sub)
		b.place(sub)
		b.settled()
		if err := b.sim.Reactivate(sub.ID); err != nil {
			t.Fatal(err)
		}
		b.file()
		b.settled()
		if err := b.sim.Swap(sub.ID, "SIX"); err != nil {
			t.Fatal(err)
		}
		b.file()
		b.settled()
		var got []string
		for _, n := range heard.all() {
			got = append(got, fmt.Sprintf("%s %s %s %s", n.Type, n.Page.Term, n.Page.State, n.Page.Show()))
		}
		want := []string{
			"term.started Gift active 1 of 3",
			"term.shipment Gift completed 3 of 3", "term.shipment Gift completed 3 of 3", "term.completed Gift completed 3 of 3",
			"term.started Gift active 0 of 3",
			"term.started Programme active 0 of 6",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// A box that the first look finds before its webhook is here is told of, where the creation was announced; where it was not, what had
// happened is no news.
func TestFirstLookFindsABox(t *testing.T) {
	for _, announced := range []bool{true, false} {
		inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
			b.app.Reload(cancelapp.Rules{Terms: b.terms, Announce: announcing()})
			sub, err := b.sim.Subscribe(ogsim.NewSubscription{Customer: "c", Product: "GIFT-3MO", Silent: !announced})
			if err != nil {
				t.Fatal(err)
			}
			creation := b.sim.Take()
			b.placeUnheard(sub)
			want := []string{counter.LastShipmentNext}
			if announced {
				want = []string{counter.TermStarted, counter.TermShipment, counter.LastShipmentNext}
				b.fileAll(creation)
			} else {
				b.reconcile(cancelapp.Scope{})
			}
			b.settled()
			if got := b.told(); !slices.Equal(got, want) {
				t.Errorf("announced %v: told %v, want %v", announced, got, want)
			}
		})
	}
}
