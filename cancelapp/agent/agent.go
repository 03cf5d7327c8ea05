// Package agent carries out what a service agent asks for: cancel a subscription, or skip its next order. Pages, API
// and command line share it.
//
// An action is recorded before the one call that carries it out, so that a second click, a repeated request and a crash
// in between are still one action. Nothing is sent once its time is over: then its outcome is read, until it is known.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/tracing"
)

const (
	// Timeout is how long an action may take. After it nothing is sent any more.
	Timeout = 15 * time.Second
	// settleAfter is how long an action whose answer never came may still take effect at Ordergroove.
	settleAfter = 2 * time.Minute

	leaseTime     = 40 * time.Second // longer than an action, and what it reads and writes after its time
	leaseInterval = 50 * time.Millisecond
	resendAfter   = time.Second // where Ordergroove is busy with the same object, or asks us to slow down
	closingTime   = 7 * time.Second
	checkInterval = 5 * time.Second
)

// ErrBusy says that an action was not begun in its time, because the subscription was in use: nothing was sent.
var ErrBusy = errors.New("the subscription is being synced; try again in a moment")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", counter.ErrRefused, fmt.Sprintf(format, args...))
}

// Store is what actions need of the store.
type Store interface {
	// Action returns the action with an idempotency key.
	Action(ctx context.Context, key string) (a ledger.Action, found bool, err error)
	// OpenActions returns the actions begun before a time whose outcome is not known, the oldest first.
	OpenActions(ctx context.Context, before int64) ([]ledger.Action, error)
	// ClaimOne takes the lease on a subscription: ledger.ErrLeased, ledger.ErrUnknown.
	ClaimOne(ctx context.Context, id string, at, until int64) (ledger.Lease, error)
	// Record commits a step under the lease: ledger.ErrPaused among others.
	Record(ctx context.Context, lease ledger.Lease, step ledger.Step) (counter.Subscription, error)
	// Adjustment returns one schedule adjustment, or ledger.ErrUnknownAdjustment.
	Adjustment(ctx context.Context, subscription, id string) (ledger.Adjustment, error)
	// AdjustmentByKey returns the adjustment with an idempotency key, or ledger.ErrUnknownAdjustment.
	AdjustmentByKey(ctx context.Context, subscription, key string) (ledger.Adjustment, error)
	// AdjustmentsOf returns what was done to an order, or may have been, the oldest first.
	AdjustmentsOf(ctx context.Context, subscription, order string) ([]ledger.Adjustment, error)
	// OpenAdjustments returns a subscription's adjustments about which something is left to do, the oldest first.
	OpenAdjustments(ctx context.Context, subscription string) ([]ledger.Adjustment, error)
	// BodiesOf returns the bodies of a subscription's latest events.
	BodiesOf(ctx context.Context, subscription string) ([][]byte, error)
	// Finish gives the lease back.
	Finish(ctx context.Context, lease ledger.Lease, o ledger.Outcome) error
}

// Options of an Agent. The zero value of a field means the default it names.
type Options struct {
	Now    func() time.Time     // default time.Now
	Log    *slog.Logger         // default none
	Traces trace.TracerProvider // of each action; default none
}

// Agent carries out actions; make it with New.
type Agent struct {
	app    *cancelapp.App
	store  Store
	tracer trace.Tracer
	o      Options
}

// New makes an Agent on top of an App's calls.
func New(app *cancelapp.App, store Store, o Options) *Agent {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Agent{app, store, tracing.Tracer(o.Traces, "github.com/termed/termed/cancelapp/agent"), o}
}

func (a *Agent) now() int64 { return a.o.Now().UnixMilli() }

// Request is what a person asks for.
type Request struct {
	Key          string // the idempotency key; "": this request is one of its own
	Subscription string
	Kind         ledger.ActionKind
	Actor        string
	Reason       string // of a cancel: "<code>|<details>"; "": none
	Order        string // of a skip: the order that the person saw; "": whichever is next
}

// Do carries out an action and answers what became of it: done, failed, or unknown where no answer came in time. An
// error says that it was not begun: counter.ErrRefused, ErrBusy, ledger.ErrUnknown, ledger.ErrActionExists, or
// Ordergroove's error of reading the subscription.
func (a *Agent) Do(ctx context.Context, r Request) (ledger.Action, error) {
	if r.Key == "" {
		r.Key = rand.Text()
	}
	ctx, span := a.tracer.Start(ctx, string(r.Kind), trace.WithAttributes(
		attribute.String("subscription.id", r.Subscription),
	))
	defer span.End()
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	ctx = ordergroove.WithPriority(ctx, ordergroove.Urgent)
	if known, found, err := a.known(ctx, r); err != nil || found && !known.IsOpen() {
		return known, err
	}
	if a.app.Rules().Observe {
		return ledger.Action{}, refused("mode is observe: nothing is changed at Ordergroove")
	}
	lease, err := a.claim(ctx, r.Subscription)
	if err != nil {
		return ledger.Action{}, err
	}
	t := a.task(lease, ledger.Action{
		Key:          r.Key,
		Subscription: r.Subscription,
		Kind:         r.Kind,
		Actor:        r.Actor,
		Reason:       r.Reason,
		Order:        r.Order,
		Status:       ledger.ActionStarted,
		Created:      a.now(),
	})
	// It may have been carried out while this one waited.
	known, found, err := a.known(ctx, r)
	switch {
	case err != nil:
	case found && !known.IsOpen():
		t.action = known
	case found:
		t.action = known
		t.resumed = true
		err = t.do(ctx)
	default:
		err = t.do(ctx)
	}
	if finish := t.finish(ctx); finish != nil {
		a.o.Log.Error("store error", "error", finish) // the lease expires, and what is open is settled later
	}
	return t.action, err
}

// known returns the action that was recorded for the request's key.
func (a *Agent) known(ctx context.Context, r Request) (ledger.Action, bool, error) {
	known, found, err := a.store.Action(ctx, r.Key)
	if err == nil && found && !known.IsSame(ledger.Action{Subscription: r.Subscription, Kind: r.Kind}) {
		return ledger.Action{}, false, ledger.ErrActionExists
	}
	return known, found, err
}

// claim waits until no sync of the subscription is in progress.
func (a *Agent) claim(ctx context.Context, id string) (ledger.Lease, error) {
	for {
		lease, err := a.store.ClaimOne(ctx, id, a.now(), a.o.Now().Add(leaseTime).UnixMilli())
		if !errors.Is(err, ledger.ErrLeased) {
			return lease, err
		}
		select {
		case <-ctx.Done():
			return ledger.Lease{}, ErrBusy
		case <-time.After(leaseInterval):
		}
	}
}

// Run reads the outcome of actions whose answer never came, also of those that a crash interrupted, until ctx is done.
func (a *Agent) Run(ctx context.Context) {
	clock := time.NewTicker(checkInterval)
	defer clock.Stop()
	for {
		if err := a.check(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.Warn("the outcome of actions could not be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// check settles what can be settled of the actions whose time is over.
func (a *Agent) check(ctx context.Context) error {
	open, err := a.store.OpenActions(ctx, a.o.Now().Add(-Timeout).UnixMilli())
	if err != nil {
		return err
	}
	for _, action := range open {
		lease, err := a.store.ClaimOne(ctx, action.Subscription, a.now(), a.o.Now().Add(leaseTime).UnixMilli())
		if errors.Is(err, ledger.ErrLeased) {
			continue // the next time
		}
		if err != nil {
			return err
		}
		t := a.task(lease, action)
		t.late = true
		err = t.readOutcome(ctx)
		t.recorded = err == nil && !t.action.IsOpen()
		if err := errors.Join(err, t.finish(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// task is one action under its subscription's lease.
type task struct {
	*Agent
	lease    ledger.Lease
	sub      counter.Subscription
	action   ledger.Action
	resumed  bool // it was recorded before: its call may have been made
	late     bool // its time is over, and only its outcome is read
	recorded bool // what becomes of it is to be recorded
	next     ordergroove.Order
}

func (a *Agent) task(lease ledger.Lease, action ledger.Action) *task {
	return &task{Agent: a, lease: lease, sub: lease.Subscription.Subscription, action: action}
}

// do reads the subscription, records the action, makes the call, and reads what became of it.
func (t *task) do(ctx context.Context) error {
	remote, err := t.app.API().Subscription(ctx, t.sub.ID)
	if err != nil {
		return err
	}
	if t.action.Kind == ledger.ActionSkip {
		if t.next, err = t.nextOrder(ctx); err != nil {
			return err
		}
	}
	if t.resumed {
		t.recorded = true
		if err := t.judge(ctx, remote); err != nil || !t.action.IsOpen() {
			return err
		}
		if t.now() >= t.action.Created+Timeout.Milliseconds() {
			t.recorded = false
			return nil // nothing more is sent; Run reads the outcome
		}
	}
	if err := t.mayBegin(remote); err != nil {
		return err
	}
	if err := t.begin(ctx); err != nil {
		return err
	}
	failpoint.Hit("action-recorded")
	err = t.send(ctx)
	failpoint.Hit("action-answered")
	t.conclude(ctx, err)
	return nil
}

// mayBegin refuses what does not fit the subscription as it is now.
func (t *task) mayBegin(remote ordergroove.Subscription) error {
	// safeguard: action-only-live
	if !remote.Live {
		return refused("the subscription is not active at Ordergroove")
	}
	if t.action.Kind != ledger.ActionSkip {
		return nil
	}
	switch {
	case t.next.ID == "":
		return refused("it has no upcoming order")
	// safeguard: skip-shown-order
	case t.action.Order != "" && t.action.Order != t.next.ID:
		return refused("another order is upcoming by now: %s", t.next.ID)
	}
	t.action.Order = t.next.ID
	return nil
}

// begin records that the call is about to be made. Changes that are paused are refused.
func (t *task) begin(ctx context.Context) error {
	if t.action.Kind == ledger.ActionCancel {
		t.sub.CanceledBy = t.action.Actor
	}
	after, err := t.store.Record(ctx, t.lease, ledger.Step{
		Enrollment: t.sub.Enrollment,
		Intent:     &ledger.Intent{At: t.now()},
		// safeguard: action-recorded
		Action: &t.action,
	})
	if errors.Is(err, ledger.ErrPaused) {
		return refused("all changes at Ordergroove are paused")
	}
	if err != nil {
		return err
	}
	t.sub.Enrollment = after.Enrollment
	t.recorded = true
	return nil
}

// send makes the call. Where Ordergroove is busy, it is made again: nothing has happened.
func (t *task) send(ctx context.Context) error {
	change := ordergroove.CancelSubscription(t.sub.ID, t.action.Reason)
	if t.action.Kind == ledger.ActionSkip {
		change = ordergroove.SkipOrder(t.sub.ID, t.action.Order)
	}
	for {
		_, err := t.app.API().Do(ctx, change)
		if !errors.Is(err, ordergroove.ErrBusy) && !errors.Is(err, ordergroove.ErrThrottled) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(resendAfter, ordergroove.RetryAfter(err))):
		}
	}
}

// conclude says what the answer makes of the action. Without one, what is read afterwards says it.
func (t *task) conclude(ctx context.Context, err error) {
	switch {
	case err == nil:
		t.end(ledger.ActionDone, "")
		t.showNext(ctx)
	case isRefusal(err):
		t.end(ledger.ActionFailed, explanation(err))
	default:
		t.action.Status = ledger.ActionUnknown
		reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
		defer cancel()
		if err := t.readOutcome(reading); err != nil {
			t.o.Log.Warn("the outcome of an action could not be read, will retry", "subscription", t.sub.ID, "error", err)
		}
	}
}

// isRefusal says whether Ordergroove answered that it did nothing.
func isRefusal(err error) bool {
	for _, kind := range []error{ordergroove.ErrRejected, ordergroove.ErrNotFound, ordergroove.ErrUnauthorized,
		ordergroove.ErrBusy, ordergroove.ErrThrottled} {
		if errors.Is(err, kind) {
			return !cancelapp.IsOutage(err)
		}
	}
	return false
}

// explanation is Ordergroove's own, or what kind of refusal it was.
func explanation(err error) string {
	e, ok := errors.AsType[*ordergroove.Error](err)
	if !ok {
		return err.Error()
	}
	if e.Detail != "" {
		return e.Detail
	}
	return fmt.Sprintf("Ordergroove answered %d", e.Status)
}

// readOutcome reads whether the action has happened. One that has not long after its time is over will not.
func (t *task) readOutcome(ctx context.Context) error {
	remote, err := t.app.API().Subscription(ctx, t.sub.ID)
	if err == nil && t.action.Kind == ledger.ActionSkip {
		t.next, err = t.nextOrder(ctx)
	}
	if err != nil {
		return err
	}
	err = t.judge(ctx, remote)
	switch {
	case err != nil || !t.action.IsOpen():
		return err
	case t.now() >= t.action.Created+settleAfter.Milliseconds():
		t.end(ledger.ActionFailed, "Ordergroove did not answer in time, and has not done it")
	default:
		t.action.Status = ledger.ActionUnknown
	}
	return nil
}

// judge ends the action where what is at Ordergroove now says what became of it. An order that is not upcoming any more
// was skipped, unless it was placed.
func (t *task) judge(ctx context.Context, remote ordergroove.Subscription) error {
	if t.action.Kind == ledger.ActionCancel {
		if !remote.Live {
			t.end(ledger.ActionDone, "")
		}
		return nil
	}
	if t.action.Order == "" || t.next.ID == t.action.Order {
		return nil
	}
	placed, err := t.app.API().Orders(ctx, t.sub.ID, ordergroove.StatusSuccess)
	if err != nil {
		return err
	}
	// safeguard: skip-not-placed
	if slices.ContainsFunc(placed, func(o ordergroove.Order) bool { return o.ID == t.action.Order }) {
		t.end(ledger.ActionFailed, "the order was placed before it could be skipped")
		return nil
	}
	t.end(ledger.ActionDone, "")
	return nil
}

// nextOrder is the upcoming order that is placed first; the zero value: there is none.
func (t *task) nextOrder(ctx context.Context) (ordergroove.Order, error) {
	orders, err := t.app.API().Orders(ctx, t.sub.ID, ordergroove.StatusUnsent)
	if err != nil {
		return ordergroove.Order{}, err
	}
	id, _ := cancelapp.NextOrder(orders)
	for _, o := range orders {
		if o.ID == id {
			return o, nil
		}
	}
	return ordergroove.Order{}, nil
}

// end records what became of the action.
func (t *task) end(status ledger.ActionStatus, detail string) {
	t.action.Status = status
	t.action.Detail = detail
	t.action.Finished = t.now()
	if t.action.Kind == ledger.ActionCancel {
		t.sub.CanceledBy = ""
		if status == ledger.ActionDone {
			t.sub.CanceledBy = t.action.Actor
		}
	}
}

// showNext reads which order is next after a skip, for the journal. Without it the skip is done all the same.
func (t *task) showNext(ctx context.Context) {
	if t.action.Kind != ledger.ActionSkip {
		return
	}
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	t.next = ordergroove.Order{}
	if next, err := t.nextOrder(reading); err == nil {
		t.next = next
	}
}

// finish gives the lease back, with what became of the action and its line in the journal. The subscription is due at
// once: what the action changed is for its sync to see.
func (t *task) finish(ctx context.Context) error {
	o := ledger.Outcome{
		At:           t.now(),
		Subscription: t.sub,
		Next:         t.now(),
		Attempts:     t.lease.Attempts,
		Error:        t.lease.Error,
		Priority:     t.lease.Priority,
	}
	if t.recorded {
		o.Action = &t.action
		o.Journal = []ledger.JournalEntry{t.entry()}
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	return t.store.Finish(closing, t.lease, o)
}

// entry is the journal's line about the action.
func (t *task) entry() ledger.JournalEntry {
	e := ledger.JournalEntry{
		Subscription: t.sub.ID,
		At:           t.now(),
		Actor:        t.action.Actor,
		What:         string(t.action.Kind),
		Before:       "live",
		After:        "canceled",
		Reason:       t.action.Reason,
	}
	if t.action.Kind == ledger.ActionSkip {
		e.Before = t.action.Order
		e.After = t.next.ID
		e.Reason = ""
	}
	switch t.action.Status {
	case ledger.ActionFailed:
		e.What += " failed"
		e.After = ""
		e.Reason = t.action.Detail
	case ledger.ActionStarted, ledger.ActionUnknown:
		e.After = "unknown"
		e.Reason = "Ordergroove did not answer in time; what became of it is being read"
	case ledger.ActionDone:
		if t.late {
			e.Reason = strings.TrimSpace(e.Reason + " (no answer came in time; it was read afterwards)")
		}
	}
	return e
}
