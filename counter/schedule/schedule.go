// Package schedule owns what a schedule adjustment is: which order of a subscription it is for, what is to be done to
// that order, and whether the two go together. It is pure: it knows neither the store nor Ordergroove's API.
package schedule

import (
	"encoding/json"
	"fmt"
	"time"
)

// MatcherType says by what an order is recognized.
type MatcherType string

// The types of matcher.
const (
	Cycle        MatcherType = "CYCLE"          // by its place in the schedule, or by the number of its shipment
	Date         MatcherType = "DATE"           // by the date on which it is to be placed
	CycleAndDate MatcherType = "CYCLE_AND_DATE" // by both, which must hold
)

// Matcher says which order an adjustment is for. Of the fields, those are set that its type has.
type Matcher struct {
	Type     MatcherType `json:"type"`
	Cycle    *int        `json:"cycle,omitempty"`    // 0: the next order to come when the adjustment was created
	Shipment int         `json:"shipment,omitempty"` // of the term, the checkout's included; 0: not by shipment
	Date     string      `json:"date,omitempty"`     // YYYY-MM-DD in the shop's timezone; "": not by date
}

// String says which order it is, as people read it.
func (m Matcher) String() string {
	switch {
	case m.Shipment != 0:
		return fmt.Sprintf("shipment %d", m.Shipment)
	case m.Type == Date:
		return "the order of " + m.Date
	case m.Cycle == nil:
		return string(m.Type)
	}
	text := fmt.Sprintf("order %d to come", *m.Cycle+1)
	if *m.Cycle == 0 {
		text = "the next order"
	}
	if m.Date != "" {
		text += ", if it is of " + m.Date
	}
	return text
}

// Position is where an upcoming order is in its subscription's schedule.
type Position struct {
	Slot     int    // how many orders were upcoming before it, those skipped included
	Shipment int    // the shipment of the term that it will be
	Date     string // on which it is to be placed, YYYY-MM-DD in the shop's timezone, before an adjustment moved it
}

// Verdict says whether an upcoming order is the one that a matcher means.
type Verdict int

// The verdicts.
const (
	Later  Verdict = iota // the order meant comes after it
	Match                 // it is the order meant
	Passed                // the order meant was before it, or will not come
)

// Match compares an upcoming order with the one meant. Slot is what the matcher's cycle was fixed to at its creation.
// Of an order that will not come any more, reason says why.
func (m Matcher) Match(slot int, p Position) (v Verdict, reason string) {
	switch {
	case m.Shipment != 0:
		return compare(m.Shipment, p.Shipment), fmt.Sprintf("shipment %d was made before it could be adjusted", m.Shipment)
	case m.Type == Date && p.Date < m.Date:
		return Later, ""
	case m.Type == Date && p.Date > m.Date:
		return Passed, "no order is planned for " + m.Date + "; the next one is of " + p.Date
	case m.Type == Date:
		return Match, ""
	}
	v = compare(slot, p.Slot)
	if v == Match && m.Type == CycleAndDate && p.Date != m.Date {
		return Passed, "the order of that cycle is of " + p.Date + ", and not of " + m.Date
	}
	return v, "the order was placed or skipped before it could be adjusted"
}

func compare(wanted, have int) Verdict {
	switch {
	case have < wanted:
		return Later
	case have > wanted:
		return Passed
	}
	return Match
}

// ActionType says what is done to an order.
type ActionType string

// The types of action.
const (
	SkipOrder           ActionType = "SKIP_ORDER"
	ChangeDate          ActionType = "CHANGE_DATE"
	UpdateShipping      ActionType = "UPDATE_SHIPPING"
	UpdatePaymentMethod ActionType = "UPDATE_PAYMENT_METHOD"
	UpdateProducts      ActionType = "UPDATE_PRODUCTS"
	ApplyDiscount       ActionType = "APPLY_DISCOUNT"
)

// Action says what is done to an order: its input is as it was given, and was checked.
type Action struct {
	Type  ActionType      `json:"type"`
	Input json.RawMessage `json:"input"`
}

// NewAction makes an action of its input.
func NewAction(t ActionType, input any) (Action, error) {
	raw, err := json.Marshal(input)
	return Action{t, raw}, err
}

// Spec is an adjustment as a person or termed.yaml asks for it.
type Spec struct {
	Matcher Matcher `json:"matcher"`
	Action  Action  `json:"action"`
	// SharedOrders says whether an order that carries other subscriptions too may be changed as a whole: "apply" or not.
	SharedOrders string `json:"shared_orders,omitempty"`
}

// MayChangeShared says whether an order that carries other subscriptions too may be changed as a whole.
func (s Spec) MayChangeShared() bool { return s.SharedOrders == "apply" }

// WithoutAddress returns the adjustment without the address that it sends an order to: it is erased once it is settled.
func (s Spec) WithoutAddress() Spec {
	if s.Action.Type == UpdateShipping {
		s.Action.Input = json.RawMessage(`{"address":{"erased":true}}`)
	}
	return s
}

// Settings are what the shop's own rules say of adjustments.
type Settings struct {
	Location  *time.Location    // the shop's timezone; nil: UTC
	Codes     map[string]Code   // the discount codes that may be used
	ByTerm    map[string][]Spec // what termed.yaml does to single shipments of every subscription, by the name of the term
	NoPayment bool              // a shop on Shopify, where the payment method of one order cannot be changed
}

func (s Settings) location() *time.Location {
	if s.Location == nil {
		return time.UTC
	}
	return s.Location
}

// DateOf returns the date of an order's place time in the shop's timezone. One without a time of day is a date already.
func (s Settings) DateOf(place time.Time) string {
	if place.Equal(place.Truncate(24 * time.Hour)) {
		return place.Format(time.DateOnly)
	}
	return place.In(s.location()).Format(time.DateOnly)
}

// Today is the date in the shop's timezone.
func (s Settings) Today(now time.Time) string { return now.In(s.location()).Format(time.DateOnly) }

// Code is what a discount code gives.
type Code struct {
	Percent  bool
	Value    string // "20.00": of 100, or an amount
	Until    string // the last day on which it may be used, YYYY-MM-DD in the shop's timezone; "": for ever
	Inactive bool
}
