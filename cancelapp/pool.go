package cancelapp

import (
	"context"
	"sync"
	"time"
)

// piece is one claim to work on.
type piece func(ctx context.Context)

// pieces makes a piece of each claim. It has less time than the claim holds, so that two never work on the same.
func pieces[T any](claimed []T, within time.Duration, work func(context.Context, T)) []piece {
	all := make([]piece, len(claimed))
	for i, c := range claimed {
		all[i] = func(hand context.Context) {
			ctx, cancel := context.WithTimeout(hand, within)
			defer cancel()
			work(ctx, c)
		}
	}
	return all
}

// pool takes work as it has hands free: woken by its bell, or by the clock.
type pool struct {
	most int
	bell <-chan struct{}
	idle time.Duration
	take func(ctx context.Context, n int) ([]piece, error) // claims up to n
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
			taken, err := p.take(ctx, p.most-working)
			if err != nil {
				trouble(err)
			}
			for _, work := range taken {
				working++
				busy.Go(func() {
					defer func() { done <- struct{}{} }()
					work(hand)
				})
			}
			if len(taken) > 0 && working < p.most {
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
