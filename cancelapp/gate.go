package cancelapp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/termed/termed/ordergroove"
)

const (
	// shutAfter is how many calls in a row must go unanswered for the API as a whole to count as down. One subscription's
	// trouble does not count: the others' answers come in between.
	shutAfter = 5
	// firstProbe and probeEvery bound how often an API that is down is tried: first soon, then once a minute, as a refused key
	// is from the first.
	firstProbe = 5 * time.Second
	probeEvery = time.Minute
)

// errShut says that a call was not made because the API as a whole does not let us work.
var errShut = errors.New("not asked: Ordergroove is down, or refuses the api key")

// wholeAPI says whether an error is the API's as a whole: then whatever was in hand is not to blame, and spends no attempt.
func wholeAPI(err error) bool {
	return errors.Is(err, errShut) || errors.Is(err, ordergroove.ErrUnauthorized)
}

// gate stands between us and the API while it refuses our key or is down: that is wrong for every call, so one call now and
// then finds out when it is right again, and nothing is blamed on the subscription that happened to be in hand.
type gate struct {
	now     func() time.Time
	mu      sync.Mutex
	failing int           // calls in a row that went unanswered
	cause   error         // why it is shut; nil: it is open
	every   time.Duration // between probes
	probe   time.Time     // when the next call may go through
}

// open says whether a call could be made now, without making use of it.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause == nil || !g.now().Before(g.probe)
}

// nextProbe is when a call may go through again, UTC unix milliseconds.
func (g *gate) nextProbe() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.probe.UnixMilli(), g.now().UnixMilli())
}

// reason says why the gate is shut, or nil.
func (g *gate) reason() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause == nil {
		return nil
	}
	return fmt.Errorf("nothing is changed at Ordergroove until it answers, which is tried every %s: %w", g.every, g.cause)
}

// enter takes a call's turn: while the gate is shut, one a probe.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause == nil {
		return nil
	}
	now := g.now()
	if now.Before(g.probe) {
		return errShut
	}
	g.probe = now.Add(g.every)
	return nil
}

// heard takes note of a call's outcome.
func (g *gate) heard(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled): // ours
	case errors.Is(err, ordergroove.ErrUnauthorized):
		g.shut(err, probeEvery)
	case errors.Is(err, ordergroove.ErrUnavailable):
		if g.failing++; g.cause != nil {
			g.shut(err, min(2*g.every, probeEvery))
		} else if g.failing >= shutAfter {
			g.shut(err, firstProbe)
		}
	default: // it answered to the point, if only with a refusal
		g.failing, g.cause = 0, nil
	}
}

func (g *gate) shut(cause error, every time.Duration) {
	g.cause, g.every, g.probe = cause, every, g.now().Add(every)
}

// gated is the API behind the gate.
type gated struct {
	api  api
	gate *gate
}

func through[T any](g *gate, call func() (T, error)) (T, error) {
	if err := g.enter(); err != nil {
		var none T
		return none, err
	}
	answer, err := call()
	g.heard(err)
	return answer, err
}

// list is through for what only a key with Bulk Operations may ask (contract, section 2): that it is refused says nothing
// about the other calls.
func list[T any](g *gate, call func() (T, error)) (T, error) {
	if err := g.enter(); err != nil {
		var none T
		return none, err
	}
	answer, err := call()
	if !errors.Is(err, ordergroove.ErrUnauthorized) {
		g.heard(err)
	}
	return answer, err
}

func (g gated) Subscriptions(ctx context.Context, q ordergroove.SubscriptionQuery, from string) (ordergroove.Page[ordergroove.Subscription], error) {
	return list(g.gate, func() (ordergroove.Page[ordergroove.Subscription], error) { return g.api.Subscriptions(ctx, q, from) })
}

func (g gated) UpcomingItems(ctx context.Context, from string) (ordergroove.Page[ordergroove.Item], error) {
	return list(g.gate, func() (ordergroove.Page[ordergroove.Item], error) { return g.api.UpcomingItems(ctx, from) })
}

func (g gated) Orders(ctx context.Context, id string, status int) ([]ordergroove.Order, error) {
	return through(g.gate, func() ([]ordergroove.Order, error) { return g.api.Orders(ctx, id, status) })
}

func (g gated) OrderItems(ctx context.Context, order string) ([]ordergroove.Item, error) {
	return through(g.gate, func() ([]ordergroove.Item, error) { return g.api.OrderItems(ctx, order) })
}

func (g gated) PlacedItems(ctx context.Context, id string) ([]ordergroove.Item, error) {
	return through(g.gate, func() ([]ordergroove.Item, error) { return g.api.PlacedItems(ctx, id) })
}

func (g gated) Subscription(ctx context.Context, id string) (ordergroove.Subscription, error) {
	return through(g.gate, func() (ordergroove.Subscription, error) { return g.api.Subscription(ctx, id) })
}

func (g gated) UpdateExtraData(ctx context.Context, id string, d ordergroove.ExtraData) (ordergroove.Subscription, error) {
	return through(g.gate, func() (ordergroove.Subscription, error) { return g.api.UpdateExtraData(ctx, id, d) })
}

func (g gated) Cancel(ctx context.Context, id, reason string) (ordergroove.Subscription, error) {
	return through(g.gate, func() (ordergroove.Subscription, error) { return g.api.Cancel(ctx, id, reason) })
}

func (g gated) ChangeProduct(ctx context.Context, id, product string) (ordergroove.Subscription, error) {
	return through(g.gate, func() (ordergroove.Subscription, error) { return g.api.ChangeProduct(ctx, id, product) })
}

func (g gated) EndAtRenewal(ctx context.Context, id string) (ordergroove.Subscription, error) {
	return through(g.gate, func() (ordergroove.Subscription, error) { return g.api.EndAtRenewal(ctx, id) })
}
