package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/termed/termed/config"
)

func environment(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

const (
	secret = "whsec_bm90aWNlIHNlY3JldCBvZiAyNCBieXRlcw=="
	second = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"

	passwordHash = "$2b$10$ZG9ub3R1c2V0aGlzc2FsdO5Rh5Yq0b1SxO1Vn3WnqTLu2AMLL1a2y"
)

var keys = map[string]string{
	"ORDERGROOVE_API_KEY":     "api-key",
	"ORDERGROOVE_WEBHOOK_KEY": "hook-key",
	"NOTIFICATION_SECRET":     secret,
	"BO_PASSWORD":             passwordHash,
}

func TestEverySetting(t *testing.T) {
	got, err := config.Parse("termed.yaml", []byte(`
listen: ":8080"
console:
  listen: 10.0.0.7:8081
  public_url: https://termed.example.com/
  users:
    - { name: ana, role: viewer, password: $2a$12$Cn3WnqTLu2AMLL1a2yZG9ub3R1c2V0aGlzc2FsdO5Rh5Yq0b1SxO1 }
    - { name: bo, role: operator, password: "${BO_PASSWORD}" }
  tokens:
    - { name: helpdesk, role: agent, hash: 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08 }
  actions: [cancel, skip]
  frame_ancestors: [https://help.example.com, "https://*.helpdesk.example:8443"]
  profiles: true
database: postgres://termed@db/termed
migrate: manual
mode: observe
brake: { ends_per_hour: 50, percent: 5 }
ordergroove:
  api_url: https://staging.restapi.ordergroove.com
  api_key: ${ORDERGROOVE_API_KEY}
  webhook_keys: [ "${ORDERGROOVE_WEBHOOK_KEY}", "old$$key" ]
  requests_per_minute: ${RATE:-2_700}
  outgoing_group: eu
webhook: { max_age: 96h, max_ahead: 1m, max_body: 65536, max_gap: 6h, public_url: "https://hooks.example.com/x" }
reconcile: { every: 30m, full: 12h }
keep_events: 120h
extra_data_keys: { counter: boxes_left, total: term_total, last: is_last }
notifications:
  last_shipment_days: 3
  endpoints:
    - url: https://example.com/hooks/s3cret
      secrets: [ "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "${NOTIFICATION_SECRET}" ]
      types: [ term.completed, service.no_deliveries ]
    - { name: warehouse, url: "http://10.0.0.7:8080/", private: true, secrets: [ "${NOTIFICATION_SECRET}" ] }
terms:
  - name: Three-month gift
    skus: [GIFT-3MO, 0123, 1e3, 0x1F, "yes", no, 1.10]
    shipments: 3
    cancel_reason: { code: 1, details: Gift complete }
  - name: Half a year
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
		Listen: ":8080",
		Console: config.Console{
			Listen:    "10.0.0.7:8081",
			PublicURL: "https://termed.example.com",
			Users: []config.User{
				{Name: "ana", Role: "viewer", Password: "$2a$12$Cn3WnqTLu2AMLL1a2yZG9ub3R1c2V0aGlzc2FsdO5Rh5Yq0b1SxO1"},
				{Name: "bo", Role: "operator", Password: passwordHash},
			},
			Tokens: []config.Token{{
				Name: "helpdesk",
				Role: "agent",
				Hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			}},
			Actions:        []string{"cancel", "skip"},
			FrameAncestors: []string{"https://help.example.com", "https://*.helpdesk.example:8443"},
			Profiles:       true,
		},
		Database:     "postgres://termed@db/termed",
		DatabaseLine: 14,
		Migrate:      "manual",
		Mode:         "observe",
		Brake:        config.Brake{EndsPerHour: 50, Percent: 5},
		Ordergroove: config.Ordergroove{
			APIURL:            "https://staging.restapi.ordergroove.com",
			APIKey:            "api-key",
			WebhookKeys:       []config.Secret{"hook-key", "old$key"},
			RequestsPerMinute: 2700,
			OutgoingGroup:     "eu",
		},
		Webhook: config.Webhook{
			MaxAge:   96 * time.Hour,
			MaxAhead: time.Minute,
			MaxBody:  65536,

			PublicURL: "https://hooks.example.com/x",
			MaxGap:    6 * time.Hour,
		},
		Reconcile: config.Reconcile{Every: 30 * time.Minute, Full: 12 * time.Hour},
		Backup:    config.Backup{Every: 24 * time.Hour, Keep: 7},
		Keys: config.Keys{
			Counter:        "boxes_left",
			Termed:         "termed",
			Hide:           "hide",
			ShipmentsTotal: "term_total",
			LastShipment:   "is_last",
		},
		Notifications: config.Notifications{
			LastShipmentDays: 3,
			Endpoints: []config.Endpoint{
				{
					Name:    "example.com",
					URL:     "https://example.com/hooks/s3cret",
					Secrets: []config.Secret{second, secret},
					Types:   []string{"term.completed", "service.no_deliveries"},
				},
				{Name: "warehouse", URL: "http://10.0.0.7:8080/", Private: true, Secrets: []config.Secret{secret}},
			},
		},
		KeepEvents: 120 * time.Hour,
		Timezone:   "UTC",
		Platform:   "other",
		Terms: []config.Term{
			{
				Name:           "Three-month gift",
				SKUs:           []string{"GIFT-3MO", "0123", "1e3", "0x1F", "yes", "no", "1.10"}, // as they are spelled
				Shipments:      3,
				FirstShipment:  "checkout",
				CancelReason:   "1|Gift complete",
				OnComplete:     "cancel",
				OnReactivation: "block",
				OnSwap:         "keep",
			},
			{
				Name:           "Half a year",
				SKUs:           []string{"SIX"},
				Shipments:      6,
				FirstShipment:  "recurring",
				KeepRenewal:    true,
				OnComplete:     "swap",
				SwapTo:         "COFFEE",
				OnReactivation: "new_term",
				OnSwap:         "restart",
				Set:            map[string]string{"gift": `"true"`, "boxed": "true", "size": "1.10", "note": `"a <b>"`},
			},
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
	want := config.Config{
		Listen:   "127.0.0.1:8080",
		Console:  config.Console{Listen: "127.0.0.1:8081"},
		Database: "termed.db",
		Migrate:  "auto",
		Mode:     "live",
		Brake:    config.Brake{EndsPerHour: 20, Percent: 2},
		Ordergroove: config.Ordergroove{
			APIURL:            "https://restapi.ordergroove.com",
			APIKey:            "api-key",
			WebhookKeys:       []config.Secret{"long-enough"},
			RequestsPerMinute: 5400,
		},
		Webhook:    config.Webhook{MaxAge: 72 * time.Hour, MaxAhead: 5 * time.Minute, MaxBody: 1 << 20},
		Keys:       config.Keys{Counter: "fulfillment_counter", Termed: "termed", Hide: "hide"},
		KeepEvents: 720 * time.Hour,
		Timezone:   "UTC",
		Platform:   "other",
		Reconcile:  config.Reconcile{Every: time.Hour, Full: 24 * time.Hour},
		Backup:     config.Backup{Every: 24 * time.Hour, Keep: 7},
		Terms: []config.Term{{
			Name:           "Gift",
			SKUs:           []string{"A"},
			Shipments:      3,
			FirstShipment:  "checkout",
			OnComplete:     "cancel",
			OnReactivation: "block",
			OnSwap:         "keep",
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

const minimal = `
ordergroove: { api_key: "${ORDERGROOVE_API_KEY}", webhook_keys: [long-enough] }
terms: [ { name: Gift, skus: [A], shipments: 3 } ]
`

// The configuration of a file that sets nothing has the same defaults, and nothing that is required.
func TestDefaultHasTheDefaults(t *testing.T) {
	want, err := config.Parse("t", []byte(minimal), environment(keys))
	if err != nil {
		t.Fatal(err)
	}
	want.Ordergroove.APIKey = ""
	want.Ordergroove.WebhookKeys = nil
	want.Terms = nil
	if diff := cmp.Diff(want, config.Default()); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

// The starter file is valid once the environment variables are set.
func TestStarter(t *testing.T) {
	c, err := config.Parse("termed.yaml", config.Starter, environment(keys))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Terms) != 1 || c.Terms[0].CancelReason != "1|Gift complete" {
		t.Errorf("terms = %+v", c.Terms)
	}
	_, err = config.Parse("termed.yaml", config.Starter, environment(nil))
	if problems, ok := errors.AsType[config.Problems](err); !ok || len(problems) != 2 {
		t.Errorf("without variables: %v, want a problem for each", err)
	}
}

// Durations can be in days, some can be words, and a full reconcile is never more frequent than the others.
func TestDurationsInWords(t *testing.T) {
	hourly := config.Reconcile{Every: time.Hour, Full: 24 * time.Hour}
	tests := []struct {
		yaml      string
		reconcile config.Reconcile
		maxGap    time.Duration
	}{
		{"reconcile: { every: off }", config.Reconcile{Full: 24 * time.Hour}, 0},
		{"reconcile: { every: 12h, full: 1d12h }", config.Reconcile{Every: 12 * time.Hour, Full: 36 * time.Hour}, 0},
		{"reconcile: { every: 12h, full: 7d }", config.Reconcile{Every: 12 * time.Hour, Full: 168 * time.Hour}, 0},
		{"webhook: { max_gap: 2d }", hourly, 48 * time.Hour},
		{"reconcile: { every: 48h }", config.Reconcile{Every: 48 * time.Hour, Full: 48 * time.Hour}, 0},
		{"webhook: { max_gap: off }", hourly, -1},
		{"webhook: { max_gap: learned }", hourly, 0},
	}
	for _, test := range tests {
		got, err := config.Parse("t", []byte(minimal+test.yaml), environment(keys))
		if err != nil || got.Reconcile != test.reconcile || got.Webhook.MaxGap != test.maxGap {
			t.Errorf("%s: %+v, max_gap %v, %v", test.yaml, got.Reconcile, got.Webhook.MaxGap, err)
		}
	}
}

// All mistakes are reported at once, each with its position, what is wrong and what would be right.
func TestProblems(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) < 2 {
		t.Fatal("no cases in testdata/problems.txtar")
	}
	for pair := range slices.Chunk(archive.Files, 2) {
		t.Run(pair[0].Name, func(t *testing.T) {
			_, err := config.Parse("t", pair[0].Data, environment(keys))
			want := strings.TrimSuffix(string(pair[1].Data), "\n")
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(fmt.Sprint(err), "\n")); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoopbackMayUseHTTP(t *testing.T) {
	for host, ok := range map[string]bool{
		"localhost:1": true, "127.0.0.1:1": true, "127.8.8.8": true, "[::1]:1": true,
		"10.0.0.1": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "0.0.0.0": false,
	} {
		text := strings.Replace(minimal, "{ api_key", `{ api_url: "http://`+host+`", api_key`, 1)
		_, err := config.Parse("t", []byte(text), environment(keys))
		if ok != (err == nil) {
			t.Errorf("http to %s: %v, want ok %v", host, err, ok)
		}
	}
}

// signIn is what a console needs that other machines reach.
const signIn = "public_url: https://termed.example.com, users: [ { name: ana, role: viewer, password: " +
	passwordHash + " } ]"

// oidc is a provider at which people sign in.
const oidc = "issuer: https://login.example.com, client_id: termed, client_secret: s3cret, " +
	"groups: [ { name: support, role: agent }, { name: operations, role: operator } ]"

func TestOIDC(t *testing.T) {
	public := "public_url: https://x.example, "
	c, err := config.Parse("t", []byte(minimal+"console: { "+public+"oidc: { "+oidc+" } }\n"), environment(keys))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.OIDC{
		Issuer:       "https://login.example.com",
		ClientID:     "termed",
		ClientSecret: "s3cret",
		Name:         "single sign-on",
		GroupsClaim:  "groups",
		NameClaim:    "email",
		Groups:       []config.Group{{Name: "support", Role: "agent"}, {Name: "operations", Role: "operator"}},
	}
	if !reflect.DeepEqual(c.Console.OIDC, want) {
		t.Errorf("got %+v, want %+v", c.Console.OIDC, want)
	}
	for _, test := range []struct{ old, new, want string }{
		{public, "", "console.oidc needs console.public_url"},
		{"https://login.example.com", "http://login.example.com", "issuer: http would let others sign in as anybody"},
		{"https://login.example.com", "login.example.com", "issuer: invalid URL; write the issuer of the provider"},
		{"issuer: https://login.example.com, ", "", `missing key "issuer"`},
		{"client_id: termed, ", "", `missing key "client_id"`},
		{"client_secret: s3cret, ", "", `missing key "client_secret"`},
		{"role: agent", "role: agnet", `did you mean "agent"?`},
		{"name: operations", "name: support", `duplicate group "support"`},
		{"client_id", "clientid", `did you mean "client_id"?`},
	} {
		text := strings.Replace(public+"oidc: { "+oidc+" }", test.old, test.new, 1)
		_, err := config.Parse("t", []byte(minimal+"console: { "+text+" }\n"), environment(keys))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", text, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error has the secret: %v", err)
		}
	}
}

// A console that only this machine reaches needs no sign-in. That is so if it listens on loopback and nobody opens it
// elsewhere, as through a proxy.
func TestConsoleElsewhereNeedsASignIn(t *testing.T) {
	tests := []struct {
		console string
		ok      bool
	}{
		{`listen: ":8081"`, false},
		{`listen: "0.0.0.0:8081"`, false},
		{`listen: "[::]:8081"`, false},
		{`listen: "10.0.0.1:8081"`, false},
		{`listen: "termed.internal:8081"`, false},
		{`listen: ":8081", public_url: https://termed.example.com`, false},
		{`public_url: https://termed.example.com`, false},
		{`public_url: http://localhost:9000`, true},
		{`listen: "[::1]:8081"`, true},
		{`listen: "localhost:8081"`, true},
		{`listen: ":8081", ` + signIn, true},
		{`listen: ":8081", public_url: https://x.example, oidc: { ` + oidc + ` }`, true},
		{signIn, true},
		{`listen: ":8081", public_url: https://x.example, ` +
			`tokens: [ { name: ci, role: viewer, hash: ` + strings.Repeat("0f", 32) + ` } ]`, true},
	}
	for _, test := range tests {
		t.Run(test.console, func(t *testing.T) {
			_, err := config.Parse("t", []byte(minimal+"console: { "+test.console+" }\n"), environment(keys))
			if test.ok && err != nil || !test.ok && !strings.Contains(fmt.Sprint(err), "nobody would have to sign in") {
				t.Errorf("got %v, want ok %v", err, test.ok)
			}
		})
	}
}

// The hash of a password is taken as it is spelled: its dollar signs begin no variable. It may also be written with
// dollar signs in pairs, as every other value.
func TestPasswordHashIsTakenAsSpelled(t *testing.T) {
	for _, spelled := range []string{
		passwordHash,
		strings.ReplaceAll(passwordHash, "$", "$$"),
		"${BO_PASSWORD}",
	} {
		users := fmt.Sprintf("console: { users: [ { name: ana, role: viewer, password: %q } ] }\n", spelled)
		c, err := config.Parse("t", []byte(minimal+users), environment(keys))
		if err != nil || c.Console.Users[0].Password.Reveal() != passwordHash {
			t.Errorf("%s: %v", spelled, err)
		}
	}
}

// No problem shows a password or a token that somebody put where its hash belongs.
func TestProblemsDoNotQuoteSecrets(t *testing.T) {
	for _, setting := range []string{
		"users: [ { name: ana, role: viewer, password: canary-password } ]",
		"tokens: [ { name: ci, role: viewer, hash: canary-token } ]",
	} {
		_, err := config.Parse("t", []byte(minimal+"console: { "+setting+" }\n"), environment(keys))
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want a problem that does not quote the value", setting, err)
		}
	}
}

// Commands that need the database alone run without the secrets of the console.
func TestWithoutSecretsTheConsoleIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termed.yaml")
	text := minimal + `console: { users: [ { name: ana, role: viewer, password: "${NOT_SET}" } ],
  tokens: [ { name: ci, role: viewer, hash: "${NOT_SET}" } ] }`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.LoadWithoutSecrets(path, environment(keys)); err != nil {
		t.Error(err)
	}
}

// Two listeners on one address would both be accepted here, and only one could be opened.
func TestListenersNeedDifferentPorts(t *testing.T) {
	const problem = "t:%s: listen (%s) and console.listen (%s) need the same port; give each its own"
	tests := []struct {
		listen, console string
		at              string // "" for no problem
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", "5:20"},
		{":8080", "127.0.0.1:8080", "5:20"},
		{"10.0.0.1:8080", "0.0.0.0:8080", "5:20"},
		{"[::]:8080", "10.0.0.1:8080", "5:20"},
		{"localhost:8080", "127.0.0.1:8080", "5:20"},
		{"10.0.0.1:8080", "127.0.0.1:8080", ""},
		{"127.0.0.1:0", "127.0.0.1:0", ""},
		{":8080", ":8081", ""},
	}
	for _, test := range tests {
		t.Run(test.listen+" "+test.console, func(t *testing.T) {
			text := fmt.Sprintf("%slisten: %q\nconsole: { listen: %q, %s }\n", minimal, test.listen, test.console, signIn)
			_, err := config.Parse("t", []byte(text), environment(keys))
			want := "<nil>"
			if test.at != "" {
				want = fmt.Sprintf(problem, test.at, test.listen, test.console)
			}
			if got := fmt.Sprint(err); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	_, err := config.Parse("t", []byte(minimal+"listen: :8081\n"), environment(keys))
	if want := fmt.Sprintf(problem, "4:9", ":8081", "127.0.0.1:8081"); fmt.Sprint(err) != want {
		t.Errorf("the default of console.listen: got %v, want %s", err, want)
	}
}

// Editors on Windows write a byte order mark in front of a text.
func TestByteOrderMarkIsSkipped(t *testing.T) {
	if _, err := config.Parse("t", []byte("\ufeff"+minimal[1:]), environment(keys)); err != nil {
		t.Errorf("with a byte order mark: %v", err)
	}
}

// Without an environment, what depends on a variable is not checked, and everything else is.
func TestWithoutEnvironment(t *testing.T) {
	const text = `
listen: ${LISTEN}
database: postgres://termed:${DB_PASSWORD}@db/termed
migrate: ${MIGRATE:-manual}
keep_events: ${KEEP}
ordergroove: { api_key: "${KEY}", webhook_keys: [ "${HOOK}" ], requests_per_minute: "${RATE}" }
notifications:
  endpoints:
    - { url: "${URL}", secrets: [ "${HOOK}" ], types: [ "${TYPE}" ] }
terms: [ { name: Gift, skus: [A], shipments: 3 } ]
`
	c, err := config.Parse("t", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"DB_PASSWORD", "HOOK", "KEEP", "KEY", "LISTEN", "RATE", "TYPE", "URL"}
	if diff := cmp.Diff(want, c.Unchecked); diff != "" {
		t.Errorf("unchecked (-want +got):\n%s", diff)
	}
	if c.Migrate != "manual" || c.KeepEvents != 720*time.Hour || c.Notifications.Endpoints[0].Name != "${URL}" {
		t.Errorf("config = %+v", c)
	}
	_, err = config.Parse("t", []byte(text+"migrat: auto\nreconcile: { every: '${EVERY:-often}' }\n"), nil)
	if problems, ok := errors.AsType[config.Problems](err); !ok || len(problems) != 2 {
		t.Errorf("mistakes without an environment: %v, want two", err)
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
		{
			"an empty variable is not set",
			map[string]string{"ORDERGROOVE_API_KEY_FILE": path, "ORDERGROOVE_API_KEY": ""},
			"from-file",
		},
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

// A variable is one value, whatever it contains: it adds no line and is expanded once.
func TestVariablesDoNotInject(t *testing.T) {
	variables := map[string]string{"ORDERGROOVE_API_KEY": "a\nlisten: x ${HOME} $$"}
	c, err := config.Parse("t", []byte(minimal), environment(variables))
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
	key := c.Ordergroove.APIKey
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "config", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "config", c)
	for _, shown := range []string{
		fmt.Sprint(c),
		fmt.Sprintf("%v %+v %#v", c, c, c),
		fmt.Sprintf("%s %q %x %d", key, key, key, key),
		string(asJSON),
		log.String(),
	} {
		if strings.Contains(shown, "canary") || strings.Contains(shown, "63616e617279") {
			t.Errorf("the secret is visible: %s", shown)
		}
	}
}

// The YAML of docs/adjustments.md is a part of a configuration that is accepted.
func TestAdjustmentsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/adjustments.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	sample, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page has no YAML")
	}
	sample += `ordergroove: { api_key: k, webhook_keys: [ "k-12345678" ] }`
	c, err := config.Parse("t", []byte(sample), environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Terms[0].Adjustments) != 2 || c.DiscountCodes["SAVE20"].Value != "20.00" || c.Timezone != "America/New_York" {
		t.Errorf("got %+v", c)
	}
}
