package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/termed/termed/ledger"
)

// Schedule says how often everything is compared with Ordergroove. A zero Every is never.
type Schedule struct {
	Every time.Duration // what was updated lately
	All   time.Duration // everything; default a day
}

// firstWithin bounds how long after its start a service reconciles what it may have missed.
const firstWithin = 5 * time.Minute

// Run reconciles when it is time: what was updated lately, and now and then everything. The times are in the database,
// so several instances reconcile once between them. The first one after a start waits a little, and each is spread by
// up to a tenth, so that instances and shops do not come at the same moment.
func (r *Reconciler) Run(ctx context.Context) {
	every := r.o.Schedule.Every
	if every == 0 {
		return
	}
	spread := func() time.Duration { return time.Duration(r.o.Jitter() * float64(every) / 10) }
	wait := time.NewTimer(min(spread(), firstWithin))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.app.DeliveriesStopped():
			stopped := r.now()
			err := r.runOnce(ctx, Scope{}, func(last ledger.LastReconciled) bool { return last.All < stopped })
			r.logInterrupted(ctx, err)
			continue
		case <-wait.C:
		}
		wait.Reset(r.runDue(ctx) + spread())
	}
}

// runDue reconciles if it is time, and says how long to wait before asking again.
func (r *Reconciler) runDue(ctx context.Context) time.Duration {
	every := r.o.Schedule.Every
	last, err := r.store.LastReconciled(ctx)
	if err != nil {
		r.logInterrupted(ctx, err)
	}
	scope, due := nextScope(r.o.Schedule, last, r.o.Now())
	if err == nil && due && r.app.Ready() == nil {
		err = r.runOnce(ctx, scope, func(now ledger.LastReconciled) bool { return now == last })
		r.logInterrupted(ctx, err)
		if err != nil {
			return min(every, 5*time.Minute)
		}
	}
	return min(every/10, time.Minute) // asking costs one read of the database
}

// slack is for `updated` being a date of an unknown time zone.
const slack = 24 * time.Hour

// nextScope says what is to be compared at a time: everything when that is due, else what was updated since the last
// reconciliation.
func nextScope(s Schedule, last ledger.LastReconciled, now time.Time) (Scope, bool) {
	recent := max(last.All, last.Recent)
	switch at := now.UnixMilli(); {
	case last.All == 0 || at-last.All >= s.All.Milliseconds():
		return Scope{}, true
	case at-recent >= s.Every.Milliseconds():
		return Scope{Since: time.UnixMilli(recent).Add(-slack).UTC().Format(time.DateOnly)}, true
	}
	return Scope{}, false
}

func (r *Reconciler) runOnce(ctx context.Context, scope Scope, needed func(ledger.LastReconciled) bool) error {
	report, err := r.reconcile(ctx, scope, nil, needed)
	if err != nil {
		return err
	}
	log := r.o.Log.With(
		"scope", scope.String(), "listed", report.Listed, "found", len(report.Findings), "took", report.Took.String())
	if report.Unreadable > 0 {
		log.Error("reconciled, but some entries of Ordergroove's lists could not be read", "unreadable", report.Unreadable)
		return nil
	}
	log.Info("reconciled")
	return nil
}

// logInterrupted logs a reconciliation that was not finished, unless another instance does it.
func (r *Reconciler) logInterrupted(ctx context.Context, err error) {
	if err == nil || errors.Is(err, ErrReconciling) || errors.Is(err, errNotNeeded) || ctx.Err() != nil {
		return
	}
	r.o.Log.Error("reconciliation interrupted, will resume", "error", err)
}
