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

	// PerMinute is how many API calls termed may make: of them a share may go into reading the list of upcoming items,
	// which is long. Default 5400.
	PerMinute int
}

// firstWithin bounds how long after its start a service reconciles what it may have missed.
const firstWithin = 5 * time.Minute

// Run reconciles when it is time: what was updated lately, and now and then everything. The times are in the database,
// so several instances reconcile once between them. The first one after a start waits a little, and each is spread by
// up to a tenth, so that instances and shops do not come at the same moment.
func (r *Reconciler) Run(ctx context.Context) {
	r.recountRestored(ctx)
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

// recountRestored recounts all subscriptions if the database was brought back from a copy: until that is finished,
// nothing is changed at Ordergroove. It tries until it is.
func (r *Reconciler) recountRestored(ctx context.Context) {
	for ctx.Err() == nil {
		brake, err := r.app.ReadBrake(ctx)
		// safeguard: restored-recounted
		if err == nil && !brake.Pause.Restored {
			return
		}
		if err == nil {
			err = r.runOnce(ctx, Scope{Recount: true}, func(ledger.LastReconciled) bool { return true })
		}
		r.logInterrupted(ctx, err)
		select {
		case <-ctx.Done():
		case <-time.After(restoredInterval):
		}
	}
}

// restoredInterval is how long after an attempt to recount it is seen whether another one is needed.
const restoredInterval = time.Second

// runDue reconciles if it is time, and says how long to wait before asking again.
func (r *Reconciler) runDue(ctx context.Context) time.Duration {
	every := r.o.Schedule.Every
	last, err := r.store.LastReconciled(ctx)
	if err != nil {
		r.logInterrupted(ctx, err)
	}
	scope, due := nextScope(r.o.Schedule, last, r.lookEvery(last), r.o.Now())
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

// upcomingShare is how much of the calls that Ordergroove allows may go into reading the list of upcoming items.
const upcomingShare = 0.02

// lookEvery is how often all upcoming orders may be looked at beside what was updated: as their list is long.
func (r *Reconciler) lookEvery(last ledger.LastReconciled) time.Duration {
	perMinute := upcomingShare * float64(r.o.Schedule.PerMinute)
	return time.Duration(float64(last.UpcomingPages) / perMinute * float64(time.Minute))
}

// nextScope says what is to be compared at a time: everything when that is due, else what was updated since the last
// reconciliation, and what may have had an order that nobody announced if its list may be read again.
func nextScope(s Schedule, last ledger.LastReconciled, lookEvery time.Duration, now time.Time) (Scope, bool) {
	recent := max(last.All, last.Recent)
	switch at := now.UnixMilli(); {
	case last.All == 0 || at-last.All >= s.All.Milliseconds():
		return Scope{}, true
	case at-recent >= s.Every.Milliseconds():
		return Scope{
			Since: time.UnixMilli(recent).Add(-slack).UTC().Format(time.DateOnly),
			// safeguard: upcoming-share
			Upcoming: at-last.Upcoming >= lookEvery.Milliseconds(),
		}, true
	}
	return Scope{}, false
}

func (r *Reconciler) runOnce(ctx context.Context, scope Scope, needed func(ledger.LastReconciled) bool) error {
	run := &run{scope: scope}
	report, err := r.reconcile(ctx, run, needed)
	if err != nil {
		return err
	}
	if every := r.lookEvery(run.finished()); every > r.o.Schedule.Every {
		r.o.Log.Warn("the upcoming items are too many to read in each reconciliation",
			"pages", run.finished().UpcomingPages, "every", every.Round(time.Minute).String())
	}
	log := r.o.Log.With(
		"scope", scope.String(), "listed", report.Listed, "found", report.Found, "took", report.Took.String())
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
