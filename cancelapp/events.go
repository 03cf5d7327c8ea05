package cancelapp

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/tracing"
)

// errUnreadable says that an event will be no more readable later.
var errUnreadable = errors.New("unreadable")

// itemsWithin is how long after its event a placed order may be without items before a person has to look at it.
const itemsWithin = time.Hour

// claimEvents claims due events, each a task of its own.
func (a *App) claimEvents(ctx context.Context, n, retries int) ([]task, error) {
	until := a.until()
	claimed, err := a.store.ClaimEvents(ctx, a.now(), until, n, retries)
	if err != nil {
		return nil, err
	}
	tasks := make([]task, len(claimed))
	for i, e := range claimed {
		claimedUntil := until
		keep := lease{a.o.Lease, func(ctx context.Context) error {
			next := a.until()
			err := a.store.RenewEvent(ctx, e, claimedUntil, next)
			if err == nil {
				claimedUntil = next
			}
			return err
		}}
		tasks[i] = task{
			work: func(ctx context.Context) {
				keep.hold(ctx, func(ctx context.Context) { a.processEvent(ctx, e) })
			},
			failed: e.Attempts > 0,
		}
	}
	return tasks, nil
}

// processEvent settles one event: its facts are recorded, or it is tried again later, or it is dead.
func (a *App) processEvent(ctx context.Context, e ledger.Event) {
	ctx, span := a.tracer.Start(tracing.Continue(ctx, e.Trace), "process event", trace.WithAttributes(
		attribute.String("event.id", e.ID),
		attribute.String("event.type", e.Type),
	))
	defer span.End()
	v := ledger.Settlement{At: a.now(), Trace: tracing.Of(ctx)}
	envelope, err := ordergroove.ParseEnvelope(e.Body)
	if err != nil {
		v.Dead = true
		v.Error = err.Error()
		a.settleEvent(ctx, e, v)
		return
	}
	order := asksFor(envelope)
	if !a.orders.take(order) {
		// Another event about the order is in progress: once that is settled, the order's items are known.
		v.Next = v.At + min(busyPoll, a.idle()).Milliseconds()
		v.Attempts = e.Attempts
		a.settleEvent(ctx, e, v)
		return
	}
	defer a.orders.drop(order)
	v.Facts, err = translator{a.Rules().Terms, a.api, a.store}.facts(ctx, envelope, v.At)
	v.Ignored = ignoredReason(envelope, v.Facts)
	if err != nil {
		a.failEvent(ctx, &v, e, err)
	}
	a.causes.add(e.Type, v.Facts, v.At) // first: once the facts are recorded, a sync may begin
	a.settleEvent(ctx, e, v)
}

// failEvent fills in what becomes of an event that could not be processed.
func (a *App) failEvent(ctx context.Context, v *ledger.Settlement, e ledger.Event, err error) {
	v.Error = err.Error()
	tracing.Fail(ctx, err)
	log := a.o.Log.With("event", e.ID, "type", e.Type, "error", err)
	givenUp := errors.Is(err, errNoItems) && v.At-e.Received > itemsWithin.Milliseconds()
	if givenUp || errors.Is(err, errUnreadable) || errors.Is(err, ordergroove.ErrRejected) ||
		errors.Is(err, ordergroove.ErrNotFound) {
		v.Dead = true
		log.ErrorContext(ctx, "event can never be processed, kept as dead")
		return
	}
	v.Next, v.Attempts = a.retry(err, e.Attempts, ledger.Normal, v.At)
	log.WarnContext(ctx, "event failed, will retry", "attempts", v.Attempts)
}

// settleEvent outlives a shutdown: what was worked out is not to be worked out again.
func (a *App) settleEvent(ctx context.Context, e ledger.Event, v ledger.Settlement) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	if err := a.store.SettleEvent(closing, e, v); err != nil {
		a.logStoreError(err) // its claim expires, and it is due again
	}
}

// closingTime is what the write that ends a task may take.
const closingTime = 3 * time.Second

// orders are the orders that events in progress are about. The zero value is empty.
type orders struct {
	mu    sync.Mutex
	taken map[string]bool
}

// take says whether no event about the order is in progress, and takes it. An event about no order ("") takes nothing.
func (o *orders) take(order string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if order == "" || o.taken[order] {
		return order == ""
	}
	if o.taken == nil {
		o.taken = map[string]bool{}
	}
	o.taken[order] = true
	return true
}

func (o *orders) drop(order string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.taken, order)
}
