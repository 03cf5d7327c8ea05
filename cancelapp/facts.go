package cancelapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// translator turns an event into facts. It asks the API only for the items of an order that came without them.
type translator struct {
	terms counter.Terms
	api   API
	store Store
}

// facts says what an event says. An error that no later attempt can change is an errUnreadable.
func (t translator) facts(ctx context.Context, e ordergroove.Envelope, at int64) (ledger.Facts, error) {
	if e.Created != 0 {
		at = e.Created * 1000 // when it happened, not when we heard of it
	}
	switch eventType := ordergroove.Canonical(e.Type); eventType {
	case ordergroove.SubscriptionCreate, ordergroove.SubscriptionReactivate, ordergroove.SubscriptionChangeLive,
		ordergroove.SubscriptionSKUSwap, ordergroove.SubscriptionCancel:
		s, err := e.Subscription()
		if err != nil {
			return ledger.Facts{}, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return t.lifecycle(eventType, s, at), nil
	case ordergroove.ItemPlaced:
		item, err := e.Item()
		if err != nil {
			return ledger.Facts{}, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return t.placed([]ordergroove.Item{item}, e, at), nil
	case ordergroove.OrderSuccess:
		order, err := e.OrderID()
		if err != nil {
			return ledger.Facts{}, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return t.order(ctx, e, order, at)
	}
	return scheduled(e)
}

// scheduled is about an upcoming order: it may be one that is to be adjusted.
func scheduled(e ordergroove.Envelope) (ledger.Facts, error) {
	var about ledger.Scheduled
	var err error
	switch e.Type {
	case ordergroove.OrderCreate, ordergroove.OrderReminder, ordergroove.OrderSkipped, ordergroove.OrderCanceled,
		ordergroove.OrderDateChanged:
		about.Customer, err = e.OrderCustomer()
	case ordergroove.ItemCreate:
		var item ordergroove.Item
		item, err = e.Item()
		about.Subscription = item.Subscription
	}
	if err != nil {
		return ledger.Facts{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return ledger.Facts{Scheduled: about}, nil
}

// ignoredReason says why an event is ignored whose facts are about no subscription of ours.
func ignoredReason(e ordergroove.Envelope, f ledger.Facts) string {
	switch eventType := ordergroove.Canonical(e.Type); eventType {
	case ordergroove.OrderSuccess, ordergroove.ItemPlaced:
		if len(f.Shipments) == 0 {
			return "it has no item of a subscription, or its items were known before"
		}
		return "no item of it is of a termed subscription: " + skusOf(f.Shipments)
	case ordergroove.SubscriptionCreate, ordergroove.SubscriptionReactivate, ordergroove.SubscriptionChangeLive,
		ordergroove.SubscriptionSKUSwap, ordergroove.SubscriptionCancel:
		s, err := e.Subscription()
		if err != nil {
			return ""
		}
		return "its subscription is not enrolled; its SKU is " + s.Product
	case ordergroove.OrderCreate, ordergroove.OrderReminder, ordergroove.OrderSkipped, ordergroove.OrderCanceled,
		ordergroove.OrderDateChanged, ordergroove.ItemCreate:
		return "it matters to subscriptions with schedule adjustments only, and its customer has none of these"
	}
	return "events of this type have no effect"
}

// skusOf names the products of shipments, each once.
func skusOf(shipments []counter.Shipment) string {
	var skus []string
	for _, s := range shipments {
		skus = append(skus, s.SKU)
	}
	slices.Sort(skus)
	return strings.Join(slices.Compact(skus), ", ")
}

// lifecycle is about a subscription itself. A creation says that it exists; anything else about a termed one says so
// too, since the creation of one made by an agent is never announced (contract, section 1). What else happened to it
// only a sync can tell: the event's own copy is stale.
func (t translator) lifecycle(eventType string, s ordergroove.Subscription, at int64) ledger.Facts {
	if eventType == ordergroove.SubscriptionCancel || eventType == ordergroove.SubscriptionChangeLive && !s.Live {
		return ledger.Facts{Canceled: []string{s.ID}}
	}
	var f ledger.Facts
	if term, ok := t.terms.Of(s.Product); ok {
		enrollment := ledger.Enrollment{
			Subscription: s.ID,
			Customer:     s.Customer,
			CreatedAt:    s.CreatedAt,
			Enrollment:   term.Open(s.Product, eventType, at),
			FromCreation: eventType == ordergroove.SubscriptionCreate,
			OwnProduct:   true,
		}
		if enrollment.FromCreation {
			enrollment.OpenedAt = 0
			enrollment.CreatedAt = cmp.Or(s.CreatedAt, at)
		}
		f.Enrollments = []ledger.Enrollment{enrollment}
	}
	switch eventType {
	case ordergroove.SubscriptionReactivate, ordergroove.SubscriptionChangeLive:
		f.Reactivated = []ledger.Reactivation{{Subscription: s.ID, At: at}}
	case ordergroove.SubscriptionSKUSwap:
		f.Changed = []string{s.ID}
	}
	return f
}

// order is about a placed order: its items are in the snapshot, or have to be asked for, once for each order.
func (t translator) order(ctx context.Context, e ordergroove.Envelope, order string, at int64) (ledger.Facts, error) {
	if items, ok := e.SnapshotItems(order); ok {
		return t.placed(items, e, at), nil
	}
	if read, err := t.store.OrderRead(ctx, order); read || err != nil {
		return ledger.Facts{}, err
	}
	items, err := t.api.OrderItems(ctx, order)
	if err != nil {
		return ledger.Facts{}, err
	}
	// safeguard: order-without-items
	if len(items) == 0 {
		return ledger.Facts{}, errNoItems
	}
	f := t.placed(items, e, at)
	f.OrderRead = order
	return f, nil
}

// errNoItems says that Ordergroove knows of no items of an order that was placed: it does not know them yet.
var errNoItems = errors.New("the order was placed, and Ordergroove lists no items of it")

// asksFor returns the order whose items an event makes us ask for, or "".
func asksFor(e ordergroove.Envelope) string {
	if e.Type != ordergroove.OrderSuccess {
		return ""
	}
	order, err := e.OrderID()
	if err != nil {
		return ""
	}
	if _, there := e.SnapshotItems(order); there {
		return ""
	}
	return order
}

// placed makes a shipment of every subscription's part in a placed order. Whether the subscription is one of ours the
// store knows; one that it does not know and whose item is of a termed SKU is enrolled by the way.
func (t translator) placed(items []ordergroove.Item, e ordergroove.Envelope, at int64) ledger.Facts {
	var f ledger.Facts
	for _, item := range items {
		if item.Subscription == "" || item.Order == "" {
			continue // a one-time item
		}
		if term, ok := t.terms.Of(item.Product); ok {
			f.Enrollments = append(f.Enrollments, ledger.Enrollment{
				Subscription: item.Subscription,
				Customer:     item.Customer,
				Enrollment:   term.Open(item.Product, e.Type, at),
			})
		}
		f.Shipments = append(f.Shipments, shipment(item, e.ID, at))
	}
	return f
}

func shipment(item ordergroove.Item, source string, at int64) counter.Shipment {
	return counter.Shipment{
		Subscription: item.Subscription,
		Order:        item.Order,
		SKU:          item.Product,
		Source:       source,
		At:           at,
	}
}
