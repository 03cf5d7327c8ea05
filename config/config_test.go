package config_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/config"
)

func environment(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

var keys = map[string]string{"ORDERGROOVE_API_KEY": "api-key", "ORDERGROOVE_WEBHOOK_KEY": "hook-key", "TERMED_CONSOLE_PASSWORD": "pass", "NOTICE_SECRET": "whsec_bm90aWNlIHNlY3JldCBvZiAyNCBieXRlcw=="}

func TestWhole(t *testing.T) {
	got, err := config.Parse("termed.yaml", []byte(`
listen: ":8080"
console:
  listen: 127.0.0.1:8081
  password: ${TERMED_CONSOLE_PASSWORD}
database: postgres://termed@db/termed
migrate: manual
ordergroove:
  api_url: https://staging.restapi.ordergroove.com
  api_key: ${ORDERGROOVE_API_KEY}
  webhook_keys: [ "${ORDERGROOVE_WEBHOOK_KEY}", "old$$key" ]
  requests_per_minute: ${RATE:-2_700}
webhook: { max_age: 96h, max_ahead: 1m, max_body: 65536, silence: 6h }
reconcile: { every: 30m, full: 12h }
keep_events: 120h
extra_data_keys: { counter: boxes_left, total: term_total, last: is_last }
notices:
  last_shipment_days: 3
  endpoints:
    - url: https://example.com/hooks/s3cret
      secrets: [ "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "${NOTICE_SECRET}" ]
      types: [ term.completed, service.silence ]
    - { name: warehouse, url: "http://10.0.0.7:8080/", private: true, secrets: [ "${NOTICE_SECRET}" ] }
terms:
  - name: Three-month gift
    skus: [GIFT-3MO, 0123, 1e3, 0x1F, "yes", no, 1.10]
    shipments: 3
    cancel_reason: { code: 1, details: Gift complete }
  - name: Programme
    skus:
      - SIX
    shipments: 6
    first_shipment: recurring
    prepaid_renewal: keep
    on_complete: { swap: { sku: COFFEE } }
    on_reactivation: new_term
    on_swap: restart
    set: { gift: "true", boxed: true, size: 1.10, note: "a <b>" }
`), environment(keys))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Listen:   ":8080",
		Console:  config.Console{Listen: "127.0.0.1:8081", Password: "pass"},
		Database: "postgres://termed@db/termed",
		Migrate:  "manual",
		Ordergroove: config.Ordergroove{
			APIURL: "https://staging.restapi.ordergroove.com", APIKey: "api-key", WebhookKeys: []config.Secret{"hook-key", "old$key"},
			RequestsPerMinute: 2700,
		},
		Webhook:   config.Webhook{MaxAge: 96 * time.Hour, MaxAhead: time.Minute, MaxBody: 65536, Silence: 6 * time.Hour},
		Reconcile: config.Reconcile{Every: 30 * time.Minute, Full: 12 * time.Hour},
		Keys:      config.Keys{Counter: "boxes_left", Termed: "termed", Hide: "hide", Total: "term_total", Last: "is_last"},
		Notices: config.Notices{LastShipmentDays: 3, Endpoints: []config.Endpoint{
			{Name: "example.com", URL: "https://example.com/hooks/s3cret", Secrets: []config.Secret{"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "whsec_bm90aWNlIHNlY3JldCBvZiAyNCBieXRlcw=="}, Types: []string{"term.completed", "service.silence"}},
			{Name: "warehouse", URL: "http://10.0.0.7:8080/", Private: true, Secrets: []config.Secret{"whsec_bm90aWNlIHNlY3JldCBvZiAyNCBieXRlcw=="}},
		}},
		KeepEvents: 120 * time.Hour,
		Terms: []config.Term{
			// SKUs are what is spelled: as YAML, 0123 would be 83 and 1e3 a thousand.
			{Name: "Three-month gift", SKUs: []string{"GIFT-3MO", "0123", "1e3", "0x1F", "yes", "no", "1.10"}, Shipments: 3, FirstShipment: "checkout", CancelReason: "1|Gift complete", OnComplete: "cancel", OnReactivation: "block", OnSwap: "keep"},
			{Name: "Programme", SKUs: []string{"SIX"}, Shipments: 6, FirstShipment: "recurring", KeepRenewal: true, OnComplete: "swap", SwapTo: "COFFEE", OnReactivation: "new_term", OnSwap: "restart",
				Set: map[string]string{"gift": `"true"`, "boxed": "true", "size": "1.10", "note": `"a <b>"`}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	got, err := config.Parse("t", []byte(minimal), environment(keys))
	if err != nil {
		t.Fatal(err)
	}
	if got.Listen != "127.0.0.1:8080" || got.Console.Listen != "127.0.0.1:8081" || got.Database != "termed.db" ||
		got.Ordergroove.APIURL != "https://restapi.ordergroove.com" || got.Ordergroove.RequestsPerMinute != 5400 ||
		got.Webhook != (config.Webhook{MaxAge: 72 * time.Hour, MaxAhead: 5 * time.Minute, MaxBody: 1 << 20}) ||
		got.KeepEvents != 720*time.Hour || got.Reconcile != (config.Reconcile{Every: time.Hour, Full: 24 * time.Hour}) || got.Terms[0].KeepRenewal || got.Keys != (config.Keys{Counter: "fulfillment_counter", Termed: "termed", Hide: "hide"}) {
		t.Errorf("defaults = %+v", got)
	}
}

const minimal = `
ordergroove: { api_key: "${ORDERGROOVE_API_KEY}", webhook_keys: [k] }
terms: [ { name: Gift, skus: [A], shipments: 3 } ]
`

// The starter file is right as it is, once the keys are set.
func TestStarter(t *testing.T) {
	c, err := config.Parse("termed.yaml", config.Starter, environment(keys))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Terms) != 1 || c.Terms[0].CancelReason != "1|Gift complete" {
		t.Errorf("terms = %+v", c.Terms)
	}
	_, err = config.Parse("termed.yaml", config.Starter, environment(nil))
	if problems, ok := err.(config.Problems); !ok || len(problems) != 2 {
		t.Errorf("without keys: %v, want a problem for each", err)
	}
}

// Words stand for what no time says; a full comparison is never more frequent than the others.
func TestTimesInWords(t *testing.T) {
	tests := []struct {
		yaml      string
		reconcile config.Reconcile
		silence   time.Duration
	}{
		{"reconcile: { every: off }", config.Reconcile{Full: 24 * time.Hour}, 0},
		{"reconcile: { every: 48h }", config.Reconcile{Every: 48 * time.Hour, Full: 48 * time.Hour}, 0},
		{"webhook: { silence: off }", config.Reconcile{Every: time.Hour, Full: 24 * time.Hour}, -1},
		{"webhook: { silence: learned }", config.Reconcile{Every: time.Hour, Full: 24 * time.Hour}, 0},
	}
	for _, test := range tests {
		got, err := config.Parse("t", []byte(minimal+test.yaml), environment(keys))
		if err != nil || got.Reconcile != test.reconcile || got.Webhook.Silence != test.silence {
			t.Errorf("%s: %+v, silence %v, %v", test.yaml, got.Reconcile, got.Webhook.Silence, err)
		}
	}
}

// Every mistake at once, each with its place, what is wrong and what would be right.
func TestProblems(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"everything at once", `
listen: 8080
listn: x
console: { listen: "127.0.0.1:8081", colour: blue }
database: mysql://db
ordergroove:
  api_url: http://restapi.ordergroove.com
  api_key: ${MISSING_KEY}
  webhook_keys: []
  requests_per_minute: fast
webhook: { max_age: 3 days }
terms:
  - name: One
    skus: [A, A, ~, {x: y}]
    shipments: 0
    first_shipment: later
  - name: One
    skus: [A]
    shipments: 2.5
    cancel_reason: { details: "a|b" }
  - shipments: 3
`, `
t:2:9: listen: "8080" is no address to listen on; write host:port, for example 127.0.0.1:8080 or :8080
t:3:1: unknown key "listn" in the file; there can be: listen, database, migrate, keep_events, console, ordergroove, webhook, reconcile, extra_data_keys, notices, terms
t:4:38: unknown key "colour" in console; there can be: listen, password
t:5:11: database: mysql is no database of ours; write a file name for SQLite, or postgres://user@host/database
t:7:12: api_url: http would send the API key in the clear to restapi.ordergroove.com; write https://restapi.ordergroove.com
t:8:12: api_key: the variable MISSING_KEY is not set; set it, or MISSING_KEY_FILE to a file that holds it, or write ${MISSING_KEY:-default}
t:9:17: webhook_keys is empty; write the verification key from the Ordergroove Admin, as [ "${ORDERGROOVE_WEBHOOK_KEY}" ]
t:10:24: requests_per_minute is "fast"; write a whole number from 1 to 1000000
t:11:21: max_age is "3 days"; write a time of at least 1m0s, for example 30s, 5m or 72h
t:14:15: SKU "A" is in the term "One" already; a SKU belongs to one term
t:14:18: skus has no single value; write a text or a number
t:14:21: skus has no single value; write a text or a number
t:15:16: shipments is "0"; write a whole number from 1 to 1000
t:16:21: first_shipment: "later" is neither checkout (the checkout's own order is box 1) nor recurring (box 1 is the first recurring order)
t:17:11: a second term is called "One"; give each its own name
t:18:12: SKU "A" is in the term "One" already; a SKU belongs to one term
t:19:16: shipments is "2.5"; write a whole number from 1 to 1000
t:20:20: cancel_reason has no code; write one of your Ordergroove cancel reason codes, for example 1
t:20:31: details: it contains |, which separates the code from the details; write it without
t:21:5: terms has no name; write what people call it, for example "Three-month gift"
t:21:5: terms has no skus; write the Ordergroove product ids, for example [GIFT-3MO]`},
		{"nothing", ``, `
t: ordergroove has no api_key; write the API key from the Ordergroove Admin, as ${ORDERGROOVE_API_KEY}
t: ordergroove has no webhook_keys; write the verification key from the Ordergroove Admin, as [ "${ORDERGROOVE_WEBHOOK_KEY}" ]
t: the file has no terms; write at least one term, with name, skus and shipments`},
		{"no YAML", "terms: [", "\nt:1:8: not YAML: sequence end token ']' not found"},
		{"a list", "- a\n- b\n", `
t:1:1: the file is not a mapping; write key: value lines below it`},
		{"an alias", strings.Replace(minimal, "[A]", "[&a A, *a]", 1), `
t:3:31: skus uses an anchor, alias or tag, which this file does not know; write the value out
t:3:37: skus uses an anchor, alias or tag, which this file does not know; write the value out`},
		{"forgetting too soon", minimal + "keep_events: 24h\n", `
t:4:14: keep_events is shorter than webhook.max_age, so a late duplicate would be taken for news; make it at least 72h0m0s`},
		{"one name for two keys", minimal + "extra_data_keys: { counter: hide }\n", `
t:4:18: two of the keys have the same name; give each its own`},
		{"an open brace", minimal + "database: ${DB\n", `
t:4:11: database: ${ without a name and } after it; write ${NAME} or ${NAME:-default}, or $${ for the characters themselves`},
		{"more than a host", strings.Replace(minimal, "{ api_key", "{ api_url: https://u:p@x/path, api_key", 1), `
t:2:25: api_url: it is more than a host; write https://restapi.ordergroove.com, the paths are added`},
		{"times that are none", minimal + "reconcile: { every: hourly, full: daily }\nwebhook: { silence: never }\n", `
t:4:21: every is "hourly"; write off, or a time of at least 1s, for example 30s, 5m or 72h
t:4:35: full is "daily"; write a time of at least 1s, for example 30s, 5m or 72h
t:5:21: silence is "never"; write learned, or off, or a time of at least 1s, for example 30s, 5m or 72h`},
		{"everything more often than the rest", minimal + "reconcile: { every: 2h, full: 1h }\n", `
t:4:31: reconcile.full is shorter than reconcile.every; make it at least 2h0m0s`},
		{"a renewal of its own", strings.Replace(minimal, "shipments: 3", "shipments: 3, prepaid_renewal: stop", 1), `
t:3:66: prepaid_renewal: "stop" is neither cancel (a prepaid subscription ends when what was paid for is used up) nor keep (its renewal is left as it is)`},
		{"notices to nobody who could take them", minimal + `notices:
  endpoints:
    - { url: "http://example.com/", secrets: [short] }
    - { url: "https://example.com/", secrets: [ "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3" ], types: [term.begun], private: maybe }
    - { url: "https://u:p@other.example.com/", secrets: [] }
`, `
t:6:14: url: http would send the notices in the clear; write https://, or private: true for an address of your own network
t:6:47: secrets: it is no signing secret; write whsec_ and the base64 of 24 to 64 random bytes: echo whsec_$(openssl rand -base64 32)
t:7:7: a second endpoint is called "example.com"; give each a name of its own
t:7:101: types: "term.begun" is no type of notice; there are: term.started, term.shipment, term.last_shipment_next, term.completed, term.ended, term.blocked_reactivation, guard.extra_order, subscription.attention, service.silence
t:7:123: private: "maybe" is neither true nor false
t:8:14: url: it holds a name or password, which nothing would send; take it out
t:8:57: secrets is empty; write what the notices are signed with, as [ "${TERMED_NOTICE_SECRET}" ]: whsec_ and the base64 of 24 to 64 random bytes`},
		{"changes of mind", `
ordergroove: { api_key: "${ORDERGROOVE_API_KEY}", webhook_keys: [k] }
terms:
  - { name: Gift, skus: [A], shipments: 3, on_complete: end, on_reactivation: ask, on_swap: no, set: { hide: "true", deep: {a: 1}, hex: 0x1F } }
  - { name: Six, skus: [B], shipments: 6, on_complete: { swap: { sku: A } } }
  - { name: Nine, skus: [C], shipments: 9, on_complete: { swap: { product: X } } }
  - { name: Ten, skus: [D], shipments: 9, on_complete: { renew: yes } }
`, `
t:4:57: on_complete: "end" is neither cancel (hidden and cancelled), renew (a new term starts), release (it goes on without a term) nor { swap: { sku: PRODUCT } } (it goes on as another product)
t:4:79: on_reactivation: "ask" is neither block (hidden and cancelled again), new_term (a new term starts) nor release (it goes on without a term)
t:4:93: on_swap: "no" is neither keep (the shipments made count) nor restart (the new term starts anew)
t:4:104: set: hide is one of our own members; give yours another name
t:4:124: deep has no single value; write a text or a number
t:4:137: set: hex is 0x1F, which JSON does not know; write it in quotes
t:5:56: on_complete: A is in the term "Gift"; write a product that no term names
t:6:65: swap has no sku; write the product to go on with, which no term names
t:6:67: unknown key "product" in swap; there can be: sku
t:7:56: on_complete has no swap; write swap: { sku: PRODUCT }
t:7:58: unknown key "renew" in on_complete; there can be: swap`},
		{"two documents", minimal + "---\nlisten: x\n", "\nt:5:1: a second document starts here; write one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Parse("t", []byte(test.yaml), environment(keys))
			if diff := cmp.Diff(strings.Split(strings.TrimSpace(test.want), "\n"), strings.Split(fmt.Sprint(err), "\n")); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoopbackMayBePlain(t *testing.T) {
	for host, ok := range map[string]bool{
		"localhost:1": true, "127.0.0.1:1": true, "127.8.8.8": true, "[::1]:1": true,
		"10.0.0.1": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "0.0.0.0": false,
	} {
		_, err := config.Parse("t", []byte(strings.Replace(minimal, "{ api_key", `{ api_url: "http://`+host+`", api_key`, 1)), environment(keys))
		if ok != (err == nil) {
			t.Errorf("http to %s: %v, want ok %v", host, err, ok)
		}
	}
}

func TestSecretFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		want string // "" for an error
	}{
		{"from the file", map[string]string{"ORDERGROOVE_API_KEY_FILE": path}, "from-file"},
		{"an empty variable does not count", map[string]string{"ORDERGROOVE_API_KEY_FILE": path, "ORDERGROOVE_API_KEY": ""}, "from-file"},
		{"both", map[string]string{"ORDERGROOVE_API_KEY_FILE": path, "ORDERGROOVE_API_KEY": "x"}, ""},
		{"no such file", map[string]string{"ORDERGROOVE_API_KEY_FILE": path + "x"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := config.Parse("t", []byte(minimal), environment(test.env))
			if got := c.Ordergroove.APIKey.Reveal(); got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("key = %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// A variable is one value, whatever stands in it: it adds no line and is expanded once.
func TestVariablesDoNotInject(t *testing.T) {
	c, err := config.Parse("t", []byte(minimal), environment(map[string]string{"ORDERGROOVE_API_KEY": "a\nlisten: x ${HOME} $$"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Ordergroove.APIKey.Reveal(); got != "a\nlisten: x ${HOME} $$" {
		t.Errorf("key = %q", got)
	}
}

func TestMissingFile(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "termed.yaml"), environment(nil))
	if err == nil || !strings.Contains(err.Error(), "termed init") {
		t.Errorf("error = %v, want a hint", err)
	}
}

func TestSecretMasksItself(t *testing.T) {
	c := config.Config{Ordergroove: config.Ordergroove{APIKey: "canary", WebhookKeys: []config.Secret{"canary"}}}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", c.Ordergroove.APIKey, "config", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", c.Ordergroove.APIKey, "config", c)
	for _, shown := range []string{
		fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s %q %x %d", c, c, c, c.Ordergroove.APIKey, c.Ordergroove.APIKey, c.Ordergroove.APIKey, c.Ordergroove.APIKey),
		string(asJSON), log.String(),
	} {
		if strings.Contains(shown, "canary") || strings.Contains(shown, "63616e617279") {
			t.Errorf("the secret shows: %s", shown)
		}
	}
}
