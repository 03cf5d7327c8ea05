package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
)

// loadProducts are what a load's subscriptions are of, with their recurring orders.
var loadProducts = []sim.Product{
	{SKU: "GIFT-3MO", OrdersDue: 2},
	{SKU: "SIX", OrdersDue: 5},
	{SKU: "COFFEE", OrdersDue: sim.Evergreen},
}

// TestLoad250 plays 250 subscriptions with duplicates and disorder against the real process over HTTP, and judges each
// by the simulator's record. `go test ./cmd/termed -run TestLoad250 -v` prints the results.
func TestLoad250(t *testing.T) {
	t.Parallel()
	for _, snapshot := range []string{"top", "none"} {
		t.Run("snapshot "+snapshot, func(t *testing.T) { playLoad250(t, snapshot) })
	}
}

func playLoad250(t *testing.T, snapshot string) {
	t.Parallel()
	t.Log("FAULT | 250 subscriptions, a quarter of all events sent twice and a third late | I1 I2 I3 I4 I8")
	h := newHarness(t.TempDir(), sim.Options{Snapshot: snapshot, ItemEvents: snapshot == "top"})
	defer h.close()
	if err := os.WriteFile(h.dir+"/termed.yaml", []byte(loadConfigYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.serve(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	load := sim.Load{
		Subscriptions: 250,
		Duplicates:    0.25,
		Disorder:      0.33,
		Seed:          7,
		Products:      loadProducts,
	}
	report, err := load.Run(ctx, h.sim, h.sender, func(ctx context.Context) error {
		return service.WaitIdle(ctx, h.consoleURL)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", report)
	for _, fault := range report.Violations {
		t.Error(fault)
	}
	if report.Completed < 100 || report.Evergreens < 80 || report.Shipments < 300 {
		t.Errorf("the load was too small: %+v", report)
	}
	if err := h.end(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile(h.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canaryAPIKey, canaryWebhookKey, "customer-1", "note <"} {
		if strings.Contains(string(log), secret) {
			t.Errorf("the log contains %s", secret)
		}
	}
}

const loadConfigYAML = `
listen: 127.0.0.1:0
console: { listen: "127.0.0.1:0" }
ordergroove:
  api_url: ${SIM_URL}
  api_key: ${ORDERGROOVE_API_KEY}
  webhook_keys: [ "${ORDERGROOVE_WEBHOOK_KEY}" ]
  requests_per_minute: 60000
reconcile: { every: off }
brake: { ends_per_hour: 100000 } # of those complete at first sight: events are lost here on purpose
terms:
  - { name: Gift, skus: [GIFT-3MO], shipments: 3, cancel_reason: { code: 1, details: Gift complete } }
  - { name: Program, skus: [SIX], shipments: 6 }
`
