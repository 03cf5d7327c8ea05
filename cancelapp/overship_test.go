package cancelapp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// A complete subscription that cannot be ended goes before everything else, is retried most often, and is notified with
// the time that is left.
func TestOvershipAlert(t *testing.T) {
	t.Log("FAULT | a complete subscription cannot be canceled (500, then 400), with 200 others waiting | " +
		"I4: first in the queue, notified with the hours left, ended as soon as it can be")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		var notifications recorder
		b.Start(cancelapp.Options{Workers: 1, Rules: cancelapp.Rules{Messages: notifications.messages}})
		sub := b.Gift()
		b.Place(sub)
		b.Settle()
		for range 200 {
			b.Subscribe("SIX")
		}
		b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/cancel/", Status: 500, Subscription: sub.ID})
		b.Place(sub)
		if err := b.Sim.Reschedule(sub.ID, time.Now().Add(20*time.Hour)); err != nil {
			t.Fatal(err)
		}
		before := len(b.Sim.Calls())
		time.Sleep(10 * time.Minute)
		first := 0 // cancel, by its place among the calls
		cancels := 0
		for i, c := range b.Sim.Calls()[before:] {
			if c.Subscription == sub.ID && strings.HasSuffix(c.Path, "/cancel/") {
				if cancels++; cancels == 1 {
					first = i
				}
			}
		}
		if cancels < 20 {
			t.Errorf("%d attempts in ten minutes, want one each half a minute", cancels)
		}
		// The others need some 600 calls. How many were made before the event of its last order was reached is chance.
		if first > 150 {
			t.Errorf("its first cancel was call %d of those since; 200 others waited, want it before them", first)
		}
		made := notifications.ofType(counter.OvershipRisk)
		if len(made) != 1 {
			t.Fatalf("%d notifications of one order: %v", len(made), made)
		}
		left := time.Until(time.UnixMilli(made[0].Place)).Round(time.Hour)
		if n := made[0]; n.Subscription.ID != sub.ID || n.Order == "" || left != 20*time.Hour {
			t.Errorf("notification = %+v", n)
		}
		if o, err := b.DB.OvershipRisk(t.Context()); err != nil || o.Orders != 1 {
			t.Errorf("OvershipRisk = %+v, %v", o, err)
		}

		b.Sim.ClearFaults()
		b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/cancel/", Status: 400, Body: `{"detail":"Not now."}`})
		time.Sleep(30 * time.Minute)
		if got := b.Recorded(sub); got.State != counter.Attention || got.Reason == "" {
			t.Errorf("%s: %q; want attention", got.State, got.Reason)
		}
		b.Sim.ClearFaults()
		time.Sleep(6 * time.Minute) // the call is made again by itself
		b.JudgeGift(sub)
		if o, err := b.DB.OvershipRisk(t.Context()); err != nil || o != (store.Overship{}) {
			t.Errorf("OvershipRisk = %+v, %v; want none anymore", o, err)
		}
		if got := b.Journal(sub); !strings.Contains(got, "would be one too many") {
			t.Errorf("the journal lacks the order that would be one too many:\n%s", got)
		}
		b.Stop()
	})
}
