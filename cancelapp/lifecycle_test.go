package cancelapp_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove/sim"
)

// A release that Ordergroove refuses for now is not forgotten: once it can be done, it is.
func TestReleaseRefused(t *testing.T) {
	t.Log("FAULT | Ordergroove refuses (400) to remove our keys from a released subscription | " +
		"I3 I7: needs attention, and released as soon as it can be")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/update/", Status: 400, Body: `{"detail":"Not now."}`})
		b.Edit(sub, counter.Release)
		b.Settle()
		if got := b.Recorded(sub); got.State != counter.Attention || !got.IsReleasing() || got.ClosedAt != 0 {
			t.Errorf("%s, closed as %q at %d; want attention, and the release pending", got.State, got.ClosedAs, got.ClosedAt)
		}
		b.Sim.ClearFaults()
		b.Retry(sub)
		b.Settle()
		got := b.Recorded(sub)
		if got.State != counter.Released || got.ClosedAs != counter.ClosedReleased || got.ClosedAt == 0 {
			t.Errorf("%s, closed as %q at %d; want it released", got.State, got.ClosedAs, got.ClosedAt)
		}
		if data := b.Observed(sub).ExtraData; string(data) != `{"mine":1.10}` {
			t.Errorf("extra_data is %s, want it without our keys", data)
		}
	})
}

// history returns a line for each enrollment that a subscription has had, and for each shipment the number of its
// enrollment, in the order of their placing.
func history(t *testing.T, b *apptest.Bubble, sub sim.Subscription) (enrollments []string, shipments []int) {
	t.Helper()
	all, err := b.DB.Enrollments(t.Context(), sub.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		s := counter.Subscription{Enrollment: e}
		line := fmt.Sprintf("%d %s by %s: %s, %s", e.Number, e.Term, e.OpenedBy, e.State, s.Progress())
		if e.ClosedAt != 0 {
			line += fmt.Sprintf(", closed as %s", e.ClosedAs)
		}
		enrollments = append(enrollments, line)
	}
	placed, err := b.DB.Shipments(t.Context(), sub.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range placed {
		shipments = append(shipments, s.Enrollment)
	}
	return enrollments, shipments
}

func wantHistory(t *testing.T, b *apptest.Bubble, sub sim.Subscription, enrollments []string, shipments []int) {
	t.Helper()
	gotEnrollments, gotShipments := history(t, b, sub)
	if diff := cmp.Diff(enrollments, gotEnrollments); diff != "" {
		t.Errorf("enrollments (-want +got):\n%s", diff)
	}
	if !slices.Equal(gotShipments, shipments) {
		t.Errorf("the shipments are of the enrollments %v, want %v", gotShipments, shipments)
	}
}

func wantCounter(t *testing.T, b *apptest.Bubble, sub sim.Subscription, want string) {
	t.Helper()
	if got, _ := b.Observed(sub).Counter(); got != want {
		t.Errorf("the counter is %s, want %s", got, want)
	}
}

// wantNotifiedOnce checks that each placed order of a subscription was notified exactly once.
func wantNotifiedOnce(t *testing.T, made []counter.Notification, orders int) {
	t.Helper()
	times := map[string]int{}
	for _, n := range made {
		times[n.Order]++
	}
	for order, n := range times {
		if n != 1 {
			t.Errorf("order %s was notified %d times", order, n)
		}
	}
	if len(times) != orders {
		t.Errorf("%d orders were notified, want %d", len(times), orders)
	}
}

// A term that renews: each run is an enrollment of its own, with its own shipments, even where orders of two runs are
// announced together, late, or in the wrong order.
func TestRenewedTerm(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Reload(func(term *counter.Term) { term.OnComplete = counter.RenewAtEnd }, toOneEndpoint())
		sub := b.Gift()
		b.Settle()
		b.Place(sub)
		b.Settle()
		wantHistory(t, b, sub, []string{"1 Gift by subscription.create: active, 2 of 3"}, []int{1})

		// The last order of the first run and the first of the second are announced together, the later one first: both
		// are recorded while the first call waits for its answer.
		b.Stop()
		last := b.PlaceLate(sub)
		time.Sleep(time.Minute)
		b.Place(sub)
		b.FileAll(last)
		b.Sim.Break(sim.Fault{Times: 1, Subscription: sub.ID, Delay: time.Second, OnlyDelay: true})
		b.Start(cancelapp.Options{Rules: b.App.Rules()})
		b.Settle()
		wantHistory(t, b, sub, []string{
			"1 Gift by subscription.create: completed, 3 of 3, closed as completed",
			"2 Gift by renewal: active, 1 of 3",
		}, []int{1, 1, 2})
		wantCounter(t, b, sub, "2")

		late := b.PlaceLate(sub)
		time.Sleep(time.Hour)
		b.Place(sub)
		b.Settle()
		wantCounter(t, b, sub, "1")
		b.FileAll(late)
		b.Settle()
		wantHistory(t, b, sub, []string{
			"1 Gift by subscription.create: completed, 3 of 3, closed as completed",
			"2 Gift by renewal: completed, 3 of 3, closed as completed",
			"3 Gift by renewal: active, 0 of 3",
		}, []int{1, 1, 2, 2, 2})
		wantCounter(t, b, sub, "3")
		if now := b.Observed(sub); !now.Live || now.Cancels != 0 {
			t.Errorf("live %v after %d cancels, want it to continue", now.Live, now.Cancels)
		}
		want := []string{
			"term.started Gift active 1 of 3",
			"term.shipment Gift active 2 of 3: shipment 2",
			"term.last_shipment_next Gift active 2 of 3",
			"term.shipment Gift completed 3 of 3: shipment 3",
			"term.completed Gift completed 3 of 3",
			"term.started Gift active 1 of 3",
			"term.shipment Gift active 1 of 3: shipment 1",
			"term.shipment Gift active 2 of 3: shipment 2",
			"term.last_shipment_next Gift active 2 of 3",
			"term.shipment Gift completed 3 of 3: shipment 3",
			"term.completed Gift completed 3 of 3",
			"term.started Gift active 0 of 3",
		}
		if diff := cmp.Diff(want, outboxLines(t, b)); diff != "" {
			t.Errorf("notifications (-want +got):\n%s", diff)
		}
	})
}

// A term that restarts when the product is swapped: an order of the first run never decrements the second run's
// counter, however late it is announced, and whether the swap's own recount finds it or not.
func TestRestartedTerm(t *testing.T) {
	tests := []struct {
		name   string
		found  bool // by the recount, when the product is swapped
		during bool // announced after the second run has had an order
	}{
		{"found by the recount", true, false},
		{"found by the recount, announced during the second run", true, true},
		{"announced before the second run has an order", false, false},
		{"announced during the second run", false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Logf("FAULT | an order of a term is announced after the term was restarted: %s | I2: it counts for the first run",
				test.name)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				var notifications recorder
				b.Reload(func(term *counter.Term) { term.OnSwap = counter.Restart }, notifications.messages)
				sub := b.Gift()
				b.Settle()
				time.Sleep(10 * time.Minute)
				late := b.PlaceLate(sub)
				time.Sleep(10 * time.Minute)
				if !test.found {
					b.Sim.Break(sim.Fault{Path: "/items/", Status: http.StatusOK, Body: `{"next":null,"results":[]}`})
				}
				swapTo("SIX")(t, b, sub)
				b.File()
				b.Settle()
				b.Sim.ClearFaults()
				wantCounter(t, b, sub, "6")
				time.Sleep(10 * time.Minute)

				if !test.during {
					b.FileAll(late)
					b.Settle()
					wantCounter(t, b, sub, "6")
				}
				b.Place(sub)
				b.Settle()
				wantCounter(t, b, sub, "5")
				b.FileAll(late)
				b.Settle()
				wantCounter(t, b, sub, "5")
				wantHistory(t, b, sub, []string{
					"1 Gift by subscription.create: active, 2 of 3, closed as swapped",
					"2 Program by restart: active, 1 of 6",
				}, []int{1, 2})

				for range 5 {
					time.Sleep(10 * time.Minute)
					b.Place(sub)
					b.Settle()
				}
				wantHistory(t, b, sub, []string{
					"1 Gift by subscription.create: active, 2 of 3, closed as swapped",
					"2 Program by restart: completed, 6 of 6, closed as completed",
				}, []int{1, 2, 2, 2, 2, 2, 2})
				now := b.Observed(sub)
				now.Placed-- // of the first run
				for _, violation := range sim.Judge(now, 6, sub.ExtraData) {
					t.Error(violation)
				}
				wantNotifiedOnce(t, notifications.ofType(counter.TermShipment), 7)
				if n := len(notifications.ofType(counter.TermStarted)); n != 2 {
					t.Errorf("%d starts were notified, want one for each run", n)
				}
				if n := len(notifications.ofType(counter.TermCompleted)); n != 1 {
					t.Errorf("%d ends were notified, want that of the second run", n)
				}
			})
		})
	}
}

// A release is an operator's word: news from before it, however late it comes, puts nothing back. News from after it
// may.
func TestLateNewsAfterARelease(t *testing.T) {
	for _, test := range []struct {
		name string
		late bool // what is told of the swap comes after the release
		want string
	}{
		{"swapped and swapped back before it", true, "released"},
		{"swapped after it", false, "active"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Logf("FAULT | the webhook of a swap arrives after an operator's release; %s | I3 I7: %s", test.name, test.want)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				sub := b.Gift()
				b.Settle()
				b.Place(sub)
				b.Settle()
				time.Sleep(20 * time.Minute)
				swap := func() []sim.Event {
					swapTo("SIX")(t, b, sub)
					return b.Sim.Take()
				}
				var news []sim.Event
				if test.late {
					news = swap()
					time.Sleep(20 * time.Minute)
					swapTo("GIFT-3MO")(t, b, sub)
					b.File()
					b.Settle()
				}
				b.Edit(sub, counter.Release)
				b.Settle()
				time.Sleep(20 * time.Minute)
				if !test.late {
					news = swap()
				}
				b.FileAll(news)
				b.Settle()
				if got := b.Recorded(sub).State; string(got) != test.want {
					t.Errorf("it is %s, want %s\n%s", got, test.want, b.Journal(sub))
				}
				if !test.late {
					wantCounter(t, b, sub, "5")
					return
				}
				wantCounter(t, b, sub, "")
				// It is as released as before: what comes next finds it so.
				b.FileAll(news)
				b.Place(sub)
				b.Reconcile(reconcile.Scope{})
				b.Settle()
				if got := b.Recorded(sub).State; got != counter.Released {
					t.Errorf("it is %s, want released\n%s", got, b.Journal(sub))
				}
				wantCounter(t, b, sub, "")
			})
		})
	}
}

// A subscription that somebody canceled early and somebody reactivates continues the same enrollment: it was closed,
// and is open again.
func TestReactivationAfterEarlyCancel(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.App.Reload(cancelapp.Rules{Terms: b.Terms, Messages: toOneEndpoint()})
		sub := b.Gift()
		b.Settle()
		b.Place(sub)
		b.Settle()
		opened := b.Recorded(sub).OpenedAt
		cancelEarly(t, b, sub)
		b.File()
		b.Settle()
		ended := []string{"1 Gift by subscription.create: ended, 2 of 3, closed as canceled"}
		wantHistory(t, b, sub, ended, []int{1})
		reactivate(t, b, sub)
		b.File()
		b.Settle()
		wantHistory(t, b, sub, []string{"1 Gift by subscription.create: active, 2 of 3"}, []int{1})
		if got := b.Recorded(sub); got.ClosedAs != "" || got.ClosedAt != 0 || got.OpenedAt != opened || got.Reason != "" {
			t.Errorf("enrollment = %+v, want it open as before", got.Enrollment)
		}
		b.Place(sub)
		b.Settle()
		wantHistory(t, b, sub, []string{
			"1 Gift by subscription.create: completed, 3 of 3, closed as completed",
		}, []int{1, 1})
		b.JudgeGift(sub)
		want := []string{
			"term.started Gift active 1 of 3",
			"term.shipment Gift active 2 of 3: shipment 2",
			"term.last_shipment_next Gift active 2 of 3",
			"term.ended Gift ended 2 of 3",
			"term.shipment Gift completed 3 of 3: shipment 3",
			"term.completed Gift completed 3 of 3",
		}
		if diff := cmp.Diff(want, outboxLines(t, b)); diff != "" {
			t.Errorf("notifications (-want +got):\n%s", diff)
		}
	})
}

// A length set after the end: the same enrollment waits for a reactivation, and continues with it.
func TestLengthSetAfterEnd(t *testing.T) {
	for _, policy := range []counter.OnReactivation{counter.Block, counter.NewTerm, counter.ReleaseReactivation} {
		t.Run(string(policy), func(t *testing.T) {
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				b.Reload(func(term *counter.Term) { term.OnReactivation = policy }, nil)
				sub := b.Gift()
				b.Settle()
				for range 2 {
					b.Place(sub)
					b.Settle()
				}
				b.JudgeGift(sub)
				time.Sleep(time.Hour)
				setLength(5)(t, b, sub)
				b.Settle()
				got := b.Recorded(sub)
				if got.State != counter.Ended || got.ClosedAs != counter.ClosedCompleted || got.Remaining() != 2 {
					t.Errorf("%s, closed as %q, %d remaining; want it to wait", got.State, got.ClosedAs, got.Remaining())
				}
				if left, hidden := b.Observed(sub).Counter(); left != "2" || hidden {
					t.Errorf("counter %s, hidden %v; want it to be open to a reactivation", left, hidden)
				}
				reactivate(t, b, sub)
				b.File()
				b.Settle()
				wantHistory(t, b, sub, []string{"1 Gift by subscription.create: active, 3 of 5"}, []int{1, 1})
				if got := b.Recorded(sub); got.ClosedAs != "" || got.ClosedAt != 0 {
					t.Errorf("closed as %q at %d, want it open", got.ClosedAs, got.ClosedAt)
				}
				for range 2 {
					b.Place(sub)
					b.Settle()
				}
				wantHistory(t, b, sub, []string{
					"1 Gift by subscription.create: completed, 5 of 5, closed as completed",
				}, []int{1, 1, 1, 1})
				now := b.Observed(sub)
				now.Cancels-- // the first end
				for _, violation := range sim.Judge(now, 4, sub.ExtraData) {
					t.Error(violation)
				}
			})
		})
	}
}

// Orders of a subscription whose creation was never announced are announced in the wrong order: all count, whichever
// enrolls it.
func TestOrdersAnnouncedInWrongOrder(t *testing.T) {
	t.Log("FAULT | two orders of a subscription made in the Admin are announced, the later one first | I2: both count")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Sim.Break(sim.Fault{Method: "GET", Status: http.StatusServiceUnavailable}) // nothing is synced meanwhile
		sub := b.SubscribeSilently(1, "SIX")[0]
		first := b.PlaceLate(sub)
		time.Sleep(10 * time.Minute)
		b.Place(sub)
		time.Sleep(10 * time.Second)
		b.FileAll(first)
		time.Sleep(10 * time.Second)
		b.Sim.ClearFaults()
		b.Settle()
		b.Judge(sub, 5)
	})
}
