package reconcile_test

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
)

// A database that was brought back from a copy is recounted at once, also where nothing is compared by itself. Until
// that has succeeded nothing is changed.
func TestRestored(t *testing.T) {
	t.Log("FAULT | a database is brought back from a copy, and Ordergroove's lists fail at first | " +
		"nothing is changed before all subscriptions were recounted; then every counter is right")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		subs := []sim.Subscription{b.Subscribe("SIX"), b.Subscribe("SIX"), b.Subscribe("SIX")}
		b.Settle()
		b.Stop()
		if err := b.DB.MarkRestored(t.Context(), ledger.Pause{Since: b.Clock.Now().UnixMilli(), Actor: "ruth"}); err != nil {
			t.Fatal(err)
		}
		b.PlaceUnannounced(subs[0], subs[1])
		before := b.Observed(subs[0]).Writes
		b.Sim.Break(sim.Fault{Method: "GET", Path: "/orders/", WholePath: true, Status: 503})
		b.Start(cancelapp.Options{Idle: time.Minute})
		b.Place(subs[0])
		time.Sleep(10 * time.Minute)
		if after := b.Observed(subs[0]).Writes; after != before {
			t.Errorf("%d counters were written before the recount", after-before)
		}
		b.Sim.ClearFaults()
		b.RightWithin(30*time.Minute, 5, subs...)
	})
}

// What termed itself wrote since the copy was made is not taken for somebody's edit, whether orders placed since then
// are known or not; what somebody else wrote is adopted.
func TestRestoredCounters(t *testing.T) {
	t.Log("FAULT | a database is brought back from a copy; since then counters were written, orders lost, and one " +
		"counter edited | I2: every counter is right, and the edit is adopted")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		counted, lost := b.Subscribe("SIX"), b.Subscribe("SIX")
		edited := b.Subscribe("SIX")
		b.Place(counted, lost, edited)
		b.Settle()
		copied := filepath.Join(t.TempDir(), "copy.db")
		if err := b.DB.Backup(t.Context(), copied, b.Clock.Now().UnixMilli()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			b.Place(counted)
			b.Place(lost)
			b.Place(edited)
			b.Settle()
		}
		if err := b.Sim.Edit(edited.ID, json.RawMessage(`{"fulfillment_counter":"6","termed":"true"}`)); err != nil {
			t.Fatal(err)
		}
		b.Restore(copied)
		b.PlaceUnannounced(lost)
		b.Start(cancelapp.Options{Idle: time.Minute})
		b.Place(counted)
		b.RightWithin(10*time.Minute, 5, counted, lost)
		if counter, _ := b.Observed(edited).Counter(); counter != "6" {
			t.Errorf("the edit is %s by now, want 6", counter)
		}
	})
}
