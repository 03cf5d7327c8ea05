package cancelapp

import (
	"context"
	"sync"
	"time"
)

// pool takes work as it has hands free: woken by its bell, or by the clock.
type pool struct {
	most int
	bell <-chan struct{}
	idle time.Duration
	// take claims up to n pieces of work. A piece's context is the one it is given.
	take func(ctx context.Context, n int) ([]func(context.Context), error)
}

// run takes work until ctx is done and returns when the last piece is. Pieces run under hand.
func (p *pool) run(ctx, hand context.Context, trouble func(error)) {
	var busy sync.WaitGroup
	defer busy.Wait()
	done := make(chan struct{}, p.most)
	clock := time.NewTicker(p.idle)
	defer clock.Stop()
	for working := 0; ; {
		if working < p.most && ctx.Err() == nil {
			pieces, err := p.take(ctx, p.most-working)
			if err != nil {
				trouble(err)
			}
			for _, piece := range pieces {
				working++
				busy.Go(func() {
					defer func() { done <- struct{}{} }()
					piece(hand)
				})
			}
			if len(pieces) > 0 && working < p.most {
				continue // there may be more, and there are hands
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-done:
			working--
		case <-p.bell:
		case <-clock.C:
		}
	}
}
