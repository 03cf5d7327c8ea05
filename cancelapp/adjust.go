package cancelapp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

const (
	// unsettledRetry is how soon the upcoming order is asked for again while the one before it is not recorded.
	unsettledRetry = time.Minute
	// noOrderRetry is how soon it is asked for again while it does not exist: the webhook that announces it may be lost.
	noOrderRetry = time.Hour
)

// adjust applies the adjustments whose order has come, once the sync has nothing else left to do. What goes wrong with
// one of them delays neither the count nor the end: that is recorded first.
func (s *subscriptionSync) adjust(ctx context.Context, o *ledger.Outcome) {
	err := s.adjustAll(ctx)
	switch {
	case err == nil, errors.Is(err, ledger.ErrStale): // it is due again
	case errors.Is(err, ledger.ErrPaused):
		s.remind(o.At + unsettledRetry.Milliseconds())
	default:
		o.Error = err.Error()
		o.Next, o.Attempts = s.retry(err, s.lease.Attempts, ledger.Normal, o.At)
		s.o.Log.WarnContext(ctx, "adjustment failed, will retry",
			"subscription", s.sub.ID, "attempts", o.Attempts, "error", err)
	}
}

func (s *subscriptionSync) adjustAll(ctx context.Context) error {
	if err := s.addTermAdjustments(ctx); err != nil || s.lease.Adjustments == 0 {
		return err
	}
	open, err := s.store.OpenAdjustments(ctx, s.sub.ID)
	if err != nil || len(open) == 0 {
		return err
	}
	if reason := s.noMoreOrders(); reason != "" {
		return s.giveUp(ctx, open, reason)
	}
	if s.sub.State != counter.Active || s.Observe || s.allLater(open) {
		return nil
	}
	for i := range open {
		// What one has done is the ground of the next.
		u, err := s.Upcoming(ctx, s.sub)
		switch {
		case IsUnsettled(err):
			s.remind(s.now() + unsettledRetry.Milliseconds())
			return nil
		case err != nil:
			return err
		case !u.Exists():
			s.remind(s.now() + noOrderRetry.Milliseconds())
			return nil
		}
		if err := s.record(ctx, ledger.Step{Enrollment: s.sub.Enrollment, Schedule: &u.Known}); err != nil {
			return err
		}
		done, err := s.step(ctx, &open[i], u)
		if err != nil {
			return err
		}
		if !done && i+1 < len(open) {
			return s.stepRest(ctx, open[i+1:], u)
		}
	}
	return nil
}

// allLater says, without a call, whether the adjustments are all for shipments that do not come next.
func (s *subscriptionSync) allLater(open []ledger.Adjustment) bool {
	return !slices.ContainsFunc(open, func(a ledger.Adjustment) bool {
		m := a.Spec.Matcher
		return a.Order != "" || m.Shipment <= s.sub.ShipmentsMade()+1 || a.Enrollment != s.sub.Number
	})
}

// stepRest goes on with the order that was asked for: nothing was changed since.
func (s *subscriptionSync) stepRest(ctx context.Context, rest []ledger.Adjustment, u Upcoming) error {
	for i := range rest {
		done, err := s.step(ctx, &rest[i], u)
		if err != nil {
			return err
		}
		if done && i+1 < len(rest) {
			s.remind(s.now()) // it is due again: the order is another one by now
			return nil
		}
	}
	return nil
}

// remind makes the subscription due again at a time, if nothing else does before.
func (s *subscriptionSync) remind(at int64) {
	if s.remindAt == 0 || at < s.remindAt {
		s.remindAt = at
	}
}

// noMoreOrders says why no order of the subscription will be adjusted any more; "": one may be.
func (s *subscriptionSync) noMoreOrders() string {
	switch s.sub.State {
	case counter.Completed:
		return "the term is complete"
	case counter.Ended:
		return "the subscription was canceled"
	case counter.Released:
		return "the subscription was released from its term"
	}
	return ""
}

// giveUp settles what waits for orders that will not come.
func (s *subscriptionSync) giveUp(ctx context.Context, open []ledger.Adjustment, reason string) error {
	for i := range open {
		a := &open[i]
		if a.Status == ledger.AdjustmentPending {
			if err := s.miss(ctx, a, reason); err != nil {
				return err
			}
		}
		if err := s.setBack(ctx, a, s.remote.Live); err != nil {
			return err
		}
	}
	return nil
}

// addTermAdjustments creates what termed.yaml asks for the next shipment, each rule once for each enrollment.
func (s *subscriptionSync) addTermAdjustments(ctx context.Context) error {
	if s.sub.State != counter.Active || s.sub.Prepaid || s.sub.Permission.Approval == counter.ApprovalNeeded {
		return nil
	}
	next := s.sub.ShipmentsMade() + 1
	number := 0
	for _, spec := range s.Schedule.ByTerm[s.term().Name] {
		if spec.Matcher.Shipment != next {
			continue
		}
		number++
		key := fmt.Sprintf("term %d shipment %d rule %d", s.sub.Number, next, number)
		_, err := s.store.AdjustmentByKey(ctx, s.sub.ID, key)
		if !errors.Is(err, ledger.ErrUnknownAdjustment) {
			if err != nil {
				return err
			}
			continue
		}
		a := ledger.Adjustment{
			ID:           fmt.Sprintf("%s-%d-%d-%d", s.sub.ID, s.sub.Number, next, number),
			Subscription: s.sub.ID,
			Enrollment:   s.sub.Number,
			Key:          key,
			Spec:         spec,
			Actor:        "termed.yaml",
			Status:       ledger.AdjustmentPending,
			Created:      s.now(),
		}
		entry := s.adjustmentEntry(a, "adjustment created", "termed.yaml asks for it")
		if err := s.saveAdjustment(ctx, &a, ledger.Notify{}, entry); err != nil {
			return err
		}
		s.lease.Adjustments++
	}
	return nil
}

// step does what there is to do about one adjustment now, and says whether it changed the order.
func (s *subscriptionSync) step(ctx context.Context, a *ledger.Adjustment, u Upcoming) (changed bool, err error) {
	if a.Order != "" && a.Order != u.Order.ID {
		return true, s.conclude(ctx, a)
	}
	if a.Status != ledger.AdjustmentPending {
		return false, nil // it is set back after its order
	}
	if a.Order == "" {
		if a.Enrollment != 0 && a.Enrollment != s.sub.Number {
			return false, s.miss(ctx, a, "its term is complete")
		}
		verdict, reason := a.Spec.Matcher.Match(a.Slot, u.Position)
		switch verdict {
		case schedule.Later:
			return false, nil
		case schedule.Passed:
			return false, s.miss(ctx, a, reason)
		}
		if err := s.begin(ctx, a, u); err != nil || a.Status != ledger.AdjustmentPending {
			return false, err
		}
	}
	return true, s.call(ctx, a, u)
}

// begin works out the calls, or says why the adjustment does not fit its order.
func (s *subscriptionSync) begin(ctx context.Context, a *ledger.Adjustment, u Upcoming) error {
	p := planner{s.Schedule, s.sub.ID, a.Spec, u, s.remote.Frequency, s.o.Now()}
	calls, err := p.calls()
	if m, ok := errors.AsType[*misfit](err); ok {
		return s.settleAdjustment(ctx, a, ledger.AdjustmentFailed, m.reason)
	}
	if err != nil {
		return err
	}
	a.Order = u.Order.ID
	a.Calls = calls
	return nil
}

// conclude settles an adjustment whose order is no longer upcoming, and sets back what was changed for its sake.
func (s *subscriptionSync) conclude(ctx context.Context, a *ledger.Adjustment) error {
	if a.Status == ledger.AdjustmentPending {
		if err := s.concludePending(ctx, a); err != nil {
			return err
		}
	}
	return s.setBack(ctx, a, s.remote.Live)
}

func (s *subscriptionSync) concludePending(ctx context.Context, a *ledger.Adjustment) error {
	done, unknown := 0, false
	for _, c := range a.Calls {
		if c.Status == ledger.CallDone {
			done++
		}
		unknown = unknown || c.Status == ledger.CallSent
	}
	if len(a.Calls) > 0 && isSkip(a.Calls[0]) {
		recorded, err := s.store.Shipments(ctx, s.sub.ID)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(recorded, func(x counter.Shipment) bool { return x.Order == a.Order }) {
			return s.miss(ctx, a, "the order was placed before it could be skipped")
		}
		return s.settleAdjustment(ctx, a, ledger.AdjustmentApplied, "")
	}
	switch {
	case unknown:
		return s.settleAdjustment(ctx, a, ledger.AdjustmentAttention, mayHaveBeenApplied(a.Order))
	case done > 0:
		return s.settleAdjustment(ctx, a, ledger.AdjustmentAttention,
			fmt.Sprintf("the order went by when %d of %d changes were made; check order %s", done, len(a.Calls), a.Order))
	}
	return s.miss(ctx, a, "the order was placed or skipped before it could be adjusted")
}

// setBack undoes what was changed about the subscription for the sake of one order, unless somebody has changed it
// since.
func (s *subscriptionSync) setBack(ctx context.Context, a *ledger.Adjustment, live bool) error {
	for i := range a.Calls {
		c := &a.Calls[i]
		if !c.After || c.Status == ledger.CallDone {
			continue
		}
		if live && s.isOurs(a.Calls) {
			c.Status = ledger.CallSent
			c.At = s.now()
			if err := s.saveAdjustment(ctx, a, ledger.Notify{}, nil); err != nil {
				return err
			}
			_, err := s.api.Do(ctx, changeOf(s.sub.ID, *c))
			if err != nil && !errors.Is(err, ordergroove.ErrRejected) && !errors.Is(err, ordergroove.ErrNotFound) {
				return err // it is absolute: made again, it says the same
			}
		}
		c.Status = ledger.CallDone
		entry := s.adjustmentEntry(*a, "frequency set back", "after order "+a.Order)
		if err := s.saveAdjustment(ctx, a, ledger.Notify{}, entry); err != nil {
			return err
		}
	}
	return nil
}

// isOurs says whether the subscription's frequency is the one that an adjustment has set.
func (s *subscriptionSync) isOurs(calls []ledger.AdjustmentCall) bool {
	return slices.ContainsFunc(calls, func(c ledger.AdjustmentCall) bool {
		return !c.After && c.Operation == string(ordergroove.OpChangeFrequency) && c.Status != ledger.CallPlanned &&
			changeOf(s.sub.ID, c).Body.Frequency() == s.remote.Frequency
	})
}

func (s *subscriptionSync) miss(ctx context.Context, a *ledger.Adjustment, reason string) error {
	return s.settleAdjustment(ctx, a, ledger.AdjustmentMissed, reason)
}

// settleAdjustment records what became of an adjustment, with its line in the journal and its notification. What it
// would have sent is erased.
func (s *subscriptionSync) settleAdjustment(
	ctx context.Context, a *ledger.Adjustment, status ledger.AdjustmentStatus, reason string,
) error {
	a.Status = status
	a.Reason = reason
	a.Spec = a.Spec.WithoutAddress()
	for i := range a.Calls {
		// safeguard: adjust-erased
		if !a.Calls[i].After && a.Calls[i].Operation != string(ordergroove.OpChangeFrequency) {
			a.Calls[i].Body = nil
		}
	}
	var notify ledger.Notify
	if eventType := adjustmentNotifications[status]; eventType != "" {
		notify.Messages = s.Messages(counter.Notification{
			Type:         eventType,
			At:           s.now(),
			Subscription: s.sub,
			Order:        a.Order,
			Adjustment:   a.ID,
			Reason:       reason,
		})
		s.o.Log.WarnContext(ctx, "adjustment not applied", "subscription", s.sub.ID, "adjustment", a.ID, "status", status,
			"reason", reason)
	}
	return s.saveAdjustment(ctx, a, notify, s.adjustmentEntry(*a, "adjustment "+string(status), reason))
}

// adjustmentNotifications are the types of what a person should hear of.
var adjustmentNotifications = map[ledger.AdjustmentStatus]string{
	ledger.AdjustmentMissed:    counter.AdjustmentMissed,
	ledger.AdjustmentFailed:    counter.AdjustmentFailed,
	ledger.AdjustmentAttention: counter.AdjustmentAttention,
}

// saveAdjustment records an adjustment. Where a call is about to be made, that is an intent, which a pause refuses.
func (s *subscriptionSync) saveAdjustment(
	ctx context.Context, a *ledger.Adjustment, notify ledger.Notify, entry *ledger.JournalEntry,
) error {
	a.Updated = s.now()
	step := ledger.Step{Enrollment: s.sub.Enrollment, Adjustment: a, Notify: notify}
	if entry != nil {
		step.Journal = []ledger.JournalEntry{*entry}
	}
	aboutToBeMade := func(c ledger.AdjustmentCall) bool {
		return c.Status == ledger.CallSent && (c.After || a.Status == ledger.AdjustmentPending)
	}
	if slices.ContainsFunc(a.Calls, aboutToBeMade) {
		step.Intent = &ledger.Intent{At: s.now()}
	}
	return s.record(ctx, step)
}

func (s *subscriptionSync) adjustmentEntry(a ledger.Adjustment, what, reason string) *ledger.JournalEntry {
	return &ledger.JournalEntry{
		Subscription: s.sub.ID,
		At:           s.now(),
		Actor:        ledger.ByTermed,
		What:         what,
		Before:       a.Spec.Matcher.String(),
		After:        a.Spec.Action.String(),
		Reason:       reason,
	}
}
