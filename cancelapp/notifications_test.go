package cancelapp_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
)

// outbox returns the messages in the outbox, in the order of their making.
func outbox(t *testing.T, b *apptest.Bubble) []ledger.Message {
	t.Helper()
	now := time.Now().UnixMilli()
	all, err := b.DB.ClaimMessagesExcept(t.Context(), nil, now, now, 1000)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b ledger.Message) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// outboxTypes returns the types of the messages in the outbox.
func outboxTypes(t *testing.T, b *apptest.Bubble) []string {
	t.Helper()
	var types []string
	for _, m := range outbox(t, b) {
		types = append(types, m.Type)
	}
	return types
}

// outboxLines returns what the messages in the outbox say.
func outboxLines(t *testing.T, b *apptest.Bubble) []string {
	t.Helper()
	var lines []string
	for _, m := range outbox(t, b) {
		lines = append(lines, string(m.Body))
	}
	return lines
}

// toOneEndpoint addresses every notification to one endpoint.
func toOneEndpoint() func(counter.Notification) []ledger.Message {
	count := 0
	return func(n counter.Notification) []ledger.Message {
		count++
		return []ledger.Message{{
			ID:           fmt.Sprintf("msg_%09d", count),
			Endpoint:     "e",
			Type:         n.Type,
			Subscription: n.Subscription.ID,
			At:           n.At,
			Body:         []byte(line(n)),
		}}
	}
}

// line is a notification in short: its type, the term, state and progress that it describes, and which shipment it is
// about.
func line(n counter.Notification) string {
	s := n.Subscription
	text := fmt.Sprintf("%s %s %s %s", n.Type, s.Term, s.State, s.Progress())
	if n.Type == counter.TermShipment {
		text += fmt.Sprintf(": shipment %d", n.Shipment)
	}
	return text
}

// recorder keeps the notifications that are made, and addresses them to nobody.
type recorder struct {
	mu   sync.Mutex
	made []counter.Notification
}

func (r *recorder) messages(n counter.Notification) []ledger.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = append(r.made, n)
	return nil
}

func (r *recorder) all() []counter.Notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.made)
}

func (r *recorder) ofType(name string) []counter.Notification {
	return slices.DeleteFunc(r.all(), func(n counter.Notification) bool { return n.Type != name })
}

// The last shipment is announced once, a set time before its order is placed, by the date that the order has then.
func TestLastShipmentBeforeItsOrder(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.App.Reload(cancelapp.Rules{Terms: b.Terms, Messages: toOneEndpoint(), RemindBefore: 3 * time.Hour})
		sub := b.Gift()
		b.Settle()
		b.Place(sub)
		b.Settle()
		if err := b.Sim.Reschedule(sub.ID, time.Now().Add(5*time.Hour)); err != nil {
			t.Fatal(err)
		}
		b.Retry(sub) // it was another date when the order was asked for
		b.Settle()
		time.Sleep(110 * time.Minute)
		if got := outboxTypes(t, b); slices.Contains(got, counter.LastShipmentNext) {
			t.Errorf("early: %v", got)
		}
		// The customer postpones it.
		if err := b.Sim.Reschedule(sub.ID, time.Now().Add(5*time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(110 * time.Minute)
		if got := outboxTypes(t, b); slices.Contains(got, counter.LastShipmentNext) {
			t.Errorf("postponed, and announced all the same: %v", got)
		}
		time.Sleep(15 * time.Minute)
		b.Retry(sub)
		b.Settle()
		want := []string{counter.TermStarted, counter.TermShipment, counter.LastShipmentNext}
		if got := outboxTypes(t, b); !slices.Equal(got, want) {
			t.Errorf("notified %v, want %v", got, want)
		}
		b.Place(sub)
		b.Settle()
		b.JudgeGift(sub)
	})
}

// Without an endpoint that wants it, no call is spent on the date of the last shipment, and what happens meanwhile is
// not notified later.
func TestNotificationsWithoutEndpoint(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.App.Reload(cancelapp.Rules{Terms: b.Terms, RemindBefore: 3 * time.Hour})
		sub := b.Gift()
		b.Settle()
		before := len(b.Sim.Calls())
		b.Place(sub)
		b.Settle()
		if calls := len(b.Sim.Calls()) - before; calls != 2 {
			t.Errorf("%d calls for a shipment, want a GET and a PATCH", calls)
		}
		b.App.Reload(cancelapp.Rules{Terms: b.Terms, Messages: toOneEndpoint()})
		b.Place(sub)
		b.Settle()
		want := []string{counter.TermShipment, counter.TermCompleted}
		if got := outboxTypes(t, b); !slices.Equal(got, want) {
			t.Errorf("notified %v, want %v", got, want)
		}
	})
}

// Each enrollment is notified as its own: the end of the one before, then the start of the next.
func TestNotificationsOfEachEnrollment(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Reload(func(term *counter.Term) {
			term.OnReactivation = counter.NewTerm
			term.OnSwap = counter.Restart
		}, toOneEndpoint())
		sub := b.Gift()
		b.Settle()
		b.Place(sub)
		b.Settle()
		b.Place(sub)
		b.Settle()
		reactivate(t, b, sub)
		b.File()
		b.Settle()
		swapTo("SIX")(t, b, sub)
		b.File()
		b.Settle()
		want := []string{
			"term.started Gift active 1 of 3",
			"term.shipment Gift active 2 of 3: shipment 2",
			"term.last_shipment_next Gift active 2 of 3",
			"term.shipment Gift completed 3 of 3: shipment 3",
			"term.completed Gift completed 3 of 3",
			"term.started Gift active 0 of 3",
			"term.started Program active 0 of 6",
		}
		if diff := cmp.Diff(want, outboxLines(t, b)); diff != "" {
			t.Errorf("notifications (-want +got):\n%s", diff)
		}
	})
}

// A shipment that the first sync finds before its webhook is here is notified, if the creation was announced; if not,
// what happened before is no news.
func TestNotificationOfShipmentFoundByFirstSync(t *testing.T) {
	for _, announced := range []bool{true, false} {
		t.Run(fmt.Sprint("announced ", announced), func(t *testing.T) {
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				b.App.Reload(cancelapp.Rules{Terms: b.Terms, Messages: toOneEndpoint()})
				sub := b.New(sim.NewSubscription{Product: "GIFT-3MO", Silent: !announced, ExtraData: []byte("null")})
				creation := b.Sim.Take()
				b.PlaceUnannounced(sub)
				time.Sleep(11 * time.Minute) // no longer just created
				want := []string{counter.LastShipmentNext}
				if announced {
					want = []string{counter.TermStarted, counter.TermShipment, counter.LastShipmentNext}
					b.FileAll(creation)
				} else {
					b.Reconcile(reconcile.Scope{})
				}
				b.Settle()
				if got := outboxTypes(t, b); !slices.Equal(got, want) {
					t.Errorf("notified %v, want %v", got, want)
				}
			})
		})
	}
}
