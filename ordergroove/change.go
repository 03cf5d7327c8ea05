package ordergroove

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Operation names one kind of change.
type Operation string

// The operations, each a row of the table below.
const (
	OpUpdate                Operation = "update"
	OpCancel                Operation = "cancel"
	OpChangeProduct         Operation = "change_product"
	OpChangeRenewalBehavior Operation = "change_renewal_behavior"
	OpSkip                  Operation = "skip_subscription"
	OpChangePlaceDate       Operation = "change_place_date"
	OpChangeShipping        Operation = "change_shipping"
	OpChangePayment         Operation = "change_payment"
	OpChangeItemProduct     Operation = "item change_product"
	OpChangeItemQuantity    Operation = "item change_quantity"
	OpChangeFrequency       Operation = "change_frequency"
	OpChangeNextOrderDate   Operation = "change_next_order_date"
	OpCreateAddress         Operation = "create address"
	OpCreateIncentive       Operation = "create incentive"
)

// operation is what the client knows of one kind of change. A new one is a constructor and a row here, and a row in the
// simulator.
type operation struct {
	path    string                           // {id} and {object} stand for the fields of the change
	doing   string                           // for errors and the log: "canceling subscription"
	apply   func(s *Subscription, body Body) // nil where the answer is not the subscription
	creates bool                             // it is a POST whose answer is the object that it created
}

// operations are the changes of the contract, section 2, that we make.
var operations = map[Operation]operation{
	OpUpdate: {
		path:  "/subscriptions/{id}/update/",
		doing: "updating extra_data of subscription",
		apply: func(s *Subscription, body Body) { s.ExtraData = bytes.Clone(body["extra_data"]) },
	},
	OpCancel: {
		path:  "/subscriptions/{id}/cancel/",
		doing: "canceling subscription",
		apply: func(s *Subscription, _ Body) { s.Live = false },
	},
	OpChangeProduct: {
		path:  "/subscriptions/{id}/change_product/",
		doing: "changing the product of subscription",
		apply: func(s *Subscription, body Body) { s.Product = body.Text("product") },
	},
	OpChangeRenewalBehavior: {
		path:  "/subscriptions/{id}/change_renewal_behavior/",
		doing: "changing the renewal behavior of subscription",
		apply: func(s *Subscription, body Body) {
			if s.Prepaid == nil {
				return
			}
			changed := *s.Prepaid // the caller keeps the original
			changed.RenewalBehavior = body.Text("renewal_behavior")
			s.Prepaid = &changed
		},
	},
	OpSkip: {
		path:  "/orders/{object}/skip_subscription/",
		doing: "skipping the next order of subscription",
	},
	OpChangePlaceDate: {
		path:  "/orders/{object}/change_place_date/",
		doing: "changing the date of the next order of subscription",
	},
	OpChangeShipping: {
		path:  "/orders/{object}/change_shipping/",
		doing: "changing the address of the next order of subscription",
	},
	OpChangePayment: {
		path:  "/orders/{object}/change_payment/",
		doing: "changing the payment of the next order of subscription",
	},
	OpChangeItemProduct: {
		path:  "/items/{object}/change_product/",
		doing: "changing the product of one order of subscription",
	},
	OpChangeItemQuantity: {
		path:  "/items/{object}/change_quantity/",
		doing: "changing the quantity of one order of subscription",
	},
	OpChangeFrequency: {
		path:  "/subscriptions/{id}/change_frequency/",
		doing: "changing the frequency of subscription",
		apply: func(s *Subscription, body Body) { s.Frequency = body.Frequency() },
	},
	OpChangeNextOrderDate: {
		path:  "/subscriptions/{id}/change_next_order_date/",
		doing: "changing the next order date of subscription", // the answer does not say the date
	},
	OpCreateAddress: {
		path:    "/addresses/create/",
		doing:   "creating an address for an order of subscription",
		creates: true,
	},
	OpCreateIncentive: {
		path:    "/one_time_incentives/create/",
		doing:   "creating a discount for an order of subscription",
		creates: true,
	},
}

// Change is one API call that changes something, as data: it can be sent with Client.Do, and its answer can be
// predicted with Apply.
type Change struct {
	Operation Operation
	ID        string // of the subscription
	Body      Body
	Object    string // the id of the order or item, where it is a change to one
}

// Answer is what a change got. Which field is set depends on the operation.
type Answer struct {
	Subscription Subscription // as it is afterwards; the zero value where the answer is about something else
	Created      string       // the id of what was created
}

// Body holds the fields of a change's body, each value as JSON. Values are sent byte for byte.
type Body map[string]json.RawMessage

// UpdateExtraData overwrites the whole extra_data of a subscription.
func UpdateExtraData(id string, data ExtraData) Change {
	return Change{Operation: OpUpdate, ID: id, Body: Body{"extra_data": data.Object()}}
}

// CancelSubscription ends a subscription now. The reason is "<code>|<details>", or "" for none.
func CancelSubscription(id, reason string) Change {
	if reason == "" {
		return Change{Operation: OpCancel, ID: id}
	}
	return Change{Operation: OpCancel, ID: id, Body: Body{"cancel_reason": quote(reason)}}
}

// ChangeProduct gives a subscription another product, by its external id.
func ChangeProduct(id, product string) Change {
	return Change{Operation: OpChangeProduct, ID: id, Body: Body{"product": quote(product)}}
}

// EndAtRenewal makes a prepaid subscription end by itself when the orders that were paid for are used up.
func EndAtRenewal(id string) Change {
	return Change{Operation: OpChangeRenewalBehavior, ID: id, Body: Body{"renewal_behavior": quote("cancel")}}
}

// SkipOrder takes a subscription's items off an upcoming order; Ordergroove makes its next order by its frequency.
func SkipOrder(id, order string) Change {
	return Change{Operation: OpSkip, ID: id, Object: order, Body: Body{"subscription": quote(id)}}
}

// ChangePlaceDate moves an upcoming order. The time is sent without a zone, as Ordergroove answers it.
func ChangePlaceDate(id, order string, place time.Time) Change {
	body := Body{"place": quote(place.Format(time.DateTime))}
	return Change{Operation: OpChangePlaceDate, ID: id, Object: order, Body: body}
}

// ChangeShipping sends one upcoming order to another address.
func ChangeShipping(id, order, address string) Change {
	body := Body{"shipping_address": quote(address)}
	return Change{Operation: OpChangeShipping, ID: id, Object: order, Body: body}
}

// ChangePayment charges one upcoming order to another payment method. Ordergroove refuses it to shops on Shopify.
func ChangePayment(id, order, payment string) Change {
	return Change{Operation: OpChangePayment, ID: id, Object: order, Body: Body{"payment": quote(payment)}}
}

// ChangeItemProduct gives one item of an upcoming order another product.
func ChangeItemProduct(id, item, product string) Change {
	return Change{Operation: OpChangeItemProduct, ID: id, Object: item, Body: Body{"product": quote(product)}}
}

// ChangeItemQuantity gives one item of an upcoming order another quantity, at least 1.
func ChangeItemQuantity(id, item string, quantity int) Change {
	return Change{Operation: OpChangeItemQuantity, ID: id, Object: item, Body: Body{"quantity": encodeInt(quantity)}}
}

// ChangeFrequency changes how often a subscription's orders are placed.
func ChangeFrequency(id string, f Frequency) Change {
	body := Body{"every": encodeInt(f.Every), "every_period": encodeInt(f.Period)}
	return Change{Operation: OpChangeFrequency, ID: id, Body: body}
}

// ChangeNextOrderDate changes when a subscription's next order is placed.
func ChangeNextOrderDate(id string, date time.Time) Change {
	body := Body{"order_date": quote(date.Format(time.DateOnly))}
	return Change{Operation: OpChangeNextOrderDate, ID: id, Body: body}
}

// CreateAddress creates an address of a customer; the fields are those of the contract, section 2.
func CreateAddress(id string, fields map[string]string) Change {
	body := Body{}
	for name, value := range fields {
		body[name] = quote(value)
	}
	return Change{Operation: OpCreateAddress, ID: id, Body: body}
}

// Incentive is a discount on one upcoming order, or on one of its items (contract, section 2).
type Incentive struct {
	Merchant, Customer string
	Order, Item        string // exactly one of them
	Name               string
	Code               string // external_code; "" for none
	Percent            bool   // Value is a percentage, else an amount
	Value              string // "15.00"
	Field, Target      string
}

// CreateIncentive gives an order or item a discount. Ordergroove has no way to read or to take back what was given.
func CreateIncentive(id string, i Incentive) Change {
	kind := "Discount Amount"
	if i.Percent {
		kind = "Discount Percent"
	}
	body := Body{
		"merchant":      quote(i.Merchant),
		"customer":      quote(i.Customer),
		"stacking_type": quote("additional"),
		"incentive": Body{
			"name":          quote(i.Name),
			"discount_type": quote(kind),
			"value":         quote(i.Value),
			"field":         quote(i.Field),
			"type":          quote("Discount"),
			"target":        quote(i.Target),
		}.encode(),
	}
	for name, value := range map[string]string{"order": i.Order, "item": i.Item, "external_code": i.Code} {
		if value != "" {
			body[name] = quote(value)
		}
	}
	return Change{Operation: OpCreateIncentive, ID: id, Body: body}
}

// Apply predicts how a subscription reads after the change. It changes neither its argument nor anything else.
func (c Change) Apply(s Subscription) Subscription {
	if o, ok := operations[c.Operation]; ok && o.apply != nil {
		o.apply(&s, c.Body)
	}
	return s
}

// Do makes a change and returns what it got.
func (c *Client) Do(ctx context.Context, change Change) (Answer, error) {
	asText := c.extraDataAsText.Load()
	answer, err := c.sendChange(ctx, change, asText)
	if _, ok := change.Body["extra_data"]; !ok || !refusesExtraData(err) {
		return answer, err
	}
	// A 400 changed nothing, so the other form can follow at once.
	answer, err = c.sendChange(ctx, change, !asText)
	if err == nil {
		c.extraDataAsText.Store(!asText)
	}
	return answer, err
}

func (c *Client) sendChange(ctx context.Context, change Change, extraDataAsText bool) (Answer, error) {
	o, ok := operations[change.Operation]
	if !ok {
		return Answer{}, fmt.Errorf("unknown operation %q", change.Operation)
	}
	body := change.Body
	if data, ok := body["extra_data"]; ok && extraDataAsText {
		body = maps.Clone(body)
		body["extra_data"] = quote(string(data))
	}
	ids := strings.NewReplacer("{id}", url.PathEscape(change.ID), "{object}", url.PathEscape(change.Object))
	r := request{
		doing:  o.doing,
		about:  slog.String("subscription", change.ID),
		method: http.MethodPatch,
		url:    c.base.JoinPath(ids.Replace(o.path)),
		body:   body.encode(),
	}
	switch {
	case o.creates:
		r.method = http.MethodPost
		return c.sendForCreated(ctx, r)
	case o.apply == nil:
		_, err := c.send(ctx, c.writes, r)
		return Answer{}, err
	}
	s, err := c.sendForSubscription(ctx, c.writes, change.ID, r)
	return Answer{Subscription: s}, err
}

// sendForCreated sends a request whose answer must be the object that it created.
func (c *Client) sendForCreated(ctx context.Context, r request) (Answer, error) {
	raw, err := c.send(ctx, c.writes, r)
	if err != nil {
		return Answer{}, err
	}
	var created struct {
		ID text `json:"public_id"`
	}
	if err := json.Unmarshal(raw, &created); err != nil {
		return Answer{}, unavailable(r.what(), fmt.Errorf("%w: %w", ErrUnreadable, syntaxOnly(err)))
	}
	return Answer{Created: string(created.ID)}, nil
}

// refusesExtraData says whether the API rejected the form in which extra_data was sent.
func refusesExtraData(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusBadRequest && e.Fields["extra_data"] != ""
}

// encode writes the body by hand: json.Marshal would compact the merchant's values and escape their HTML.
func (b Body) encode() []byte {
	out := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(b)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, quote(name)...)
		out = append(out, ':')
		// safeguard: foreign-keys
		out = append(out, b[name]...)
	}
	return append(out, '}')
}

// Text returns a field that is a string, or "".
func (b Body) Text(name string) string {
	var value string
	_ = json.Unmarshal(b[name], &value)
	return value
}

// Frequency returns the fields that say how often.
func (b Body) Frequency() Frequency {
	var f Frequency
	_ = json.Unmarshal(b["every"], &f.Every)
	_ = json.Unmarshal(b["every_period"], &f.Period)
	return f
}

func encodeInt(n int) json.RawMessage { return strconv.AppendInt(nil, int64(n), 10) }

// quote returns a text as a JSON string and leaves HTML in it alone.
func quote(text string) json.RawMessage {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always encodes, and a buffer accepts all
	return bytes.TrimSpace(out.Bytes())
}
