package schedule

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Address is where an order goes to. Its fields are those of UPDATE_SHIPPING.
type Address struct {
	FirstName    string `json:"firstName,omitempty"`
	LastName     string `json:"lastName,omitempty"`
	Address1     string `json:"address1,omitempty"`
	Address2     string `json:"address2,omitempty"`
	City         string `json:"city,omitempty"`
	Zip          string `json:"zip,omitempty"`
	CountryCode  string `json:"countryCode,omitempty"`
	ProvinceCode string `json:"provinceCode,omitempty"`
	Phone        string `json:"phone,omitempty"`
	Company      string `json:"company,omitempty"`
}

// Line is one line of UPDATE_PRODUCTS: what changes about it.
type Line struct {
	ID              string    `json:"lineId,omitempty"` // a subscription, or an item of the order; "": the subscription
	Product         string    `json:"variantId,omitempty"`
	Quantity        int       `json:"quantity,omitempty"`
	Interval        *Interval `json:"interval,omitempty"`
	NextBillingDate string    `json:"nextBillingDate,omitempty"`
}

// Interval is the time until the order after the one that is adjusted.
type Interval struct {
	Count int    `json:"intervalCount"`
	Unit  string `json:"interval"` // DAY, WEEK, MONTH, YEAR
}

// Discount is what APPLY_DISCOUNT gives.
type Discount struct {
	Source     string      `json:"discountSource"` // "code", "manual"
	Code       string      `json:"discountCode"`   // of a manual one: its title
	Type       string      `json:"discountType,omitempty"`
	Value      json.Number `json:"value,omitempty"`
	TargetType string      `json:"targetType,omitempty"`
	Targeting  struct {
		Type     string   `json:"type"`
		Products []string `json:"productIds,omitempty"`
	} `json:"targeting"`
}

// IsShipping says whether it is on an order's shipping, and so for all that the order carries.
func (d Discount) IsShipping() bool { return d.TargetType == "shipping" }

// Covers says whether it is for items of a product.
func (d Discount) Covers(product string) bool {
	if d.Targeting.Type != "products" {
		return true
	}
	for _, p := range d.Targeting.Products {
		if p == product {
			return true
		}
	}
	return false
}

// Gives says what a discount gives: a percentage or an amount, with two decimals. A code is looked up; an error says
// why it cannot be used on a day.
func (d Discount) Gives(s Settings, now time.Time) (percent bool, value string, err error) {
	if d.Source != "code" {
		amount, err := d.Value.Float64()
		return d.Type == "percentage", strconv.FormatFloat(amount, 'f', 2, 64), err
	}
	code, known := s.Codes[d.Code]
	switch {
	case !known:
		return false, "", fmt.Errorf("unknown discount code %q; discount_codes in termed.yaml lists those that may be used",
			d.Code)
	case code.Inactive:
		return false, "", fmt.Errorf("discount code %q is not active", d.Code)
	case code.Until != "" && s.Today(now) > code.Until:
		return false, "", fmt.Errorf("discount code %q expired on %s", d.Code, code.Until)
	}
	return code.Percent, code.Value, nil
}

// Inputs of the actions, read with Decode.
type (
	// Skip is the input of SKIP_ORDER.
	Skip struct {
		Reason string `json:"reason"`
	}
	// Move is the input of CHANGE_DATE.
	Move struct {
		NewDate string `json:"newDate"`
	}
	// Ship is the input of UPDATE_SHIPPING.
	Ship struct {
		Address Address `json:"address"`
	}
	// Pay is the input of UPDATE_PAYMENT_METHOD.
	Pay struct {
		Method string `json:"paymentMethodId"`
	}
	// Products is the input of UPDATE_PRODUCTS.
	Products struct {
		Lines []Line `json:"lines"`
	}
)

// Decode reads the input of an action that was checked.
func Decode[T any](a Action) (T, error) {
	var input T
	err := json.Unmarshal(a.Input, &input)
	return input, err
}

// Moment reads a date, in the shop's timezone, or a time with its zone. Of a date, midnight in UTC is answered.
func (s Settings) Moment(text string) (at time.Time, isDate bool, err error) {
	if at, err = time.Parse(time.DateOnly, text); err == nil {
		return at, true, nil
	}
	at, err = time.Parse(time.RFC3339, text)
	return at, false, err
}

// DateIn returns the date that a moment names, in the shop's timezone.
func (s Settings) DateIn(text string) (string, error) {
	at, isDate, err := s.Moment(text)
	if isDate || err != nil {
		return text, err
	}
	return at.In(s.location()).Format(time.DateOnly), nil
}
