package cancelapp_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove/sim"
)

// An order of the first run is announced while the subscription is out of its term; then it is back.
func TestOrderOfAnEarlierRunAnnouncedLate(t *testing.T) {
	for _, when := range []string{"while out", "after it is back"} {
		t.Run(when, func(t *testing.T) {
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				sub := b.Gift()
				b.Settle()
				time.Sleep(20 * time.Minute)
				late := b.PlaceLate(sub)
				time.Sleep(20 * time.Minute)
				swapTo("COFFEE")(t, b, sub)
				b.File()
				b.Settle()
				time.Sleep(20 * time.Minute)
				if when == "while out" {
					b.FileAll(late)
					b.Settle()
				}
				swapTo("GIFT-3MO")(t, b, sub)
				b.File()
				b.Settle()
				b.FileAll(late)
				b.Settle()
				wantCounter(t, b, sub, "2")
				logHistory(t, b, sub)
			})
		})
	}
}

// Swapped to a term that restarts while canceled early.
func TestSwapIntoARestartWhileCanceled(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Reload(func(term *counter.Term) { term.OnSwap = counter.Restart }, toOneEndpoint())
		sub := b.Gift()
		b.Settle()
		time.Sleep(20 * time.Minute)
		cancelEarly(t, b, sub)
		b.File()
		b.Settle()
		time.Sleep(20 * time.Minute)
		swapTo("SIX")(t, b, sub)
		b.File()
		b.Settle()
		reactivate(t, b, sub)
		b.File()
		b.Settle()
		for _, l := range outboxLines(t, b) {
			t.Log(l)
		}
		logHistory(t, b, sub)
		wantCounter(t, b, sub, "6")
	})
}

// Out and back while the release is being carried out.
func TestOutOfATermAndBackDuringTheRelease(t *testing.T) {
	for _, skew := range []time.Duration{0, -2 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			apptest.Run(t, sim.Options{Now: func() time.Time { return time.Now().Add(skew) }},
				func(t *testing.T, b *apptest.Bubble) {
					sub := b.Gift()
					b.Settle()
					time.Sleep(20 * time.Minute)
					b.Sim.Break(sim.Fault{Method: "PATCH", Times: 1, After: func() {
						_ = b.Sim.Swap(sub.ID, "GIFT-3MO")
						b.File()
						time.Sleep(2 * time.Second)
					}})
					swapTo("COFFEE")(t, b, sub)
					b.File()
					b.Settle()
					wantCounter(t, b, sub, "2")
					time.Sleep(time.Minute)
					b.Place(sub)
					b.Settle()
					wantCounter(t, b, sub, "1")
					time.Sleep(30 * time.Minute)
					b.Reconcile(reconcile.Scope{})
					logHistory(t, b, sub)
					wantCounter(t, b, sub, "1")
				})
		})
	}
}

// A prepaid subscription has ended, and is reactivated.
func TestPrepaidReactivatedShowsAgain(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.New(sim.NewSubscription{
			Product: "GIFT-3MO", Prepaid: json.RawMessage(`{"prepaid_orders_remaining":1,"renewal_behavior":"autorenew"}`),
		})
		b.File()
		b.Settle()
		b.Place(sub)
		b.Settle()
		for _, v := range sim.JudgePrepaid(b.Observed(sub), sub.ExtraData) {
			t.Error(v)
		}
		time.Sleep(20 * time.Minute)
		reactivate(t, b, sub)
		b.File()
		b.Settle()
		for _, v := range sim.JudgePrepaid(b.Observed(sub), sub.ExtraData) {
			t.Error(v)
		}
		t.Logf("%+v", b.Recorded(sub).Enrollment)
		logHistory(t, b, sub)
	})
}

// Shipment of an already running subscription announced during the sync of the one before; and completing.
func TestShipmentAnnouncedDuringASync(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Reload(func(*counter.Term) {}, toOneEndpoint())
		sub, first, second := twoLate(b)
		b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/update/", Times: 1, After: func() {
			b.FileAll(second)
			time.Sleep(3 * time.Second)
		}})
		b.FileAll(first)
		b.Settle()
		for _, l := range outboxLines(t, b) {
			t.Log(l)
		}
		logHistory(t, b, sub)
		b.JudgeGift(sub)
	})
}

// A shipment that is recorded after a sync has read the subscription, and before it writes, is in the next write of the
// same sync: nothing failed.
func TestShipmentRecordedBeforeAWrite(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub, first, second := twoLate(b)
		b.Sim.Break(sim.Fault{Method: "GET", Path: "/subscriptions/", Times: 1, After: func() {
			b.FileAll(second)
			time.Sleep(time.Second)
		}})
		b.FileAll(first)
		time.Sleep(1500 * time.Millisecond)
		b.JudgeGift(sub)
		if got := b.Recorded(sub); got.Attempts > 0 {
			t.Errorf("%d syncs failed", got.Attempts)
		}
	})
}

// twoLate is a gift both of whose recurring orders are placed, and not announced yet.
func twoLate(b *apptest.Bubble) (sub sim.Subscription, first, second []sim.Event) {
	sub = b.Gift()
	b.Settle()
	time.Sleep(20 * time.Minute)
	first = b.PlaceLate(sub)
	time.Sleep(20 * time.Minute)
	return sub, first, b.PlaceLate(sub)
}
