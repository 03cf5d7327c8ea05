package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/testdata"
)

func triggerCommand(env environment) *cobra.Command {
	s := &payloadSender{env: env}
	var list bool
	cmd := &cobra.Command{
		Use:   "trigger TYPE | --list",
		Short: "Make up an event of a type and deliver it to a running service",
		Long: `Makes an event of a type from its recording, with a new ID, signs it with the webhook key and posts it, as
Ordergroove would. An order.success or item.successfully_placed is about a new order each time.

--subscription, --sku and --set make it about your own subscription and SKU. If termed.yaml has one SKU only, that is
the default of --sku. The service reads the subscription from Ordergroove's API before it counts: with termed simulate,
make one first ("public_id" gives it the ID that you want).

Exit code: 0 it was accepted; 1 error, or it was not; 2 usage.`,
		ValidArgs: ordergroove.EventTypes(),
		Args:      cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				printEventTypes(env.stdout)
				return nil
			}
			if err := checkTriggered(args); err != nil {
				return err
			}
			body, err := newEvent(args[0])
			if err != nil {
				return err
			}
			s.defaultSKU()
			return s.deliver(cmd.Context(), []payload{{name: args[0], body: body}})
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&list, "list", false, "list the types, and what termed does with each")
	return cmd
}

func checkTriggered(args []string) error {
	switch {
	case len(args) == 0:
		return exit{exitUsage, "termed: name the type of an event; termed trigger --list lists them"}
	case !ordergroove.KnownType(args[0]):
		return exit{exitUsage, fmt.Sprintf("termed: unknown event type %q%s; termed trigger --list lists them",
			args[0], didYouMean(args[0], ordergroove.EventTypes()))}
	}
	return nil
}

func printEventTypes(out io.Writer) {
	for _, eventType := range ordergroove.EventTypes() {
		fmt.Fprintf(out, "%-34s %s\n", eventType, effectOf(eventType))
	}
}

// defaultSKU takes the SKU of a configuration that has one only.
func (s *payloadSender) defaultSKU() {
	c, err := config.LoadWithoutSecrets(s.config, s.env.lookup)
	if err == nil && s.edit.sku == "" && len(c.Terms) == 1 && len(c.Terms[0].SKUs) == 1 {
		s.edit.sku = c.Terms[0].SKUs[0]
	}
}

// newEvent makes an event of a type from its recording. Its ID is new each time, or the second one would be a
// duplicate; so is the order of one that places an order, or it would count once. A subscription that is created is
// created now.
func newEvent(eventType string) ([]byte, error) {
	event, err := sim.New(sim.Options{Payloads: testdata.Webhooks()}).Make(eventType)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(event.Body, &fields); err != nil {
		return nil, err
	}
	fresh := fmt.Sprintf("%x", time.Now().UnixNano())
	fields["id"], _ = json.Marshal("evt_" + fresh)
	body, err := json.Marshal(fields)
	if err != nil || effectOf(eventType) == noEffect {
		return body, err
	}
	if ordergroove.Canonical(eventType) == ordergroove.SubscriptionCreate {
		created := fmt.Sprintf("data.object.created=%d", time.Now().Unix()) // one of years ago would need an approval
		return payloadEdit{set: []string{created}}.apply(body)
	}
	order, err := orderIn(body)
	if err != nil || order == "" {
		return body, err
	}
	return []byte(strings.ReplaceAll(string(body), order, "order"+fresh)), nil
}

// orderIn is the order that a payload is about, or "".
func orderIn(body []byte) (string, error) {
	e, err := ordergroove.ParseEnvelope(body)
	if err != nil {
		return "", err
	}
	switch e.Type {
	case ordergroove.OrderSuccess:
		return e.OrderID()
	case ordergroove.ItemPlaced:
		item, err := e.Item()
		return item.Order, err
	}
	return "", nil
}
