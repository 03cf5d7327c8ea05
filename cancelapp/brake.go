package cancelapp

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"sync/atomic"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

const (
	brakeInterval = 2 * time.Second
	// brakeReminder is how long a term's message is not repeated, though more of its subscriptions wait by then.
	brakeReminder = time.Hour
	day           = 24 * time.Hour
)

// brake is what held back changes when the store was asked last, and what was said of it. The zero value is nothing.
type brake struct {
	latest   atomic.Pointer[ledger.Brake]
	reported map[string]report // by term; the watching loop's own
	seen     ledger.Brake      // by the watching loop
}

// report is the last message about a term.
type report struct {
	unapproved ledger.Unapproved
	at         time.Time
}

func (b *brake) paused() bool {
	latest := b.latest.Load()
	return latest != nil && latest.Pause.Since != 0
}

// LatestBrake is what held back changes when the store was asked last. It is asked every few seconds while the App
// runs.
func (a *App) LatestBrake() ledger.Brake {
	if latest := a.brake.latest.Load(); latest != nil {
		return *latest
	}
	return ledger.Brake{}
}

// ReadBrake asks the store what holds back changes. It is refreshed while the App runs; a command asks once.
func (a *App) ReadBrake(ctx context.Context) (ledger.Brake, error) {
	now, err := a.store.Brake(ctx)
	if err != nil {
		return now, err
	}
	a.brake.latest.Store(&now)
	return now, nil
}

// watchBrake says in the log and by a notification what is held back, until ctx is done.
func (a *App) watchBrake(ctx context.Context) {
	clock := time.NewTicker(max(brakeInterval, a.idle()))
	defer clock.Stop()
	for {
		if err := a.checkBrake(ctx); err != nil && ctx.Err() == nil {
			a.logStoreError(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// checkBrake compares what is held back with what was seen before, and says what is new: once a change.
func (a *App) checkBrake(ctx context.Context) error {
	now, err := a.ReadBrake(ctx)
	if err != nil {
		return err
	}
	before := a.brake.seen
	a.brake.seen = now
	switch {
	case now.Pause != before.Pause && now.Pause.Since != 0:
		a.o.Log.Error("all changes at Ordergroove are paused, until termed resume",
			"since", instant(now.Pause.Since), "by", now.Pause.Actor, "reason", now.Pause.Reason)
	case before.Pause.Since != 0 && now.Pause.Since == 0:
		a.o.Log.Info("changes at Ordergroove continue")
	}
	switch {
	case now.Throttled > 0 && before.Throttled == 0:
		return a.reportThrottle(ctx, now)
	case now.Throttled == 0 && before.Throttled > 0:
		a.o.Log.Info("the throttle holds back no end anymore")
	}
	return a.reportApprovals(ctx, before, now)
}

func (a *App) reportThrottle(ctx context.Context, now ledger.Brake) error {
	limit := a.Rules().EndLimit
	a.o.Log.Error("more subscriptions were complete at first sight than may be ended in an hour",
		"held_back", now.Throttled, "ends_per_hour", limit.PerHour, "or_percent", limit.Percent)
	return a.notifyOperator(ctx, counter.Notification{
		Type: counter.EndsHeldBack,
		Reason: "more subscriptions were complete at first sight than may be ended in an hour; " +
			"check the SKUs in termed.yaml, then run termed approve, or termed pause",
		Waiting: counter.Waiting{Complete: now.Throttled},
	})
}

// reportApprovals says how many subscriptions of a term wait for an approval, once their numbers no longer change: they
// come to light one by one.
func (a *App) reportApprovals(ctx context.Context, before, now ledger.Brake) error {
	was := map[string]ledger.Unapproved{}
	for _, t := range before.Terms {
		was[t.Term] = t
	}
	waiting := map[string]bool{}
	for _, t := range now.Terms {
		waiting[t.Term] = true
		last, known := a.brake.reported[t.Term]
		worse := t.Complete > last.unapproved.Complete && a.o.Now().Sub(last.at) >= brakeReminder
		if was[t.Term] != t || known && !worse {
			continue
		}
		if err := a.reportUnapproved(ctx, t); err != nil {
			return err
		}
	}
	maps.DeleteFunc(a.brake.reported, func(term string, _ report) bool { return !waiting[term] })
	return nil
}

func (a *App) reportUnapproved(ctx context.Context, t ledger.Unapproved) error {
	if a.brake.reported == nil {
		a.brake.reported = map[string]report{}
	}
	a.brake.reported[t.Term] = report{t, a.o.Now()}
	reason := fmt.Sprintf("%s: %d would end now, %d later; nothing is written to them until they are approved: "+
		"check the SKUs in termed.yaml, then run termed approve", t.Term, t.Complete, t.Running)
	a.o.Log.Error("subscriptions need approval before their first end",
		"term", t.Term, "would_end_now", t.Complete, "later", t.Running)
	return a.notifyOperator(ctx, counter.Notification{
		Type:    counter.ApprovalNeededOf,
		Reason:  reason,
		Waiting: counter.Waiting{Term: t.Term, Complete: t.Complete, Running: t.Running},
	})
}

// notifyOperator puts a notification into the outbox, the same for all instances, and at most one a day.
func (a *App) notifyOperator(ctx context.Context, n counter.Notification) error {
	n.At = a.now()
	term := sha256.Sum256([]byte(n.Waiting.Term)) // a name may have characters that no header can have
	n.ID = fmt.Sprintf("%s-%x-%d", n.Type, term[:8], n.At/day.Milliseconds())
	return a.store.EnqueueMessages(ctx, a.Rules().Messages(n))
}

// listedAt says since when a SKU has been listed in termed.yaml, UTC unix milliseconds.
func (r Rules) listedAt(sku string) int64 {
	at, ok := r.Listed[sku]
	if !ok && r.Listed != nil {
		return math.MaxInt64
	}
	return at
}

// hold says why nothing may be changed at Ordergroove now.
func (s *subscriptionSync) hold() counter.Hold {
	switch {
	case s.Observe:
		return counter.Observing
	case s.paused:
		return counter.Paused
	}
	return ""
}
