package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/ogsim"
)

// TestLoad250 plays 250 subscriptions with duplicates and disorder against the real process, over HTTP, and holds each to
// the simulator's own record. `go test ./cmd/termed -run TestLoad250 -v` prints the figures.
func TestLoad250(t *testing.T) {
	for _, snapshot := range []string{"top", "none"} {
		t.Run("snapshot "+snapshot, func(t *testing.T) {
			t.Parallel()
			t.Log("FAULT | 250 subscriptions, a quarter of all events doubled and a third late | I1 I2 I3 I4 I8")
			w := newWorld(t.TempDir(), ogsim.Options{Snapshot: snapshot, ItemEvents: snapshot == "top"})
			defer w.close()
			if err := os.WriteFile(w.dir+"/termed.yaml", []byte(loadConfigYAML), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := w.serve(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			load := ogsim.Load{
				Subscriptions: 250, Duplicates: 0.25, Disorder: 0.33, Seed: 7,
				Products: []ogsim.Product{{SKU: "GIFT-3MO", Due: 2}, {SKU: "SIX", Due: 5}, {SKU: "COFFEE", Due: ogsim.Evergreen}},
			}
			report, err := load.Run(ctx, w.sim, w.sender, func(ctx context.Context) error { return settled(ctx, w.console) })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", report)
			for _, fault := range report.Faults {
				t.Error(fault)
			}
			if report.Completed < 100 || report.Evergreens < 80 || report.Shipments < 300 {
				t.Errorf("the load did not do much: %+v", report)
			}
			if err := w.end(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			log, err := os.ReadFile(w.log)
			if err != nil {
				t.Fatal(err)
			}
			for _, canary := range []string{canaryAPIKey, canaryWebhookKey, canaryPassword, "customer-1", "note <"} {
				if strings.Contains(string(log), canary) {
					t.Errorf("the log holds %s", canary)
				}
			}
		})
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
terms:
  - { name: Gift, skus: [GIFT-3MO], shipments: 3, cancel_reason: { code: 1, details: Gift complete } }
  - { name: Programme, skus: [SIX], shipments: 6 }
`
