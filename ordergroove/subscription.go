package ordergroove

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Subscription is what we read of a subscription, from a webhook's object or a REST answer; both have the same fields
// (contract, sections 1 and 2).
type Subscription struct {
	ID        string
	Customer  string // the merchant's own customer id
	Product   string // external product id: the SKU
	ExtraData json.RawMessage
	Live      bool     // the truth about being active; `cancelled` is not
	Prepaid   *Prepaid // nil for a pay-as-you-go subscription
}

// Prepaid is the context of a prepaid subscription: it refuses to be cancelled and ends by its renewal behaviour.
type Prepaid struct {
	OrdersRemaining int    `json:"prepaid_orders_remaining"`
	RenewalBehavior string `json:"renewal_behavior"`
}

// UnmarshalJSON reads a subscription as the wire has it. One that does not say whether it is live is refused: guessing
// would cancel, or not cancel, on nothing.
func (s *Subscription) UnmarshalJSON(raw []byte) error {
	var wire struct {
		ID        text            `json:"public_id"`
		Customer  text            `json:"customer"`
		Product   text            `json:"product"`
		ExtraData json.RawMessage `json:"extra_data"`
		Live      *bool           `json:"live"`
		Prepaid   *Prepaid        `json:"prepaid_subscription_context"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return err
	}
	if wire.Live == nil {
		return errors.New("the subscription does not say whether it is live")
	}
	*s = Subscription{
		ID:        string(wire.ID),
		Customer:  string(wire.Customer),
		Product:   string(wire.Product),
		ExtraData: bytes.Clone(wire.ExtraData),
		Live:      *wire.Live,
		Prepaid:   wire.Prepaid,
	}
	return nil
}

// readSubscription reads the answer to a call about one subscription; one about another subscription is no answer.
func readSubscription(raw []byte, id string) (Subscription, error) {
	var s Subscription
	if err := json.Unmarshal(raw, &s); err != nil {
		return Subscription{}, syntaxOnly(err)
	}
	if s.ID != id {
		return Subscription{}, fmt.Errorf("it is about another subscription")
	}
	return s, nil
}
