package cancelapp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// perform does one thing and notes what it was.
func (s *subscriptionSync) perform(
	ctx context.Context, term counter.Term, plan counter.Plan,
) (ordergroove.Subscription, error) {
	answer, err := s.act(ctx, term, plan)
	if err == nil {
		s.did = append(s.did, actionDone(term, plan, s.counterNow())...)
	}
	return answer, err
}

// act does one thing and answers the subscription as it is then.
func (s *subscriptionSync) act(
	ctx context.Context, term counter.Term, plan counter.Plan,
) (ordergroove.Subscription, error) {
	switch plan.Do {
	case counter.Recount:
		return s.recount(ctx, term)
	case counter.Adopt:
		return s.adopt(ctx, term, plan)
	case counter.SwitchTerm:
		return s.switchTerm(ctx, term, plan)
	case counter.OpenNext:
		return s.openNext(ctx, term, plan)
	case counter.Write:
		return s.write(ctx, term, plan)
	case counter.Cancel:
		return s.cancel(ctx, term, plan)
	case counter.Renew:
		was := s.remote.Prepaid.RenewalBehavior
		answer, err := s.change(ctx, term, plan, ordergroove.EndAtRenewal(s.sub.ID))
		if err == nil {
			s.enter(plan.What, was, "cancel", plan.Why)
		}
		return answer, err
	case counter.Swap:
		was := s.remote.Product
		answer, err := s.change(ctx, term, plan, ordergroove.ChangeProduct(s.sub.ID, plan.SKU))
		if err == nil {
			s.enter(plan.What, was, answer.Product, plan.Why)
		}
		return answer, err
	}
	return ordergroove.Subscription{}, fmt.Errorf("there is no action %q", plan.Do)
}

// recount asks for the placed orders; those that no webhook announced become facts.
func (s *subscriptionSync) recount(ctx context.Context, term counter.Term) (ordergroove.Subscription, error) {
	found, err := s.find(ctx, term)
	if err != nil {
		return ordergroove.Subscription{}, err
	}
	s.recounted = true
	s.unknown = len(found.Counting())
	if s.restored, err = s.foundMissed(ctx, found.Counting()); err != nil {
		return ordergroove.Subscription{}, err
	}
	step := ledger.Step{Enrollment: s.sub.Enrollment, Shipments: found.Shipments}
	if found.OpenedAt != s.sub.OpenedAt {
		step.OpenedAt = &found.OpenedAt
	}
	if s.sub.IsNew() && s.sub.OpenedAt != 0 {
		// What was placed before we knew of the subscription is not news. Of one known from its creation, everything is.
		for i := range step.Shipments {
			step.Shipments[i].Notified = true
		}
	}
	return s.remote, s.record(ctx, step)
}

// find asks for the placed orders and says what is new about them.
func (s *subscriptionSync) find(ctx context.Context, term counter.Term) (counter.Found, error) {
	items, err := s.api.PlacedItems(ctx, s.sub.ID)
	if err != nil {
		return counter.Found{}, err
	}
	recorded, err := s.store.Shipments(ctx, s.sub.ID)
	if err != nil {
		return counter.Found{}, err
	}
	placed := counter.Distinct(shipmentsIn(s.sub.ID, items, s.now()))
	if len(counter.Without(placed, recorded)) > 0 && s.remote.Live && !s.filterWorks.Load() {
		if placed, err = s.withoutUpcoming(ctx, placed); err != nil {
			return counter.Found{}, err
		}
	}
	if s.Terms.NeedsDates(s.sub.Enrollment, recorded, placed) {
		if err := s.date(ctx, placed); err != nil {
			return counter.Found{}, err
		}
	}
	all, err := s.store.Enrollments(ctx, s.sub.ID)
	if err != nil {
		return counter.Found{}, err
	}
	since := counter.Since(s.sub.Enrollment, all)
	return s.Terms.Recount(term, s.sub.Enrollment, since, s.observed(term), recorded, placed), nil
}

// date gives shipments the dates of their orders: items carry none.
func (s *subscriptionSync) date(ctx context.Context, shipments []counter.Shipment) error {
	orders, err := s.api.Orders(ctx, s.sub.ID, ordergroove.StatusSuccess)
	if err != nil {
		return err
	}
	for _, o := range orders {
		for i := range shipments {
			if shipments[i].Order == o.ID && !o.Place.IsZero() {
				shipments[i].At = o.Place.UnixMilli()
			}
		}
	}
	return nil
}

// shipmentsIn makes a shipment of each item that is the subscription's part in an order.
func shipmentsIn(subscription string, items []ordergroove.Item, at int64) []counter.Shipment {
	var shipments []counter.Shipment
	for _, item := range items {
		// safeguard: own-items
		if item.Subscription == subscription && item.Order != "" {
			shipments = append(shipments, shipment(item, counter.Reconciled, at))
		}
	}
	return shipments
}

func (s *subscriptionSync) adopt(
	ctx context.Context, term counter.Term, plan counter.Plan,
) (ordergroove.Subscription, error) {
	entry := s.entry(plan.What, strconv.Itoa(s.sub.Remaining()), strconv.Itoa(*plan.Counter), plan.Why)
	entry.Actor = ledger.ByOrdergroove
	return s.remote, s.record(ctx, ledger.Step{
		Enrollment: counter.Advance(term, s.sub.Enrollment, plan, s.observed(term), s.now()),
		Counted:    true,
		Journal:    []ledger.JournalEntry{entry},
	})
}

// switchTerm continues the enrollment under another term. What happened under the one before is notified first.
func (s *subscriptionSync) switchTerm(
	ctx context.Context, term counter.Term, plan counter.Plan,
) (ordergroove.Subscription, error) {
	if err := s.notifyUntil(ctx, s.sub, 0); err != nil {
		return ordergroove.Subscription{}, err
	}
	after := s.sub
	after.Enrollment = counter.Advance(term, s.sub.Enrollment, plan, s.observed(term), s.now())
	err := s.record(ctx, ledger.Step{
		Enrollment: after.Enrollment,
		Counted:    true,
		Journal:    []ledger.JournalEntry{s.entry(plan.What, s.sub.Progress(), after.Progress(), plan.Why)},
		Notify:     s.notify,
	})
	s.notified()
	return s.remote, err
}

// openNext closes the enrollment, which is notified first, and opens the one that follows it.
func (s *subscriptionSync) openNext(
	ctx context.Context, term counter.Term, plan counter.Plan,
) (ordergroove.Subscription, error) {
	closed := s.sub
	closed.Enrollment = counter.Close(s.sub.Enrollment, plan, s.now())
	next := s.sub
	next.Enrollment = counter.Advance(term, s.sub.Enrollment, plan, s.observed(term), s.now())
	beyond := next.Placed.Orders // these are the first of the next enrollment
	closed.Placed.Orders -= beyond
	if err := s.notifyUntil(ctx, closed, beyond); err != nil {
		return ordergroove.Subscription{}, err
	}
	if next.State == counter.Active {
		s.post(counter.Notification{Type: counter.TermStarted, At: s.now(), Subscription: next})
	}
	closed.Placed.Orders += beyond
	err := s.record(ctx, ledger.Step{
		Enrollment: closed.Enrollment,
		Next:       &next.Enrollment,
		Counted:    true,
		Journal:    []ledger.JournalEntry{s.entry(plan.What, closed.Progress(), next.Progress(), plan.Why)},
		Notify:     s.notify,
	})
	s.notified()
	return s.remote, err
}

// notified makes what was recorded last the ground of the next notifications.
func (s *subscriptionSync) notified() {
	s.notify = ledger.Notify{}
	s.before = s.sub
}

// write overwrites extra_data with what was read and our keys. The counter is recorded as sent before the call: after a
// crash in between, it tells our own half-done write from somebody else's edit.
func (s *subscriptionSync) write(
	ctx context.Context, term counter.Term, plan counter.Plan,
) (ordergroove.Subscription, error) {
	// safeguard: sent-before-call
	if err := s.prepare(ctx, term, plan); err != nil {
		return ordergroove.Subscription{}, err
	}
	failpoint.Hit("counter-stored")
	// safeguard: whole-extra-data
	data := s.extra
	for _, key := range slices.Sorted(maps.Keys(plan.Set)) {
		data = data.With(key, json.RawMessage(plan.Set[key]))
	}
	for _, key := range plan.Unset {
		data = data.Without(key)
	}
	answer, err := s.api.Do(ctx, ordergroove.UpdateExtraData(s.sub.ID, data))
	if err != nil {
		return ordergroove.Subscription{}, err
	}
	failpoint.Hit("patch-answered")
	s.sub.Enrollment = counter.Advance(term, s.sub.Enrollment, plan, s.observed(term), s.now())
	if plan.Counter == nil {
		s.enter(plan.What, strings.Join(plan.Unset, ", "), strings.Join(slices.Sorted(maps.Keys(plan.Set)), ", "), plan.Why)
		return answer.Subscription, nil
	}
	before, _ := s.extra.Get(term.Keys.Counter)
	s.enter(plan.What, string(before), strconv.Quote(strconv.Itoa(*plan.Counter)), plan.Why)
	return answer.Subscription, nil
}

// cancel cancels the subscription. That it was requested is recorded before the call.
func (s *subscriptionSync) cancel(
	ctx context.Context, term counter.Term, plan counter.Plan,
) (ordergroove.Subscription, error) {
	if err := s.prepare(ctx, term, plan); err != nil {
		return ordergroove.Subscription{}, err
	}
	if s.sub.State == counter.BlockingReactivation {
		s.before.State = counter.BlockingReactivation // a sync that finds it canceled later notifies the same
	}
	answer, err := s.api.Do(ctx, ordergroove.CancelSubscription(s.sub.ID, plan.CancelReason))
	if err != nil {
		return ordergroove.Subscription{}, err
	}
	failpoint.Hit("cancel-answered")
	s.sub.Enrollment = counter.Advance(term, s.sub.Enrollment, plan, s.observed(term), s.now())
	s.enter(plan.What, "live", liveness(answer.Subscription.Live), plan.Why)
	return answer.Subscription, nil
}

// change makes a change at Ordergroove of which nothing but the intent has to be recorded before.
func (s *subscriptionSync) change(
	ctx context.Context, term counter.Term, plan counter.Plan, change ordergroove.Change,
) (ordergroove.Subscription, error) {
	if err := s.prepare(ctx, term, plan); err != nil {
		return ordergroove.Subscription{}, err
	}
	answer, err := s.api.Do(ctx, change)
	return answer.Subscription, err
}

// prepare records what the plan is about to change at Ordergroove. Without it nothing is changed: the store refuses it
// where changes are paused, or where there were too many ends that nobody saw coming.
func (s *subscriptionSync) prepare(ctx context.Context, term counter.Term, plan counter.Plan) error {
	return s.record(ctx, ledger.Step{
		Enrollment: counter.Prepare(term, s.sub.Enrollment, plan, s.observed(term), s.now()),
		Intent:     &ledger.Intent{At: s.now(), Unexplained: plan.Unexplained, Limit: s.EndLimit},
	})
}

// record commits a step and takes the subscription as it is then, except for what only Finish records.
func (s *subscriptionSync) record(ctx context.Context, step ledger.Step) error {
	after, err := s.store.Record(ctx, s.lease, step)
	if err != nil {
		return err
	}
	after.CreatedAt = s.sub.CreatedAt
	after.Live = s.sub.Live
	after.Prepaid = s.sub.Prepaid
	after.PendingExtraOrder = s.sub.PendingExtraOrder
	after.PendingExtraPlace = s.sub.PendingExtraPlace
	s.sub = after
	return nil
}
