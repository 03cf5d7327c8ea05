package cancelapp

import (
	"context"
	"sync"
	"time"
)

// task is one claim to work on.
type task struct {
	work   func(ctx context.Context)
	failed bool // an attempt has failed before
}

// lease keeps a claim while it is worked on.
type lease struct {
	lasts time.Duration
	renew func(ctx context.Context) error // for as long again, from now
}

// hold works while the claim is kept: it is renewed every third of its time, and the work ends before a claim does that
// could not be renewed, so that two never work on the same. Waiting for the rate limit is thus no reason to lose it.
func (l lease) hold(ctx context.Context, work func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	// safeguard: work-within-claim
	most := l.lasts * 5 / 6
	expiry := time.AfterFunc(most, cancel)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		clock := time.NewTicker(l.lasts / 3)
		defer clock.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case at := <-clock.C:
				if l.renew(ctx) == nil {
					expiry.Reset(most - time.Since(at))
				}
			}
		}
	})
	work(ctx)
	cancel()
	expiry.Stop()
	renewing.Wait()
}

// pool claims work as it has workers free, on a wake-up or at the next poll. What has failed before takes half of them
// at most, so that it does not keep them from what would work.
type pool struct {
	workers int
	wakeup  <-chan struct{}
	// idle is how long to wait until the next poll, while some work is in progress or none is.
	idle func(ctx context.Context, busy bool) time.Duration
	// claim claims up to n tasks, and up to retries of them that have failed before.
	claim func(ctx context.Context, n, retries int) ([]task, error)
}

// run claims work until ctx is done and returns when the last task is. Tasks run under workCtx.
func (p *pool) run(ctx, workCtx context.Context, onError func(error)) {
	var running sync.WaitGroup
	defer running.Wait()
	done := make(chan task, p.workers)
	clock := time.NewTimer(0)
	defer clock.Stop()
	// safeguard: retries-half
	half := (p.workers + 1) / 2
	for busy, retrying := 0, 0; ; {
		if busy < p.workers && ctx.Err() == nil {
			free := p.workers - busy
			claimed, err := p.claim(ctx, free, min(free, half-retrying))
			if err != nil {
				onError(err)
			}
			for _, t := range claimed {
				busy++
				if t.failed {
					retrying++
				}
				running.Go(func() {
					defer func() { done <- t }()
					t.work(workCtx)
				})
			}
			if len(claimed) > 0 && busy < p.workers {
				continue // there may be more, and there are workers free
			}
		}
		clock.Reset(p.idle(ctx, busy > 0))
		select {
		case <-ctx.Done():
			return
		case t := <-done:
			busy--
			if t.failed {
				retrying--
			}
		case <-p.wakeup:
		case <-clock.C:
		}
	}
}
