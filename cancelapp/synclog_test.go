package cancelapp_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove/sim"
)

// syncLog is a slog handler that keeps the lines about syncs.
type syncLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *syncLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *syncLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *syncLog) WithGroup(string) slog.Handler            { return l }

func (l *syncLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "subscription synced" {
		return nil
	}
	line := r.Level.String()
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "subscription" && a.Key != "duration" {
			line += " " + a.Key + "=" + a.Value.String()
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

// take returns the lines at level info, or all, since the last call.
func (l *syncLog) take(all bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, line := range l.lines {
		if all || strings.HasPrefix(line, "INFO ") {
			lines = append(lines, line)
		}
	}
	l.lines = nil
	return lines
}

func runLogged(t *testing.T, test func(*testing.T, *apptest.Bubble, func(what string, want ...string))) {
	t.Helper()
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		var log syncLog
		b.Stop()
		b.Start(cancelapp.Options{Log: slog.New(&log)})
		test(t, b, func(what string, want ...string) {
			t.Helper()
			b.Settle()
			if diff := cmp.Diff(want, log.take(false)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		})
	})
}

// The log has one line for each sync that changed something, from the first shipment to the cancellation: why, and what
// was done. An operator needs no other tool to see that the service works.
func TestSyncsAreLogged(t *testing.T) {
	runLogged(t, func(_ *testing.T, b *apptest.Bubble, logged func(what string, want ...string)) {
		sub := b.Gift()
		logged("a subscription is created",
			"INFO term=Gift cause=subscription.create counter=none → 2 did=started, counter none → 2 state=active")
		b.Place(sub)
		logged("an order is placed",
			"INFO term=Gift cause=order.success counter=2 → 1 did=counter 2 → 1 state=active")
		b.Retry(sub)
		logged("nothing is left to do")
		b.Place(sub)
		logged("the last order is placed",
			"INFO term=Gift cause=order.success counter=1 → 0 did=counter 1 → 0, hidden, canceled state=completed")
	})
}

func TestSyncCausesAreLogged(t *testing.T) {
	runLogged(t, func(t *testing.T, b *apptest.Bubble, logged func(what string, want ...string)) {
		sub := b.Subscribe("SIX")
		logged("a subscription is created",
			"INFO term=Program cause=subscription.create counter=none → 5 did=started, counter none → 5 state=active")

		b.PlaceUnannounced(sub)
		b.Reconcile(reconcile.Scope{})
		logged("an order was not announced",
			"INFO term=Program cause=reconcile counter=5 → 4 did=counter 5 → 4 state=active")

		silent := b.SubscribeSilently(1, "SIX")
		b.Reconcile(reconcile.Scope{})
		logged("a subscription was not announced",
			"INFO term=Program cause=reconcile counter=none → 5 did=started, counter none → 5 state=active")

		b.Edit(silent[0], func(s counter.Subscription) (counter.Subscription, error) {
			s.Adjustment++
			return s, nil
		})
		logged("an operator adds an order",
			"INFO term=Program cause=operator counter=5 → 6 did=counter 5 → 6 state=active")

		b.Sim.Break(sim.Fault{Method: "PATCH", Status: http.StatusLocked, Times: 1})
		b.Place(sub)
		logged("the first attempt fails",
			"INFO term=Program cause=retry counter=4 → 3 did=counter 4 → 3 state=active")

		b.Sim.Break(sim.Fault{Method: "PATCH", TakesEffect: true, Status: http.StatusBadGateway, Times: 1})
		b.Place(sub)
		logged("the answer is lost",
			"INFO term=Program cause=retry counter=2 did=counter found as sent state=active")

		edited := json.RawMessage(`{"fulfillment_counter":"7","termed":"true","mine":"canary"}`)
		if err := b.Sim.Edit(sub.ID, edited); err != nil {
			t.Fatal(err)
		}
		b.Place(sub)
		logged("somebody set the counter, and an order is placed",
			"INFO term=Program cause=order.success counter=7 → 6 did=adopted counter 7, counter 7 → 6 state=active")

		if err := b.Sim.CancelByAgent(sub.ID); err != nil {
			t.Fatal(err)
		}
		logged("somebody cancels it",
			"INFO term=Program cause=subscription.cancel counter=6 did=state active → ended state=ended")
	})
}

// An event that arrives during a sync makes the subscription due at its end, and is the cause of the next sync.
func TestCauseDuringSyncIsLogged(t *testing.T) {
	runLogged(t, func(_ *testing.T, b *apptest.Bubble, logged func(what string, want ...string)) {
		b.Sim.Break(sim.Fault{Method: "PATCH", Delay: 5 * time.Second, OnlyDelay: true, Times: 1})
		sub := b.Gift()
		time.Sleep(2 * time.Second)
		b.Place(sub)
		logged("an order is placed during the first sync",
			"INFO term=Gift cause=subscription.create counter=none → 2 did=started, counter none → 2 state=active",
			"INFO term=Gift cause=order.success counter=2 → 1 did=counter 2 → 1 state=active")
	})
}

// A sync that changes nothing is a line at level debug.
func TestSyncWithoutChangesIsLoggedAtDebug(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		var log syncLog
		b.Stop()
		b.Start(cancelapp.Options{Log: slog.New(&log)})
		sub := b.Gift()
		b.Settle()
		log.take(true)
		b.Retry(sub)
		b.Settle()
		want := []string{"DEBUG term=Gift cause=unknown counter=2 did= state=active"}
		if diff := cmp.Diff(want, log.take(true)); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}
