package ordergroove

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// Subscription is what we read of a subscription, from a webhook's object or a REST answer; both have the same fields
// (contract, sections 1 and 2).
type Subscription struct {
	ID        string
	Customer  string // the merchant's own customer id
	Product   string // external product id: the SKU
	CreatedAt int64  // UTC unix milliseconds; 0 where it does not say
	ExtraData json.RawMessage
	Live      bool     // the truth about being active; `cancelled` is not
	Prepaid   *Prepaid // nil for a pay-as-you-go subscription
	Frequency Frequency
}

// Frequency says how often a subscription's orders are placed; the zero value: it does not say.
type Frequency struct {
	Every  int
	Period int // 1 days, 2 weeks, 3 months, 4 years
}

// After returns the date of the order after one placed at a time.
func (f Frequency) After(at time.Time) time.Time {
	switch f.Period {
	case 1:
		return at.AddDate(0, 0, f.Every)
	case 2:
		return at.AddDate(0, 0, 7*f.Every)
	case 3:
		return at.AddDate(0, f.Every, 0)
	case 4:
		return at.AddDate(f.Every, 0, 0)
	}
	return at
}

// Prepaid is the context of a prepaid subscription. Ordergroove rejects a cancel of it; its renewal behavior ends it.
type Prepaid struct {
	RenewalBehavior string `json:"renewal_behavior"`
}

// UnmarshalJSON reads a subscription from the wire. One that does not say whether it is live is an error: a guess could
// cancel the wrong one.
func (s *Subscription) UnmarshalJSON(raw []byte) error {
	var wire struct {
		ID        text            `json:"public_id"`
		Customer  text            `json:"customer"`
		Product   text            `json:"product"`
		Created   json.RawMessage `json:"created"`
		ExtraData json.RawMessage `json:"extra_data"`
		Live      *bool           `json:"live"`
		Prepaid   *Prepaid        `json:"prepaid_subscription_context"`
		Every     json.RawMessage `json:"every"`
		Period    json.RawMessage `json:"every_period"`
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
		CreatedAt: instant(wire.Created),
		ExtraData: bytes.Clone(wire.ExtraData),
		Live:      *wire.Live,
		Prepaid:   wire.Prepaid,
	}
	if json.Unmarshal(wire.Every, &s.Frequency.Every) != nil || json.Unmarshal(wire.Period, &s.Frequency.Period) != nil {
		s.Frequency = Frequency{} // nothing that must be right depends on it
	}
	return nil
}

// instant reads a time as UTC unix milliseconds: unix seconds in a webhook, and in an answer a date without a zone,
// which is taken for UTC (contract, sections 1 and 2). What is neither is 0: nothing depends on it for sure.
func instant(raw json.RawMessage) int64 {
	if at := unixSeconds(raw); at != 0 {
		return at * 1000
	}
	var t text
	if len(raw) == 0 || json.Unmarshal(raw, &t) != nil {
		return 0
	}
	for _, layout := range []string{time.DateTime, time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, string(t)); err == nil {
			return at.UnixMilli()
		}
	}
	return 0
}

// readSubscription reads the answer to a call about one subscription. An answer about another subscription is an error.
func readSubscription(raw []byte, id string) (Subscription, error) {
	var s Subscription
	if err := json.Unmarshal(raw, &s); err != nil {
		return Subscription{}, syntaxOnly(err)
	}
	if s.ID != id {
		return Subscription{}, errors.New("the answer is about another subscription")
	}
	return s, nil
}
