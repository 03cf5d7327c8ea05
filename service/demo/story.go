package demo

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove/sim"
)

const (
	giftSKU      = "GIFT-2BOX"
	programSKU   = "PROGRAM-6BOX"
	evergreenSKU = "COFFEE"
)

// everyJSONType is what a merchant may keep in extra_data; termed must write all of it back as it was.
const everyJSONType = `{"gift note":"for <Ben> & co","order_no":9007199254740993123,` +
	`"weight":1.10,"vip":true,"coupon":null,"sizes":["S",{"box":2}],"":0}`

// role is one subscription of the story.
type role struct {
	name  string
	id    string
	due   int             // recurring orders, or sim.Evergreen
	first json.RawMessage // its extra_data at the beginning
	term  *config.Term    // of the merchant's own; nil in the story

	ownKeys bool // its extra_data has other keys than the recipe's
}

// story is a few months of a merchant's subscriptions, played in about a second.
type story struct {
	setup    *setup
	timeline *timeline
	cast     []*role
}

func (s *story) play(ctx context.Context) error {
	scenes := []func(context.Context) error{
		s.gift, s.evergreen, s.lateCreation, s.program, s.sharedOrder, s.noFurtherOrder,
	}
	for _, scene := range scenes {
		if err := scene(ctx); err != nil {
			return err
		}
		if err := s.setup.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) gift(ctx context.Context) error {
	s.timeline.scene("Anna gets a gift of two shipments. Ordergroove announces each order twice; each counts once.")
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
	s.timeline.scene("Carla's coffee renews until she cancels it: no term lists its SKU, so termed never touches it.")
	carla, events, err := s.subscribe("Carla's coffee", evergreenSKU, sim.Evergreen, `{"grind":"coarse"}`)
	if err != nil {
		return err
	}
	return s.announceThenPlace(ctx, events, carla)
}

func (s *story) lateCreation(ctx context.Context) error {
	s.timeline.scene("Dora's first order is announced before her subscription is.")
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

func (s *story) program(ctx context.Context) error {
	s.timeline.scene("Ben starts a six-shipment program, the first at checkout. extra_data has keys of the merchant.")
	ben, events, err := s.subscribe("Ben's program", programSKU, 5, everyJSONType)
	if err != nil {
		return err
	}
	return s.announceThenPlace(ctx, events, ben)
}

func (s *story) sharedOrder(ctx context.Context) error {
	s.timeline.scene("Ben adds a gift. One order now carries shipments of both subscriptions and a one-time mug.")
	gift, events, err := s.subscribe("Ben's gift", giftSKU, 2, `{"gift_message":"To myself"}`)
	if err != nil {
		return err
	}
	return s.announceThenPlace(ctx, events, s.named("Ben's program"), gift)
}

// noFurtherOrder shows what termed is for: next month Ordergroove places no order for Anna.
func (s *story) noFurtherOrder(context.Context) error {
	s.timeline.scene("A month later Anna's third shipment would be due.")
	order, err := s.setup.sim.Place([]string{s.named("Anna's gift").id})
	if err != nil {
		return err
	}
	if order != "" {
		return errors.New("a third shipment was charged to Anna")
	}
	s.timeline.say("no order is placed: her subscription has ended")
	return nil
}

// subscribe makes a subscription and returns its creation event, undelivered.
func (s *story) subscribe(name, sku string, due int, extraData string) (*role, []sim.Event, error) {
	first := json.RawMessage(extraData)
	sub, err := s.setup.sim.Subscribe(sim.NewSubscription{
		Customer:  "customer of " + name,
		Product:   sku,
		ExtraData: first,
	})
	if err != nil {
		return nil, nil, err
	}
	r := &role{name: name, id: sub.ID, due: due, first: first}
	s.cast = append(s.cast, r)
	s.timeline.name(sub.ID, name)
	return r, s.setup.sim.Take(), nil
}

func (s *story) announceThenPlace(ctx context.Context, events []sim.Event, roles ...*role) error {
	if err := s.deliver(ctx, events); err != nil {
		return err
	}
	placed, err := s.place(roles...)
	if err != nil {
		return err
	}
	return s.deliver(ctx, placed)
}

// place places one order with the next shipment of each, and returns its events, undelivered.
func (s *story) place(roles ...*role) ([]sim.Event, error) {
	ids := make([]string, len(roles))
	for i, r := range roles {
		ids[i] = r.id
	}
	var oneTime []string
	if len(roles) > 1 {
		oneTime = []string{"MUG"}
	}
	if _, err := s.setup.sim.Place(ids, oneTime...); err != nil {
		return nil, err
	}
	return s.setup.sim.Take(), nil
}

// deliver sends events in the order given and waits for the service after each, so that the timeline reads in order.
func (s *story) deliver(ctx context.Context, events []sim.Event) error {
	for _, e := range events {
		if err := s.setup.sender.Send(ctx, e); err != nil {
			return err
		}
		if err := s.setup.settle(ctx); err != nil {
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
