package ordergroove

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// call is one API call on its way: what the log says of its requests.
type call struct {
	operation string
	about     slog.Attr
	attempts  int
}

type callKey struct{}

// withCall lets the transport know what its requests are for.
func withCall(ctx context.Context, r request) context.Context {
	return context.WithValue(ctx, callKey{}, &call{operation: r.doing, about: r.about})
}

// spanTransport makes a span of every request that is made in a trace, retries included, named after its call. It sends
// no header of ours: Ordergroove is no part of the trace.
func spanTransport(next http.RoundTripper, provider trace.TracerProvider) http.RoundTripper {
	if provider == nil {
		return next
	}
	return otelhttp.NewTransport(next,
		otelhttp.WithTracerProvider(provider),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
		otelhttp.WithFilter(func(r *http.Request) bool { return trace.SpanContextFromContext(r.Context()).IsValid() }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			if c, ok := r.Context().Value(callKey{}).(*call); ok {
				return r.Method + ": " + c.operation
			}
			return r.Method
		}),
	)
}

// loggedTransport logs every request, retries included, at level debug. It names the call and never quotes the request:
// the header has the key, and the body and the URL what is the customer's.
type loggedTransport struct {
	next http.RoundTripper
	log  *slog.Logger
	now  func() time.Time
}

func (t *loggedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	start := t.now()
	response, err := t.next.RoundTrip(r)
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		return response, err
	}
	c.attempts++ // one request of a call at a time
	status := 0
	if err == nil {
		status = response.StatusCode
	}
	took := t.now().Sub(start).Round(time.Microsecond).String()
	t.log.DebugContext(r.Context(), "api call",
		"operation", c.operation, c.about, "status", status, "attempt", c.attempts, "duration", took)
	return response, err
}

// CloseIdleConnections forwards the call, as limitedTransport's does.
func (t *loggedTransport) CloseIdleConnections() {
	if next, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}
