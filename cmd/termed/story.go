package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/termed/termed/ogsim"
)

const (
	giftSKU      = "GIFT-2BOX"
	programmeSKU = "PROGRAMME-6BOX"
	evergreenSKU = "COFFEE"
)

// role is one subscription of the story.
type role struct {
	name  string
	id    string
	due   int
	first json.RawMessage
}

// story is a merchant's few months, told in a few seconds.
type story struct {
	stage *stage
	told  *timeline
	cast  []*role
}

// everyJSONType is what a merchant may keep in extra_data; all of it must come back as it was.
const everyJSONType = `{"gift note":"for <Ben> & co","order_no":9007199254740993123,"weight":1.10,"vip":true,"coupon":null,"sizes":["S",{"box":2}],"":0}`

func (s *story) play(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{
		s.gift, s.evergreen, s.lateCreation, s.programme, s.sharedOrder, s.noFurtherBox,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
		if err := s.stage.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) gift(ctx context.Context) error {
	s.told.scene("Anna is given two boxes. Ordergroove announces each order twice; it counts once.")
	anna, events, err := s.subscribe("Anna's gift", giftSKU, 2, `{"gift_message":"Happy birthday"}`)
	if err != nil {
		return err
	}
	if err := s.deliver(ctx, events); err != nil {
		return err
	}
	for range 2 {
		placed, err := s.place(anna)
		if err != nil {
			return err
		}
		if err := s.deliver(ctx, append(placed, placed...)); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) evergreen(ctx context.Context) error {
	s.told.scene("Carla's coffee goes on for ever: no term names its SKU, so it is never touched.")
	carla, events, err := s.subscribe("Carla's coffee", evergreenSKU, ogsim.Evergreen, `{"grind":"coarse"}`)
	if err != nil {
		return err
	}
	return s.announceThenPlace(ctx, events, carla)
}

func (s *story) lateCreation(ctx context.Context) error {
	s.told.scene("Dora's first order is announced before her subscription is.")
	dora, events, err := s.subscribe("Dora's gift", giftSKU, 2, ``)
	if err != nil {
		return err
	}
	placed, err := s.place(dora)
	if err != nil {
		return err
	}
	return s.deliver(ctx, append(placed, events...))
}

func (s *story) programme(ctx context.Context) error {
	s.told.scene("Ben starts six boxes, the first at the checkout. The merchant keeps much of its own in extra_data.")
	ben, events, err := s.subscribe("Ben's programme", programmeSKU, 5, everyJSONType)
	if err != nil {
		return err
	}
	return s.announceThenPlace(ctx, events, ben)
}

func (s *story) sharedOrder(ctx context.Context) error {
	s.told.scene("Ben adds a gift. One order now carries both subscriptions' boxes and a one-time mug.")
	gift, events, err := s.subscribe("Ben's gift", giftSKU, 2, `{"gift_message":"To myself"}`)
	if err != nil {
		return err
	}
	return s.announceThenPlace(ctx, events, s.named("Ben's programme"), gift)
}

// noFurtherBox proves the point of it all: the next month's order has nothing of Anna's on it.
func (s *story) noFurtherBox(context.Context) error {
	s.told.scene("A month later Anna's third box would be due.")
	order, err := s.stage.sim.Place([]string{s.named("Anna's gift").id})
	if err != nil {
		return err
	}
	if order != "" {
		return fmt.Errorf("a third box was charged to Anna")
	}
	s.told.say("no order is placed: her subscription has ended")
	return nil
}

// subscribe makes a subscription and returns its creation event, undelivered.
func (s *story) subscribe(name, sku string, due int, extraData string) (*role, []ogsim.Event, error) {
	first := json.RawMessage(extraData)
	sub, err := s.stage.sim.Subscribe(ogsim.NewSubscription{Customer: "customer of " + name, Product: sku, ExtraData: first})
	if err != nil {
		return nil, nil, err
	}
	r := &role{name: name, id: sub.ID, due: due, first: first}
	s.cast = append(s.cast, r)
	s.told.name(sub.ID, name)
	return r, s.stage.sim.Take(), nil
}

func (s *story) announceThenPlace(ctx context.Context, events []ogsim.Event, roles ...*role) error {
	if err := s.deliver(ctx, events); err != nil {
		return err
	}
	placed, err := s.place(roles...)
	if err != nil {
		return err
	}
	return s.deliver(ctx, placed)
}

// place places one order with the next box of each, and returns its events, undelivered.
func (s *story) place(roles ...*role) ([]ogsim.Event, error) {
	ids := make([]string, len(roles))
	for i, r := range roles {
		ids[i] = r.id
	}
	var oneTime []string
	if len(roles) > 1 {
		oneTime = []string{"MUG"}
	}
	if _, err := s.stage.sim.Place(ids, oneTime...); err != nil {
		return nil, err
	}
	return s.stage.sim.Take(), nil
}

// deliver sends events in the order given and waits for the service after each, so that the timeline reads in order.
func (s *story) deliver(ctx context.Context, events []ogsim.Event) error {
	for _, e := range events {
		if err := s.stage.sender.Send(ctx, e); err != nil {
			return err
		}
		if err := s.stage.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) named(name string) *role {
	for _, r := range s.cast {
		if r.name == name {
			return r
		}
	}
	return &role{}
}
