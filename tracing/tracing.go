// Package tracing joins the work that one webhook causes into one trace, although a database lies between its parts:
// the delivery, the event that is processed later, and the sync that follows may each be another process's. The context
// of a trace is stored beside what is left to do.
//
// It knows no exporter and reads no environment; package export does. Without a provider of tracers all of it does
// nothing.
package tracing

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// key is what a trace's context goes by in W3C Trace Context, section 3.2.
const key = "traceparent"

// Tracer makes the spans of one package. With no provider they are recorded nowhere.
func Tracer(provider trace.TracerProvider, name string) trace.Tracer {
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	return provider.Tracer(name)
}

// Of returns the context of the trace that ctx is in, to be stored: a traceparent as W3C Trace Context writes it, or ""
// where there is none.
func Of(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[key]
}

// Continue puts ctx into a trace whose context was stored. What is no traceparent begins no trace, and is no error.
func Continue(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{key: traceparent})
}

// InTrace says whether ctx is in a trace.
func InTrace(ctx context.Context) bool {
	return trace.SpanContextFromContext(ctx).IsValid()
}

// Fail says in the span of ctx what went wrong; nil: nothing did.
func Fail(ctx context.Context, err error) {
	if err != nil {
		trace.SpanFromContext(ctx).SetStatus(codes.Error, err.Error())
	}
}

// LogHandler adds trace_id and span_id to the lines that are logged in a trace.
type LogHandler struct {
	slog.Handler
}

// Handle implements slog.Handler.
func (h LogHandler) Handle(ctx context.Context, line slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		line.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, line)
}

// WithAttrs implements slog.Handler.
func (h LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return LogHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h LogHandler) WithGroup(name string) slog.Handler {
	return LogHandler{h.Handler.WithGroup(name)}
}
