package cancelapp_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove/sim"
)

// logHistory logs what became of a subscription, for whoever reads a failure.
func logHistory(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
	t.Helper()
	e, s := history(t, b, sub)
	now := b.Observed(sub)
	c, h := now.Counter()
	t.Logf("history %q shipments %v counter %s hide %v live %v cancels %d sku %s",
		e, s, c, h, now.Live, now.Cancels, now.Product)
	t.Log("\n" + b.Journal(sub))
}

// A subscription whose term ended by release goes on as GIFT; months later it becomes SIX.
func TestReleasedAtTheEndThenSwappedIntoAnotherTerm(t *testing.T) {
	for _, how := range []string{"on_complete", "operator"} {
		t.Run(how, func(t *testing.T) {
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				if how == "on_complete" {
					b.Reload(func(term *counter.Term) { term.OnComplete = counter.ReleaseAtEnd }, nil)
				}
				sub := b.Gift()
				b.Settle()
				for range 2 {
					time.Sleep(20 * time.Minute)
					b.Place(sub)
					b.Settle()
				}
				if how == "operator" {
					return
				}
				for range 5 { // unmanaged
					time.Sleep(20 * time.Minute)
					b.Place(sub)
					b.Settle()
				}
				time.Sleep(20 * time.Minute)
				b.Reload(func(term *counter.Term) { term.OnComplete = counter.CancelAtEnd }, nil)
				swapTo("SIX")(t, b, sub)
				b.File()
				b.Settle()
				wantCounter(t, b, sub, "5")
				if now := b.Observed(sub); !now.Live {
					t.Errorf("canceled at once")
				}
				logHistory(t, b, sub)
			})
		})
	}
}

func TestReleasedByAnOperatorThenSwappedIntoAnotherTerm(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		time.Sleep(20 * time.Minute)
		b.Edit(sub, counter.Release)
		b.Settle()
		for range 5 { // unmanaged
			time.Sleep(20 * time.Minute)
			b.Place(sub)
			b.Settle()
		}
		time.Sleep(20 * time.Minute)
		swapTo("SIX")(t, b, sub)
		b.File()
		b.Settle()
		wantCounter(t, b, sub, "5")
		if now := b.Observed(sub); !now.Live {
			t.Errorf("canceled at once")
		}
		logHistory(t, b, sub)
	})
}

// A lost, B announced, to untermed and back.
func TestOrderOfAnEarlierRunFoundLate(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		setLength(4)(t, b, sub)
		b.Settle()
		time.Sleep(20 * time.Minute)
		b.PlaceUnannounced(sub)
		time.Sleep(20 * time.Minute)
		b.Place(sub)
		b.Settle()
		time.Sleep(20 * time.Minute)
		swapTo("COFFEE")(t, b, sub)
		b.File()
		b.Settle()
		time.Sleep(20 * time.Minute)
		swapTo("GIFT-3MO")(t, b, sub)
		b.File()
		b.Settle()
		wantCounter(t, b, sub, "2")
		if now := b.Observed(sub); !now.Live {
			t.Errorf("canceled at once")
		}
		logHistory(t, b, sub)
	})
}

// Extended by one after the end, reactivated, and the order placed before the sync.
func TestExtendedAfterTheEndAndPlacedBeforeTheSync(t *testing.T) {
	for _, policy := range []counter.OnReactivation{counter.Block, counter.NewTerm, counter.ReleaseReactivation} {
		t.Run(string(policy), func(t *testing.T) {
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				b.Reload(func(term *counter.Term) { term.OnReactivation = policy }, toOneEndpoint())
				sub := b.Gift()
				b.Settle()
				for range 2 {
					time.Sleep(20 * time.Minute)
					b.Place(sub)
					b.Settle()
				}
				time.Sleep(20 * time.Minute)
				setLength(4)(t, b, sub)
				b.Settle()
				reactivate(t, b, sub)
				b.Sim.Take() // its webhook is lost
				time.Sleep(20 * time.Minute)
				b.Place(sub)
				b.Settle()
				wantHistory(t, b, sub, []string{"1 Gift by subscription.create: completed, 4 of 4, closed as completed"},
					[]int{1, 1, 1})
				t.Log(outboxLines(t, b))
				logHistory(t, b, sub)
			})
		})
	}
}

// Reconcile's opening lands on the next enrollment.
func TestReconcileDuringARestart(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Reload(func(term *counter.Term) { term.OnSwap = counter.Restart }, nil)
		sub := b.SubscribeSilently(1, "GIFT-3MO")[0]
		time.Sleep(20 * time.Minute)
		b.Place(sub) // enrolls it
		b.Settle()
		wantCounter(t, b, sub, "1")
		time.Sleep(20 * time.Minute)
		swapTo("SIX")(t, b, sub)
		swap := b.Sim.Take()
		// while a reconciliation asks for its placed orders, the webhook of the swap arrives and is synced
		var once bool
		b.Sim.Break(sim.Fault{Method: "GET", Path: "/items/", Times: 1, After: func() {
			if once {
				return
			}
			once = true
			b.FileAll(swap)
			time.Sleep(20 * time.Second)
		}})
		b.Reconcile(reconcile.Scope{})
		if !once {
			t.Fatal("hook not run")
		}
		wantCounter(t, b, sub, "6")
		logHistory(t, b, sub)
		time.Sleep(20 * time.Minute)
		b.Place(sub)
		b.Settle()
		wantCounter(t, b, sub, "5")
		logHistory(t, b, sub)
	})
}

// Creation arrives while the first sync asks for orders.
func TestCreationArrivesDuringARecount(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.New(sim.NewSubscription{Product: "GIFT-3MO"})
		creation := b.Sim.Take()
		time.Sleep(20 * time.Minute)
		if err := b.Sim.SwapOnce(sub.ID, "COFFEE"); err != nil {
			t.Fatal(err)
		}
		b.Place(sub)
		time.Sleep(20 * time.Minute)
		done := false
		b.Sim.Break(sim.Fault{Method: "GET", Path: "/orders/", Times: 1, After: func() {
			done = true
			b.FileAll(creation)
			time.Sleep(2 * time.Second)
		}})
		b.Place(sub)
		b.Settle()
		b.Sim.ClearFaults()
		b.Reconcile(reconcile.Scope{Recount: true})
		if !done {
			t.Fatal("hook not run")
		}
		logHistory(t, b, sub)
		b.JudgeGift(sub)
	})
}

// A release that could not be done yet, and a swap to a term that restarts.
func TestPendingReleaseOutlivesASwap(t *testing.T) {
	for _, onSwap := range []counter.OnSwap{counter.KeepShipments, counter.Restart} {
		t.Run(string(onSwap), func(t *testing.T) {
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				b.Reload(func(term *counter.Term) { term.OnSwap = onSwap }, nil)
				sub := b.Gift()
				b.Settle()
				b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/update/", Status: 400, Body: `{"detail":"Not now."}`})
				b.Edit(sub, counter.Release)
				b.Settle()
				b.Sim.ClearFaults()
				swapTo("SIX")(t, b, sub)
				b.File()
				b.Settle()
				if got := b.Recorded(sub); got.State != counter.Released {
					t.Errorf("%s, want released", got.State)
				}
				logHistory(t, b, sub)
			})
		})
	}
}

// Clocks.
func TestClockOfOrdergrooveBehind(t *testing.T) {
	for _, skew := range []time.Duration{-10 * time.Minute, -2 * time.Minute, 10 * time.Minute} {
		now := func() time.Time { return time.Now().Add(skew) }
		t.Run("reconciled "+skew.String(), func(t *testing.T) {
			apptest.Run(t, sim.Options{Now: now}, func(t *testing.T, b *apptest.Bubble) {
				sub := b.SubscribeSilently(1, "GIFT-3MO")[0]
				b.Reconcile(reconcile.Scope{})
				wantCounter(t, b, sub, "2")
				time.Sleep(time.Minute)
				b.Place(sub)
				b.Settle()
				wantCounter(t, b, sub, "1")
				time.Sleep(30 * time.Minute)
				b.Reconcile(reconcile.Scope{})
				wantCounter(t, b, sub, "1")
				logHistory(t, b, sub)
			})
		})
		t.Run("restart "+skew.String(), func(t *testing.T) {
			apptest.Run(t, sim.Options{Now: now}, func(t *testing.T, b *apptest.Bubble) {
				b.Reload(func(term *counter.Term) { term.OnSwap = counter.Restart }, nil)
				sub := b.Gift()
				b.Settle()
				time.Sleep(20 * time.Minute)
				swapTo("SIX")(t, b, sub)
				b.File()
				b.Settle()
				wantCounter(t, b, sub, "6")
				time.Sleep(time.Minute)
				b.Place(sub)
				b.Settle()
				wantCounter(t, b, sub, "5")
				logHistory(t, b, sub)
			})
		})
		t.Run("out and back "+skew.String(), func(t *testing.T) {
			apptest.Run(t, sim.Options{Now: now}, func(t *testing.T, b *apptest.Bubble) {
				sub := b.Gift()
				b.Settle()
				time.Sleep(20 * time.Minute)
				swapTo("COFFEE")(t, b, sub)
				b.File()
				b.Settle()
				time.Sleep(time.Minute)
				swapTo("GIFT-3MO")(t, b, sub)
				b.File()
				b.Settle()
				wantCounter(t, b, sub, "2")
				time.Sleep(time.Minute)
				b.Place(sub)
				b.Settle()
				wantCounter(t, b, sub, "1")
				logHistory(t, b, sub)
			})
		})
	}
}

// A second order is announced while the first sync is in progress.
func TestShipmentAnnouncedDuringTheFirstSync(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Reload(func(*counter.Term) {}, toOneEndpoint())
		sub := b.New(sim.NewSubscription{Product: "SIX"})
		creation := b.Sim.Take()
		time.Sleep(20 * time.Minute)
		first := b.PlaceLate(sub)
		time.Sleep(20 * time.Minute)
		second := b.PlaceLate(sub)
		b.Sim.Break(sim.Fault{Method: "GET", Path: "/items/", Status: http.StatusOK, Body: `{"next":null,"results":[]}`})
		b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/update/", Times: 1, After: func() {
			b.FileAll(second)
			time.Sleep(3 * time.Second)
		}})
		b.FileAll(first)
		b.FileAll(creation)
		b.Settle()
		for _, l := range outboxLines(t, b) {
			t.Log(l)
		}
		logHistory(t, b, sub)
		b.Judge(sub, 5)
		want := []string{
			"term.started Program active 3 of 6", "term.shipment Program active 3 of 6: shipment 2",
			"term.shipment Program active 3 of 6: shipment 3",
		}
		if got := outboxLines(t, b); len(got) != 3 || got[1][len(got[1])-1] != '2' {
			t.Errorf("notifications %q, want as in %q", got, want)
		}
	})
}
