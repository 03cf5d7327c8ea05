package cancelapp

import (
	"context"

	"github.com/termed/termed/counter"
)

// Difference is where Ordergroove's history of a subscription and ours do not agree.
type Difference struct {
	Placed  int                // orders that Ordergroove has
	Missing []counter.Shipment // placed there and not in the ledger
	Unknown []counter.Shipment // in the ledger and not placed there
	Before  []counter.Shipment // placed before somebody swapped its product for a termed one: rightly not counted
}

// Agrees says whether there is none.
func (d Difference) Agrees() bool {
	return len(d.Missing)+len(d.Unknown) == 0
}

// Verify counts anew from Ordergroove's history, and names the orders behind any difference. It changes nothing.
func (a *App) Verify(ctx context.Context, page counter.Ledger, shipments []counter.Shipment) (Difference, error) {
	items, err := a.api.PlacedItems(ctx, page.Subscription)
	if err != nil {
		return Difference{}, err
	}
	placed := byOrder(foundByAsking(page.Subscription, items, a.now()))
	l := a.newLook(counter.Lease{Ledger: page})
	counting, err := l.sinceTermed(ctx, placed)
	if err != nil {
		return Difference{}, err
	}
	d := Difference{Placed: len(placed), Unknown: without(shipments, placed)}
	d.Missing = without(counting, shipments)
	d.Before = without(without(placed, counting), shipments)
	return d, nil
}

// byOrder keeps the first of several lines of one order.
func byOrder(shipments []counter.Shipment) []counter.Shipment {
	var distinct []counter.Shipment
	for i := range shipments {
		distinct = append(distinct, without(shipments[i:i+1], distinct)...)
	}
	return distinct
}

// without returns the shipments whose order is not among those of others.
func without(shipments, others []counter.Shipment) []counter.Shipment {
	known := map[string]bool{}
	for _, s := range others {
		known[s.Order] = true
	}
	var left []counter.Shipment
	for _, s := range shipments {
		if !known[s.Order] {
			left = append(left, s)
		}
	}
	return left
}
