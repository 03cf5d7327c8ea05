package cancelapp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/termed/termed/ordergroove"
)

// probeEvery is how often a refused API key is tried again.
const probeEvery = time.Minute

// errShut says that a call was not made because the API refuses our key.
var errShut = errors.New("not asked: Ordergroove refuses the api key")

// refused says whether an error is the API's refusal of our key.
func refused(err error) bool {
	return errors.Is(err, errShut) || errors.Is(err, ordergroove.ErrUnauthorized)
}

// gate stands between us and the API while it refuses the key: that is wrong for every call, so one call a minute finds
// out when it is right again, and nothing is blamed on the subscription that happened to be in hand.
type gate struct {
	now     func() time.Time
	mu      sync.Mutex
	refused error
	probe   time.Time // when the next call may go through
}

// open says whether a call could be made now, without making use of it.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused == nil || !g.now().Before(g.probe)
}

// reason says why the gate is shut, or nil.
func (g *gate) reason() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == nil {
		return nil
	}
	return fmt.Errorf("nothing is changed at Ordergroove until it accepts the api key, which is tried once a minute: %w", g.refused)
}

// enter takes a call's turn: while the key is refused, one a minute.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == nil {
		return nil
	}
	now := g.now()
	if now.Before(g.probe) {
		return errShut
	}
	g.probe = now.Add(probeEvery)
	return nil
}

// heard takes note of a call's outcome.
func (g *gate) heard(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case errors.Is(err, ordergroove.ErrUnauthorized):
		g.refused, g.probe = err, g.now().Add(probeEvery)
	case err == nil, errors.Is(err, ordergroove.ErrNotFound), errors.Is(err, ordergroove.ErrRejected):
		g.refused = nil // it answered to the point, so it knew the key
	}
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

func (g gated) EndAtRenewal(ctx context.Context, id string) (ordergroove.Subscription, error) {
	return through(g.gate, func() (ordergroove.Subscription, error) { return g.api.EndAtRenewal(ctx, id) })
}
