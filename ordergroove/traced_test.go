package ordergroove_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/termed/termed/ordergroove"
)

// A call in a trace is a span of it, named after what it does, without the key; Ordergroove is sent nothing of it. A
// call in none begins none.
func TestTraceOfACall(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, field := range (propagation.TraceContext{}).Fields() {
			if sent := r.Header.Get(field); sent != "" {
				t.Errorf("Ordergroove was sent %s: %s", field, sent)
			}
		}
		answer(http.StatusOK, `[]`)(w, r)
	}))
	defer server.Close()
	spans := tracetest.NewSpanRecorder()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	client, err := ordergroove.NewClient(ordergroove.Options{URL: server.URL, Key: canaryKey, Traces: traces})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(spans.Ended()); n != 0 {
		t.Errorf("a call outside a trace made %d spans", n)
	}
	ctx, parent := traces.Tracer("test").Start(t.Context(), "sync")
	if err := client.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	parent.End()
	ended := spans.Ended()
	if len(ended) != 2 || ended[0].Name() != "GET: asking for the cancel reasons" ||
		ended[0].Parent().SpanID() != parent.SpanContext().SpanID() {
		t.Fatalf("the spans are %v", ended)
	}
	for _, a := range ended[0].Attributes() {
		if a.Value.String() == canaryKey {
			t.Errorf("the span holds the key: %s", a.Key)
		}
	}
}
