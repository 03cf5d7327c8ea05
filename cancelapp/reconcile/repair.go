package reconcile

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

const (
	repairPoll     = 250 * time.Millisecond
	repairAttempts = 3 // failed attempts after which a subscription is left to the service
)

// Repair syncs what was found, as the service does for everything, together with whoever else works on the same
// database. It answers each subscription as it is recorded then: one that is still due could not be repaired so far,
// and is tried again by the service. Progress, if not nil, is called with the number left.
func (r *Reconciler) Repair(ctx context.Context, ids []string, progress func(left int)) ([]ledger.Subscription, error) {
	if brake, err := r.app.ReadBrake(ctx); err != nil || brake.Pause.Restored {
		all, failed := r.known(ctx, ids) // nothing is synced before the recount
		return all, errors.Join(err, failed)
	}
	working, stop := context.WithCancel(ctx)
	var syncs sync.WaitGroup
	syncs.Go(func() { r.app.RunSyncs(working) })
	defer syncs.Wait()
	defer stop()
	clock := time.NewTicker(repairPoll)
	defer clock.Stop()
	for {
		all, err := r.known(ctx, ids)
		if err != nil {
			return nil, err
		}
		left, givenUp := unrepaired(all)
		if progress != nil {
			progress(left)
		}
		if left == givenUp || r.app.Ready() != nil {
			return all, nil
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// unrepaired counts the subscriptions that are still due, and those among them that are left to the service.
func unrepaired(all []ledger.Subscription) (left, givenUp int) {
	for _, sub := range all {
		if sub.Due == 0 {
			continue
		}
		left++
		if sub.Attempts >= repairAttempts || sub.Attempts > 0 && sub.State == counter.Attention {
			givenUp++
		}
	}
	return left, givenUp
}

func (r *Reconciler) known(ctx context.Context, ids []string) ([]ledger.Subscription, error) {
	var all []ledger.Subscription
	for chunk := range slices.Chunk(ids, 500) {
		known, err := r.store.Known(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, id := range chunk {
			if sub, ok := known[id]; ok {
				all = append(all, sub)
			}
		}
	}
	return all, nil
}
