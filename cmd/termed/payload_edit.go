package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove"
)

// payloadEdit changes a recorded payload, so that it is about a developer's own subscription and SKU.
type payloadEdit struct {
	subscription string
	sku          string
	set          []string // path=value
}

func (e *payloadEdit) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.subscription, "subscription", "", "make it about this subscription")
	f.StringVar(&e.sku, "sku", "", "make it about this SKU")
	f.StringArrayVar(&e.set, "set", nil,
		"set a field, for example data.object.quantity=2 or data.object.extra_data.note=hi; the value is JSON or a text")
}

// apply returns the edited payload. One that is not a JSON object is only refused where there is something to edit.
func (e payloadEdit) apply(body []byte) ([]byte, error) {
	if e.subscription == "" && e.sku == "" && len(e.set) == 0 {
		return body, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var payload map[string]any
	if err := decoder.Decode(&payload); err != nil {
		return nil, fmt.Errorf("it cannot be edited: %w", err)
	}
	for _, line := range linesOf(payload) {
		setIfThere(line, "product", e.sku)
		if line["type"] == "subscription" {
			setIfThere(line, "public_id", e.subscription)
		} else {
			setIfThere(line, "subscription", e.subscription)
		}
	}
	for _, assignment := range e.set {
		path, value, ok := strings.Cut(assignment, "=")
		if !ok {
			return nil, exit{exitUsage, fmt.Sprintf("termed: --set %s: write path=value", assignment)}
		}
		if err := setPath(payload, strings.Split(path, "."), path, valueOf(value)); err != nil {
			return nil, err
		}
	}
	return json.Marshal(payload)
}

// linesOf are the objects of a payload that name a product or a subscription: its object, and the entries of its
// snapshot.
func linesOf(payload map[string]any) []map[string]any {
	var lines []map[string]any
	add := func(value any) {
		if object, ok := value.(map[string]any); ok {
			lines = append(lines, object)
		}
	}
	data, _ := payload["data"].(map[string]any)
	add(data["object"])
	for _, holder := range []map[string]any{payload, data} {
		snapshot, _ := holder["snapshot"].(map[string]any)
		for _, name := range []string{"items", "subscriptions"} {
			entries, _ := snapshot[name].([]any)
			for _, entry := range entries {
				add(entry)
			}
		}
	}
	return lines
}

// setIfThere sets a field that an object has, unless the value is "".
func setIfThere(object map[string]any, field, value string) {
	if was, there := object[field]; there && was != nil && value != "" {
		object[field] = value
	}
}

// valueOf reads a value as JSON, or else as a text.
func valueOf(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil || decoder.More() {
		return text
	}
	return value
}

// setPath sets a field that a payload has. Below extra_data there are the merchant's own, so there it may be a new one.
func setPath(object map[string]any, path []string, whole string, value any) error {
	field := path[0]
	next, there := object[field]
	free := strings.Contains(whole, "extra_data.")
	if !there && !free {
		fields := sortedKeys(object)
		return exit{exitUsage, fmt.Sprintf("termed: --set %s: there is no field %q%s; the fields there are %s",
			whole, field, didYouMean(field, fields), strings.Join(fields, ", "))}
	}
	if len(path) == 1 {
		object[field] = value
		return nil
	}
	inner, ok := next.(map[string]any)
	switch {
	case !ok && next == nil && free:
		inner = map[string]any{}
		object[field] = inner
	case !ok:
		return exit{exitUsage, fmt.Sprintf("termed: --set %s: %q is not an object", whole, field)}
	}
	return setPath(inner, path[1:], whole, value)
}

// effects say what termed does with the types that it acts on.
var effects = map[string]string{
	ordergroove.SubscriptionCreate:     "enrolls a subscription of a termed SKU",
	ordergroove.SubscriptionCancel:     "syncs it: somebody else canceled it",
	ordergroove.SubscriptionReactivate: "syncs it: somebody reactivated it",
	ordergroove.SubscriptionChangeLive: "syncs it: it was canceled or reactivated",
	ordergroove.SubscriptionSKUSwap:    "syncs it: its product was swapped",
	ordergroove.OrderSuccess:           "counts a shipment of each termed subscription on the order",
	ordergroove.ItemPlaced:             "counts a shipment of a termed subscription",
}

const noEffect = "no effect; it is stored and ignored"

func effectOf(eventType string) string {
	if effect, ok := effects[ordergroove.Canonical(eventType)]; ok {
		return effect
	}
	return noEffect
}

// prospect says what will come of a payload by a configuration, as far as its products tell; "" where nobody can say.
func prospect(body []byte, c config.Config) string {
	e, err := ordergroove.ParseEnvelope(body)
	if err != nil {
		return ""
	}
	if effectOf(e.Type) == noEffect {
		return "events of type " + e.Type + " have " + noEffect
	}
	subscription, skus, err := about(e)
	if err != nil || len(skus) == 0 {
		return ""
	}
	for _, t := range c.Terms {
		for _, sku := range skus {
			if slices.Contains(t.SKUs, sku) {
				return fmt.Sprintf("%s is in the term %q, so it counts, if Ordergroove's API knows the subscription %s",
					sku, t.Name, subscription)
			}
		}
	}
	return fmt.Sprintf("it will be ignored: no term of termed.yaml lists %s; see --sku", strings.Join(skus, ", "))
}

// about are the subscription and the products that an event names.
func about(e ordergroove.Envelope) (subscription string, skus []string, err error) {
	if s, err := e.Subscription(); err == nil && s.Product != "" {
		return s.ID, []string{s.Product}, nil
	}
	var items []ordergroove.Item
	if item, err := e.Item(); err == nil && item.Product != "" {
		items = []ordergroove.Item{item}
	} else if order, err := e.OrderID(); err == nil {
		items, _ = e.SnapshotItems(order)
	}
	for _, item := range items {
		if item.Subscription != "" {
			subscription = item.Subscription
			skus = append(skus, item.Product)
		}
	}
	if subscription == "" {
		err = errors.New("it names no product of a subscription")
	}
	return subscription, skus, err
}
