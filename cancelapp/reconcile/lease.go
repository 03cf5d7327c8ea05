package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/termed/termed/ledger"
)

// errNotRenewed says that the right to reconcile could not be renewed in time.
var errNotRenewed = errors.New("the right to reconcile could not be renewed in time")

// whileRenewed does the work of a reconciliation while its right is renewed. It ends the work at once if somebody else
// has the right by now, and before the right expires if it could not be renewed: two reconciliations at a time would
// make twice the calls, and each would take the right from the other for ever.
func (r *run) whileRenewed(ctx context.Context, work func(context.Context) error) error {
	if r.scope.DryRun {
		return work(ctx) // it needs no right
	}
	working, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	renewing, stop := context.WithCancel(working)
	var renewal sync.WaitGroup
	renewal.Go(func() { r.renew(renewing, lose) })
	err := work(working)
	lost := context.Cause(working)
	stop()
	renewal.Wait()
	if err != nil && lost != nil && ctx.Err() == nil {
		return lost // what was canceled says only that it was
	}
	return err
}

// renew renews the right every third of its time, until ctx is done or the right is lost.
func (r *run) renew(ctx context.Context, lose context.CancelCauseFunc) {
	// A timer of its own, since a renewal may get no answer at all.
	// safeguard: expired-reconciliation
	expiry := time.AfterFunc(r.usable(r.claim.Started), func() { lose(errNotRenewed) })
	defer expiry.Stop()
	clock := time.NewTicker(leaseTime / 3)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
		from := r.now()
		err := r.renewOnce(ctx, from)
		switch {
		case err == nil:
			expiry.Reset(r.usable(from))
		case errors.Is(err, ledger.ErrLeaseLost):
			lose(err)
			return
		case ctx.Err() == nil:
			r.o.Log.Error("store error", "error", err)
		}
	}
}

// renewOnce renews the right from a time on. It gives up before the next renewal.
func (r *run) renewOnce(ctx context.Context, from int64) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTime/4)
	defer cancel()
	return r.store.RenewReconciliation(ctx, r.claim, from+leaseTime.Milliseconds())
}

// usable is how long a right that was taken or renewed at a time may still be used.
func (r *run) usable(from int64) time.Duration {
	return leaseTime - leaseMargin - time.Duration(r.now()-from)*time.Millisecond
}
