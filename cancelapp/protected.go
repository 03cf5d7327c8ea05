package cancelapp

import (
	"context"

	"github.com/termed/termed/ordergroove"
)

// Kinds of call; a change is a kind by its operation.
const (
	readSubscription  = "reading a subscription"
	readItems         = "reading items"
	readOrders        = "reading orders"
	readOrder         = "reading an order"
	listSubscriptions = "listing subscriptions"
	listItems         = "listing upcoming items"
)

// protected is the API behind the breaker.
type protected struct {
	api     API
	breaker *breaker
}

// guarded makes a call unless the breaker is open, or calls of its kind are held back.
func guarded[T any](ctx context.Context, b *breaker, c call, send func() (T, error)) (T, error) {
	var none T
	if err := b.enter(ctx); err != nil {
		return none, err
	}
	leave, err := b.operations.enter(c)
	if err != nil {
		return none, err
	}
	began := b.now()
	answer, err := send()
	leave()
	return answer, b.judge(ctx, c, began, err)
}

func (p protected) Subscriptions(
	ctx context.Context, q ordergroove.SubscriptionQuery, from string,
) (ordergroove.Page[ordergroove.Subscription], error) {
	return guarded(ctx, p.breaker, call{listSubscriptions, "list of " + q.Product},
		func() (ordergroove.Page[ordergroove.Subscription], error) { return p.api.Subscriptions(ctx, q, from) })
}

func (p protected) UpcomingItems(ctx context.Context, from string) (ordergroove.Page[ordergroove.Item], error) {
	return guarded(ctx, p.breaker, call{listItems, "list of upcoming items"},
		func() (ordergroove.Page[ordergroove.Item], error) { return p.api.UpcomingItems(ctx, from) })
}

func (p protected) Orders(ctx context.Context, id string, status int) ([]ordergroove.Order, error) {
	return guarded(ctx, p.breaker, call{readOrders, id},
		func() ([]ordergroove.Order, error) { return p.api.Orders(ctx, id, status) })
}

func (p protected) Order(ctx context.Context, id string) (ordergroove.Order, error) {
	return guarded(ctx, p.breaker, call{readOrder, "order " + id},
		func() (ordergroove.Order, error) { return p.api.Order(ctx, id) })
}

func (p protected) OrderItems(ctx context.Context, order string) ([]ordergroove.Item, error) {
	return guarded(ctx, p.breaker, call{readItems, "order " + order},
		func() ([]ordergroove.Item, error) { return p.api.OrderItems(ctx, order) })
}

func (p protected) PlacedItems(ctx context.Context, id string) ([]ordergroove.Item, error) {
	return guarded(ctx, p.breaker, call{readItems, id},
		func() ([]ordergroove.Item, error) { return p.api.PlacedItems(ctx, id) })
}

func (p protected) Subscription(ctx context.Context, id string) (ordergroove.Subscription, error) {
	return guarded(ctx, p.breaker, call{readSubscription, id},
		func() (ordergroove.Subscription, error) { return p.api.Subscription(ctx, id) })
}

// Ping is the neutral call: it is counted whoever makes it.
func (p protected) Ping(ctx context.Context) error {
	return p.breaker.prove(ctx)
}

func (p protected) Do(ctx context.Context, change ordergroove.Change) (ordergroove.Answer, error) {
	return guarded(ctx, p.breaker, call{string(change.Operation), change.ID},
		func() (ordergroove.Answer, error) { return p.api.Do(ctx, change) })
}
