package cancelapp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// errUnreadable says that an event will be no more readable later.
var errUnreadable = errors.New("unreadable")

// takeEvents claims due events, each a piece of work of its own.
func (a *App) takeEvents(ctx context.Context, n int) ([]piece, error) {
	now := a.o.Now()
	claimed, err := a.inbox.ClaimEvents(ctx, now.UnixMilli(), now.Add(a.o.Lease).UnixMilli(), n)
	if err != nil {
		return nil, err
	}
	return pieces(claimed, a.workTime(), a.settleEvent), nil
}

// settleEvent settles one event: its facts go into the ledger, or it is tried again later, or it is buried.
func (a *App) settleEvent(ctx context.Context, d ordergroove.Delivery) {
	v := counter.Settlement{At: a.now()}
	envelope, err := ordergroove.ParseEnvelope(d.Body)
	if err != nil {
		v.Dead, v.Error = true, err.Error()
		a.settle(ctx, d, v)
		return
	}
	order := asksFor(envelope)
	if !a.orders.take(order) {
		// Another event about the order is in hand: once that is settled, the order's items are read.
		v.Next, v.Attempts = v.At+a.o.Idle.Milliseconds(), d.Attempts
		a.settle(ctx, d, v)
		return
	}
	defer a.orders.drop(order)
	v.Facts, err = translator{a.rules().Terms, a.api, a.inbox}.facts(ctx, envelope, v.At)
	if err != nil {
		a.inVain(&v, d, err)
	}
	a.settle(ctx, d, v)
}

// inVain fills in what becomes of an event that could not be worked on.
func (a *App) inVain(v *counter.Settlement, d ordergroove.Delivery, err error) {
	v.Error = err.Error()
	log := a.o.Log.With("event", d.ID, "type", d.Type, "error", err)
	if errors.Is(err, errUnreadable) || errors.Is(err, ordergroove.ErrRejected) || errors.Is(err, ordergroove.ErrNotFound) {
		v.Dead = true
		log.Error("an event can never be worked on; it is kept as dead")
		return
	}
	v.Next, v.Attempts = a.again(err, d.Attempts, counter.News, v.At)
	log.Warn("an event has to wait", "attempts", v.Attempts)
}

// settle outlives a shutdown: what was worked out is not to be worked out again.
func (a *App) settle(ctx context.Context, d ordergroove.Delivery, v counter.Settlement) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	if err := a.inbox.Settle(closing, d, v); err != nil {
		a.trouble(err) // its claim runs out, and it is due again
	}
}

// closingTime is what the write that ends a piece of work may take.
const closingTime = 3 * time.Second

// orders are the orders that events in hand are about. The zero value is none.
type orders struct {
	mu   sync.Mutex
	held map[string]bool
}

// take says whether nobody holds the order, and holds it. An event about no order ("") holds nothing.
func (o *orders) take(order string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if order == "" || o.held[order] {
		return order == ""
	}
	if o.held == nil {
		o.held = map[string]bool{}
	}
	o.held[order] = true
	return true
}

func (o *orders) drop(order string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.held, order)
}
