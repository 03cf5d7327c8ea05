package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a machine without a time zone database knows the shop's all the same

	"github.com/goccy/go-yaml/ast"

	"github.com/termed/termed/counter/schedule"
)

// DiscountCode is a code that an adjustment may use.
type DiscountCode struct {
	Percent bool
	Value   string // "20.00": of 100, or an amount
	Until   string // the last day, YYYY-MM-DD; "": for ever
	Active  bool
}

// adjustments reads what a term does to single shipments. The schema says what is right, as it does for the API.
func (r *reader) adjustments(s section, shipments int) []schedule.Spec {
	s.note("adjustments", property{Kind: someAdjustments})
	if _, set := s.value("adjustments"); !set {
		return nil
	}
	var specs []schedule.Spec
	for _, node := range s.list("adjustments", "a list of { shipment: 2, action: { type: …, input: … } }") {
		value, ok := r.json("adjustments", node)
		if !ok {
			continue
		}
		raw, err := json.Marshal(value)
		if err != nil {
			r.report(node, "adjustments: %v", err)
			continue
		}
		spec, err := schedule.ParseForTerm(raw)
		if problems, ok := errors.AsType[schedule.FieldErrors](err); ok {
			for _, p := range problems {
				r.report(nodeAt(node, p.Path), "adjustments: %s", p)
			}
			continue
		}
		if spec.Matcher.Shipment > shipments {
			r.report(nodeAt(node, "shipment"), "adjustments: shipment %d: the term has %d shipments", spec.Matcher.Shipment,
				shipments)
			continue
		}
		if code, known := r.knownCode(spec.Action); !known {
			const path = "action.input.discountCode"
			r.report(nodeAt(node, path), "adjustments: %s: discount_codes has no %q", path, code)
			continue
		}
		specs = append(specs, spec)
	}
	return specs
}

// knownCode says whether discount_codes lists the code that an action gives, if it gives one.
func (r *reader) knownCode(a schedule.Action) (code string, known bool) {
	if a.Type != schedule.ApplyDiscount {
		return "", true
	}
	discount, err := schedule.Decode[schedule.Discount](a)
	if err != nil || discount.Source != "code" {
		return "", true
	}
	_, known = r.codes[discount.Code]
	return discount.Code, known
}

// json returns a value as JSON has it. Numbers are kept as they are spelled.
func (r *reader) json(key string, node ast.Node) (any, bool) {
	switch n := node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		s := r.section(key, n)
		object := map[string]any{}
		for name, field := range s.fields {
			value, ok := r.json(name, field.Value)
			if !ok {
				return nil, false
			}
			object[name] = value
		}
		return object, true
	case *ast.SequenceNode:
		list := []any{}
		for _, entry := range n.Values {
			value, ok := r.json(key, entry)
			if !ok {
				return nil, false
			}
			list = append(list, value)
		}
		return list, true
	}
	text, ok := r.scalar(key, node)
	if !ok {
		return nil, false
	}
	switch node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		if json.Valid([]byte(text)) {
			return json.RawMessage(text), true
		}
	}
	return text, true
}

// nodeAt returns the node of a field by its path, or the nearest above it.
func nodeAt(node ast.Node, path string) ast.Node {
	for token := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '.' || c == '[' || c == ']' }) {
		var next ast.Node
		if list, ok := node.(*ast.SequenceNode); ok {
			if n, err := strconv.Atoi(token); err == nil && n < len(list.Values) {
				next = list.Values[n]
			}
		}
		for _, field := range fieldsOf(node) {
			if field.Key.GetToken().Value == token {
				next = field.Value
			}
		}
		if next == nil {
			return node
		}
		node = next
	}
	return node
}

func fieldsOf(node ast.Node) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

// timezone checks the name of a time zone.
func (r *reader) timezone(v string) string {
	if _, err := time.LoadLocation(v); err != nil || v == "Local" {
		return fmt.Sprintf("unknown time zone %q; write its name in the IANA database, for example America/New_York", v)
	}
	return ""
}

func (r *reader) platform(v string) string {
	return r.oneOf(v,
		"other",
		"shopify (Ordergroove does not change the payment method of one order)")
}

// discountCodes reads the codes that an adjustment may use: Ordergroove cannot look up a shop's own.
func (r *reader) discountCodes(s section) map[string]DiscountCode {
	var codes map[string]DiscountCode
	if s.r.describes {
		r.discountCode(s.anyKey())
	}
	for name, field := range s.fields {
		s.allow(name)
		if codes == nil {
			codes = map[string]DiscountCode{}
		}
		codes[name] = r.discountCode(r.section(name, field.Value))
	}
	return codes
}

// amount is a number with up to two decimals.
var amount = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,2})?$`)

func (r *reader) discountCode(s section) DiscountCode {
	defer s.end()
	percentage := s.text("percentage", "", func(v string) string {
		if n, err := strconv.ParseFloat(v, 64); err != nil || !amount.MatchString(v) || n <= 0 || n > 100 {
			return fmt.Sprintf("invalid percentage %q; write a number over 0 and up to 100, for example 20", v)
		}
		return ""
	})
	fixed := s.text("fixed_amount", "", func(v string) string {
		if n, err := strconv.ParseFloat(v, 64); err != nil || !amount.MatchString(v) || n <= 0 {
			return fmt.Sprintf("invalid amount %q; write a number over 0 with up to two decimals, for example 5.00", v)
		}
		return ""
	})
	c := DiscountCode{
		Percent: percentage != "",
		Until: s.text("until", "", func(v string) string {
			if _, err := time.Parse(time.DateOnly, v); err != nil {
				return fmt.Sprintf("invalid date %q; write the last day, for example 2026-12-31", v)
			}
			return ""
		}),
		Active: s.text("active", "true", r.boolean) == "true",
	}
	if (percentage == "") == (fixed == "") {
		r.report(s.at, "discount code %q: write either percentage or fixed_amount", s.name)
		return c
	}
	if value, err := strconv.ParseFloat(percentage+fixed, 64); err == nil {
		c.Value = strconv.FormatFloat(value, 'f', 2, 64)
	}
	return c
}
