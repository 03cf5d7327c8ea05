package cancelapp

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/termed/termed/counter"
)

const (
	repairLooks = 250 * time.Millisecond // between two questions whether all is repaired
	repairTries = 3                      // looks in vain after which a subscription is left to the service
)

// Repair brings what a comparison found to its level, as Run does for everything, together with whoever else works on the
// same database. It answers each as the ledger knows it then: one that is still due could not be repaired so far, and is
// tried again by the service. Progress, if not nil, is told how many are left.
func (a *App) Repair(ctx context.Context, ids []string, progress func(left int)) ([]counter.Known, error) {
	working, stop := context.WithCancel(ctx)
	var looks sync.WaitGroup
	looks.Go(func() { a.work(working, false) })
	defer looks.Wait()
	defer stop()
	clock := time.NewTicker(repairLooks)
	defer clock.Stop()
	for {
		all, err := a.allKnown(ctx, ids)
		if err != nil {
			return nil, err
		}
		left, hopeless := 0, 0
		for _, page := range all {
			if page.Next != 0 {
				left++
			}
			if page.Next != 0 && (page.Attempts >= repairTries || page.Attempts > 0 && page.State == counter.Attention) {
				hopeless++
			}
		}
		if progress != nil {
			progress(left)
		}
		if left == hopeless || a.gate.reason() != nil {
			return all, nil
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (a *App) allKnown(ctx context.Context, ids []string) ([]counter.Known, error) {
	var all []counter.Known
	for chunk := range slices.Chunk(ids, 500) {
		known, err := a.pages.Known(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, id := range chunk {
			if page, ok := known[id]; ok {
				all = append(all, page)
			}
		}
	}
	return all, nil
}
