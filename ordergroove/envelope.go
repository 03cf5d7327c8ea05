package ordergroove

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// Head is what the inbox needs to know of an event.
type Head struct {
	ID      string // Ordergroove's event id
	Type    string // as Ordergroove sent it; see Canonical
	Created int64  // unix seconds; 0 where the event does not say
}

// Envelope is a whole event: its head and the object that it is about.
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
	Quantity     int // 0 where it does not say
}

type snapshot struct {
	Items     []Item    `json:"items"`
	Addresses []Address `json:"addresses"`
}

// Address is what we read of an address: what a new one may need (contract, section 2).
type Address struct {
	ID        string
	FirstName string
	LastName  string
	City      string
	State     string // state_province_code
	Zip       string
	Phone     string
}

// UnmarshalJSON reads an address from the wire.
func (a *Address) UnmarshalJSON(raw []byte) error {
	var wire struct {
		ID        text `json:"public_id"`
		FirstName text `json:"first_name"`
		LastName  text `json:"last_name"`
		City      text `json:"city"`
		State     text `json:"state_province_code"`
		Zip       text `json:"zip_postal_code"`
		Phone     text `json:"phone"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return err
	}
	*a = Address{
		ID:        string(wire.ID),
		FirstName: string(wire.FirstName),
		LastName:  string(wire.LastName),
		City:      string(wire.City),
		State:     string(wire.State),
		Zip:       string(wire.Zip),
		Phone:     string(wire.Phone),
	}
	return nil
}

// ParseHead reads the head of an event. It is strict about JSON (one document, nothing after it) and lenient about
// everything else: of a key that is repeated, the last counts. An event without an id or a type is an error.
func ParseHead(body []byte) (Head, error) {
	var id, eventType text
	var created json.RawMessage
	err := eachMember(body, func(name string, value []byte) error {
		switch {
		case strings.EqualFold(name, "id"):
			return id.UnmarshalJSON(value)
		case strings.EqualFold(name, "type"):
			return eventType.UnmarshalJSON(value)
		case strings.EqualFold(name, "created"):
			created = bytes.Clone(value)
		}
		return nil
	})
	if err != nil {
		return Head{}, fmt.Errorf("reading an event: %w", syntaxOnly(err))
	}
	if id == "" || len(id) > 256 {
		return Head{}, errors.New("reading an event: missing or invalid event id")
	}
	if eventType == "" {
		return Head{}, errors.New("reading an event: missing event type")
	}
	return Head{ID: string(id), Type: string(eventType), Created: unixSeconds(created)}, nil
}

// eachMember reads one JSON object and nothing after it, and calls member for each of its members. It makes nothing of
// the values: of a delivery, the receiver needs three of them.
func eachMember(body []byte, member func(name string, value []byte) error) error {
	in := jsontext.NewDecoder(bytes.NewBuffer(body),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) // as encoding/json
	begin, err := in.ReadToken()
	if err != nil {
		return err
	}
	if begin.Kind() != '{' {
		return errors.New("not an object")
	}
	for in.PeekKind() == '"' {
		name, err := in.ReadToken()
		if err != nil {
			return err
		}
		key := name.String() // the token ends with the next one
		value, err := in.ReadValue()
		if err != nil {
			return err
		}
		if err := member(key, value); err != nil {
			return err
		}
	}
	if _, err := in.ReadToken(); err != nil { // the end of the object
		return err
	}
	if _, err := in.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// ParseEnvelope reads a whole event. It reads snapshots in both documented places: beside data, and inside it.
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
		return Envelope{}, fmt.Errorf("reading %s: data.object is missing", head.Type)
	}
	envelope := Envelope{Head: head, Object: wire.Data.Object}
	for _, raw := range []json.RawMessage{wire.Snapshot, wire.Data.Snapshot} {
		// A snapshot is optional, because the API has the same facts: an unreadable one is ignored.
		var s snapshot
		if len(raw) > 0 && json.Unmarshal(raw, &s) == nil {
			envelope.snapshot.Items = append(envelope.snapshot.Items, s.Items...)
			envelope.snapshot.Addresses = append(envelope.snapshot.Addresses, s.Addresses...)
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
	if i.Subscription == "" { // a one-time item: nobody needs the rest of it
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

// OrderCustomer reads the customer of an order event's object; "" where it does not say.
func (e Envelope) OrderCustomer() (string, error) {
	var order struct {
		Customer text `json:"customer"`
	}
	if err := json.Unmarshal(e.Object, &order); err != nil {
		return "", fmt.Errorf("reading the order of %s: %w", e.Type, syntaxOnly(err))
	}
	return string(order.Customer), nil
}

// SnapshotItems returns the snapshot's items of one order, and whether there are any. Without any, the API must be
// asked.
func (e Envelope) SnapshotItems(order string) ([]Item, bool) {
	var items []Item
	for _, item := range e.snapshot.Items {
		if item.Order == order {
			items = append(items, item)
		}
	}
	return items, len(items) > 0
}

// SnapshotAddress returns the snapshot's address with an id, and whether there is one.
func (e Envelope) SnapshotAddress(id string) (Address, bool) {
	for _, a := range e.snapshot.Addresses {
		if a.ID == id {
			return a, true
		}
	}
	return Address{}, false
}

// UnmarshalJSON reads an item from the wire. Ids may be numbers, and an order or subscription may be null.
func (i *Item) UnmarshalJSON(raw []byte) error {
	var wire struct {
		ID           text            `json:"public_id"`
		Order        text            `json:"order"`
		Subscription text            `json:"subscription"`
		Product      text            `json:"product"`
		Customer     text            `json:"customer"`
		Quantity     json.RawMessage `json:"quantity"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return err
	}
	*i = Item{
		ID:           string(wire.ID),
		Order:        string(wire.Order),
		Subscription: string(wire.Subscription),
		Product:      string(wire.Product),
		Customer:     string(wire.Customer),
	}
	if json.Unmarshal(wire.Quantity, &i.Quantity) != nil {
		i.Quantity = 0 // nothing that must be right depends on it
	}
	return nil
}

// text is a string that the sender may also write as a number; null is "".
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
		return errors.New("unexpected control character") // PostgreSQL would not store it either
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
	if err != nil || n < 0 || n > 1<<40 { // later than any real date; still no overflow in milliseconds
		return 0
	}
	return n
}

// checkID rejects an id that cannot be part of a path. Ids come from signed payloads, but a mistake in one must not
// become a call to another path.
func checkID(what, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("the %s has no id", what)
	case len(id) > 128, strings.Trim(id, ".") == "", strings.ContainsFunc(id, isInvalidInID):
		return fmt.Errorf("the %s has an invalid id", what)
	}
	return nil
}

func isInvalidInID(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`/\?#%"<>`, r)
}

// syntaxOnly keeps what went wrong and where, and drops the quoted payload, because payloads hold personal data.
func syntaxOnly(err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not one JSON document (byte %d)", syntax.Offset)
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("field %q has another type than expected (byte %d)", mismatch.Field, mismatch.Offset)
	}
	return errors.New("unreadable")
}
