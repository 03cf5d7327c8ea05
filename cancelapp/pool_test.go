package cancelapp

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// However much has failed before, half of the workers are there for the rest.
func TestPoolShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var retrying, most, done atomic.Int64
		slow := func(ctx context.Context) {
			most.Store(max(most.Load(), retrying.Add(1)))
			defer retrying.Add(-1)
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
			}
		}
		idle := func(context.Context, bool) time.Duration { return time.Second }
		p := &pool{workers: 8, wakeup: make(chan struct{}), idle: idle}
		p.claim = func(_ context.Context, n, retries int) (claimed []task, _ error) {
			for range retries {
				claimed = append(claimed, task{work: slow, failed: true})
			}
			for range n - retries {
				claimed = append(claimed, task{work: func(context.Context) {
					time.Sleep(time.Second)
					done.Add(1)
				}})
			}
			return claimed, nil
		}
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		p.run(ctx, ctx, func(err error) { t.Error(err) })
		if most.Load() != 4 || done.Load() < 100 {
			t.Errorf("up to %d of 8 workers retried, and %d others were done in 30 s", most.Load(), done.Load())
		}
	})
}

// Work goes on as long as its claim is renewed, and ends before a claim that is not.
func TestHold(t *testing.T) {
	for name, test := range map[string]struct {
		renew error
		lasts time.Duration
	}{
		"renewed":     {nil, 5 * time.Minute},
		"not renewed": {errors.New("the database is away"), 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				held := lease{30 * time.Second, func(context.Context) error { return test.renew }}
				start := time.Now()
				held.hold(t.Context(), func(ctx context.Context) {
					select {
					case <-ctx.Done():
					case <-time.After(5 * time.Minute):
					}
				})
				if took := time.Since(start); took != test.lasts {
					t.Errorf("it worked for %v, want %v", took, test.lasts)
				}
			})
		})
	}
}
