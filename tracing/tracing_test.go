package tracing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/termed/termed/tracing"
)

// example is the traceparent of W3C Trace Context, section 3.2.3.
const example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestContinue(t *testing.T) {
	for stored, want := range map[string]string{
		"":                          "",
		example:                     example,
		example[:53] + "00":         example[:53] + "00", // not sampled: nor is what follows
		"no traceparent":            "",
		example[:len(example)-1]:    "",
		"ff" + example[2:]:          "",
		example + "-and-what-comes": "",
	} {
		ctx := tracing.Continue(t.Context(), stored)
		if got := tracing.Of(ctx); got != want || tracing.InTrace(ctx) != (want != "") {
			t.Errorf("continued from %q: %q, in a trace: %v; want %q", stored, got, tracing.InTrace(ctx), want)
		}
	}
}

// Without a provider nothing is traced, and nothing has to ask whether.
func TestNoProvider(t *testing.T) {
	ctx, span := tracing.Tracer(nil, "test").Start(t.Context(), "work")
	tracing.Fail(ctx, context.Canceled)
	span.End()
	if tracing.InTrace(ctx) || span.IsRecording() {
		t.Error("a span was made")
	}
}

func TestLogHandler(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(tracing.LogHandler{Handler: slog.NewJSONHandler(&out, nil)}).With("subscription", "s1")
	log.InfoContext(tracing.Continue(t.Context(), example), "in a trace")
	log.Info("in none")
	lines := json.NewDecoder(&out)
	for _, want := range []string{"4bf92f3577b34da6a3ce929d0e0e4736", ""} {
		var line struct {
			Subscription string `json:"subscription"`
			Trace        string `json:"trace_id"`
		}
		if err := lines.Decode(&line); err != nil || line.Trace != want || line.Subscription != "s1" {
			t.Errorf("line %+v, error %v; want trace_id %q", line, err, want)
		}
	}
}
