package ogsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// Event is one webhook to be delivered.
type Event struct {
	ID   string
	Type string
	Body []byte
}

// Take empties the outbox and returns what was in it, oldest first.
func (s *Simulator) Take() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.outbox
	s.outbox = nil
	return events
}

// Make returns an event of a type as it was recorded, with an id of its own.
func (s *Simulator) Make(eventType string) (Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.event(eventType, nil, nil)
}

// announce puts an event into the outbox. Fields of the object and members of the snapshot replace the recorded ones.
func (s *Simulator) announce(eventType string, object map[string]any, snapshot map[string]any) error {
	e, err := s.event(eventType, object, snapshot)
	if err != nil {
		return err
	}
	s.outbox = append(s.outbox, e)
	return nil
}

// announcePlaced tells of a placed order, with its items where the options say so.
func (s *Simulator) announcePlaced(order *Order, items []*Item) error {
	object := s.orderObject(order, true)
	var rows []map[string]any
	for _, item := range items {
		rows = append(rows, s.itemObject(item))
	}
	snapshot := map[string]any{"items": rows}
	if s.o.Snapshot == "none" {
		snapshot = map[string]any{}
	}
	if err := s.announce("order.success", object, snapshot); err != nil || !s.o.ItemEvents {
		return err
	}
	for _, row := range rows {
		if err := s.announce("item.successfully_placed", row, nil); err != nil {
			return err
		}
	}
	return nil
}

// event makes a recorded payload the simulator's own: a new id, the time of now, and the given fields.
func (s *Simulator) event(eventType string, object, snapshot map[string]any) (Event, error) {
	payload, err := s.recorded(eventType)
	if err != nil {
		return Event{}, err
	}
	id := "evt_" + s.newID("event")
	data, _ := payload["data"].(map[string]any)
	recorded, ok := data["object"].(map[string]any)
	if !ok {
		return Event{}, fmt.Errorf("the payload of %s has no data.object", eventType)
	}
	maps.Copy(recorded, object)
	payload["id"], payload["created"] = id, s.o.Now().Unix()
	if snapshot != nil {
		delete(payload, "snapshot")
		if s.o.Snapshot == "data" {
			data["snapshot"] = snapshot
		} else {
			payload["snapshot"] = snapshot
		}
	}
	body, err := json.Marshal(payload)
	return Event{ID: id, Type: eventType, Body: body}, err
}

func (s *Simulator) recorded(eventType string) (map[string]any, error) {
	raw, err := fs.ReadFile(s.o.Payloads, eventType+".json")
	if err != nil {
		return nil, fmt.Errorf("no payload was recorded for %s: %w", eventType, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // a merchant's numbers may be longer than a float64
	var payload map[string]any
	return payload, decoder.Decode(&payload)
}

func (s *Simulator) recordedObject(eventType string) (map[string]any, error) {
	payload, err := s.recorded(eventType)
	if err != nil {
		return nil, err
	}
	data, _ := payload["data"].(map[string]any)
	object, ok := data["object"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the payload of %s has no data.object", eventType)
	}
	return object, nil
}

// subscriptionObject is a subscription's fields on the wire: dates as unix seconds in a webhook, as text in an answer.
func (s *Simulator) subscriptionObject(sub *Subscription, inWebhook bool) map[string]any {
	object := maps.Clone(sub.Fields)
	object["public_id"], object["customer"], object["product"] = sub.ID, sub.Customer, sub.Product
	object["live"], object["prepaid_subscription_context"] = sub.Live, sub.Prepaid
	object["extra_data"] = sub.ExtraData
	object["cancelled"], object["cancel_reason"] = nil, nil
	if sub.CancelReason != "" {
		object["cancel_reason"] = sub.CancelReason
	}
	if inWebhook {
		object["created"], object["updated"] = sub.Created.Unix(), sub.Updated.Unix()
		if !sub.Live {
			object["cancelled"] = sub.Updated.Unix()
		}
		if slices.Equal(sub.ExtraData, json.RawMessage("null")) {
			object["extra_data"] = map[string]any{} // always an object in a webhook
		}
		return object
	}
	const stamp = "2006-01-02 15:04:05"
	object["created"], object["updated"] = sub.Created.UTC().Format(stamp), sub.Updated.UTC().Format(stamp)
	if !sub.Live {
		object["cancelled"] = sub.Updated.UTC().Format(stamp)
	}
	if s.o.ExtraDataAsText && !slices.Equal(sub.ExtraData, json.RawMessage("null")) {
		object["extra_data"] = string(sub.ExtraData)
	}
	return object
}

func (s *Simulator) orderObject(order *Order, inWebhook bool) map[string]any {
	object := maps.Clone(order.Fields)
	object["public_id"], object["customer"], object["status"] = order.ID, order.Customer, order.Status
	object["place"] = order.Place.UTC().Format("2006-01-02")
	if !inWebhook {
		object["place"] = order.Place.UTC().Format("2006-01-02 15:04:05")
	}
	return object
}

func (s *Simulator) itemObject(item *Item) map[string]any {
	object := map[string]any{
		"type": "item", "public_id": item.ID, "order": item.Order, "product": item.Product, "quantity": item.Quantity,
		"subscription": nil, "customer": s.orders[item.Order].Customer, "merchant": "0e5de2bedc5e11e3a2e4bc764e106cf4",
	}
	if item.Subscription != "" {
		object["subscription"] = item.Subscription
	}
	return object
}
