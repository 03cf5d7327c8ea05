package cancelapp_test

import (
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/testdata"
)

// What each recorded event does to an empty database: who is enrolled, and how many shipments count. An event that is
// not listed does nothing.
func TestEveryEventType(t *testing.T) {
	type effect struct {
		orders int
		by     string // what opened the enrollment
	}
	want := map[string]effect{
		"subscription.create":      {by: "subscription.create"},
		"subscription.created":     {by: "subscription.create"},
		"subscription.reactivate":  {by: "subscription.reactivate"},
		"subscription.change_live": {by: "subscription.change_live"},
		"order.success":            {orders: 1, by: "order.success"},
		"item.successfully_placed": {orders: 1, by: "item.successfully_placed"},
	}
	for _, eventType := range ordergroove.EventTypes() {
		t.Run(eventType, func(t *testing.T) {
			body, err := fs.ReadFile(testdata.Webhooks(), eventType+".json")
			if err != nil {
				t.Fatal(err)
			}
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				// The simulator does not know the recorded subscription, so its sync ends in attention: facts are what is tested.
				b.Append(ledger.Event{Created: 1, ID: "e", Type: eventType, Body: body})
				b.Settle()
				subs, err := b.DB.Subscriptions(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				expected, listed := want[eventType]
				if !listed {
					if len(subs) > 0 {
						t.Errorf("it enrolled %+v", subs)
					}
					if got := len(b.Sim.Calls()); got > 0 {
						t.Errorf("it made %d calls", got)
					}
					return
				}
				if len(subs) != 1 || subs[0].Placed.Orders != expected.orders || subs[0].OpenedBy != expected.by {
					t.Fatalf("subscriptions = %+v, want one of %d orders, opened by %s", subs, expected.orders, expected.by)
				}
				entries, err := b.DB.Journal(t.Context(), subs[0].ID)
				if err != nil || len(entries) == 0 || entries[0].Reason != expected.by {
					t.Errorf("journal = %+v, %v; want it enrolled by %s", entries, err, expected.by)
				}
			})
		})
	}
}

// Which events of a subscription that is enrolled are a reason to read it.
func TestEventsOfEnrolledSubscription(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		file := func(id, eventType string, object map[string]any) {
			t.Helper()
			data := map[string]any{"object": object}
			body, err := json.Marshal(map[string]any{"id": id, "type": eventType, "created": 1, "data": data})
			if err != nil {
				t.Fatal(err)
			}
			b.Append(ledger.Event{Created: 1, ID: id, Type: eventType, Body: body})
			b.Settle()
		}
		subscription := func(product string, live bool) map[string]any {
			return map[string]any{"public_id": sub.ID, "product": product, "live": live}
		}
		item := func(id string, of any) map[string]any {
			return map[string]any{"public_id": id, "product": "GIFT-3MO", "order": "o", "subscription": of, "quantity": 5}
		}
		tests := []struct {
			eventType string
			object    map[string]any
			reads     int
		}{
			{"subscription.change_quantity", subscription("GIFT-3MO", true), 0},
			{"subscription.change_frequency", subscription("GIFT-3MO", true), 0},
			{"subscription.create", subscription("GIFT-3MO", true), 0},
			{"subscription.sku_swap", subscription("OTHER", true), 1},
			{"subscription.reactivate", subscription("GIFT-3MO", true), 1},
			{"subscription.change_live", subscription("GIFT-3MO", true), 1},
			{"subscription.cancelled", subscription("GIFT-3MO", false), 1},
			{"item.successfully_placed", item("i", nil), 0},
			{"item.create", item("i", sub.ID), 0},
			{"item.out_of_stock", item("i", sub.ID), 0},
			// One subscription's two lines on one order are one shipment.
			{"item.successfully_placed", item("i", sub.ID), 1},
			{"item.successfully_placed", item("j", sub.ID), 0},
		}
		for i, test := range tests {
			before := b.Calls("GET")
			file(string(rune('a'+i)), test.eventType, test.object)
			if got := b.Calls("GET") - before; got != test.reads {
				t.Errorf("%s %v: %d reads, want %d", test.eventType, test.object, got, test.reads)
			}
		}
		if got := b.Recorded(sub); got.Placed.Orders != 1 || got.State != counter.Active {
			t.Errorf("%s with %d orders placed, want it active with one", got.State, got.Placed.Orders)
		}
	})
}
