package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// terms reads the terms. Managed are the names of the managed keys, which a term cannot set.
func (r *reader) terms(top section, managed []string) []Term {
	var terms []Term
	names := map[string]bool{}
	owners := map[string]string{} // the name of the term, by SKU
	sections := top.sections("terms", "at least one term, with name, skus and shipments")
	for _, s := range sections {
		t := r.term(s, managed, owners)
		if at, set := s.value("name"); set && t.Name != "" && names[t.Name] {
			r.report(at, "duplicate term name %q; give each term its own name", t.Name)
		}
		names[t.Name] = true
		terms = append(terms, t)
	}
	for i, t := range terms { // only now are all SKUs known
		if other, termed := owners[t.SwapTo]; termed {
			at, _ := sections[i].value("on_complete")
			r.report(at, "on_complete: SKU %q belongs to term %q; write a SKU that is in no term", t.SwapTo, other)
		}
	}
	return terms
}

// term reads one term, and adds its SKUs to the owners.
func (r *reader) term(s section, managed []string, owners map[string]string) Term {
	defer s.end()
	t := Term{
		Name:          s.required("name", "a name for people to read, for example \"Three-month gift\""),
		Shipments:     s.requiredNumber("shipments", "the total number of shipments, for example 3", 1, 1000),
		FirstShipment: s.text("first_shipment", "checkout", r.firstShipment),
	}
	t.SKUs = r.skus(s, t.Name, owners)
	t.CancelReason = r.cancelReason(s.section("cancel_reason"))
	t.KeepRenewal = s.text("prepaid_renewal", "cancel", r.prepaidRenewal) == "keep"
	t.OnComplete, t.SwapTo = r.onComplete(s)
	t.OnReactivation = s.text("on_reactivation", "block", r.onReactivation)
	t.OnSwap = s.text("on_swap", "keep", r.onSwap)
	t.Set = r.constants(s.section("set"), managed)
	t.Adjustments = r.adjustments(s, t.Shipments)
	return t
}

func (r *reader) skus(s section, term string, owners map[string]string) []string {
	var skus []string
	for _, sku := range s.texts("skus", "the Ordergroove product IDs, for example [GIFT-3MO]") {
		if problem := blanks(sku.text); problem != "" {
			r.report(sku.at, "%s", problem)
			continue
		}
		switch other, taken := owners[sku.text]; {
		case taken && other == term:
			r.report(sku.at, "SKU %q is listed twice; remove one", sku.text)
			continue
		case taken:
			r.report(sku.at, "SKU %q is already in term %q; a SKU can be in one term only", sku.text, other)
			continue
		}
		owners[sku.text] = term
		skus = append(skus, sku.text)
	}
	return skus
}

// onComplete is a word, or swap: {sku: …}.
func (r *reader) onComplete(s section) (what, sku string) {
	if s.r.describes {
		s.note("on_complete", property{Kind: aWordOrMapping, Default: "cancel", Choices: r.offered(r.onCompleteWord)})
		return "", r.swapTo(s.section("on_complete"))
	}
	node, ok := s.value("on_complete")
	if !ok {
		return "cancel", ""
	}
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "swap", r.swapTo(s.section("on_complete"))
	}
	return s.text("on_complete", "cancel", r.onCompleteWord), ""
}

func (r *reader) swapTo(s section) string {
	defer s.end()
	swap := s.section("swap")
	defer swap.end()
	if !swap.present() {
		s.missing(nil, "swap", "swap: { sku: PRODUCT }")
		return ""
	}
	sku := swap.required("sku", "the SKU to continue with, which is in no term")
	if problem := blanks(sku); problem != "" {
		at, _ := swap.value("sku")
		r.report(at, "%s", problem)
	}
	return sku
}

// constants are keys of extra_data: a text, or a JSON number, true or false as it is spelled.
func (r *reader) constants(s section, managed []string) map[string]string {
	var set map[string]string
	if s.r.describes {
		s.described.AnyKey = &property{Kind: aText}
	}
	for name, field := range s.fields {
		s.allow(name)
		if slices.Contains(managed, name) {
			r.report(field.Key, "set: termed manages the key %q itself; use another name", name)
			continue
		}
		value, ok := r.constant(name, field.Value)
		if !ok {
			continue
		}
		if set == nil {
			set = map[string]string{}
		}
		set[name] = value
	}
	return set
}

// constant returns a value as JSON.
func (r *reader) constant(name string, node ast.Node) (string, bool) {
	text, ok := r.scalar(name, node)
	if !ok {
		return "", false
	}
	switch node.(type) {
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		if !json.Valid([]byte(text)) {
			r.report(node, "set: %s is %s, which is not valid in JSON; write it in quotes", name, text)
			return "", false
		}
		return text, true
	}
	return quoted(text), true
}

// quoted returns a text as JSON, with only the necessary escapes.
func quoted(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a text always marshals
	return strings.TrimSuffix(out.String(), "\n")
}

func (r *reader) cancelReason(s section) string {
	defer s.end()
	if !s.present() {
		return ""
	}
	code := s.requiredNumber("code", "one of your Ordergroove cancel reason codes, for example 1", 0, 1_000_000)
	details := s.text("details", "", func(v string) string {
		if strings.Contains(v, "|") {
			return fmt.Sprintf("%q contains |, which separates the code from the details; remove it", v)
		}
		return ""
	})
	return fmt.Sprintf("%d|%s", code, details)
}
