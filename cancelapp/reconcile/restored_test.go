package reconcile_test

import (
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
