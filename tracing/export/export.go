// Package export owns where traces go: it reads the standard OTEL_* variables and sends spans to a collector by OTLP
// over HTTP, or prints them. With none of the variables set nothing is made, and nothing is traced.
package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options of Start.
type Options struct {
	Lookup  func(string) (string, bool) // the environment
	Version string                      // of this program
	Console io.Writer                   // where OTEL_TRACES_EXPORTER=console prints
	Log     *slog.Logger
}

// Exporter sends the spans of the tracers that it provides, until Close. The nil Exporter is one that is off.
type Exporter struct {
	provider *sdktrace.TracerProvider
}

// Start makes an Exporter as the environment says, or nil where it asks for none. A variable that cannot be followed is
// an error: whoever set it expects traces. What it reads itself is OTEL_SDK_DISABLED,
// OTEL_TRACES_EXPORTER (otlp, console or none) and OTEL_EXPORTER_OTLP_PROTOCOL (http/protobuf); the rest, such as
// OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER, is the SDK's.
func Start(ctx context.Context, o Options) (*Exporter, error) {
	kind, err := kindOf(o.Lookup)
	if err != nil || kind == "none" {
		return nil, err
	}
	spans, err := exporter(ctx, kind, o.Console)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	from, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "termed"), attribute.String("service.version", o.Version)),
		resource.WithFromEnv(), // the later one holds
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tracing: OTEL_RESOURCE_ATTRIBUTES: %w", err), spans.Shutdown(ctx))
	}
	otel.SetErrorHandler(&failures{log: o.Log})
	otel.SetLogger(logr.Discard()) // it would quote what it cannot read of the headers
	o.Log.Info("traces are exported", "exporter", kind)
	return &Exporter{sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(from))}, nil
}

// kindOf is which exporter the environment asks for.
func kindOf(lookup func(string) (string, bool)) (string, error) {
	get := func(names ...string) (name, value string) {
		for _, name := range names {
			if value, _ := lookup(name); value != "" {
				return name, value
			}
		}
		return "", ""
	}
	if _, disabled := get("OTEL_SDK_DISABLED"); strings.EqualFold(disabled, "true") {
		return "none", nil
	}
	name, endpoint := get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	_, kind := get("OTEL_TRACES_EXPORTER")
	switch {
	case kind == "" && endpoint == "":
		return "none", nil
	case kind == "none", kind == "console":
		return kind, nil
	case kind != "" && kind != "otlp":
		return "", fmt.Errorf("OTEL_TRACES_EXPORTER is %q; write otlp, console or none", kind)
	}
	if u, err := url.Parse(endpoint); endpoint != "" && (err != nil || !isHTTP(u)) {
		return "", fmt.Errorf("%s is no address; write it like http://127.0.0.1:4318", name)
	}
	if name, protocol := get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" &&
		protocol != "http/protobuf" {
		return "", fmt.Errorf("%s is %q; write http/protobuf (a collector's port for it is 4318)", name, protocol)
	}
	return "otlp", nil
}

func isHTTP(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func exporter(ctx context.Context, kind string, console io.Writer) (sdktrace.SpanExporter, error) {
	if kind == "console" {
		return stdouttrace.New(stdouttrace.WithWriter(console))
	}
	return otlptracehttp.New(ctx)
}

// Provider makes tracers; nil where tracing is off.
func (e *Exporter) Provider() trace.TracerProvider {
	if e == nil {
		return nil
	}
	return e.provider
}

// closeWithin is how long a shutdown waits for a collector.
const closeWithin = 2 * time.Second

// Close sends what is left.
func (e *Exporter) Close() {
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := e.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// failuresEvery is how often at most a collector that does not answer is worth a line.
const failuresEvery = time.Minute

// failures logs what goes wrong with the export. It handles what the SDK hands over, from any goroutine.
type failures struct {
	log    *slog.Logger
	mu     sync.Mutex
	logged time.Time
}

// Handle implements otel.ErrorHandler.
func (f *failures) Handle(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.logged) < failuresEvery {
		return
	}
	f.logged = time.Now()
	f.log.Warn("tracing failed", "error", err)
}
