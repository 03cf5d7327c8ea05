package ordergroove_test

import (
	"encoding/json"
	"io/fs"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/testdata"
)

func benchmarkPayload(b *testing.B) []byte {
	b.Helper()
	payload, err := fs.ReadFile(testdata.Webhooks(), "order.success.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	return payload
}

// BenchmarkVerify verifies a delivery's signature.
func BenchmarkVerify(b *testing.B) {
	payload := benchmarkPayload(b)
	at := time.Unix(1595162800, 0)
	header := []string{ordergroove.Sign(at, payload, "key")}
	verifier, err := ordergroove.NewVerifier([]string{"key"}, time.Hour, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := verifier.Verify(header, at, payload); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseHead reads what the inbox needs to know of an event.
func BenchmarkParseHead(b *testing.B) {
	payload := benchmarkPayload(b)
	for b.Loop() {
		if _, err := ordergroove.ParseHead(payload); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseEnvelope reads a whole event.
func BenchmarkParseEnvelope(b *testing.B) {
	payload := benchmarkPayload(b)
	for b.Loop() {
		if _, err := ordergroove.ParseEnvelope(payload); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExtraData reads extra_data and sets the counter in it.
func BenchmarkExtraData(b *testing.B) {
	raw := json.RawMessage(`{"fulfillment_counter":"3","termed":"true","note":{"of":["others"]},"hide":false}`)
	b.ReportAllocs()
	for b.Loop() {
		data, err := ordergroove.ParseExtraData(raw)
		if err != nil {
			b.Fatal(err)
		}
		data.With("fulfillment_counter", json.RawMessage(`"2"`)).Object()
	}
}
