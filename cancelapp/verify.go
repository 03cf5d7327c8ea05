package cancelapp

import (
	"context"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// Difference is where Ordergroove's history of a subscription and ours do not agree.
type Difference struct {
	Placed   int                // orders that Ordergroove has
	Missing  []counter.Shipment // placed there, and not recorded
	Unknown  []counter.Shipment // recorded, and not placed there
	Excluded []counter.Shipment // placed there, and rightly not counted
}

// Agrees says whether there is none.
func (d Difference) Agrees() bool {
	return len(d.Missing)+len(d.Unknown) == 0
}

// Verify counts again from Ordergroove's history, and names the orders behind any difference. It changes nothing.
func (a *App) Verify(ctx context.Context, sub counter.Subscription, shipments []counter.Shipment) (Difference, error) {
	remote, err := a.api.Subscription(ctx, sub.ID)
	if err != nil {
		return Difference{}, err
	}
	items, err := a.api.PlacedItems(ctx, sub.ID)
	if err != nil {
		return Difference{}, err
	}
	placed := counter.Distinct(shipmentsIn(sub.ID, items, a.now()))
	s := a.newSync(ledger.Lease{Subscription: ledger.Subscription{Subscription: sub}})
	s.observe(remote)
	found, err := s.find(ctx, s.term())
	if err != nil {
		return Difference{}, err
	}
	d := Difference{Placed: len(placed), Missing: found.Counting(), Unknown: counter.Without(shipments, placed)}
	for _, shipment := range append(shipments, found.Shipments...) {
		if shipment.Excluded != "" {
			d.Excluded = append(d.Excluded, shipment)
		}
	}
	return d, nil
}
