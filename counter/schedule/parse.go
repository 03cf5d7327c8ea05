package schedule

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Schema is the JSON Schema of an adjustment. The API, the command line, termed.yaml and editors check by it.
//
//go:embed adjustment.schema.json
var Schema []byte

const schemaURL = "https://github.com/termed/termed/adjustment.schema.json"

// The compiled definitions of the schema.
var (
	adjustmentSchema = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("adjustment") })
	termSchema       = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("termAdjustment") })
)

func compile(definition string) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.RegisterFormat(&jsonschema.Format{Name: "moment", Validate: isMoment})
	if err := c.AddResource(schemaURL, document); err != nil {
		return nil, err
	}
	return c.Compile(schemaURL + "#/$defs/" + definition)
}

func isMoment(v any) error {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	_, _, err := Settings{}.Moment(text)
	return err
}

// FieldError is what is wrong with one field.
type FieldError struct {
	Path    string // "action.input.lines[0].quantity"; "" is the whole
	Message string
}

func (e FieldError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// FieldErrors are all that is wrong, sorted by field.
type FieldErrors []FieldError

func (e FieldErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// Parse reads an adjustment as the API takes it. An error is FieldErrors.
func Parse(raw []byte) (Spec, error) {
	if err := validate(adjustmentSchema, raw); err != nil {
		return Spec{}, err
	}
	var s Spec
	if err := json.Unmarshal(raw, &s); err != nil {
		return Spec{}, FieldErrors{{"", "not readable"}}
	}
	if err := s.compatible(); err != nil {
		return Spec{}, err
	}
	return s, nil
}

// ParseForTerm reads an adjustment of every subscription of a term. An error is FieldErrors.
func ParseForTerm(raw []byte) (Spec, error) {
	if err := validate(termSchema, raw); err != nil {
		return Spec{}, err
	}
	var wire struct {
		Shipment     int    `json:"shipment"`
		Action       Action `json:"action"`
		SharedOrders string `json:"shared_orders"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return Spec{}, FieldErrors{{"", "not readable"}}
	}
	matcher := Matcher{Type: Cycle, Shipment: wire.Shipment}
	return Spec{Matcher: matcher, Action: wire.Action, SharedOrders: wire.SharedOrders}, nil
}

// compatible says why a matcher and an action do not go together: what moves an order, or is for all that it carries,
// names it by its place in the schedule.
func (s Spec) compatible() error {
	if s.Matcher.Type == Cycle {
		return nil
	}
	switch s.Action.Type {
	case ChangeDate:
		return FieldErrors{{"matcher.type", "CHANGE_DATE goes with CYCLE only: " +
			"a date that it changes cannot also say which order it is"}}
	case ApplyDiscount:
		d, err := Decode[Discount](s.Action)
		if err == nil && d.IsShipping() {
			return FieldErrors{{"matcher.type", "a discount on shipping goes with CYCLE only"}}
		}
	}
	return nil
}

func validate(compiled func() (*jsonschema.Schema, error), raw []byte) error {
	schema, err := compiled()
	if err != nil {
		return err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return FieldErrors{{"", "not one JSON document"}}
	}
	err = schema.Validate(document)
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return err
	}
	var found FieldErrors
	collect(invalid, &found)
	slices.SortFunc(found, func(a, b FieldError) int {
		return strings.Compare(a.Path+"\x00"+a.Message, b.Path+"\x00"+b.Message)
	})
	return slices.Compact(found)
}

// collect adds the errors that have no further causes.
func collect(e *jsonschema.ValidationError, found *FieldErrors) {
	for _, cause := range e.Causes {
		collect(cause, found)
	}
	if len(e.Causes) > 0 {
		return
	}
	path := pathOf(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			*found = append(*found, FieldError{join(path, name), "required"})
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			*found = append(*found, FieldError{join(path, name), "unknown field"})
		}
	case *kind.Format:
		*found = append(*found, FieldError{path, formatHint(k.Want)})
	case *kind.MinProperties, *kind.MaxProperties:
		*found = append(*found, FieldError{path, propertiesHint(path)})
	default:
		*found = append(*found, FieldError{path, e.ErrorKind.LocalizedString(english)})
	}
}

var english = message.NewPrinter(language.English)

func formatHint(format string) string {
	if format == "moment" {
		return "write a date (2026-12-24), or a time with its zone (2026-12-24T10:00:00Z)"
	}
	return "write a date: 2026-12-24"
}

func propertiesHint(path string) string {
	if path == "matcher" {
		return "write either cycle or shipment"
	}
	return "nothing to change: write variantId, quantity, interval or nextBillingDate"
}

func pathOf(location []string) string {
	path := ""
	for _, token := range location {
		if n, err := strconv.Atoi(token); err == nil {
			path += fmt.Sprintf("[%d]", n)
			continue
		}
		path = join(path, token)
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Check says why an adjustment is refused by the shop's own rules at a time.
func (s Spec) Check(settings Settings, now time.Time) error {
	switch s.Action.Type {
	case ChangeDate:
		input, err := Decode[Move](s.Action)
		if err != nil {
			return err
		}
		return settings.future("action.input.newDate", input.NewDate, now)
	case UpdatePaymentMethod:
		if settings.NoPayment {
			return FieldErrors{{"action.type",
				"for shops on Shopify, Ordergroove does not change the payment method of one order"}}
		}
	case UpdateProducts:
		input, err := Decode[Products](s.Action)
		if err != nil {
			return err
		}
		for i, line := range input.Lines {
			if line.NextBillingDate == "" {
				continue
			}
			path := fmt.Sprintf("action.input.lines[%d].nextBillingDate", i)
			if err := settings.future(path, line.NextBillingDate, now); err != nil {
				return err
			}
		}
	case ApplyDiscount:
		input, err := Decode[Discount](s.Action)
		if err != nil {
			return err
		}
		if _, _, err := input.Gives(settings, now); err != nil {
			return FieldErrors{{"action.input.discountCode", err.Error()}}
		}
	}
	return nil
}

// future refuses a moment that is over.
func (s Settings) future(path, text string, now time.Time) error {
	at, isDate, err := s.Moment(text)
	switch {
	case err != nil:
		return FieldErrors{{path, formatHint("moment")}}
	case isDate && text < s.Today(now), !isDate && at.Before(now):
		return FieldErrors{{path, text + " is in the past"}}
	}
	return nil
}
