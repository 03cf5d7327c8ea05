package store_test

import (
	"testing"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// What is personal is removed; what is counted, and what is still to be processed, stays.
func TestForget(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1", "s2"), 10)
		record(t, s, "e2", shipped(shipment("s1", "o1")), 11)
		settled := event("e3", 12)
		pending := event("e4", 13)
		other := event("e5", 14)
		settled.Body = []byte(`{"customer":"c1","id":"e3"}`)
		settled.Status = ledger.EventIgnored
		pending.Body = []byte(`{"customer":"c1","id":"e4"}`)
		other.Body = []byte(`{"customer":"c12","id":"e5"}`)
		other.Status = ledger.EventIgnored
		for _, e := range []ledger.Event{settled, pending, other} {
			if _, err := s.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Forget(t.Context(), "c1")
		if want := (store.Forgotten{Subscriptions: 2, Events: 1, Waiting: 1}); err != nil || got != want {
			t.Errorf("Forget = %+v, %v; want %+v", got, err, want)
		}
		for _, e := range []struct {
			event ledger.Event
			body  string
		}{{settled, ""}, {pending, string(pending.Body)}, {other, string(other.Body)}} {
			key := store.Event{Created: e.event.Created, ID: e.event.ID}
			if body, _, err := s.EventBody(t.Context(), key); err != nil || string(body) != e.body {
				t.Errorf("the body of %s is %q, %v; want %q", e.event.ID, body, err, e.body)
			}
		}
		sub, err := s.Subscription(t.Context(), "s1")
		if err != nil || sub.Customer != "" || sub.Placed.Orders != 1 {
			t.Errorf("the subscription: customer %q, %d orders, %v", sub.Customer, sub.Placed.Orders, err)
		}
		// The same event again is no conflict with a body that is gone.
		if fresh, err := s.Append(t.Context(), settled); err != nil || fresh {
			t.Errorf("the same event again: new %v, %v", fresh, err)
		}
		if all, err := s.ListEvents(t.Context(), store.EventQuery{Status: ledger.EventQuarantined}, "", 9); err != nil ||
			len(all.Rows) != 0 {
			t.Errorf("quarantined: %v, %v", all.Rows, err)
		}
		if again, err := s.Forget(t.Context(), "c1"); err != nil || again != (store.Forgotten{Waiting: 1}) {
			t.Errorf("again: %+v, %v", again, err)
		}
	})
}
