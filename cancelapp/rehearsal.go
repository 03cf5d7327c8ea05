package cancelapp

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// Rehearsal is what a look would do now: the page as it would leave it, and the lines that it would write into the journal.
type Rehearsal struct {
	Page    counter.Ledger
	Entries []counter.Entry
}

// Rehearse goes through a look at a subscription, by the same code as a real one, without changing anything anywhere. What
// it asks it asks for real, but for the subscription itself where that is at hand. Shipments are the boxes that the ledger
// holds.
func (a *App) Rehearse(ctx context.Context, page counter.Ledger, shipments []counter.Shipment, remote *ordergroove.Subscription) (Rehearsal, error) {
	stage := &stage{api: a.api, page: page, boxes: map[string]string{}}
	for _, s := range shipments {
		stage.boxes[s.Order] = s.Source
	}
	if remote == nil {
		found, err := a.api.Subscription(ctx, page.Subscription)
		if err != nil {
			return Rehearsal{}, err
		}
		remote = &found
	}
	stage.remote = *remote
	l := a.newLook(counter.Lease{Ledger: page})
	l.api, l.ledger, l.Announce = stage, stage, func(counter.Notice) []counter.Post { return nil }
	err := l.level(ctx)
	return Rehearsal{l.page, append(stage.entries, l.entries...)}, err
}

// stage stands in for the ledger, and for Ordergroove where a call would change something.
type stage struct {
	api
	remote  ordergroove.Subscription
	page    counter.Ledger
	boxes   map[string]string // source by order
	entries []counter.Entry
}

func (s *stage) Subscription(context.Context, string) (ordergroove.Subscription, error) {
	return s.remote, nil
}

func (s *stage) UpdateExtraData(_ context.Context, _ string, data ordergroove.ExtraData) (ordergroove.Subscription, error) {
	s.remote.ExtraData = json.RawMessage(data.Object())
	return s.remote, nil
}

func (s *stage) Cancel(context.Context, string, string) (ordergroove.Subscription, error) {
	s.remote.Live = false
	return s.remote, nil
}

func (s *stage) ChangeProduct(_ context.Context, _, sku string) (ordergroove.Subscription, error) {
	s.remote.Product = sku
	return s.remote, nil
}

func (s *stage) EndAtRenewal(context.Context, string) (ordergroove.Subscription, error) {
	ending := *s.remote.Prepaid
	ending.RenewalBehavior = "cancel"
	s.remote.Prepaid = &ending
	return s.remote, nil
}

// Untold is nothing: a rehearsal tells nobody.
func (s *stage) Untold(context.Context, string) ([]counter.Shipment, error) { return nil, nil }

// Claim is never called: a rehearsal has its page.
func (s *stage) Claim(context.Context, int64, int64, int) ([]counter.Lease, error) { return nil, nil }

func (s *stage) Record(_ context.Context, _ counter.Lease, step counter.Step) (counter.Ledger, error) {
	for _, shipment := range step.Shipments {
		if _, known := s.boxes[shipment.Order]; !known {
			s.boxes[shipment.Order] = shipment.Source
			s.entries = append(s.entries, counter.Entry{Subscription: shipment.Subscription, At: shipment.At, Actor: counter.ByOrdergroove,
				What: "shipment", After: shipment.Order, Reason: shipment.Source})
		}
	}
	s.page.Made, s.page.Announced = len(s.boxes)-s.page.Past, 0
	for _, source := range s.boxes {
		if source != counter.Reconciled {
			s.page.Announced++
		}
	}
	s.page = step.Apply(s.page)
	s.entries = append(s.entries, slices.Clone(step.Entries)...)
	return s.page, nil
}

func (s *stage) Finish(context.Context, counter.Lease, counter.Outcome) error { return nil }
