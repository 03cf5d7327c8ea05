package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/termed/termed/config"
)

// validate checks a file as an editor does. Editors read a number as a number, whatever termed makes of it.
func validate(t *testing.T, file []byte) error {
	t.Helper()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("termed.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("termed.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	inJSON, err := yaml.YAMLToJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(inJSON))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(value)
}

// commented are the settings that the starter file only shows.
var commented = regexp.MustCompile(`(?m)^( {0,6})# ( *(?:[a-z_]+:|- ))`)

// What termed init writes, and what it shows in comments, is right by the schema and by the reader.
func TestStarterFitsTheSchema(t *testing.T) {
	if err := validate(t, config.Starter); err != nil {
		t.Error(err)
	}
	everything := commented.ReplaceAll(config.Starter, []byte("$1$2"))
	if err := validate(t, everything); err != nil {
		t.Errorf("with what it shows in comments: %v\n%s", err, everything)
	}
}

// The files of the documents that the reader accepts fit the schema, and each mistake is found by an editor, too.
func TestSchema(t *testing.T) {
	const right = `
ordergroove: { api_key: "${KEY}", webhook_keys: [ "${WEBHOOK_KEY}" ], requests_per_minute: "${RATE:-5400}" }
keep_events: 4d12h
reconcile: { every: off }
webhook: { max_gap: learned }
console: { profiles: true, actions: [cancel] }
discount_codes: { GIFT: { percentage: 20, active: false } }
terms:
  - { name: 7, skus: [123, GIFT], shipments: 3, on_complete: { swap: { sku: COFFEE } }, set: { gift: true } }
  - name: Other
    skus: [OTHER]
    shipments: 2
    on_complete: renew
    adjustments: [ { shipment: 2, action: { type: SKIP_ORDER, input: { reason: away } } } ]
`
	if _, err := config.Parse("termed.yaml", []byte(right), nil); err != nil {
		t.Fatal(err)
	}
	if err := validate(t, []byte(right)); err != nil {
		t.Error(err)
	}
	for _, mistake := range [][2]string{
		{"keep_events: 4d12h", "keep_event: 1d12h"},
		{"keep_events: 4d12h", "keep_events: often"},
		{"every: off", "every: never"},
		{"profiles: true", "profiles: perhaps"},
		{"actions: [cancel]", "actions: [cancle]"},
		{"actions: [cancel]", "users: [ { name: ana, role: boss, password: x } ]"},
		{"shipments: 3, ", ""},
		{"shipments: 3", "shipments: 0"},
		{"shipments: 3", "shipments: three"},
		{"on_complete: renew", "on_complete: end"},
		{"skus: [OTHER]", "skus: OTHER"},
		{"type: SKIP_ORDER", "type: SKIP"},
		{"percentage: 20", "percent: 20"},
		{`api_key: "${KEY}", `, ""},
		{"{ sku: COFFEE }", "{ product: COFFEE }"},
	} {
		wrong := strings.Replace(right, mistake[0], mistake[1], 1)
		if wrong == right {
			t.Fatalf("%q is not in the file", mistake[0])
		}
		if _, err := config.Parse("termed.yaml", []byte(wrong), nil); err == nil {
			t.Errorf("the reader accepts %q", mistake[1])
		}
		if err := validate(t, []byte(wrong)); err == nil {
			t.Errorf("the schema accepts %q", mistake[1])
		}
	}
}

// Every setting has a description, and every description a setting.
func TestSettingsAreDescribed(t *testing.T) {
	var paths []string
	for _, s := range config.Settings() {
		paths = append(paths, s.Path)
		if s.Description == "" {
			t.Errorf("%s has no description", s.Path)
		}
	}
	for _, path := range config.Described() {
		if !slices.Contains(paths, path) {
			t.Errorf("%s is described, and is no setting", path)
		}
	}
}

var settingsTable = regexp.MustCompile(`(?s)\| setting \| default \| what it is \|\n\|---\|---\|---\|\n(.*?)\n\n`)

// docs/configuration.md lists the settings as the reader has them. With TERMED_UPDATE=1 the list is written.
func TestConfigurationPage(t *testing.T) {
	page := filepath.Join("..", "docs", "configuration.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	at := settingsTable.FindSubmatchIndex(text)
	if at == nil {
		t.Fatal("docs/configuration.md has no table of settings")
	}
	var rows []string
	for _, s := range config.Settings() {
		rows = append(rows, row(s))
	}
	want, got := strings.Join(rows, "\n"), string(text[at[2]:at[3]])
	if os.Getenv("TERMED_UPDATE") != "" {
		updated := slices.Concat(text[:at[2]], []byte(want), text[at[3]:])
		if err := os.WriteFile(page, updated, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/configuration.md is out of step; TERMED_UPDATE=1 go test ./config writes it (-reader +page):\n%s",
			diff)
	}
}

func row(s config.Setting) string {
	value := "none"
	switch {
	case s.IsSection && !s.Required:
		value = ""
	case s.Default != "":
		value = "`" + s.Default + "`"
	case s.Required:
		value = "required"
	}
	what := s.Description
	if len(s.Choices) > 1 && s.Choices[0] != "true" {
		what += "; one of `" + strings.Join(s.Choices, "`, `") + "`"
	}
	return "| `" + s.Path + "` | " + value + " | " + strings.ReplaceAll(what, "|", `\|`) + " |"
}
