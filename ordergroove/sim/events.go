package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"time"
)

// Event is one webhook to deliver.
type Event struct {
	ID   string
	Type string
	Body []byte
}

// Take empties the outbox and returns its events, oldest first.
func (s *Simulator) Take() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.Now().Before(s.heldUntil) {
		return nil
	}
	events := s.outbox
	s.outbox = nil
	return events
}

// Lose makes the next n events get lost: they are never delivered.
func (s *Simulator) Lose(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = n
}

// Hold delivers nothing for a while; what is announced meanwhile comes late.
func (s *Simulator) Hold(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heldUntil = s.o.Now().Add(d)
}

// Make returns the recorded event of a type, with a new id.
func (s *Simulator) Make(eventType string) (Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.event(eventType, nil, nil)
}

// announce puts an event into the outbox. The fields of object and snapshot replace the recorded ones.
func (s *Simulator) announce(eventType string, object map[string]any, snapshot map[string]any) error {
	e, err := s.event(eventType, object, snapshot)
	if err != nil {
		return err
	}
	if s.lose > 0 {
		s.lose--
		return nil
	}
	s.outbox = append(s.outbox, e)
	return nil
}

// announcePlaced announces a placed order, with its items where the options say so.
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

// event returns the recorded event of a type with a new id, the current time, and the given fields.
func (s *Simulator) event(eventType string, object, snapshot map[string]any) (Event, error) {
	payload, err := s.recorded(eventType)
	if err != nil {
		return Event{}, err
	}
	recorded, err := objectOf(payload, eventType)
	if err != nil {
		return Event{}, err
	}
	maps.Copy(recorded, object)
	id := "evt_" + s.newID("event")
	payload["id"] = id
	payload["created"] = s.now().Unix()
	if snapshot != nil {
		s.addSnapshot(payload, snapshot)
	}
	body, err := json.Marshal(payload)
	return Event{ID: id, Type: eventType, Body: body}, err
}

// addSnapshot puts a snapshot in the place that the options say.
func (s *Simulator) addSnapshot(payload, snapshot map[string]any) {
	delete(payload, "snapshot")
	if s.o.Snapshot != "data" {
		payload["snapshot"] = snapshot
		return
	}
	if data, ok := payload["data"].(map[string]any); ok {
		data["snapshot"] = snapshot
	}
}

// recorded reads the recorded payload of an event type.
func (s *Simulator) recorded(eventType string) (map[string]any, error) {
	raw, err := fs.ReadFile(s.o.Payloads, eventType+".json")
	if err != nil {
		return nil, fmt.Errorf("no recorded payload of %s: %w", eventType, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // a merchant's numbers may not fit into a float64
	var payload map[string]any
	return payload, decoder.Decode(&payload)
}

func (s *Simulator) recordedObject(eventType string) (map[string]any, error) {
	payload, err := s.recorded(eventType)
	if err != nil {
		return nil, err
	}
	return objectOf(payload, eventType)
}

// objectOf returns data.object of a payload.
func objectOf(payload map[string]any, eventType string) (map[string]any, error) {
	data, _ := payload["data"].(map[string]any)
	object, ok := data["object"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the payload of %s has no data.object", eventType)
	}
	return object, nil
}

// subscriptionObject returns a subscription as it is on the wire: dates are unix seconds in a webhook, text in an
// answer.
func (s *Simulator) subscriptionObject(sub *Subscription, inWebhook bool) map[string]any {
	stamp := func(t time.Time) any { return t.UTC().Format(time.DateTime) }
	if inWebhook {
		stamp = func(t time.Time) any { return t.Unix() }
	}
	object := maps.Clone(sub.Fields)
	maps.Copy(object, map[string]any{
		"public_id":                    sub.ID,
		"customer":                     sub.Customer,
		"product":                      sub.Product,
		"live":                         sub.Live,
		"prepaid_subscription_context": sub.Prepaid,
		"extra_data":                   s.extraDataOnWire(sub, inWebhook),
		"cancelled":                    nil,
		"cancel_reason":                nil,
		"created":                      stamp(sub.Created),
		"updated":                      stamp(sub.Updated),
	})
	if sub.CancelReason != "" {
		object["cancel_reason"] = sub.CancelReason
	}
	if !sub.Live {
		object["cancelled"] = stamp(sub.Updated)
	}
	return object
}

func (s *Simulator) extraDataOnWire(sub *Subscription, inWebhook bool) any {
	isNull := string(sub.ExtraData) == "null"
	if inWebhook && isNull {
		return map[string]any{} // a webhook always has an object
	}
	if !inWebhook && !isNull && s.o.ExtraDataAsText {
		return string(sub.ExtraData)
	}
	return sub.ExtraData
}

func (s *Simulator) orderObject(order *Order, inWebhook bool) map[string]any {
	layout := time.DateTime
	if inWebhook {
		layout = time.DateOnly
	}
	object := maps.Clone(order.Fields)
	object["public_id"] = order.ID
	object["customer"] = order.Customer
	object["status"] = order.Status
	object["place"] = order.Place.UTC().Format(layout)
	return object
}

func (s *Simulator) itemObject(item *Item) map[string]any {
	object := map[string]any{
		"type":         "item",
		"merchant":     "0e5de2bedc5e11e3a2e4bc764e106cf4",
		"public_id":    item.ID,
		"customer":     s.orders[item.Order].Customer,
		"order":        item.Order,
		"subscription": nil,
		"product":      item.Product,
		"quantity":     item.Quantity,
	}
	if item.Subscription != "" {
		object["subscription"] = item.Subscription
	}
	return object
}
