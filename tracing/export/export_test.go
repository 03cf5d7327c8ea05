package export_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/termed/termed/tracing/export"
)

// What the environment asks for is done, or is an error that names the variable; without any there is no tracing.
func TestEnvironment(t *testing.T) {
	for _, test := range []struct {
		name      string
		variables map[string]string
		on        bool
		err       string // a part of the error
	}{
		{name: "nothing"},
		{name: "only a name", variables: map[string]string{"OTEL_SERVICE_NAME": "termed-eu"}},
		{name: "endpoint", variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		{
			name:      "endpoint of traces",
			variables: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"},
			on:        true,
		},
		{name: "console", variables: map[string]string{"OTEL_TRACES_EXPORTER": "console"}, on: true},
		{
			name: "disabled",
			variables: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
				"OTEL_SDK_DISABLED":           "TRUE",
			},
		},
		{
			name: "none",
			variables: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
				"OTEL_TRACES_EXPORTER":        "none",
			},
		},
		{
			name:      "unknown exporter",
			variables: map[string]string{"OTEL_TRACES_EXPORTER": "jaeger"},
			err:       `OTEL_TRACES_EXPORTER is "jaeger"; write otlp, console or none`,
		},
		{
			name:      "no address",
			variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
			err:       "OTEL_EXPORTER_OTLP_ENDPOINT is no address",
		},
		{
			name: "gRPC",
			variables: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
				"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
			},
			err: `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc"; write http/protobuf`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.variables {
				t.Setenv(name, value) // the SDK reads some of them itself
			}
			exporter, err := export.Start(t.Context(), export.Options{
				Lookup:  func(name string) (string, bool) { value, ok := test.variables[name]; return value, ok },
				Console: new(bytes.Buffer),
				Log:     slog.New(slog.DiscardHandler),
			})
			defer exporter.Close() //nolint:staticcheck // of nil it does nothing
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error = %v, want %q", err, test.err)
				}
				return
			}
			if on := exporter.Provider() != nil; err != nil || on != test.on {
				t.Errorf("tracing is on: %v, want %v; error %v", on, test.on, err)
			}
		})
	}
}

// A collector that cannot be reached is one line in the log, without what the headers hold, and holds nothing up.
func TestUnreachableCollector(t *testing.T) {
	variables := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
		"OTEL_EXPORTER_OTLP_HEADERS":  "authorization=canary,canary-without-a-value",
		"OTEL_EXPORTER_OTLP_TIMEOUT":  "200",
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
	var log bytes.Buffer
	exporter, err := export.Start(t.Context(), export.Options{
		Lookup: func(name string) (string, bool) { value, ok := variables[name]; return value, ok },
		Log:    slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, span := exporter.Provider().Tracer("test").Start(t.Context(), "work")
		span.End()
	}
	exporter.Close()
	if n := strings.Count(log.String(), "tracing failed"); n != 1 || strings.Contains(log.String(), "canary") {
		t.Errorf("%d lines say that tracing failed:\n%s", n, log.String())
	}
}
