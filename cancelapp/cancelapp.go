// Package cancelapp owns the work on one subscription: it turns due events into facts, and syncs due subscriptions with
// what the facts ask for. It is the only caller of Ordergroove's API.
//
// It decides nothing about terms (counter does) and keeps nothing that a restart would lose: work in progress when the
// process dies is due again when its lease expires.
package cancelapp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/tracing"
)

// Store is what the workers need of the database; store satisfies it. Times are UTC unix milliseconds. Every write is
// committed and synced when it returns without an error.
type Store interface {
	// ClaimEvents takes up to n due events, up to retries of them that have failed before, and keeps them from other
	// workers until the given time.
	ClaimEvents(ctx context.Context, at, until int64, n, retries int) ([]ledger.Event, error)
	// RenewEvent keeps an event that is claimed until a time from other workers for longer: ledger.ErrLeaseLost.
	RenewEvent(ctx context.Context, e ledger.Event, claimedUntil, until int64) error
	// SettleEvent records what became of an event, together with its facts.
	SettleEvent(ctx context.Context, e ledger.Event, v ledger.Settlement) error
	// OrderRead says whether the items of an order were asked for before.
	OrderRead(ctx context.Context, order string) (bool, error)

	// Claim takes leases on up to n due subscriptions, up to retries of them that have failed before, until the given
	// time.
	Claim(ctx context.Context, at, until int64, n, retries int) ([]ledger.Lease, error)
	// Renew extends a lease: ledger.ErrLeaseLost.
	Renew(ctx context.Context, lease ledger.Lease, until int64) error
	// RetryFailed makes everything due at once that waits for the next attempt after an error.
	RetryFailed(ctx context.Context, at int64) error
	// Record commits one step of a sync: ledger.ErrLeaseLost, ledger.ErrStale, ledger.ErrPaused, or
	// *ledger.ThrottledError.
	Record(ctx context.Context, lease ledger.Lease, step ledger.Step) (counter.Subscription, error)
	// Finish ends a sync and gives the lease back: ledger.ErrLeaseLost.
	Finish(ctx context.Context, lease ledger.Lease, o ledger.Outcome) error
	// Enrollments returns every enrollment that a subscription has had, the first one first.
	Enrollments(ctx context.Context, subscription string) ([]counter.Enrollment, error)
	// Shipments returns a subscription's shipments, oldest first.
	Shipments(ctx context.Context, subscription string) ([]counter.Shipment, error)
	// Journal returns a subscription's lines in the journal, oldest first.
	Journal(ctx context.Context, subscription string) ([]ledger.JournalEntry, error)

	// OpenAdjustments returns a subscription's adjustments about which something is left to do, the oldest first.
	OpenAdjustments(ctx context.Context, subscription string) ([]ledger.Adjustment, error)
	// AdjustmentByKey returns the adjustment with an idempotency key, or ledger.ErrUnknownAdjustment.
	AdjustmentByKey(ctx context.Context, subscription, key string) (ledger.Adjustment, error)
	// Schedule returns what is known of the upcoming order of a subscription that has adjustments.
	Schedule(ctx context.Context, subscription string) (known ledger.Schedule, found bool, err error)

	// EnqueueMessages puts messages into the outbox that no sync caused.
	EnqueueMessages(ctx context.Context, messages []ledger.Message) error
	// Remind makes the subscriptions due whose reminder is.
	Remind(ctx context.Context, at int64) error

	// LastDelivery returns when the last event was filed before a time; 0: never.
	LastDelivery(ctx context.Context, before int64) (int64, error)
	// Brake says what holds back changes at the moment.
	Brake(ctx context.Context) (ledger.Brake, error)

	// DeliveryGaps returns the n longest gaps between deliveries since a time, and when the first of these deliveries was.
	DeliveryGaps(ctx context.Context, since int64, n int) (gaps []int64, first int64, err error)

	// EventsDue and SubscriptionsDue are wake-ups: there is work before the next poll.
	EventsDue() <-chan struct{}
	SubscriptionsDue() <-chan struct{}
	// PollEvery is how often whoever has nothing to do looks for work.
	PollEvery() time.Duration
	// NextEvent and NextSubscription say when the next is due; 0: none is.
	NextEvent(ctx context.Context) (int64, error)
	NextSubscription(ctx context.Context) (int64, error)
}

// API is Ordergroove's; ordergroove.Client satisfies it.
type API interface {
	Subscription(ctx context.Context, id string) (ordergroove.Subscription, error)
	OrderItems(ctx context.Context, order string) ([]ordergroove.Item, error)
	PlacedItems(ctx context.Context, subscription string) ([]ordergroove.Item, error)
	Orders(ctx context.Context, subscription string, status int) ([]ordergroove.Order, error)
	Order(ctx context.Context, id string) (ordergroove.Order, error)
	// Do makes a change and answers what it got.
	Do(ctx context.Context, change ordergroove.Change) (ordergroove.Answer, error)

	Subscriptions(
		ctx context.Context, q ordergroove.SubscriptionQuery, from string,
	) (ordergroove.Page[ordergroove.Subscription], error)
	UpcomingItems(ctx context.Context, from string) (ordergroove.Page[ordergroove.Item], error)
	// Ping finds out whether Ordergroove answers and accepts the key.
	Ping(ctx context.Context) error
}

// Options of an App. The zero value of a field means the default it names.
type Options struct {
	Rules
	Workers int           // syncs, and events, at a time; default 8 each
	Lease   time.Duration // how long a lease lasts that is not renewed; default 30 s
	Idle    time.Duration // the longest time between two polls of the database; default the store's PollEvery
	Grace   time.Duration // how long Run lets work in progress finish; default 7 s

	// MaxGap is how long no webhook may arrive before that is reported; default learned; negative: forever.
	MaxGap time.Duration

	Now    func() time.Time     // default time.Now
	Jitter func() float64       // in [0, 1); default random
	Log    *slog.Logger         // default none
	Traces trace.TracerProvider // of the work on an event and of a sync; default none
}

// App does the work; make it with New.
type App struct {
	store    Store
	api      API // behind the breaker
	breaker  *breaker
	inForce  atomic.Pointer[Rules]
	orders   orders
	causes   causes
	watchdog watchdog
	brake    brake
	o        Options

	tracer trace.Tracer

	filterWorks atomic.Bool // a list of placed items was seen to leave out those still to come

	// When the App was made, before anything can have been delivered to it, and the last event from before that; 0: none.
	startedAt, heardUntil int64
}

// New makes an App; it does nothing until Run.
func New(store Store, client API, o Options) *App {
	if o.Workers == 0 {
		o.Workers = 8
	}
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Grace == 0 {
		o.Grace = 7 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &App{
		store:    store,
		watchdog: watchdog{wakeup: make(chan struct{}, 1)},
		o:        o,
		tracer:   tracing.Tracer(o.Traces, "github.com/termed/termed/cancelapp"),
	}
	a.startedAt = a.now()
	a.breaker = newBreaker(client, o.Now, a.retryFailed)
	a.api = protected{client, a.breaker}
	a.Reload(o.Rules)
	return a
}

// Rules are what can change while an App works: work in progress goes on under those that it began with.
type Rules struct {
	Terms counter.Terms
	// Messages addresses a notification to the endpoints that want its type; default none.
	Messages func(counter.Notification) []ledger.Message
	Observe  bool // nothing is changed at Ordergroove
	// Schedule is what the shop's own rules say of adjustments.
	Schedule schedule.Settings
	// Listed says since when each SKU of the terms has been listed, UTC unix milliseconds. A SKU that is not in it was not
	// listed until now; nil: all have always been listed.
	Listed   map[string]int64
	EndLimit ledger.EndLimit // of ends that nobody saw coming; default 20 an hour, or 2 % of the active enrollments
	// RemindBefore is how long before its order is placed the last shipment is announced; default at once, when one
	// remains.
	RemindBefore time.Duration
}

// Reload puts rules in force.
func (a *App) Reload(r Rules) {
	if r.Messages == nil {
		r.Messages = func(counter.Notification) []ledger.Message { return nil }
	}
	if r.EndLimit == (ledger.EndLimit{}) {
		r.EndLimit = ledger.EndLimit{PerHour: 20, Percent: 2}
	}
	a.inForce.Store(&r)
}

// Rules returns the rules in force.
func (a *App) Rules() Rules { return *a.inForce.Load() }

// API returns Ordergroove's API behind the breaker.
func (a *App) API() API { return a.api }

// Ping finds out whether Ordergroove answers and accepts the key. An answer that is to the point, if only a refusal of
// this call, is none of the errors that open the breaker.
func (a *App) Ping(ctx context.Context) error {
	return a.api.Ping(ctx)
}

// Ready says whether the breaker lets calls through; the error says what Ordergroove refused.
func (a *App) Ready() error {
	return a.breaker.reason()
}

// Run works until ctx is done, then lets work in progress finish within Grace, and stops what has not.
func (a *App) Run(ctx context.Context) {
	var err error
	if a.heardUntil, err = a.store.LastDelivery(ctx, a.startedAt); err != nil {
		a.logStoreError(err)
	}
	var loops sync.WaitGroup
	loops.Go(func() { a.work(ctx, true) })
	loops.Go(func() { a.watchDeliveries(ctx) })
	loops.Go(func() { a.remind(ctx) })
	loops.Go(func() { a.watchBrake(ctx) })
	loops.Go(func() { a.retryFailed(ctx) }) // an outage may have ended while nobody was there
	loops.Wait()
}

// RunSyncs syncs due subscriptions until ctx is done, as Run does.
func (a *App) RunSyncs(ctx context.Context) {
	a.work(ctx, false)
}

// work does the syncs, and the events where it is to, until ctx is done.
func (a *App) work(ctx context.Context, withEvents bool) {
	// Work in progress outlives ctx: a sync that is stopped is a sync to do again.
	workCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	pools := []*pool{a.pool(a.store.SubscriptionsDue(), a.store.NextSubscription, a.claimSubscriptions)}
	if withEvents {
		pools = append(pools, a.pool(a.store.EventsDue(), a.store.NextEvent, a.claimEvents))
	}
	var loops sync.WaitGroup
	loops.Go(func() { a.breaker.probe(ctx) })
	for _, p := range pools {
		loops.Go(func() { p.run(ctx, workCtx, a.logStoreError) })
	}
	<-ctx.Done()
	late := time.AfterFunc(a.o.Grace, stop)
	defer late.Stop()
	loops.Wait()
}

func (a *App) pool(
	wakeup <-chan struct{}, next func(context.Context) (int64, error),
	claim func(context.Context, int, int) ([]task, error),
) *pool {
	return &pool{
		workers: a.o.Workers,
		wakeup:  wakeup,
		idle: func(ctx context.Context, busy bool) time.Duration {
			if busy {
				return min(busyPoll, a.idle())
			}
			return a.untilNext(ctx, next)
		},
		claim: claim,
	}
}

// idle is the longest time between two polls of the database.
func (a *App) idle() time.Duration { return cmp.Or(a.o.Idle, a.store.PollEvery()) }

const (
	shortPoll = time.Second            // who polls so often need not know when the next is due
	busyPoll  = 2 * time.Second        // while some workers are busy, and others are free
	leastPoll = 200 * time.Millisecond // of something that is due and that another process may have
)

// untilNext is how long a worker that has nothing to do may wait: until the next is due, as what only becomes due wakes
// nobody.
func (a *App) untilNext(ctx context.Context, next func(context.Context) (int64, error)) time.Duration {
	idle := a.idle()
	if idle <= shortPoll {
		return idle
	}
	at, err := next(ctx)
	if err != nil || at == 0 {
		return idle // a database that does not answer is noticed by whoever claims
	}
	return min(idle, max(leastPoll, time.UnixMilli(at).Sub(a.o.Now())))
}

// retryFailed is for the end of an outage: what failed in it does not wait any longer.
func (a *App) retryFailed(ctx context.Context) {
	// safeguard: retried-after-outage
	if err := a.store.RetryFailed(ctx, a.now()); err != nil {
		a.logStoreError(err)
	}
}

// logStoreError logs what the database answered. What goes wrong with one event or subscription is recorded with it,
// and a lost lease is nobody's fault.
func (a *App) logStoreError(err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case errors.Is(err, ledger.ErrLeaseLost):
		a.o.Log.Warn("lease lost, another worker continues", "error", err)
	default:
		a.o.Log.Error("store error", "error", err)
	}
}

func (a *App) now() int64 {
	return a.o.Now().UnixMilli()
}

// until is when a claim made or renewed now expires.
func (a *App) until() int64 {
	return a.o.Now().Add(a.o.Lease).UnixMilli()
}
