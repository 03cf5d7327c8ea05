package demo

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove/sim"
)

// invite says how to look around while everything keeps running, with a configuration that the commands can use.
func (s *setup) invite(dir string, out io.Writer) error {
	path := filepath.Join(dir, "termed.yaml")
	if err := os.WriteFile(path, []byte(s.yaml()), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(out, `
Still running; press Ctrl-C to stop. All of it is removed then.
  webhooks:      %s
  console:       %s/readyz
  simulator:     %s%s
  database:      %s
  API key:       %s (made for this run)
  webhook key:   %s
  configuration: %s
Try, in another terminal:
  termed subscriptions list --config %s
  termed explain ID --config %s
  curl -d '{"customer":"c1","product":%q}' %s%ssubscriptions
`, s.sender.URL, s.service.ConsoleURL(), s.simURL, sim.ControlPath, s.config.Database,
		s.config.Ordergroove.APIKey.Reveal(), s.config.Ordergroove.WebhookKeys[0].Reveal(), path, path, path,
		s.config.Terms[0].SKUs[0], s.simURL, sim.ControlPath)
	return nil
}

// yaml is the configuration that everything runs on, as a file.
func (s *setup) yaml() string {
	var y strings.Builder
	webhooks, _ := url.Parse(s.sender.URL) // they are ours
	console, _ := url.Parse(s.service.ConsoleURL())
	fmt.Fprintf(&y, "listen: %s\nconsole: { listen: %s }\ndatabase: %s\n", webhooks.Host, console.Host,
		strconv.Quote(s.config.Database))
	fmt.Fprintf(&y, "ordergroove:\n  api_url: %s\n  api_key: %s\n  webhook_keys: [ %s ]\n", s.simURL,
		s.config.Ordergroove.APIKey.Reveal(), s.config.Ordergroove.WebhookKeys[0].Reveal())
	y.WriteString("reconcile: { every: off }\nterms:\n")
	for _, t := range s.config.Terms {
		writeTerm(&y, t)
	}
	return y.String()
}

func writeTerm(y *strings.Builder, t config.Term) {
	fmt.Fprintf(y, "  - name: %s\n    shipments: %d\n    first_shipment: %s\n    skus:\n",
		strconv.Quote(t.Name), t.Shipments, t.FirstShipment)
	for _, sku := range t.SKUs {
		fmt.Fprintf(y, "      - %s\n", strconv.Quote(sku))
	}
	if code, details, ok := strings.Cut(t.CancelReason, "|"); ok {
		fmt.Fprintf(y, "    cancel_reason: { code: %s, details: %s }\n", code, strconv.Quote(details))
	}
	for _, setting := range [][2]string{{"on_reactivation", t.OnReactivation}, {"on_swap", t.OnSwap}} {
		if setting[1] != "" {
			fmt.Fprintf(y, "    %s: %s\n", setting[0], setting[1])
		}
	}
	switch {
	case t.OnComplete == "swap":
		fmt.Fprintf(y, "    on_complete: { swap: { sku: %s } }\n", strconv.Quote(t.SwapTo))
	case t.OnComplete != "":
		fmt.Fprintf(y, "    on_complete: %s\n", t.OnComplete)
	}
}
