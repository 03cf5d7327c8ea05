package cancelapp

import (
	"context"
	"fmt"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// translator turns an event into facts. It asks the API for nothing but the items of an order that came without them.
type translator struct {
	terms counter.Terms
	api   reader
	inbox inbox
}

// facts says what an event says. An error that no later try can change is an errUnreadable.
func (t translator) facts(ctx context.Context, e ordergroove.Envelope, at int64) (counter.Facts, error) {
	if e.Created != 0 {
		at = e.Created * 1000 // when it happened, not when we heard of it
	}
	switch eventType := ordergroove.Canonical(e.Type); eventType {
	case ordergroove.SubscriptionCreate, ordergroove.SubscriptionReactivate, ordergroove.SubscriptionChangeLive,
		ordergroove.SubscriptionSKUSwap, ordergroove.SubscriptionCancel:
		s, err := e.Subscription()
		if err != nil {
			return counter.Facts{}, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return t.lifecycle(eventType, s, at), nil
	case ordergroove.ItemPlaced:
		item, err := e.Item()
		if err != nil {
			return counter.Facts{}, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return t.placed([]ordergroove.Item{item}, e.ID, at), nil
	case ordergroove.OrderSuccess:
		order, err := e.OrderID()
		if err != nil {
			return counter.Facts{}, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return t.order(ctx, e, order, at)
	}
	return counter.Facts{}, nil
}

// lifecycle is about a subscription itself. A creation says that it exists; anything else about a termed one says so too,
// since the creation of one made by an agent is never announced (contract, section 1). What else happened to it only a
// look can tell: the event's own copy is stale.
func (t translator) lifecycle(eventType string, s ordergroove.Subscription, at int64) counter.Facts {
	if eventType == ordergroove.SubscriptionCancel || eventType == ordergroove.SubscriptionChangeLive && !s.Live {
		return counter.Facts{Cancelled: []string{s.ID}}
	}
	var f counter.Facts
	if term, ok := t.terms.Of(s.Product); ok {
		f.Enrolments = []counter.Enrolment{{
			Subscription: s.ID, SKU: s.Product, Term: term.Name, Customer: s.Customer, AtCheckout: term.AtCheckout(), Due: term.Due(),
			How: eventType, At: at, OwnProduct: true,
		}}
	}
	switch eventType {
	case ordergroove.SubscriptionReactivate, ordergroove.SubscriptionChangeLive:
		f.Reactivated = []counter.Reactivation{{Subscription: s.ID, At: at}}
	case ordergroove.SubscriptionSKUSwap:
		f.Changed = []string{s.ID}
	}
	return f
}

// order is about a placed order: its items are in the snapshot, or have to be asked for, once for each order.
func (t translator) order(ctx context.Context, e ordergroove.Envelope, order string, at int64) (counter.Facts, error) {
	if items, ok := e.SnapshotItems(order); ok {
		return t.placed(items, e.ID, at), nil
	}
	if read, err := t.inbox.OrderRead(ctx, order); read || err != nil {
		return counter.Facts{}, err
	}
	items, err := t.api.OrderItems(ctx, order)
	if err != nil {
		return counter.Facts{}, err
	}
	f := t.placed(items, e.ID, at)
	f.OrderRead = order
	return f, nil
}

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
// ledger knows; one that it does not know and whose item is of a termed SKU is enrolled on the way.
func (t translator) placed(items []ordergroove.Item, event string, at int64) counter.Facts {
	var f counter.Facts
	for _, item := range items {
		if item.Subscription == "" || item.Order == "" {
			continue // a one-time item
		}
		if term, ok := t.terms.Of(item.Product); ok {
			f.Enrolments = append(f.Enrolments, counter.Enrolment{
				Subscription: item.Subscription, SKU: item.Product, Term: term.Name, Customer: item.Customer, AtCheckout: term.AtCheckout(), Due: term.Due(),
				How: ordergroove.ItemPlaced,
			})
		}
		f.Shipments = append(f.Shipments, shipment(item, event, at))
	}
	return f
}

func shipment(item ordergroove.Item, source string, at int64) counter.Shipment {
	return counter.Shipment{Subscription: item.Subscription, Order: item.Order, SKU: item.Product, Source: source, At: at}
}
