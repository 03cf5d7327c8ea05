package cancelapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/tracing"
)

// maxActions bounds a sync. The longest way is recount, open next, adopt, write, cancel; the rest is for somebody who
// keeps changing the subscription meanwhile.
const maxActions = 8

// claimSubscriptions claims due subscriptions, each a task of its own. While the breaker is open none is claimed.
func (a *App) claimSubscriptions(ctx context.Context, n, retries int) ([]task, error) {
	if !a.breaker.allows() {
		return nil, nil
	}
	claimed, err := a.store.Claim(ctx, a.now(), a.until(), n, retries)
	if err != nil {
		return nil, err
	}
	tasks := make([]task, len(claimed))
	for i, l := range claimed {
		keep := lease{a.o.Lease, func(ctx context.Context) error { return a.store.Renew(ctx, l, a.until()) }}
		tasks[i] = task{
			work: func(ctx context.Context) {
				keep.hold(ctx, func(ctx context.Context) { a.sync(ctx, l) })
			},
			failed: l.Attempts > 0,
		}
	}
	return tasks, nil
}

// sync brings one subscription to its desired state and gives its lease back.
func (a *App) sync(ctx context.Context, lease ledger.Lease) {
	ctx, span := a.tracer.Start(tracing.Continue(ctx, lease.Trace), "sync", trace.WithAttributes(
		attribute.String("subscription.id", lease.ID),
		attribute.Int("attempts", lease.Attempts),
	))
	defer span.End()
	s := a.newSync(lease)
	ctx = s.withPriority(ctx, lease.Priority)
	defer s.logResult(ctx) // whatever becomes of the records: Ordergroove may have changed
	err := s.run(ctx)
	if errors.Is(err, ledger.ErrLeaseLost) {
		a.o.Log.WarnContext(ctx, "lease expired during a sync, another worker continues", "subscription", lease.ID)
		return
	}
	outcome := s.outcome(ctx, err)
	switch {
	case s.throttled != nil && !s.throttled.HeldBack:
		_ = s.askNextOrder(ctx) // the line is sorted by it; what is unknown comes last
	// safeguard: overship-alert
	case s.sub.AtOvershipRisk() && s.needsAlert(outcome.Attempts):
		s.alertOvership(ctx, outcome.Attempts)
	}
	if s.settled {
		if err := s.notifyAll(ctx); err != nil {
			a.logStoreError(err) // the lease expires, and it is due again
			return
		}
	}
	if s.settled && err == nil {
		s.adjust(ctx, &outcome)
	}
	outcome.Trace = s.nextTrace(outcome)
	outcome.Subscription = s.sub
	outcome.Journal = s.journal
	outcome.Notify = s.notify
	outcome.RemindAt = s.remindAt
	if s.sub.State == counter.Attention {
		a.o.Log.ErrorContext(ctx, "subscription needs attention", "subscription", lease.ID, "reason", s.sub.Reason)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	failpoint.Hit("before-release")
	if err := a.store.Finish(closing, lease, outcome); err != nil {
		a.logStoreError(err) // the lease expires, and it is due again
	}
}

// subscriptionSync is the sync of one subscription.
type subscriptionSync struct {
	*App
	Rules           // that it began with
	api       API   // Ordergroove, or what stands in for it in a dry run
	store     Store // the store, or what stands in for it in a dry run
	lease     ledger.Lease
	before    counter.Subscription // as the last notifications described it
	sub       counter.Subscription
	remote    ordergroove.Subscription // as the last answer has it
	extra     ordergroove.ExtraData
	broken    bool                   // extra_data is not an object
	recounted bool                   // the placed orders were asked for in this sync
	settled   bool                   // there is nothing left to do
	again     int64                  // when to read it again: what was read is older than our own change; 0: it is not
	unknown   int                    // placed orders that the recount found and that were not recorded
	restored  bool                   // some were placed before this process began, and after the last event before it
	refused   error                  // why extra_data could not be written
	paused    bool                   // changes at Ordergroove are refused
	throttled *ledger.ThrottledError // why the end has to wait
	previous  counter.Enrollment     // the one before a new one
	started   time.Time
	counters  []*int   // at Ordergroove, by each answer in turn, for the log
	did       []string // what it changed, for the log
	journal   []ledger.JournalEntry
	notify    ledger.Notify
	remindAt  int64
}

func (a *App) newSync(lease ledger.Lease) *subscriptionSync {
	sub := lease.Subscription.Subscription
	return &subscriptionSync{
		App:     a,
		Rules:   a.Rules(),
		api:     a.api,
		store:   a.store,
		lease:   lease,
		before:  sub,
		sub:     sub,
		started: a.o.Now(),
	}
}

// run reads the subscription and does the one next thing until there is none: every answer is the ground of the next
// decision, so what an answer says is checked by deciding again.
func (s *subscriptionSync) run(ctx context.Context) error {
	remote, err := s.api.Subscription(ctx, s.sub.ID)
	if err != nil {
		return err
	}
	failpoint.Hit("after-get")
	// safeguard: lagging-read
	if s.isBehind(remote) {
		s.again = s.lease.ChangedAt + readLag.Milliseconds()
		return nil
	}
	if s.sub.IsNew() && s.sub.Number > 1 {
		all, err := s.store.Enrollments(ctx, s.sub.ID)
		if err != nil {
			return err
		}
		s.previous = all[s.sub.Number-2]
	}
	var done counter.Plan
	// safeguard: bounded-sync
	for range maxActions {
		term, plan := s.decide(remote)
		if plan.Do == counter.Settle {
			s.settle(plan)
			return nil
		}
		// safeguard: answer-checked
		if repeats(plan, done) {
			return fmt.Errorf("the answer does not show the requested change (%s): %w", done.Do, ordergroove.ErrUnavailable)
		}
		done = plan
		if s.sub.AtOvershipRisk() {
			ctx = s.withPriority(ctx, ledger.Urgent)
		}
		answer, err := s.perform(ctx, term, plan)
		switch {
		case s.canGoOnWithout(err, plan):
			done = counter.Plan{}
		case s.isHeldBack(err):
			if s.throttled != nil {
				s.settle(counter.Throttle(term, plan))
				return nil //nolint:nilerr // waiting is what it was told to do
			}
			done = counter.Plan{}
		case err != nil:
			return err
		default:
			remote = answer
		}
	}
	return fmt.Errorf("the subscription keeps changing during the sync: %w", ordergroove.ErrUnavailable)
}

// repeats says whether a plan asks for exactly what was just done. A different write does not: a shipment was recorded
// meanwhile, and the counter is another one.
func repeats(plan, done counter.Plan) bool {
	return plan.Do == done.Do && plan.Do != counter.OpenNext && !plan.Respells &&
		maps.Equal(plan.Set, done.Set) && slices.Equal(plan.Unset, done.Unset)
}

// withPriority gives calls a priority. Those of a retry overtake nobody: what fails again and again would take the
// whole rate limit.
func (s *subscriptionSync) withPriority(ctx context.Context, p ledger.Priority) context.Context {
	// safeguard: retries-not-urgent
	if s.lease.Attempts > 0 {
		p = min(p, ledger.Normal)
	}
	return ordergroove.WithPriority(ctx, ordergroove.Priority(p)) // the same values in both
}

// isHeldBack says whether the store refused a step because nothing, or no such end, may be changed now.
func (s *subscriptionSync) isHeldBack(err error) bool {
	throttled, isThrottled := errors.AsType[*ledger.ThrottledError](err)
	switch {
	case isThrottled:
		s.throttled = throttled
		return true
	case errors.Is(err, ledger.ErrPaused):
		s.paused = true
		return true
	}
	return false
}

// decide takes an answer for what the subscription is now, and says what to do.
func (s *subscriptionSync) decide(remote ordergroove.Subscription) (counter.Term, counter.Plan) {
	s.observe(remote)
	term := s.term()
	return term, counter.Decide(term, s.sub.Enrollment, s.observed(term))
}

// priority is the sync's by now: the last shipment may have been counted in it.
func (s *subscriptionSync) priority() ledger.Priority {
	if s.sub.AtOvershipRisk() {
		return ledger.Urgent
	}
	return s.lease.Priority
}

func (s *subscriptionSync) observe(remote ordergroove.Subscription) {
	extra, err := ordergroove.ParseExtraData(remote.ExtraData)
	s.remote = remote
	s.extra = extra
	s.broken = err != nil
	s.sub.Live = remote.Live
	s.sub.CreatedAt = cmp.Or(s.sub.CreatedAt, remote.CreatedAt)
	s.sub.Prepaid = remote.Prepaid != nil
	if term, ok := s.Terms.Of(remote.Product); ok && s.sub.IsNew() && s.sub.State != counter.Released {
		s.sub.Enrollment = s.sub.WithTerm(term, remote.Product) // what an item said of the SKU was provisional
	}
	s.counters = append(s.counters, s.counterNow())
}

// term is the one of the product; where that is not termed, the enrollment's own continues.
func (s *subscriptionSync) term() counter.Term {
	return s.Terms.For(s.sub.Enrollment, s.remote.Product)
}

// observed is what the last answer says, in the words of the rules.
func (s *subscriptionSync) observed(term counter.Term) counter.Observed {
	_, termed := s.Terms.Of(s.remote.Product)
	o := counter.Observed{
		SKU:           s.remote.Product,
		Termed:        termed,
		Live:          s.remote.Live,
		CreatedAt:     s.sub.CreatedAt,
		ListedAt:      s.listedAt(s.remote.Product),
		Hold:          s.hold(),
		ReactivatedAt: s.sub.ReactivatedAt,
		Extra:         map[string]string{},
		Broken:        s.broken,
		Recounted:     s.recounted,
		JustCreated:   s.justCreated(),
		Previous:      s.previous,
		Restored:      s.isRestored(),
		Respelled:     s.sub.RespelledAt != 0 && s.now()-s.sub.RespelledAt < day.Milliseconds(),
	}
	if s.refused != nil {
		o.WriteRefused = s.refused.Error()
	}
	if s.remote.Prepaid != nil {
		o.Prepaid = true
		o.RenewalBehavior = s.remote.Prepaid.RenewalBehavior
	}
	for _, key := range counter.OurKeys(term, s.sub.Enrollment) {
		if value, ok := s.extra.Get(key); ok {
			o.Extra[key] = string(value)
		}
	}
	return o
}

// withoutOrders is how old a subscription may be to have no order that we could have missed: the first one that recurs
// is a day after the checkout at the earliest (contract, section 1), and one that somebody has sent at once is
// announced.
const withoutOrders = 10 * time.Minute

// justCreated says whether the subscription's creation was announced, a moment ago by both clocks.
func (s *subscriptionSync) justCreated() bool {
	age := s.now() - s.sub.CreatedAt
	// safeguard: just-created
	return s.sub.Number == 1 && s.sub.OpenedBy == counter.OpenedByCreation &&
		age > -withoutOrders.Milliseconds() && age < withoutOrders.Milliseconds()
}

// settle takes the plan's state for the subscription's own.
func (s *subscriptionSync) settle(plan counter.Plan) {
	before := s.sub.State
	withheld := s.sub.Permission.Withheld
	plan.Do = counter.Settle
	s.settled = true
	term := s.term()
	s.sub.Enrollment = counter.Advance(term, s.sub.Enrollment, plan, s.observed(term), s.now())
	if !s.sub.AtOvershipRisk() {
		s.sub.PendingExtraOrder = ""
		s.sub.PendingExtraPlace = 0
	}
	if plan.Withheld != "" && plan.Withheld != withheld {
		s.enter("would", "", plan.Withheld, plan.Reason)
	}
	if plan.State != before {
		s.enter(string(plan.State), string(before), string(plan.State), plan.Reason)
	}
}

func (s *subscriptionSync) enter(what, before, after, why string) {
	s.journal = append(s.journal, s.entry(what, before, after, why))
}

func (s *subscriptionSync) entry(what, before, after, why string) ledger.JournalEntry {
	return ledger.JournalEntry{
		Subscription: s.sub.ID,
		At:           s.now(),
		Actor:        ledger.ByTermed,
		What:         what,
		Before:       before,
		After:        after,
		Reason:       why,
	}
}

func liveness(live bool) string {
	if live {
		return "live"
	}
	return "canceled"
}
