package explain

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
)

// Adjustment is a schedule adjustment as the API and --json show it.
type Adjustment struct {
	ID           string    `json:"id"`
	Subscription string    `json:"subscription"`
	Matcher      Matcher   `json:"matcher"`
	Action       Action    `json:"action"`
	SharedOrders string    `json:"shared_orders,omitempty" doc:"apply: also to an order that carries others"`
	Actor        string    `json:"actor"`
	Status       string    `json:"status" enum:"pending,applied,missed,failed,attention,canceled"`
	AppliedTo    string    `json:"applied_to,omitempty" doc:"the order"`
	Reason       string    `json:"reason,omitempty" doc:"why it was missed, failed, or needs attention"`
	Created      time.Time `json:"created"`
	Updated      time.Time `json:"updated"`
}

// Matcher says which order an adjustment is for.
type Matcher struct {
	Type     string `json:"type" enum:"CYCLE,DATE,CYCLE_AND_DATE"`
	Cycle    *int   `json:"cycle,omitempty" doc:"0: the next order to come when it was created"`
	Shipment int    `json:"shipment,omitempty" doc:"of the term, the checkout's included"`
	Date     string `json:"date,omitempty" doc:"YYYY-MM-DD in the shop's timezone"`
}

// Action says what an adjustment does to its order.
type Action struct {
	Type  string `json:"type" doc:"SKIP_ORDER, CHANGE_DATE, UPDATE_SHIPPING, and others"`
	Input any    `json:"input" doc:"see docs/adjustments.md"`
}

// AdjustmentOf shows an adjustment, with the address in it only to whoever may see customers.
func AdjustmentOf(a ledger.Adjustment, withAddress bool) Adjustment {
	spec := a.Spec
	if !withAddress {
		spec = spec.WithoutAddress()
	}
	shown := Adjustment{
		ID:           a.ID,
		Subscription: a.Subscription,
		Matcher: Matcher{
			Type:     string(spec.Matcher.Type),
			Cycle:    spec.Matcher.Cycle,
			Shipment: spec.Matcher.Shipment,
			Date:     spec.Matcher.Date,
		},
		Action:       Action{Type: string(spec.Action.Type)},
		SharedOrders: spec.SharedOrders,
		Actor:        a.Actor,
		Status:       string(a.Status),
		AppliedTo:    a.Order,
		Reason:       a.Reason,
		Created:      time.UnixMilli(a.Created).UTC(),
		Updated:      time.UnixMilli(a.Updated).UTC(),
	}
	_ = json.Unmarshal(spec.Action.Input, &shown.Action.Input) // it was checked
	return shown
}

// Expected is an order that is still to come, as the API and --json show it.
type Expected struct {
	Shipment    int      `json:"shipment,omitempty" doc:"its number in the term; absent: it will be skipped"`
	Order       string   `json:"order,omitempty" doc:"where Ordergroove has made it"`
	Date        string   `json:"date,omitempty" doc:"on which it is expected, in the shop's timezone"`
	SKU         string   `json:"sku"`
	Applied     []string `json:"applied" doc:"what was done to it"`
	Unsure      []string `json:"unsure" doc:"what may have been done to it: check the order"`
	Adjustments []string `json:"adjustments" doc:"what will be done to it"`
	EndsTerm    bool     `json:"ends_term"`
}

// ExpectedOf shows orders that are still to come.
func ExpectedOf(expected []schedule.Expected) []Expected {
	all := []Expected{}
	for _, e := range expected {
		shown := Expected{
			Shipment:    e.Shipment,
			Order:       e.Order,
			Date:        e.Date,
			SKU:         e.SKU,
			Applied:     []string{},
			Unsure:      []string{},
			Adjustments: []string{},
			EndsTerm:    e.Last,
		}
		for _, a := range e.Applied {
			list := &shown.Applied
			if a.Unsure {
				list = &shown.Unsure
			}
			*list = append(*list, a.Action.String())
		}
		for _, p := range e.Adjustments {
			shown.Adjustments = append(shown.Adjustments, p.Spec.Action.String())
		}
		all = append(all, shown)
	}
	return all
}

// Text says in a line what is to come.
func (e Expected) Text() string {
	what := "skipped"
	if e.Shipment != 0 {
		what = fmt.Sprintf("shipment %d", e.Shipment)
	}
	text := fmt.Sprintf("%s, %s, %s", what, orUnknown(e.Date), e.SKU)
	for _, a := range e.Applied {
		text += "; applied: " + a
	}
	for _, a := range e.Unsure {
		text += "; may have been applied: " + a
	}
	for _, a := range e.Adjustments {
		text += "; " + a
	}
	if e.EndsTerm {
		text += "; ends the term"
	}
	return text
}

func orUnknown(date string) string {
	if date == "" {
		return "date unknown"
	}
	return date
}
