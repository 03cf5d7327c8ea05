package reconcile_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kinds are the findings of a report, by subscription.
func kinds(r reconcile.Report) map[string]reconcile.Kind {
	all := map[string]reconcile.Kind{}
	for _, f := range r.Findings {
		all[f.Subscription] = f.Kind
	}
	return all
}

// What reconciling costs, per thousand subscriptions: docs/operations.md states these figures.
func TestReconcileEconomy(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		const n = 300
		subs := b.SubscribeSilently(n, "SIX")
		calls := func(doing func()) int {
			before := len(b.Sim.Calls())
			doing()
			return len(b.Sim.Calls()) - before
		}
		all := func() { b.Reconcile(reconcile.Scope{}) }
		tests := []struct {
			what string
			do   func()
			want int
			// It is the first that finds placed orders, so that it also sees whether their filter works.
			first bool
		}{
			{"everything, none of it known: a page a hundred, and for each GET, items, PATCH", all, n/100 + 3*n, false},
			{
				"everything, for the first time since: two pages a hundred, and the placed orders of each", all,
				2*n/100 + n, false,
			},
			{"everything, nothing happened: two pages a hundred", all, 2 * n / 100, false},
			{"what was updated lately, which is all of it: a page a hundred", func() {
				b.Reconcile(reconcile.Scope{Since: "1999-12-31"})
			}, n / 100, false},
			{"what was updated lately, which is none of it", func() {
				b.Reconcile(reconcile.Scope{Since: "2999-12-31"})
			}, 1, false},
			{"what was updated lately, which is nothing, and upcoming orders: their pages too", func() {
				b.Reconcile(reconcile.Scope{Since: "2999-12-31", Upcoming: true})
			}, 1 + n/100, false},
			{"30 orders that webhooks announce: GET and PATCH for each", func() {
				for _, sub := range subs[:30] {
					b.Place(sub)
				}
				b.Settle()
			}, 30*2 - 1, false},
			{"everything, after those: two pages a hundred, and the placed orders of each of them", all, 2*n/100 + 30, false},
			{"everything, after 10 orders that nobody announced: the placed orders of each, GET and PATCH", func() {
				b.PlaceUnannounced(subs[:10]...)
				all()
			}, 2*n/100 + 3*10, true},
			{"recounted: a page a hundred, and the placed orders of each", func() {
				b.Reconcile(reconcile.Scope{Recount: true})
			}, n/100 + n, false},
		}
		for _, test := range tests {
			want := test.want + 1 // the list of the other SKU is a page, though nothing is on it
			got := calls(test.do)
			if test.first {
				got -= filterChecks(b)
			}
			if got != want {
				t.Errorf("%d subscriptions: %s: %d calls, want %d", n, test.what, got, want)
			}
		}
	})
}

// flight counts the calls that are in progress at the same time.
type flight struct {
	next http.RoundTripper
	mu   sync.Mutex
	now  int
	most int
}

func (f *flight) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	time.Sleep(100 * time.Millisecond)
	return f.next.RoundTrip(r)
}

// At most five calls are in flight while lists are read (contract, section 2), and as many as that.
func TestReconcileInFlight(t *testing.T) {
	apptest.Run(t, sim.Options{PageSize: 20}, func(t *testing.T, b *apptest.Bubble) {
		b.SubscribeSilently(100, "SIX")
		b.SubscribeSilently(100, "GIFT-3MO")
		counted := &flight{next: apptest.Direct{Handler: b.Sim.Handler()}}
		rules := cancelapp.Rules{Terms: b.Terms}
		app := cancelapp.New(b.DB, b.NewClient(counted, 0), cancelapp.Options{Rules: rules})
		reconciler := reconcile.New(app, b.DB, reconcile.Options{})
		report, err := reconciler.Reconcile(t.Context(), reconcile.Scope{DryRun: true}, nil)
		if err != nil || len(report.Findings) != 200 {
			t.Fatalf("%d found, %v", len(report.Findings), err)
		}
		if counted.most != 5 {
			t.Errorf("%d calls were in flight at once, want 5", counted.most)
		}
	})
}

// An API key that may not list all customers' subscriptions is refused for just that: everything else works.
func TestReconcileWithoutBulk(t *testing.T) {
	t.Log("FAULT | the API key has no Bulk Operations: lists are refused with 403 | " +
		"I7: only reconciling stops, and says what is missing")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Sim.Break(sim.Fault{
			Path:      "/subscriptions/",
			WholePath: true,
			Status:    http.StatusForbidden,
			Body:      `{"detail":"Authentication Failed"}`,
		})
		_, err := b.Reconciler.Reconcile(t.Context(), reconcile.Scope{}, nil)
		if !errors.Is(err, ordergroove.ErrUnauthorized) || !strings.Contains(err.Error(), "Bulk Operations") {
			t.Errorf("Reconcile = %v, want it to name Bulk Operations", err)
		}
		if err := b.App.Ready(); err != nil {
			t.Errorf("Ready = %v, want the rest to work", err)
		}
		start := time.Now()
		sub := b.Gift()
		b.Settle()
		b.JudgeGift(sub)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("an ordinary sync took %v", took)
		}
	})
}

// filterChecks are the calls that found out whether a list of placed items leaves out those still to come: one, or a
// few at the same time, in the life of a process.
func filterChecks(b *apptest.Bubble) int {
	n := 0
	for _, c := range b.Sim.Calls() {
		if c.Path == "/orders/" {
			n++
		}
	}
	return n
}

// In a shop of many other subscriptions the upcoming orders are not worth reading: that is given up halfway, and the
// placed orders of each subscription are asked for.
func TestReconcileInBigShop(t *testing.T) {
	apptest.Run(t, sim.Options{PageSize: 10}, func(t *testing.T, b *apptest.Bubble) {
		b.SubscribeSilently(200, "COFFEE")
		subs := b.SubscribeSilently(10, "SIX")
		b.Reconcile(reconcile.Scope{})
		b.PlaceUnannounced(subs[3])
		before := len(b.Sim.Calls())
		report := b.Reconcile(reconcile.Scope{})
		if got, want := len(b.Sim.Calls())-before, 5+1+1+10+2+filterChecks(b); got != want {
			t.Errorf("%d calls, want %d", got, want)
		}
		if got := kinds(report); len(got) != 1 || got[subs[3].ID] != reconcile.Unannounced {
			t.Errorf("found %v, want the one order", got)
		}
	})
}

// An interrupted reconciliation continues where it stopped; what it had found by then is repaired all the same.
func TestReconcileInterrupted(t *testing.T) {
	t.Log("FAULT | a reconciliation is interrupted halfway by an API that fails for an hour | " +
		"I2 I9: it continues where it stopped")
	apptest.Run(t, sim.Options{PageSize: 10}, func(t *testing.T, b *apptest.Bubble) {
		subs := b.SubscribeSilently(100, "SIX")
		lists := func() (n int) {
			for _, c := range b.Sim.Calls() {
				if c.Path == "/subscriptions/" && c.Status == http.StatusOK {
					n++
				}
			}
			return n
		}
		b.Sim.Break(sim.Fault{
			Method:    "GET",
			Path:      "/subscriptions/",
			WholePath: true,
			Skip:      4,
			Status:    http.StatusServiceUnavailable,
		})
		scope := reconcile.Scope{SKUs: []string{"SIX"}}
		first, err := b.Reconciler.Reconcile(t.Context(), scope, nil)
		if err == nil {
			t.Fatal("it worked while the API was down")
		}
		found := len(first.Findings)
		pages := lists()
		if found == 0 || found > 90 {
			t.Fatalf("%d found before the interruption, want some", found)
		}
		if _, err := b.Reconciler.Reconcile(t.Context(), scope, nil); err == nil {
			t.Fatal("it worked while the API was down")
		}
		b.Sim.ClearFaults()
		time.Sleep(time.Hour)
		newAtOnce := false
		second, err := b.Reconciler.Reconcile(t.Context(), scope, func(r reconcile.Report) {
			newAtOnce = newAtOnce || r.Listed == 10 && len(r.Findings) == 10
		})
		if err != nil {
			t.Fatal(err)
		}
		b.Settle()
		if !second.Resumed || found+len(second.Findings) != len(subs) {
			t.Errorf("%d and %d found, resumed %v; want all %d, each once",
				found, len(second.Findings), second.Resumed, len(subs))
		}
		if got := lists() - pages; got > 11+1 {
			t.Errorf("%d pages were read after %d, want each once", got, pages)
		}
		if !newAtOnce {
			t.Error("the first page that it read held nothing new; it did not continue where it stopped")
		}
		for _, sub := range subs {
			b.Judge(sub, 5)
		}
		if third := b.Reconcile(scope); len(third.Findings) != 0 || third.Resumed {
			t.Errorf("a third found %v", third.Findings)
		}
	})
}

// The address of the page to continue with can be invalid by now: then the list is read from its beginning.
func TestReconcileStaleCursor(t *testing.T) {
	apptest.Run(t, sim.Options{PageSize: 10}, func(t *testing.T, b *apptest.Bubble) {
		b.SubscribeSilently(30, "SIX")
		invalid := sim.Fault{
			Method:    "GET",
			Path:      "/subscriptions/",
			WholePath: true,
			Times:     1,
			Status:    http.StatusBadRequest,
			Body:      `{"detail":"Invalid cursor"}`,
		}
		third := invalid
		third.Skip = 2
		scope := reconcile.Scope{SKUs: []string{"SIX"}}
		b.Sim.Break(third)
		if _, err := b.Reconciler.Reconcile(t.Context(), scope, nil); !errors.Is(err, ordergroove.ErrRejected) {
			t.Fatalf("Reconcile = %v, want it refused in its middle", err)
		}
		b.Settle()
		b.Sim.Break(invalid)
		if report := b.Reconcile(scope); report.Listed != 30 {
			t.Errorf("%d compared, want all 30 from the beginning", report.Listed)
		}
	})
}

// One reconciliation runs at a time, and an entry of a list that cannot be read does no harm to the others.
func TestReconcileAlone(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		now := time.Now()
		run, ok, err := b.DB.BeginReconciliation(t.Context(), "all", now.UnixMilli(), now.Add(time.Minute).UnixMilli(), 1000)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		_, err = b.Reconciler.Reconcile(t.Context(), reconcile.Scope{}, nil)
		if !errors.Is(err, reconcile.ErrReconciling) {
			t.Errorf("Reconcile during another = %v, want ErrReconciling", err)
		}
		if _, err := b.Reconciler.Reconcile(t.Context(), reconcile.Scope{DryRun: true}, nil); err != nil {
			t.Errorf("a dry run during another = %v, want it to work", err)
		}
		if err := b.DB.EndReconciliation(t.Context(), run, ledger.LastReconciled{}, false); err != nil {
			t.Fatal(err)
		}
		b.Sim.Break(sim.Fault{
			Path:      "/subscriptions/",
			WholePath: true,
			Times:     1,
			Status:    http.StatusOK,
			Body:      `{"next":null,"results":[{"public_id":"x"},7]}`,
		})
		report := b.Reconcile(reconcile.Scope{SKUs: []string{"GIFT-3MO"}})
		if report.Unreadable != 2 || len(report.Findings) != 0 {
			t.Errorf("report = %+v, want 2 unreadable and nothing found: the one not listed is as it was", report)
		}
		b.Judge(sub, 2)
	})
}

// A subscription whose product was swapped for a termed one: its orders from before never count.
func TestReconcileSwappedIntoTerm(t *testing.T) {
	t.Log("FAULT | an evergreen subscription of many orders is swapped to a termed product, announced or not | " +
		"I2: its orders from before do not count")
	for _, announced := range []bool{false, true} {
		t.Run(fmt.Sprint("announced ", announced), func(t *testing.T) {
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				sub := b.Subscribe("COFFEE")
				for range 4 {
					b.Place(sub)
					time.Sleep(time.Minute)
				}
				if err := b.Sim.Swap(sub.ID, "SIX"); err != nil {
					t.Fatal(err)
				}
				if announced {
					b.File()
				} else {
					b.Sim.Take()
				}
				b.Settle()
				b.Reconcile(reconcile.Scope{})
				for range 2 {
					b.PlaceUnannounced(sub)
					time.Sleep(time.Minute)
					b.Reconcile(reconcile.Scope{})
				}
				if err := b.Sim.SwapOnce(sub.ID, "COFFEE"); err != nil { // a shipment of the term, whatever was in it
					t.Fatal(err)
				}
				b.PlaceUnannounced(sub)
				b.Reconcile(reconcile.Scope{})
				if report := b.Reconcile(reconcile.Scope{Recount: true}); len(report.Findings) > 0 {
					t.Errorf("found %+v, want nothing left", report.Findings)
				}
				now := b.Observed(sub)
				now.Placed -= 4
				for _, violation := range sim.Judge(now, 5, sub.ExtraData) {
					t.Error(violation)
				}
			})
		})
	}
}

// What is going to be synced anyhow is no finding.
func TestDueIsNoFinding(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Subscribe("SIX")
		b.Settle()
		b.Sim.Break(sim.Fault{Method: "PATCH", Status: 423, Body: `{"details":"Resource is currently in use."}`})
		b.Place(sub)
		time.Sleep(2 * time.Minute) // its next attempt is to come
		report, err := b.Reconciler.Reconcile(t.Context(), reconcile.Scope{}, nil)
		if err != nil || len(report.Findings) != 0 {
			t.Errorf("found %v, %v", report.Findings, err)
		}
		b.Sim.ClearFaults()
		b.Settle()
		b.Judge(sub, 5)
	})
}
