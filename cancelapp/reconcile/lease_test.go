package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// slowItems makes each list of items, of upcoming and of placed orders, take nearly as long as the client waits.
var slowItems = sim.Fault{
	Method:    "GET",
	Path:      "/items/",
	WholePath: true,
	Delay:     9 * time.Second,
	OnlyDelay: true,
}

// requests counts the requests by their URL, and how many were in flight at the same time.
type requests struct {
	flight
	mu    sync.Mutex
	count map[string]int
}

func (r *requests) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.count[request.URL.String()]++
	r.mu.Unlock()
	return r.flight.RoundTrip(request)
}

// slowReconcile lets instances on one store reconcile everything, a day after the last time, while the API is slow. It
// returns the requests that they made until an hour after the last reconciliation was finished, and their log.
func slowReconcile(t *testing.T, instances int) (made *requests, log string) {
	apptest.Run(t, sim.Options{PageSize: 5}, func(t *testing.T, b *apptest.Bubble) {
		b.SubscribeSilently(400, "SIX")
		b.Reconcile(reconcile.Scope{})
		b.Stop()
		time.Sleep(25 * time.Hour)
		last, err := b.DB.LastReconciled(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Sim.Break(slowItems)
		made = &requests{flight: flight{next: apptest.Direct{Handler: b.Sim.Handler()}}, count: map[string]int{}}
		var lines bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&lines, nil))
		var runs []func(context.Context)
		for i := range instances {
			rules := cancelapp.Rules{Terms: b.Terms}
			app := cancelapp.New(b.DB, b.NewClient(made, 0), cancelapp.Options{Rules: rules, Log: logger})
			runs = append(runs, reconcile.New(app, b.DB, reconcile.Options{
				Schedule: reconcile.Schedule{Every: time.Hour, All: 24 * time.Hour},
				Jitter:   func() float64 { return float64(i+1) / 10 },
				Log:      logger,
			}).Run)
		}
		stop := b.Go(runs...)
		defer stop()
		for range 12 {
			time.Sleep(30 * time.Minute)
			now, err := b.DB.LastReconciled(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if now.All != last.All {
				stop()
				log = lines.String()
				return
			}
		}
		stop()
		t.Errorf("%d instances: nothing was reconciled within six hours; the log:\n%s", instances, lines.String())
	})
	return made, log
}

// A reconciliation that takes longer than its right lasts keeps the right, and the other instances let it finish.
func TestReconcileInstances(t *testing.T) {
	t.Log("FAULT | four instances reconcile while the API is slow | I12: one does it, and nobody restarts it")
	one, _ := slowReconcile(t, 1)
	four, log := slowReconcile(t, 4)
	total := func(r *requests) (n int) {
		for _, times := range r.count {
			n += times
		}
		return n
	}
	if t.Failed() {
		return
	}
	for url, times := range four.count {
		if times > 1 {
			t.Errorf("%s was asked for %d times", url, times)
		}
	}
	t.Logf("one instance makes %d calls, four make %d", total(one), total(four))
	if got, want := total(four), total(one); got != want {
		t.Errorf("four instances made %d calls, want %d as one makes", got, want)
	}
	if four.most > 5 {
		t.Errorf("%d calls were in flight at once, want at most 5", four.most)
	}
	if strings.Count(log, "msg=reconciled") != 1 || strings.Contains(log, "interrupted") {
		t.Errorf("the log of four instances, want one reconciliation:\n%s", log)
	}
}

// renewal is a store whose renewals are answered by a function.
type renewal struct {
	*store.Store
	answer func(context.Context) error
}

func (r renewal) RenewReconciliation(ctx context.Context, _ ledger.Reconciliation, _ int64) error {
	return r.answer(ctx)
}

// A reconciliation that loses its right ends at once, and one that cannot renew it ends before it expires.
func TestReconcileNotRenewed(t *testing.T) {
	t.Log("FAULT | the database does not answer while the API is slow | I12: the reconciliation ends before its" +
		" right does")
	unavailable := errors.New("database unavailable")
	tests := []struct {
		name   string
		answer func(context.Context) error
		want   string
		after  time.Duration
	}{
		{"lost", func(context.Context) error { return ledger.ErrLeaseLost }, "lease lost", 40 * time.Second},
		{"refused", func(context.Context) error { return unavailable }, "could not be renewed", 115 * time.Second},
		{
			"no answer", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			"could not be renewed", 115 * time.Second,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			apptest.Run(t, sim.Options{PageSize: 5}, func(t *testing.T, b *apptest.Bubble) {
				b.SubscribeSilently(80, "SIX")
				b.Reconcile(reconcile.Scope{})
				b.Sim.Break(slowItems)
				reconciler := reconcile.New(b.App, renewal{b.DB, test.answer}, reconcile.Options{})
				start := time.Now()
				_, err := reconciler.Reconcile(t.Context(), reconcile.Scope{}, nil)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("Reconcile = %v, want %q in it", err, test.want)
				}
				if took := time.Since(start); took < test.after || took > test.after+time.Second {
					t.Errorf("it ended after %v, want after %v", took, test.after)
				}
				if _, err := reconciler.Reconcile(t.Context(), reconcile.Scope{DryRun: true}, nil); err != nil {
					t.Errorf("a dry run, which needs no right: %v", err)
				}
				b.Sim.ClearFaults()
				b.Reconcile(reconcile.Scope{}) // the right was given back
			})
		})
	}
}
