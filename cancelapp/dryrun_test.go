package cancelapp_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove/sim"
)

// dryRunCase is a situation in which a sync finds a subscription.
type dryRunCase struct {
	name  string
	terms func(*counter.Term) // how the terms are configured
	// before makes the subscription, and may sync it; then happens while nothing is synced.
	before func(*testing.T, *apptest.Bubble) sim.Subscription
	then   func(*testing.T, *apptest.Bubble, sim.Subscription)
}

// newGift is a gift that was never synced.
func newGift(_ *testing.T, b *apptest.Bubble) sim.Subscription {
	return b.New(sim.NewSubscription{Product: "GIFT-3MO"})
}

// giftAt is a gift of which recurring orders were placed, announced and synced.
func giftAt(orders int) func(*testing.T, *apptest.Bubble) sim.Subscription {
	return func(_ *testing.T, b *apptest.Bubble) sim.Subscription {
		sub := b.Gift()
		b.Settle()
		for range orders {
			time.Sleep(10 * time.Minute)
			b.Place(sub)
			b.Settle()
		}
		return sub
	}
}

// withCounter is a subscription of five recurring orders that was there before us, with somebody else's counter.
func withCounter(n int) func(*testing.T, *apptest.Bubble) sim.Subscription {
	data := fmt.Appendf(nil, `{"mine":1.10,"fulfillment_counter":"%d"}`, n)
	return func(_ *testing.T, b *apptest.Bubble) sim.Subscription {
		return b.New(sim.NewSubscription{Product: "SIX", ExtraData: data, Silent: true})
	}
}

// enrolledAgain is a subscription whose first enrollment had announced orders and that was released since, with the
// counter of somebody else.
func enrolledAgain(t *testing.T, b *apptest.Bubble) sim.Subscription {
	sub := giftAt(1)(t, b)
	swapTo("COFFEE")(t, b, sub)
	b.File()
	b.Settle()
	time.Sleep(10 * time.Minute)
	b.PlaceUnannounced(sub)
	time.Sleep(10 * time.Minute)
	setCounter(`"5"`)(t, b, sub)
	swapTo("SIX")(t, b, sub)
	return sub
}

// place places orders, each announced or not.
func place(announced ...bool) func(*testing.T, *apptest.Bubble, sim.Subscription) {
	return func(_ *testing.T, b *apptest.Bubble, sub sim.Subscription) {
		b.File()
		for _, announce := range announced {
			events := b.PlaceLate(sub)
			if announce {
				b.FileAll(events)
			}
			time.Sleep(time.Minute)
		}
	}
}

func setCounter(value string) func(*testing.T, *apptest.Bubble, sim.Subscription) {
	return setExtraData(fmt.Sprintf(`{"mine":1.10,"fulfillment_counter":%s,"termed":"true"}`, value))
}

func setExtraData(data string) func(*testing.T, *apptest.Bubble, sim.Subscription) {
	return func(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
		t.Helper()
		if err := b.Sim.Edit(sub.ID, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
}

func swapTo(sku string) func(*testing.T, *apptest.Bubble, sim.Subscription) {
	return func(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
		t.Helper()
		if err := b.Sim.Swap(sub.ID, sku); err != nil {
			t.Fatal(err)
		}
	}
}

func cancelEarly(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
	t.Helper()
	if err := b.Sim.CancelByAgent(sub.ID); err != nil {
		t.Fatal(err)
	}
}

func reactivate(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
	t.Helper()
	if err := b.Sim.Reactivate(sub.ID); err != nil {
		t.Fatal(err)
	}
}

func release(_ *testing.T, b *apptest.Bubble, sub sim.Subscription) { b.Edit(sub, counter.Release) }

func setLength(n int) func(*testing.T, *apptest.Bubble, sim.Subscription) {
	return func(_ *testing.T, b *apptest.Bubble, sub sim.Subscription) {
		b.Edit(sub, func(s counter.Subscription) (counter.Subscription, error) { return counter.SetLength(s, n) })
	}
}

// inOrder does one thing after the other.
func inOrder(
	steps ...func(*testing.T, *apptest.Bubble, sim.Subscription),
) func(*testing.T, *apptest.Bubble, sim.Subscription) {
	return func(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
		for _, step := range steps {
			step(t, b, sub)
		}
	}
}

var nothing = inOrder()

func onComplete(what counter.OnComplete) func(*counter.Term) {
	return func(term *counter.Term) {
		term.OnComplete = what
		term.SwapTo = "COFFEE"
	}
}

func onReactivation(what counter.OnReactivation) func(*counter.Term) {
	return func(term *counter.Term) { term.OnReactivation = what }
}

func onSwap(what counter.OnSwap) func(*counter.Term) {
	return func(term *counter.Term) { term.OnSwap = what }
}

// prepaid is a subscription that Ordergroove counts.
func prepaid(_ *testing.T, b *apptest.Bubble) sim.Subscription {
	paid := []byte(`{"prepaid_orders_remaining":2,"renewal_behavior":"autorenew"}`)
	return b.New(sim.NewSubscription{Product: "GIFT-3MO", Prepaid: paid})
}

// swappedIn is a subscription that had four orders before its product was swapped for one of a term.
func swappedIn(t *testing.T, b *apptest.Bubble) sim.Subscription {
	sub := b.Subscribe("COFFEE")
	for range 4 {
		b.Place(sub)
		time.Sleep(time.Minute)
	}
	swapTo("SIX")(t, b, sub)
	return sub
}

func swappedInAndSynced(t *testing.T, b *apptest.Bubble) sim.Subscription {
	sub := swappedIn(t, b)
	b.Settle()
	return sub
}

var dryRunCases = []dryRunCase{
	{"new", nil, newGift, nothing},
	{"new, an order announced", nil, newGift, place(true)},
	{"new, an order not announced", nil, newGift, place(false)},
	{"new, all orders placed", nil, newGift, place(true, false)},
	{"an order announced", nil, giftAt(0), place(true)},
	{"the last order announced", nil, giftAt(1), place(true)},
	{"the last order, renew", onComplete(counter.RenewAtEnd), giftAt(1), place(true)},
	{"the last order and the first of the next run, renew", onComplete(counter.RenewAtEnd), giftAt(1), place(true, true)},
	{"the last order, release", onComplete(counter.ReleaseAtEnd), giftAt(1), place(true)},
	{"the last order, swap", onComplete(counter.SwapAtEnd), giftAt(1), place(true)},

	// Announced orders matter where the counter was there before us.
	{"counter there before us, an order announced and not counted", nil, withCounter(5), place(true)},
	{"counter there before us, an order announced and counted", nil, withCounter(4), place(true)},
	{"counter there before us, two orders announced", nil, withCounter(4), place(true, true)},
	{"counter there before us, one of two orders announced", nil, withCounter(5), place(false, true)},
	{"counter there before us, one of two orders announced and not counted", nil, withCounter(4), place(false, true)},
	{"counter there before us, higher than due", nil, withCounter(9), place(true)},
	{"counter there before us, enrolled again", nil, enrolledAgain, nothing},
	{"counter there before us, enrolled again, an order announced", nil, enrolledAgain, place(true)},
	{"counter there before us, enrolled again, an order not announced", nil, enrolledAgain, place(false)},
	{"counter there before us, enrolled again, one of two orders announced", nil, enrolledAgain, place(true, false)},

	{"counter edited", nil, giftAt(1), inOrder(setCounter(`"4"`), place(true))},
	{"counter edited, an order not announced", nil, giftAt(0), inOrder(setCounter(`"4"`), place(false, true))},
	{"older counter written back", nil, giftAt(1), inOrder(setCounter(`"2"`), place(true))},
	{"counter is not a number", nil, giftAt(0), inOrder(setCounter(`"two"`), place(true))},
	{"extra_data is not an object", nil, giftAt(0), inOrder(setExtraData(`[1]`), place(true))},
	{"our keys removed", nil, giftAt(0), inOrder(setExtraData(`{"mine":1.10}`), place(true))},
	{"canceled early", nil, giftAt(0), inOrder(cancelEarly, place())},
	{"canceled early, an order not announced", nil, giftAt(0), inOrder(place(false), cancelEarly, place())},
	{"canceled by somebody at its end", nil, giftAt(1), inOrder(place(true), cancelEarly, place())},
	{"reactivated after an early cancel", nil, giftAt(0), inOrder(cancelEarly, place(), reactivate, place())},
	{"reactivated after its end", nil, giftAt(2), inOrder(reactivate, place())},
	{"reactivated after its end, new term", onReactivation(counter.NewTerm), giftAt(2), inOrder(reactivate, place())},
	{
		"reactivated after its end, release", onReactivation(counter.ReleaseReactivation), giftAt(2),
		inOrder(reactivate, place()),
	},
	{"swapped to another term", nil, giftAt(1), inOrder(swapTo("SIX"), place(false))},
	{"swapped to another term, restart", onSwap(counter.Restart), giftAt(1), inOrder(swapTo("SIX"), place(true))},
	{"swapped to another term, restart, an order not announced", onSwap(counter.Restart), giftAt(0), inOrder(
		place(false), swapTo("SIX"), place())},
	{"swapped to no term", nil, giftAt(1), inOrder(swapTo("COFFEE"), place(true))},
	{"swapped into a term", nil, swappedIn, place(true)},
	{"swapped into a term, and the counter counts all orders", nil, swappedInAndSynced, inOrder(
		setCounter(`"1"`), swapTo("SIX"), place())},
	{"released by an operator", nil, giftAt(1), release},
	{"length set", nil, giftAt(1), setLength(6)},
	{"length set after the end", nil, giftAt(2), setLength(6)},
	{"prepaid", nil, prepaid, place(true)},
}

// A dry run comes to the same outcome as the sync that follows it, says the same in the journal, and changes nothing.
func TestDryRunIsLikeSync(t *testing.T) {
	for _, test := range dryRunCases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				if test.terms != nil {
					b.Reload(test.terms, nil)
				}
				sub := test.before(t, b)
				b.Sim.Break(sim.Fault{Method: http.MethodGet, Status: http.StatusServiceUnavailable}) // nothing is synced
				b.File()
				test.then(t, b, sub)
				b.File()
				time.Sleep(10 * time.Second)
				b.Stop()
				b.Sim.ClearFaults()
				b.Start(cancelapp.Options{})
				b.Stop() // a breaker that is closed
				wantDryRunLikeSync(t, b, sub)
			})
		})
	}
}

func wantDryRunLikeSync(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
	t.Helper()
	observed := b.Observed(sub)
	recorded := b.Recorded(sub)
	if recorded.Due == 0 {
		t.Fatalf("%s is not due: there is nothing to compare", sub.ID)
	}
	before := b.Entries(sub)
	dry, err := b.App.DryRun(t.Context(), recorded.Subscription, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(observed, b.Observed(sub)); diff != "" {
		t.Errorf("the dry run changed the subscription at Ordergroove (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(recorded, b.Recorded(sub)); diff != "" {
		t.Errorf("the dry run changed what is recorded (-before +after):\n%s", diff)
	}
	if got := b.Entries(sub); len(got) != len(before) {
		t.Errorf("the dry run wrote into the journal:\n%s", apptest.Text(got[len(before):]))
	}
	b.Start(cancelapp.Options{})
	b.Settle()
	if diff := cmp.Diff(b.Recorded(sub).Subscription, dry.Subscription, sameOutcome...); diff != "" {
		t.Errorf("outcome (-sync +dry run):\n%s", diff)
	}
	journal := apptest.Text(b.Entries(sub)[len(before):])
	if diff := cmp.Diff(journal, apptest.Text(dry.Journal)); diff != "" {
		t.Errorf("journal (-sync +dry run):\n%s", diff)
	}
}

// sameOutcome compares subscriptions apart from the times of a dry run and a sync that come one after the other, and
// from what only notifications change.
var sameOutcome = []cmp.Option{
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(counter.Placed{}, "Unnotified"),
	cmp.FilterPath(func(p cmp.Path) bool {
		switch p.Last().String() {
		case ".OpenedAt", ".ClosedAt", ".CancelRequestedAt", ".AdmittedAt", ".LastAt":
			return true
		}
		return false
	}, cmp.Comparer(func(a, b int64) bool { return (a == 0) == (b == 0) })),
}
