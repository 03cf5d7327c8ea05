package reconcile_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
)

// A dry run changes nothing, neither at Ordergroove nor in the database, and says what a real one then does.
func TestReconcileDryRun(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		known := b.Subscribe("SIX")
		b.Settle()
		unknown := b.SubscribeSilently(2, "GIFT-3MO")
		b.PlaceUnannounced(known, unknown[0], unknown[0], unknown[1])
		if err := b.Sim.Edit(known.ID, json.RawMessage(`{"mine":1.10,"fulfillment_counter":"8"}`)); err != nil {
			t.Fatal(err)
		}
		dry := b.Reconcile(reconcile.Scope{DryRun: true})
		if b.Calls(http.MethodPatch) != 1 || len(dry.Findings) != 3 {
			t.Fatalf("%d changes, found %+v; want only the one from before, and 3 found",
				b.Calls(http.MethodPatch), dry.Findings)
		}
		subs, err := b.DB.Subscriptions(t.Context(), "")
		if err != nil || len(subs) != 1 || subs[0].Placed.Orders != 0 {
			t.Errorf("recorded = %+v, %v; want it as it was", subs, err)
		}
		b.Reconcile(reconcile.Scope{})
		for _, f := range dry.Findings {
			wantAsDryRun(t, b, f, nil)
		}
	})
}

// A dry run comes to the outcome of the real one where a counter was there before us: whether an order counts as
// announced decides what that counter means, and an order that only reconciling finds is not announced.
func TestReconcileDryRunOfCountersBeforeUs(t *testing.T) {
	type placed struct{ announced, unannounced int }
	tests := []struct {
		name    string
		counter string
		first   placed // in an enrollment that was released since; none: there was none
		orders  placed // since
	}{
		{"orders not announced", `"5"`, placed{}, placed{0, 1}},
		{"orders not announced, and counted", `"3"`, placed{}, placed{0, 2}},
		{"more than due", `"9"`, placed{}, placed{0, 1}},
		{"enrolled again, no order since", `"5"`, placed{2, 0}, placed{}},
		{"enrolled again, orders not announced", `"5"`, placed{2, 0}, placed{0, 1}},
		{"enrolled again, one order of the first enrollment not announced", `"5"`, placed{1, 1}, placed{0, 1}},
		{"enrolled again, an order announced", `"5"`, placed{2, 0}, placed{1, 0}},
		{"enrolled again, one of two orders announced", `"4"`, placed{2, 0}, placed{1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				place := func(sub sim.Subscription, orders placed) {
					for range orders.announced {
						b.Place(sub)
						time.Sleep(10 * time.Minute)
					}
					for range orders.unannounced {
						b.PlaceUnannounced(sub)
						time.Sleep(10 * time.Minute)
					}
				}
				var sub sim.Subscription
				if test.first == (placed{}) {
					sub = b.SubscribeSilently(1, "SIX")[0]
				} else {
					sub = b.Subscribe("SIX")
					b.Settle()
					place(sub, test.first)
					b.Settle()
					b.Reconcile(reconcile.Scope{})
					swap(t, b, sub, "COFFEE")
					b.File()
					b.Settle()
					swap(t, b, sub, "SIX")
					b.Sim.Take() // is not announced
				}
				data := json.RawMessage(`{"mine":1.10,"fulfillment_counter":` + test.counter + `,"termed":"true"}`)
				if err := b.Sim.Edit(sub.ID, data); err != nil {
					t.Fatal(err)
				}
				// An event that comes between the dry run and the real one would be news: it is here before both, and ignored, as
				// it is of a subscription that is not ours, or not anymore.
				place(sub, test.orders)
				b.Settle()
				before := len(b.Entries(sub))
				dry := b.Reconcile(reconcile.Scope{DryRun: true})
				if len(dry.Findings) != 1 {
					t.Fatalf("found %+v, want the one", dry.Findings)
				}
				b.Reconcile(reconcile.Scope{})
				wantAsDryRun(t, b, dry.Findings[0], b.Entries(sub)[before:])
			})
		})
	}
}

func swap(t *testing.T, b *apptest.Bubble, sub sim.Subscription, sku string) {
	t.Helper()
	if err := b.Sim.Swap(sub.ID, sku); err != nil {
		t.Fatal(err)
	}
}

// wantAsDryRun compares a subscription, and what the journal says of it since, with what a dry run said. What facts are
// recorded is no part of a dry run.
func wantAsDryRun(t *testing.T, b *apptest.Bubble, f reconcile.Finding, journal []ledger.JournalEntry) {
	t.Helper()
	got := b.Recorded(sim.Subscription{ID: f.Subscription})
	if got.State != f.After.State || got.Progress() != f.After.Progress() {
		t.Errorf("%s: it is %s, %s; the dry run said %s, %s",
			f.Subscription, got.State, got.Progress(), f.After.State, f.After.Progress())
	}
	if got.Number != f.After.Number || got.Adjustment != f.After.Adjustment || got.Remaining() != f.After.Remaining() {
		t.Errorf("%s: enrollment %d, adjusted by %d, %d remaining; the dry run said %d, %d, %d", f.Subscription,
			got.Number, got.Adjustment, got.Remaining(), f.After.Number, f.After.Adjustment, f.After.Remaining())
	}
	gotPlaced, wantPlaced := got.Placed, f.After.Placed
	if gotPlaced.Orders != wantPlaced.Orders || gotPlaced.ByWebhook != wantPlaced.ByWebhook {
		t.Errorf("%s: orders placed are %+v; the dry run said %+v", f.Subscription, gotPlaced, wantPlaced)
	}
	if !slices.Equal(got.CountersSent, f.After.CountersSent) {
		t.Errorf("%s: counters sent %v; the dry run said %v", f.Subscription, got.CountersSent, f.After.CountersSent)
	}
	if journal == nil {
		return
	}
	did := apptest.Text(withoutFacts(journal))
	if said := apptest.Text(withoutFacts(f.Would)); did != said {
		t.Errorf("the journal has\n%sthe dry run said\n%s", did, said)
	}
}

func withoutFacts(journal []ledger.JournalEntry) []ledger.JournalEntry {
	return slices.DeleteFunc(slices.Clone(journal), func(e ledger.JournalEntry) bool {
		return e.What == "enrolled" || e.What == "shipment" || e.What == "excluded"
	})
}
