package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/termed/termed/ordergroove/sim"
)

// span is what a collector was sent of one.
type span struct {
	name, id, parent string
	attributes       string
}

// spanCollector receives spans as an OpenTelemetry collector does: OTLP over HTTP.
type spanCollector struct {
	*httptest.Server
	mu     sync.Mutex
	traces map[string][]span
	raw    strings.Builder // all that was sent
}

func newSpanCollector() *spanCollector {
	c := &spanCollector{traces: map[string][]span{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	return c
}

func (c *spanCollector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				trace := hex.EncodeToString(s.GetTraceId())
				var attributes strings.Builder
				for _, a := range s.GetAttributes() {
					attributes.WriteString(a.GetKey() + "=" + a.GetValue().GetStringValue() + "\n")
				}
				c.traces[trace] = append(c.traces[trace], span{
					name:       s.GetName(),
					id:         hex.EncodeToString(s.GetSpanId()),
					parent:     hex.EncodeToString(s.GetParentSpanId()),
					attributes: attributes.String(),
				})
			}
		}
	}
}

// traceOf returns the trace that has spans of all the names, once there is one.
func (c *spanCollector) traceOf(names ...string) (id string, spans []span, err error) {
	for range 200 {
		c.mu.Lock()
		for id, spans := range c.traces {
			if !slices.ContainsFunc(names, func(name string) bool { return !hasSpan(spans, name) }) {
				c.mu.Unlock()
				return id, spans, nil
			}
		}
		c.mu.Unlock()
		time.Sleep(50 * time.Millisecond)
	}
	return "", nil, errors.New("no trace has all of " + strings.Join(names, ", "))
}

func hasSpan(spans []span, name string) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.name == name })
}

// One trace leads from a delivery to the PATCH that it causes, through the database and across a restart between the
// two, and the lines of the log carry its id.
func TestTraceFromDeliveryToPatch(t *testing.T) {
	c := newSpanCollector()
	defer c.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	h := newHarness(t.TempDir(), sim.Options{})
	defer h.close()
	if err := os.WriteFile(filepath.Join(h.dir, "termed.yaml"), []byte(loadConfigYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.serve("--log-level", "debug"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.subscribe("anna", loadProducts[0].SKU, sim.NewSubscription{}); err != nil {
		t.Fatal(err)
	}
	if err := h.deliverPending(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.settle(ctx); err != nil {
		t.Fatal(err)
	}
	id, spans, err := c.traceOf("POST /webhooks/ordergroove", "process event", "sync",
		"GET: reading subscription", "PATCH: updating extra_data of subscription", "sql.tx.commit")
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Fatalf("%v: %v", err, c.traces)
	}
	roots := 0
	for _, s := range spans {
		if s.parent == "" {
			roots++
		} else if !slices.ContainsFunc(spans, func(of span) bool { return of.id == s.parent }) {
			t.Errorf("%s has a parent that is not in the trace", s.name)
		}
	}
	if roots != 1 {
		t.Errorf("the trace has %d roots", roots)
	}
	if err := h.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, message := range []string{"delivery answered", "subscription synced", "api call"} {
		if !loggedInTrace(t, h.log, message, id) {
			t.Errorf("no line %q carries trace_id %s", message, id)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range []string{canaryAPIKey, canaryWebhookKey, canaryName} {
		if strings.Contains(c.raw.String(), secret) {
			t.Errorf("a span holds %s", secret)
		}
	}
}

// loggedInTrace says whether a line of a log has a message and a trace.
func loggedInTrace(t *testing.T, path, message, trace string) bool {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct {
			Message string `json:"msg"`
			Trace   string `json:"trace_id"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == message && line.Trace == trace {
			return true
		}
	}
	return false
}

// An event that was received by one process and is worked on by the next is still in the trace of its delivery.
func TestTraceAcrossARestart(t *testing.T) {
	c := newSpanCollector()
	defer c.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	h := newHarness(t.TempDir(), sim.Options{})
	defer h.close()
	if err := os.WriteFile(filepath.Join(h.dir, "termed.yaml"), []byte(loadConfigYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.serve(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h.sim.Break(sim.Fault{Status: http.StatusServiceUnavailable})
	if err := h.subscribe("anna", loadProducts[0].SKU, sim.NewSubscription{}); err != nil {
		t.Fatal(err)
	}
	if err := h.deliverPending(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.traceOf("POST /webhooks/ordergroove", "sync"); err != nil {
		t.Fatal(err)
	}
	if err := h.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.sim.ClearFaults()
	if err := h.serve(); err != nil {
		t.Fatal(err)
	}
	if err := h.settle(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.traceOf("POST /webhooks/ordergroove", "PATCH: updating extra_data of subscription"); err != nil {
		t.Fatal(err)
	}
}
