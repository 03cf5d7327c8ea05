package ordergroove

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Head is what an event says of itself: enough to file it.
type Head struct {
	ID      string // Ordergroove's event id
	Type    string // as it was sent; see Canonical
	Created int64  // unix seconds; 0 where the event does not say
}

// Envelope is one event whole: its head and what it is about.
type Envelope struct {
	Head
	Object   json.RawMessage // data.object
	snapshot snapshot
}

// Item is one line of an order: an item event's object, an entry of snapshot.items, or a row of GET /items/.
type Item struct {
	ID           string
	Order        string
	Subscription string // "" for a one-time item
	Product      string // external product id: the SKU
	Customer     string
}

type snapshot struct {
	Items []Item `json:"items"`
}

// ParseHead reads the head of an event. It is strict about JSON (one document, nothing behind it) and lenient about
// everything else; an event without id or type is an error.
func ParseHead(body []byte) (Head, error) {
	var wire struct {
		ID      text            `json:"id"`
		Type    text            `json:"type"`
		Created json.RawMessage `json:"created"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return Head{}, fmt.Errorf("reading the event: %w", syntaxOnly(err))
	}
	if wire.ID == "" || len(wire.ID) > 256 {
		return Head{}, errors.New("reading the event: it has no id, or none that is one")
	}
	if wire.Type == "" {
		return Head{}, errors.New("reading the event: it has no type")
	}
	return Head{ID: string(wire.ID), Type: string(wire.Type), Created: unixSeconds(wire.Created)}, nil
}

// ParseEnvelope reads a whole event. Snapshots are read where they are documented: beside data, and inside it.
func ParseEnvelope(body []byte) (Envelope, error) {
	head, err := ParseHead(body)
	if err != nil {
		return Envelope{}, err
	}
	var wire struct {
		Data struct {
			Object   json.RawMessage `json:"object"`
			Snapshot json.RawMessage `json:"snapshot"`
		} `json:"data"`
		Snapshot json.RawMessage `json:"snapshot"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return Envelope{}, fmt.Errorf("reading %s: %w", head.Type, syntaxOnly(err))
	}
	if len(wire.Data.Object) == 0 || bytes.Equal(wire.Data.Object, []byte("null")) {
		return Envelope{}, fmt.Errorf("reading %s: it has no data.object", head.Type)
	}
	envelope := Envelope{Head: head, Object: wire.Data.Object}
	for _, raw := range []json.RawMessage{wire.Snapshot, wire.Data.Snapshot} {
		// A snapshot is an extra: one that cannot be read is as good as none, since the API has the same facts.
		var s snapshot
		if len(raw) > 0 && json.Unmarshal(raw, &s) == nil {
			envelope.snapshot.Items = append(envelope.snapshot.Items, s.Items...)
		}
	}
	return envelope, nil
}

// Subscription reads the object of a subscription event.
func (e Envelope) Subscription() (Subscription, error) {
	var s Subscription
	if err := json.Unmarshal(e.Object, &s); err != nil {
		return Subscription{}, fmt.Errorf("reading the subscription of %s: %w", e.Type, syntaxOnly(err))
	}
	return s, checkID("subscription", s.ID)
}

// Item reads the object of an item event.
func (e Envelope) Item() (Item, error) {
	var i Item
	if err := json.Unmarshal(e.Object, &i); err != nil {
		return Item{}, fmt.Errorf("reading the item of %s: %w", e.Type, syntaxOnly(err))
	}
	if i.Subscription == "" { // a one-time item: nothing else of it is asked for
		return i, nil
	}
	return i, errors.Join(checkID("subscription", i.Subscription), checkID("order", i.Order))
}

// OrderID reads the public id of an order event's object. An order event names no subscription (contract, section 1).
func (e Envelope) OrderID() (string, error) {
	var order struct {
		ID text `json:"public_id"`
	}
	if err := json.Unmarshal(e.Object, &order); err != nil {
		return "", fmt.Errorf("reading the order of %s: %w", e.Type, syntaxOnly(err))
	}
	return string(order.ID), checkID("order", string(order.ID))
}

// SnapshotItems returns the items of one order that the snapshot holds, and whether it holds any; without any they have
// to be asked for.
func (e Envelope) SnapshotItems(order string) ([]Item, bool) {
	var items []Item
	for _, item := range e.snapshot.Items {
		if item.Order == order {
			items = append(items, item)
		}
	}
	return items, len(items) > 0
}

// UnmarshalJSON reads an item as the wire has it. Ids may be numbers; an order or subscription may be null.
func (i *Item) UnmarshalJSON(raw []byte) error {
	var wire struct {
		ID           text `json:"public_id"`
		Order        text `json:"order"`
		Subscription text `json:"subscription"`
		Product      text `json:"product"`
		Customer     text `json:"customer"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return err
	}
	*i = Item{string(wire.ID), string(wire.Order), string(wire.Subscription), string(wire.Product), string(wire.Customer)}
	return nil
}

// text is a string that the sender may also spell as a number; null is "".
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		*t = text(raw)
		return nil
	}
	if err := json.Unmarshal(raw, (*string)(t)); err != nil {
		return err
	}
	if strings.ContainsFunc(string(*t), unicode.IsControl) {
		return errors.New("a control character where there can be none") // PostgreSQL would not store it either
	}
	return nil
}

func unixSeconds(raw json.RawMessage) int64 {
	var t text
	if len(raw) == 0 || json.Unmarshal(raw, &t) != nil {
		return 0
	}
	whole, _, _ := strings.Cut(string(t), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < 0 || n > 1<<40 { // far beyond any date, and short of overflow in milliseconds
		return 0
	}
	return n
}

// checkID refuses an id that could not be part of a path. Ids come from signed payloads; this keeps a mistake from
// becoming a call to another address.
func checkID(what, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("the %s has no id", what)
	case len(id) > 128, strings.Trim(id, ".") == "", strings.ContainsFunc(id, unfitForID):
		return fmt.Errorf("the %s's id is not one", what)
	}
	return nil
}

func unfitForID(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`/\?#%"<>`, r)
}

// syntaxOnly keeps what went wrong and where, and drops what was there: a decoding error quotes the payload, and
// payloads hold personal data.
func syntaxOnly(err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not one JSON document (byte %d)", syntax.Offset)
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("field %q has another type than expected (byte %d)", mismatch.Field, mismatch.Offset)
	}
	return errors.New("not readable")
}
