package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/webhook"
)

// A delivery begins a trace of its own, whatever its headers say of one: they are signed by nobody. What is stored
// knows the trace. Health checks have none.
func TestTraceOfADelivery(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	box := &inbox{}
	receiver, err := webhook.New(box, webhook.Options{
		Keys:   []string{key},
		Now:    func() time.Time { return now },
		Traces: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	})
	if err != nil {
		t.Fatal(err)
	}
	const stranger = "4bf92f3577b34da6a3ce929d0e0e4736"
	body := recorded(t, "order.success")
	request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(now, []byte(body), key))
	request.Header.Set("traceparent", "00-"+stranger+"-00f067aa0ba902b7-01")
	answered := httptest.NewRecorder()
	receiver.Handler().ServeHTTP(answered, request)
	receiver.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/livez", nil))
	ended := spans.Ended()
	if answered.Code != http.StatusOK || len(ended) != 1 || len(box.stored) != 1 {
		t.Fatalf("answered %d, %d spans, %d events stored", answered.Code, len(ended), len(box.stored))
	}
	trace := ended[0].SpanContext().TraceID().String()
	if trace == stranger || ended[0].Parent().IsValid() {
		t.Error("a stranger's trace was continued")
	}
	if stored := box.stored[0].Trace; !strings.HasPrefix(stored, "00-"+trace+"-") {
		t.Errorf("the event is stored with the trace %q, not %s", stored, trace)
	}
	for _, a := range ended[0].Attributes() {
		if strings.Contains(a.Value.String(), body[:40]) {
			t.Errorf("the span holds the body: %s", a.Key)
		}
	}
}
