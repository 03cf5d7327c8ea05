package cancelapp

import (
	"context"
	"errors"
	"time"

	"github.com/termed/termed/counter"
)

// Schedule says how often everything is compared with Ordergroove. A zero Every is never.
type Schedule struct {
	Every time.Duration // what was updated lately
	All   time.Duration // everything; default a day
}

// firstWithin bounds how long after its start a service compares what it may have missed.
const firstWithin = 5 * time.Minute

// reconcileOnTime compares when it is time: what was updated lately, and now and then everything. The times stand in the
// database, so several instances compare once between them. The first one after a start waits a little, and each is spread
// by up to a tenth, so that instances and shops do not come at the same moment.
func (a *App) reconcileOnTime(ctx context.Context) {
	every := a.o.Reconcile.Every
	if every == 0 {
		return
	}
	spread := func() time.Duration { return time.Duration(a.o.Jitter() * float64(every) / 10) }
	wait := time.NewTimer(min(spread(), firstWithin))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.silence.bell:
			rung := a.now()
			if err := a.reconcileOnce(ctx, Scope{}, func(last counter.Compared) bool { return last.All < rung }); err != nil {
				a.notReconciled(ctx, err)
			}
			continue
		case <-wait.C:
		}
		next := min(every/10, time.Minute) // asking costs one read of the database
		if last, err := a.history.Compared(ctx); err != nil {
			a.trouble(err)
		} else if scope, due := nextScope(a.o.Reconcile, last, a.o.Now()); due && a.gate.reason() == nil {
			if err := a.reconcileOnce(ctx, scope, func(now counter.Compared) bool { return now == last }); err != nil {
				a.notReconciled(ctx, err)
				next = min(every, 5*time.Minute)
			}
		}
		wait.Reset(next + spread())
	}
}

// slack is for `updated` being a date of an unknown time zone.
const slack = 24 * time.Hour

// nextScope says what is to be compared at a time: everything when that is due, else what was updated since the last
// comparison.
func nextScope(s Schedule, last counter.Compared, now time.Time) (Scope, bool) {
	recent := max(last.All, last.Recent)
	switch at := now.UnixMilli(); {
	case last.All == 0 || at-last.All >= s.All.Milliseconds():
		return Scope{}, true
	case at-recent >= s.Every.Milliseconds():
		return Scope{Since: time.UnixMilli(recent).Add(-slack).UTC().Format(time.DateOnly)}, true
	}
	return Scope{}, false
}

func (a *App) reconcileOnce(ctx context.Context, scope Scope, needed func(counter.Compared) bool) error {
	report, err := a.reconcile(ctx, scope, nil, needed)
	if err != nil {
		return err
	}
	log := a.o.Log.With("scope", scope.String(), "listed", report.Listed, "found", len(report.Findings), "took", report.Took.String())
	if report.Unreadable > 0 {
		log.Error("compared with Ordergroove; some entries of its lists could not be read", "unreadable", report.Unreadable)
		return nil
	}
	log.Info("compared with Ordergroove")
	return nil
}

// notReconciled tells of a comparison that did not come to its end; that another instance compares is none.
func (a *App) notReconciled(ctx context.Context, err error) {
	if errors.Is(err, ErrReconciling) || errors.Is(err, errNotNeeded) || ctx.Err() != nil {
		return
	}
	a.o.Log.Error("comparing with Ordergroove was interrupted; it goes on from there", "error", err)
}
