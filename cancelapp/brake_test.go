package cancelapp_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
)

// evergreens are subscriptions with orders, none of them announced.
func evergreens(b *apptest.Bubble, n, orders int) []sim.Subscription {
	subs := b.SubscribeSilently(n, "GIFT-3MO")
	for range orders {
		b.PlaceUnannounced(subs...)
	}
	return subs
}

// listNow puts the SKUs in force now, as a service does when it reads its configuration.
func listNow(t *testing.T, b *apptest.Bubble, change func(*cancelapp.Rules)) {
	t.Helper()
	time.Sleep(time.Minute)
	listed, err := b.DB.ListSKUs(t.Context(), b.Terms.SKUs(), time.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	rules := cancelapp.Rules{Terms: b.Terms, Listed: listed}
	if change != nil {
		change(&rules)
	}
	b.App.Reload(rules)
	time.Sleep(time.Minute)
}

// A product that has long been running is listed by mistake: its subscriptions are counted, nothing is written to them,
// and nobody's is ended until a person approves it. What is created later ends as always.
func TestListedByMistake(t *testing.T) {
	t.Log("FAULT | an evergreen SKU of 60 running subscriptions is listed by mistake | I4: nothing is written and" +
		" nothing ends before a person approves it; what is created later ends as always")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		var mu sync.Mutex
		var said []counter.Notification
		full, fresh := evergreens(b, 41, 4), evergreens(b, 19, 1)
		b.Stop()
		b.Start(cancelapp.Options{})
		listNow(t, b, func(r *cancelapp.Rules) {
			r.Messages = func(n counter.Notification) []ledger.Message {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, n)
				return nil
			}
		})
		b.Reconcile(reconcile.Scope{})
		later, byAgent := b.Gift(), b.SubscribeSilently(1, "GIFT-3MO")[0]
		b.Place(later, byAgent)
		b.Place(later, byAgent)
		b.Settle()
		for _, sub := range slices.Concat(full, fresh) {
			if now := b.Observed(sub); !now.Live || now.Writes != 0 {
				t.Fatalf("%s: live %v after %d writes", sub.ID, now.Live, now.Writes)
			}
		}
		if got := b.Recorded(full[0]); got.State != counter.AwaitingApproval || got.PendingExtraOrder == "" {
			t.Errorf("a complete one is %s, its next order %q", got.State, got.PendingExtraOrder)
		}
		if got := b.Recorded(fresh[0]); got.State != counter.Active || got.Remaining() != 1 {
			t.Errorf("one under way is %s with %d remaining", got.State, got.Remaining())
		}
		b.JudgeGift(later)
		b.JudgeGift(byAgent)
		time.Sleep(10 * time.Second)
		want := counter.Waiting{Term: "Gift", Complete: 41, Running: 19}
		mu.Lock()
		seen := slices.Clone(said) // an alert may come at any time
		mu.Unlock()
		about := slices.IndexFunc(seen, func(n counter.Notification) bool { return n.Type == counter.ApprovalNeededOf })
		if about < 0 || seen[about].Waiting != want {
			t.Errorf("%d notifications, want one about %+v", len(seen), want)
		}
		if slices.ContainsFunc(seen, func(n counter.Notification) bool {
			return n.Type == counter.TermShipment && n.Subscription.ID == fresh[0].ID
		}) {
			t.Error("a shipment of a term that nobody approved was notified")
		}
		// Orders go on being counted, announced or not.
		b.Place(fresh[0])
		b.PlaceUnannounced(fresh[1])
		b.Reconcile(reconcile.Scope{})
		for _, sub := range fresh[:2] {
			if got := b.Recorded(sub); got.State != counter.AwaitingApproval || got.Placed.Orders != 2 {
				t.Errorf("after its last order it is %s with %d orders", got.State, got.Placed.Orders)
			}
		}
		// One is approved, one is released for good, and the others go on waiting.
		b.Edit(full[0], counter.Approve)
		b.Edit(fresh[2], counter.Approve)
		b.Edit(full[1], counter.Release)
		b.Settle()
		if now := b.Observed(full[0]); now.Live {
			t.Error("what was approved goes on")
		}
		b.JudgeGift(fresh[2])
		if now := b.Observed(full[1]); !now.Live || now.Writes != 0 || b.Recorded(full[1]).State != counter.Released {
			t.Errorf("what was released is %s, live %v", b.Recorded(full[1]).State, now.Live)
		}
		if now := b.Observed(full[2]); !now.Live || now.Writes != 0 {
			t.Error("what nobody approved was ended")
		}
	})
}

// Sixty subscriptions turn out to be complete at first sight: twenty an hour are ended, those with the soonest next
// order first. What was seen running ends at once meanwhile, and an approval lifts the throttle.
func TestThrottle(t *testing.T) {
	t.Log("FAULT | 60 subscriptions are complete when termed first sees them | I4: 20 an hour are ended, the soonest" +
		" next order first; ends that a person could explain are not held back")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		explained := []sim.Subscription{b.Gift(), b.Gift(), b.Gift()}
		b.Settle()
		var subs []sim.Subscription
		for i := range 60 { // with counters: somebody counted them, and they need no approval
			sub := b.New(sim.NewSubscription{
				Product:   "GIFT-3MO",
				Silent:    true,
				ExtraData: json.RawMessage(`{"fulfillment_counter":"0"}`),
			})
			b.PlaceUnannounced(sub)
			b.PlaceUnannounced(sub)
			place := time.Now().AddDate(0, 0, 60-i) // the last one is the most urgent
			if err := b.Sim.Reschedule(sub.ID, place); err != nil {
				t.Fatal(err)
			}
			subs = append(subs, sub)
		}
		if _, err := b.Reconciler.Reconcile(t.Context(), reconcile.Scope{}, nil); err != nil {
			t.Fatal(err)
		}
		ended := func(subs []sim.Subscription) (n int) {
			for _, sub := range subs {
				if !b.Observed(sub).Live {
					n++
				}
			}
			return n
		}
		time.Sleep(time.Minute)
		if first, last := ended(subs[:40]), ended(subs[40:]); first != 0 || last != 20 {
			t.Errorf("at once %d and %d were ended, want the 20 with the soonest next order", first, last)
		}
		for _, sub := range explained {
			b.Place(sub)
			b.Place(sub)
		}
		time.Sleep(10 * time.Second)
		for _, sub := range explained {
			b.JudgeGift(sub)
		}
		if got := b.Recorded(subs[0]); got.State != counter.Throttled || got.PendingExtraOrder == "" {
			t.Errorf("what is held back is %s, its next order %q", got.State, got.PendingExtraOrder)
		}
		brake, err := b.App.ReadBrake(t.Context())
		if err != nil || brake.Throttled != 40 {
			t.Errorf("ReadBrake = %+v, %v; want 40 throttled", brake, err)
		}
		b.Edit(subs[0], counter.Approve)
		time.Sleep(10 * time.Second)
		if b.Observed(subs[0]).Live {
			t.Error("an approved one still waits for the throttle")
		}
		time.Sleep(70 * time.Minute)
		if n := ended(subs); n != 41 {
			t.Errorf("%d were ended after an hour, want 41", n)
		}
		time.Sleep(70 * time.Minute)
		if n := ended(subs); n != 60 {
			t.Errorf("%d were ended after two hours, want 60", n)
		}
	})
}

// The last order is announced in the middle of a pause: nothing is changed until it ends, whatever restarts meanwhile.
func TestPause(t *testing.T) {
	t.Log("FAULT | an operator pauses all changes, and the service restarts meanwhile | I2 I4: nothing is changed until" +
		" the pause ends, and then what is true by then")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub, other := b.Gift(), b.Gift()
		b.Settle()
		pause := ledger.Pause{Since: time.Now().UnixMilli(), Actor: "anna", Reason: "a wrong SKU"}
		if _, err := b.DB.Pause(t.Context(), pause); err != nil {
			t.Fatal(err)
		}
		before := b.Calls(http.MethodPatch)
		b.Place(sub, other)
		time.Sleep(time.Minute)
		b.Stop()
		b.Start(cancelapp.Options{})
		b.Place(sub)
		third := b.Gift()
		time.Sleep(time.Hour)
		if n := b.Calls(http.MethodPatch) - before; n != 0 {
			t.Errorf("%d changes during the pause", n)
		}
		if got := b.Recorded(sub); got.State != counter.Completing || got.Permission.Withheld != "hide and cancel" {
			t.Errorf("it is %s, held back: %q", got.State, got.Permission.Withheld)
		}
		if !strings.Contains(b.Journal(sub), "termed would  → hide and cancel : paused") {
			t.Errorf("the journal does not say what would be done:\n%s", b.Journal(sub))
		}
		if _, err := b.DB.Resume(t.Context(), ledger.Pause{Since: time.Now().UnixMilli(), Actor: "anna"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for _, s := range []sim.Subscription{sub, other, third} {
			b.JudgeGift(s)
		}
	})
}

// A pause that begins between the read and the write of a sync holds that write back, too.
func TestPauseDuringASync(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		pause := ledger.Pause{Since: time.Now().UnixMilli(), Actor: "anna"}
		b.Sim.Break(sim.Fault{Method: http.MethodGet, Path: "/subscriptions/" + sub.ID + "/", Times: 1, Before: func() {
			if _, err := b.DB.Pause(t.Context(), pause); err != nil {
				t.Error(err)
			}
		}})
		before := b.Calls(http.MethodPatch)
		b.Place(sub)
		time.Sleep(time.Minute)
		if n := b.Calls(http.MethodPatch) - before; n != 0 {
			t.Errorf("%d changes during the pause", n)
		}
		if got := b.Recorded(sub).Permission.Withheld; got != "set the counter to 1" {
			t.Errorf("held back: %q", got)
		}
	})
}

// Observe mode counts everything and changes nothing. At the switch to live what is under way is written, and what
// would have been ended meanwhile waits for an approval.
func TestObserve(t *testing.T) {
	t.Log("FAULT | weeks in observe mode, then the switch to live | I2 I4: nothing is changed before; what came to its" +
		" end meanwhile waits for an approval, the rest is written and ended as always")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		listNow(t, b, func(r *cancelapp.Rules) { r.Observe = true })
		underWay, complete := b.Gift(), b.Gift()
		counted := b.New(sim.NewSubscription{
			Product: "GIFT-3MO", ExtraData: json.RawMessage(`{"fulfillment_counter":"2","termed":"true"}`),
		})
		b.File()
		b.Settle()
		b.Place(underWay, complete, counted)
		b.Place(complete)
		b.Reconcile(reconcile.Scope{})
		if n := b.Calls(http.MethodPatch); n != 0 {
			t.Errorf("%d changes in observe mode", n)
		}
		for sub, want := range map[string]counter.State{
			underWay.ID: counter.Active, complete.ID: counter.AwaitingApproval, counted.ID: counter.Active,
		} {
			got, err := b.DB.Subscription(t.Context(), sub)
			if err != nil || got.State != want || got.Permission.Withheld == "" {
				t.Errorf("%s, held back %q, %v; want %s", got.State, got.Permission.Withheld, err, want)
			}
		}
		listNow(t, b, nil)
		if err := b.DB.RetryWithheld(t.Context(), time.Now().UnixMilli()); err != nil {
			t.Fatal(err)
		}
		b.Settle()
		b.JudgeGift(underWay)
		b.Judge(counted, 2)
		if now := b.Observed(complete); !now.Live || now.Writes != 0 {
			t.Error("what came to its end in observe mode was ended without an approval")
		}
		b.Edit(complete, counter.Approve)
		b.Place(underWay, counted)
		b.Settle()
		for _, sub := range []sim.Subscription{underWay, complete, counted} {
			b.JudgeGift(sub)
		}
	})
}

// A new subscription that carries a finished one's extra_data is for a person, who may approve its end.
func TestUnshippedZero(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.New(sim.NewSubscription{
			Product:   "GIFT-3MO",
			ExtraData: json.RawMessage(`{"fulfillment_counter":"0","termed":"true","hide":true}`),
		})
		b.File()
		b.Settle()
		if now := b.Observed(sub); !now.Live || now.Writes != 0 || b.Recorded(sub).Reason != counter.UnshippedZero {
			t.Errorf("live %v, %s: %s", now.Live, b.Recorded(sub).State, b.Recorded(sub).Reason)
		}
		if err := b.Sim.Edit(sub.ID, json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		b.Retry(sub)
		b.Settle()
		if got := b.Recorded(sub); got.State != counter.Active || got.Remaining() != 2 {
			t.Errorf("without the copied counter it is %s with %d remaining", got.State, got.Remaining())
		}
		another := b.New(sim.NewSubscription{
			Product: "GIFT-3MO", ExtraData: json.RawMessage(`{"fulfillment_counter":"0"}`),
		})
		b.File()
		b.Settle()
		b.Edit(another, counter.Approve)
		b.Settle()
		if b.Observed(another).Live {
			t.Error("an approved end was not made")
		}
	})
}
