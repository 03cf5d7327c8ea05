package ordergroove_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/termed/termed/ordergroove"
)

// Every event type of the contract has a recorded payload, and every payload has a type of the contract.
func TestRecordedPayloadsParse(t *testing.T) {
	for _, eventType := range ordergroove.EventTypes() {
		t.Run(eventType, func(t *testing.T) {
			body, err := os.ReadFile(filepath.Join("../testdata/webhooks", eventType+".json"))
			if err != nil {
				t.Fatal(err)
			}
			envelope, err := ordergroove.ParseEnvelope(body)
			if err != nil {
				t.Fatal(err)
			}
			if envelope.Type != eventType || envelope.ID == "" || envelope.Created == 0 {
				t.Errorf("head = %+v, want type %s, an id and a time", envelope.Head, eventType)
			}
			switch what, _, _ := strings.Cut(eventType, "."); what {
			case "subscription":
				s, err := envelope.Subscription()
				if err != nil || s.ID == "" || s.Product == "" || s.Customer == "" {
					t.Errorf("Subscription = %+v, %v", s, err)
				}
				if _, err := ordergroove.ParseExtraData(s.ExtraData); err != nil {
					t.Errorf("extra_data: %v", err)
				}
				if live := !strings.HasPrefix(eventType, "subscription.cancel"); s.Live != live {
					t.Errorf("live = %v, want %v", s.Live, live)
				}
			case "order":
				if id, err := envelope.OrderID(); err != nil || id == "" {
					t.Errorf("OrderID = %q, %v", id, err)
				}
			case "item":
				if i, err := envelope.Item(); err != nil || i.Subscription == "" || i.Order == "" || i.Product == "" {
					t.Errorf("Item = %+v, %v", i, err)
				}
			}
		})
	}
	files, err := filepath.Glob("../testdata/webhooks/*.json")
	if err != nil || len(files) != len(ordergroove.EventTypes()) {
		t.Errorf("%d payloads for %d event types (%v)", len(files), len(ordergroove.EventTypes()), err)
	}
}

func TestParseHead(t *testing.T) {
	type head = ordergroove.Head
	nested := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	tests := []struct {
		name    string
		body    string
		want    head
		invalid bool
	}{
		{name: "empty", body: "", invalid: true},
		{name: "not JSON", body: "id=1", invalid: true},
		{name: "truncated", body: `{"id":"1","type":"order.success"`, invalid: true},
		{name: "trailing document", body: `{"id":"1","type":"a"} {}`, invalid: true},
		{name: "not an object", body: `["id"]`, invalid: true},
		{name: "no id", body: `{"type":"a","created":1}`, invalid: true},
		{name: "null id", body: `{"id":null,"type":"a"}`, invalid: true},
		{name: "id of another type", body: `{"id":{"a":1},"type":"a"}`, invalid: true},
		{name: "NUL in the id", body: `{"id":"a\u0000","type":"a"}`, invalid: true},
		{name: "id too long", body: `{"id":"` + strings.Repeat("a", 257) + `","type":"a"}`, invalid: true},
		{name: "no type", body: `{"id":"1"}`, invalid: true},
		{name: "nested too deep", body: `{"id":"1","type":"a","data":` + nested + `}`, invalid: true},

		{
			name: "as in the contract", body: `{"id":"e","type":"order.success","created":1592570791}`,
			want: head{ID: "e", Type: "order.success", Created: 1592570791},
		},
		{
			name: "unknown fields", body: `{"id":"e","type":"x","version":3,"created":1}`,
			want: head{ID: "e", Type: "x", Created: 1},
		},
		{name: "id is a number", body: `{"id":17,"type":"x"}`, want: head{ID: "17", Type: "x"}},
		{name: "no time", body: `{"id":"e","type":"x"}`, want: head{ID: "e", Type: "x"}},
		{name: "unreadable time", body: `{"id":"e","type":"x","created":"soon"}`, want: head{ID: "e", Type: "x"}},
		{
			name: "time with a fraction", body: `{"id":"e","type":"x","created":12.75}`,
			want: head{ID: "e", Type: "x", Created: 12},
		},
		{
			name: "time too large", body: `{"id":"e","type":"x","created":9223372036854775807}`,
			want: head{ID: "e", Type: "x"},
		},
		{
			name: "repeated key: the last counts", body: `{"id":"a","id":"e","type":"x"}`,
			want: head{ID: "e", Type: "x"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ordergroove.ParseHead([]byte(test.body))
			if test.invalid != (err != nil) || got != test.want {
				t.Errorf("ParseHead(%.60s) = %+v, %v; want %+v, invalid %v", test.body, got, err, test.want, test.invalid)
			}
		})
	}
}

// A parse error says what is wrong and where, and never quotes the payload, because payloads hold personal data.
func TestParseErrorsQuoteNothing(t *testing.T) {
	for _, body := range []string{
		`{"id":"1","type":"a","canary":canary}`,
		`{"id":{"name":"canary"},"type":"a"}`,
		`{"id":"1","type":"subscription.create","data":{"object":{"public_id":["canary"],"live":true}}}`,
		`{"id":"1","type":"subscription.create","data":{"object":{"public_id":"canary name/","live":true}}}`,
	} {
		envelope, err := ordergroove.ParseEnvelope([]byte(body))
		if err == nil {
			_, err = envelope.Subscription()
		}
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: error = %v, want one that quotes nothing", body, err)
		}
	}
}

func TestSnapshotItems(t *testing.T) {
	const head = `{"id":"e","type":"order.success","created":1,"data":{"object":{"public_id":"o1"}`
	const item = `{"public_id":"i1","order":"o1","subscription":"s1","product":"P"}`
	tests := []struct {
		name, body string
		want       int
	}{
		{"absent", head + `}}`, 0},
		{"empty", head + `},"snapshot":{}}`, 0},
		{"null", head + `},"snapshot":null}`, 0},
		{"not an object", head + `},"snapshot":[]}`, 0},
		{"without items", head + `},"snapshot":{"items":[]}}`, 0},
		{"items of another order", head + `},"snapshot":{"items":[{"order":"o2","subscription":"s1"}]}}`, 0},
		{"items of another type", head + `},"snapshot":{"items":{"a":1}}}`, 0},
		{"beside data", head + `},"snapshot":{"items":[` + item + `]}}`, 1},
		{"inside data", head + `,"snapshot":{"items":[` + item + `]}}}`, 1},
		{"with a one-time item", head + `},"snapshot":{"items":[` + item + `,{"order":"o1","subscription":null}]}}`, 2},
		{
			"ids as numbers",
			strings.ReplaceAll(head+`},"snapshot":{"items":[{"order":17,"subscription":3}]}}`, `"o1"`, `17`), 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			envelope, err := ordergroove.ParseEnvelope([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			order, err := envelope.OrderID()
			if err != nil {
				t.Fatal(err)
			}
			items, ok := envelope.SnapshotItems(order)
			if len(items) != test.want || ok != (test.want > 0) {
				t.Errorf("SnapshotItems = %v, %v; want %d", items, ok, test.want)
			}
		})
	}
}

func TestOrderIDRejectsInvalidIDs(t *testing.T) {
	for _, id := range []string{"", ".", "..", "a/b", `a\b`, "a?b", "a#b", "a b", "a%2fb", "é", strings.Repeat("a", 129)} {
		escaped := strings.ReplaceAll(id, `\`, `\\`)
		body := `{"id":"e","type":"order.success","data":{"object":{"public_id":"` + escaped + `"}}}`
		envelope, err := ordergroove.ParseEnvelope([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := envelope.OrderID(); err == nil {
			t.Errorf("OrderID accepted %q", got)
		}
	}
}

// FuzzEnvelope checks that no body makes parsing panic, and that a parsed event has an id and a type.
func FuzzEnvelope(f *testing.F) {
	files, err := filepath.Glob("../testdata/webhooks/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		envelope, err := ordergroove.ParseEnvelope(body)
		if err != nil {
			return
		}
		if envelope.ID == "" || envelope.Type == "" {
			t.Errorf("ParseEnvelope accepted %q", body)
		}
		_, _ = envelope.Subscription()
		_, _ = envelope.Item()
		if order, err := envelope.OrderID(); err == nil {
			envelope.SnapshotItems(order)
		}
	})
}
