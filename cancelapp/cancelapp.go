// Package cancelapp owns the work: it turns due events into facts, and brings due subscriptions to the level that the
// facts ask for. It is the only caller of Ordergroove's API.
//
// It decides nothing about terms (counter does) and holds nothing that a restart would lose: what is in hand when the
// process dies is due again when its claim runs out.
package cancelapp

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// inbox is where events wait; store satisfies it.
type inbox interface {
	ClaimEvents(ctx context.Context, at, until int64, n int) ([]ordergroove.Delivery, error)
	Settle(ctx context.Context, d ordergroove.Delivery, v counter.Settlement) error
	OrderRead(ctx context.Context, order string) (bool, error)
}

// ledger is where subscriptions stand; store satisfies it.
type ledger interface {
	Claim(ctx context.Context, at, until int64, n int) ([]counter.Lease, error)
	Record(ctx context.Context, lease counter.Lease, step counter.Step) (counter.Ledger, error)
	Finish(ctx context.Context, lease counter.Lease, o counter.Outcome) error
	Untold(ctx context.Context, subscription string) ([]counter.Shipment, error)
}

// bells tell that there is work before the next look at the clock would; store satisfies it.
type bells interface {
	EventsDue() <-chan struct{}
	SubscriptionsDue() <-chan struct{}
}

// api is Ordergroove; ordergroove.Client satisfies it.
type api interface {
	reader
	changer
	lister
}

// changer is the part of the API that changes a subscription; each call answers the subscription as it is then.
type changer interface {
	UpdateExtraData(ctx context.Context, id string, data ordergroove.ExtraData) (ordergroove.Subscription, error)
	Cancel(ctx context.Context, id, reason string) (ordergroove.Subscription, error)
	ChangeProduct(ctx context.Context, id, product string) (ordergroove.Subscription, error)
	EndAtRenewal(ctx context.Context, id string) (ordergroove.Subscription, error)
}

// reader is the part of the API that only asks.
type reader interface {
	Subscription(ctx context.Context, id string) (ordergroove.Subscription, error)
	OrderItems(ctx context.Context, order string) ([]ordergroove.Item, error)
	PlacedItems(ctx context.Context, subscription string) ([]ordergroove.Item, error)
	Orders(ctx context.Context, subscription string, status int) ([]ordergroove.Order, error)
}

// Store is what an App needs of the database.
type Store interface {
	inbox
	ledger
	bells
	runs
	pages
	history
	rhythm
	outbox
}

// Options of an App. The zero value of a field means the default it names.
type Options struct {
	Rules
	Workers int           // looks, and events, at a time; default 8 each
	Lease   time.Duration // how long a claim holds; default 30 s
	Idle    time.Duration // the longest time between two looks at the database; default 1 s
	Grace   time.Duration // how long Run lets work in hand finish; default 7 s

	Reconcile Schedule
	Patience  time.Duration    // how long no webhook may come before that is reported; default learned; negative: for ever
	Now       func() time.Time // default time.Now
	Jitter    func() float64   // in [0, 1); default random
	Log       *slog.Logger     // default none
}

// App does the work; make it with New.
type App struct {
	inbox   inbox
	ledger  ledger
	bells   bells
	runs    runs
	pages   pages
	history history
	rhythm  rhythm
	api     api
	gate    *gate
	outbox  outbox
	inForce atomic.Pointer[Rules]
	orders  orders
	silence silence
	o       Options
}

// New makes an App; it does nothing until Run.
func New(store Store, client api, o Options) *App {
	if o.Workers == 0 {
		o.Workers = 8
	}
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Idle == 0 {
		o.Idle = time.Second
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
	if o.Reconcile.All == 0 {
		o.Reconcile.All = 24 * time.Hour
	}
	gate := &gate{now: o.Now}
	behind := gated{client, gate}
	a := &App{
		inbox: store, ledger: store, bells: store, runs: store, pages: store, history: store, rhythm: store, outbox: store,
		api: behind, gate: gate, silence: silence{bell: make(chan struct{}, 1)}, o: o,
	}
	a.Reload(o.Rules)
	return a
}

// Rules are what can change while an App works: what is in hand goes on under those that it began with.
type Rules struct {
	Terms counter.Terms
	// Announce addresses a notice to those who want its type; default nobody.
	Announce func(counter.Notice) []counter.Post
	// RemindBefore is how long before its order is placed the last shipment is announced; default at once, when one is left.
	RemindBefore time.Duration
}

// Reload puts rules in force.
func (a *App) Reload(r Rules) {
	if r.Announce == nil {
		r.Announce = func(counter.Notice) []counter.Post { return nil }
	}
	a.inForce.Store(&r)
}

func (a *App) rules() Rules { return *a.inForce.Load() }

// Ready says whether the API lets us work; the error says what it refused and what to do.
func (a *App) Ready() error {
	return a.gate.reason()
}

// Run works until ctx is done, then lets what is in hand finish within Grace, and breaks off what has not.
func (a *App) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { a.work(ctx, true) })
	loops.Go(func() { a.reconcileOnTime(ctx) })
	loops.Go(func() { a.listen(ctx) })
	loops.Go(func() { a.remind(ctx) })
	loops.Wait()
}

// work does the looks, and the events where it is to, until ctx is done.
func (a *App) work(ctx context.Context, withEvents bool) {
	// Work in hand outlives ctx: a look that is broken off is a look to do again.
	hand, breakOff := context.WithCancel(context.WithoutCancel(ctx))
	defer breakOff()
	pools := []*pool{{most: a.o.Workers, bell: a.bells.SubscriptionsDue(), idle: a.o.Idle, take: a.takeSubscriptions}}
	if withEvents {
		pools = append(pools, &pool{most: a.o.Workers, bell: a.bells.EventsDue(), idle: a.o.Idle, take: a.takeEvents})
	}
	var loops sync.WaitGroup
	for _, p := range pools {
		loops.Go(func() { p.run(ctx, hand, a.trouble) })
	}
	<-ctx.Done()
	late := time.AfterFunc(a.o.Grace, breakOff)
	defer late.Stop()
	loops.Wait()
}

// trouble tells of the database's; what goes wrong with one event or subscription is kept with it.
func (a *App) trouble(err error) {
	if !errors.Is(err, context.Canceled) {
		a.o.Log.Error("the database does not answer", "error", err)
	}
}

func (a *App) now() int64 {
	return a.o.Now().UnixMilli()
}

// workTime is how long work under a claim may take.
func (a *App) workTime() time.Duration {
	return a.o.Lease * 5 / 6
}
