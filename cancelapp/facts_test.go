package cancelapp_test

import (
	"encoding/json"
	"io/fs"
	"testing"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/testdata"
)

// What each recorded event does to an empty ledger: who is enrolled, and how many shipments count. What is not listed does
// nothing.
func TestEveryEventType(t *testing.T) {
	type effect struct {
		made int
		how  string
	}
	want := map[string]effect{
		"subscription.create":      {how: "subscription.create"},
		"subscription.created":     {how: "subscription.create"},
		"subscription.reactivate":  {how: "subscription.reactivate"},
		"subscription.change_live": {how: "subscription.change_live"},
		"order.success":            {made: 1, how: "item.successfully_placed"},
		"item.successfully_placed": {made: 1, how: "item.successfully_placed"},
	}
	for _, eventType := range ordergroove.EventTypes() {
		t.Run(eventType, func(t *testing.T) {
			body, err := fs.ReadFile(testdata.Webhooks(), eventType+".json")
			if err != nil {
				t.Fatal(err)
			}
			inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
				// The recorded subscription is not there, so a look at it ends in attention: facts are what is tested.
				if _, err := b.db.Append(t.Context(), ordergroove.Delivery{
					Created: 1, ID: "e", Type: eventType, Received: time.Now().UnixMilli(), Body: body, Verdict: ordergroove.Accepted,
				}); err != nil {
					t.Fatal(err)
				}
				b.settled()
				pages, err := b.db.Subscriptions(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				expected, touches := want[eventType]
				if !touches {
					if len(pages) > 0 {
						t.Errorf("it enrolled %+v", pages)
					}
					if got := len(b.sim.Calls()); got > 0 {
						t.Errorf("it made %d calls", got)
					}
					return
				}
				if len(pages) != 1 || pages[0].Made != expected.made {
					t.Fatalf("pages = %+v, want one with %d shipments", pages, expected.made)
				}
				entries, err := b.db.Journal(t.Context(), pages[0].Subscription)
				if err != nil || len(entries) == 0 || entries[0].Reason != expected.how {
					t.Errorf("journal = %+v, %v; want it enrolled by %s", entries, err, expected.how)
				}
			})
		})
	}
}

// What else is said of a subscription that is enrolled.
func TestEventsOfAnEnrolledOne(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.gift()
		b.settled()
		file := func(id, eventType string, object map[string]any) {
			t.Helper()
			body, err := json.Marshal(map[string]any{"id": id, "type": eventType, "created": 1, "data": map[string]any{"object": object}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.db.Append(t.Context(), ordergroove.Delivery{
				Created: 1, ID: id, Type: eventType, Received: time.Now().UnixMilli(), Body: body, Verdict: ordergroove.Accepted,
			}); err != nil {
				t.Fatal(err)
			}
			b.settled()
		}
		tests := []struct {
			eventType string
			object    map[string]any
			reads     int
		}{
			{"subscription.change_quantity", map[string]any{"public_id": sub.ID, "product": "GIFT-3MO", "live": true}, 0},
			{"subscription.change_frequency", map[string]any{"public_id": sub.ID, "product": "GIFT-3MO", "live": true}, 0},
			{"subscription.create", map[string]any{"public_id": sub.ID, "product": "GIFT-3MO", "live": true}, 0},
			{"subscription.sku_swap", map[string]any{"public_id": sub.ID, "product": "OTHER", "live": true}, 1},
			{"subscription.reactivate", map[string]any{"public_id": sub.ID, "product": "GIFT-3MO", "live": true}, 1},
			{"subscription.change_live", map[string]any{"public_id": sub.ID, "product": "GIFT-3MO", "live": true}, 1},
			{"subscription.cancelled", map[string]any{"public_id": sub.ID, "product": "GIFT-3MO", "live": false}, 1},
			{"item.successfully_placed", map[string]any{"public_id": "i", "product": "GIFT-3MO", "order": "o", "subscription": nil}, 0},
			{"item.create", map[string]any{"public_id": "i", "product": "GIFT-3MO", "order": "o", "subscription": sub.ID}, 0},
			{"item.out_of_stock", map[string]any{"public_id": "i", "product": "GIFT-3MO", "order": "o", "subscription": sub.ID}, 0},
			// One subscription's two lines on one order are one shipment.
			{"item.successfully_placed", map[string]any{"public_id": "i", "product": "GIFT-3MO", "order": "o", "subscription": sub.ID}, 1},
			{"item.successfully_placed", map[string]any{"public_id": "j", "product": "GIFT-3MO", "order": "o", "subscription": sub.ID, "quantity": 5}, 0},
		}
		for i, test := range tests {
			before := b.calls("GET")
			file(string(rune('a'+i)), test.eventType, test.object)
			if got := b.calls("GET") - before; got != test.reads {
				t.Errorf("%s %v: %d reads, want %d", test.eventType, test.object, got, test.reads)
			}
		}
		if page := b.page(sub); page.Made != 1 || page.State != counter.Active {
			t.Errorf("page = %+v, want one shipment", page)
		}
	})
}
