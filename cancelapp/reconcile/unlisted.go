package reconcile

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// atOnce is how many subscriptions are read from the database and compared before the next.
const atOnce = 100

// compareUnlisted asks for the subscriptions that we believe to be live and that the list of their SKU was without:
// they were canceled or swapped without our hearing of it, or are gone.
func (r *run) compareUnlisted(ctx context.Context, sku string) error {
	for after := ""; ; {
		missing, err := r.store.Unlisted(ctx, sku, r.claim.Started, after, atOnce)
		if err != nil || len(missing) == 0 {
			return err
		}
		after = missing[len(missing)-1].ID
		missing = slices.DeleteFunc(missing, func(k ledger.Subscription) bool { return r.hasSeen(k.ID) })
		if err := r.compareEach(ctx, missing); err != nil {
			return err
		}
	}
}

func (r *run) hasSeen(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, seen := r.seen[id]
	return seen
}

// compareEach asks for each of some subscriptions and compares it.
func (r *run) compareEach(ctx context.Context, subs []ledger.Subscription) error {
	found := make([]found, len(subs))
	each, within := errgroup.WithContext(ctx)
	each.SetLimit(inFlight)
	for i, sub := range subs {
		each.Go(func() error {
			entry, err := ask(within, r, func() (ordergroove.Subscription, error) {
				return r.api.Subscription(within, sub.ID)
			})
			if errors.Is(err, ordergroove.ErrNotFound) {
				found[i] = notFound(sub, r.now())
				return nil
			}
			if err == nil {
				found[i], err = r.compare(within, entry, sub, true)
			}
			return err
		})
	}
	if err := each.Wait(); err != nil {
		return err
	}
	if err := r.record(ctx, 0, nil, found); err != nil || r.scope.DryRun {
		return err
	}
	var listed []ledger.Listed
	for i, f := range found {
		if f.upcoming != nil {
			listed = append(listed, ledger.Listed{Subscription: subs[i].ID, At: r.claim.Started, Upcoming: f.upcoming})
		}
	}
	if len(listed) == 0 {
		return nil
	}
	return r.store.SaveListed(ctx, r.claim, listed...)
}
