package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dop251/goja"

	"github.com/termed/termed/counter"
)

// checkYAML runs `termed check` on a configuration and returns what it prints.
func checkYAML(t *testing.T, yaml string, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "termed.yaml")
	text := "ordergroove: { api_key: k, webhook_keys: [long-enough] }\n" + yaml
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runHere(t.Context(), append([]string{"check", "--config", path}, flags...), "http://127.0.0.1")
	if err != nil {
		t.Fatalf("%s: %v\n%s", yaml, err, out)
	}
	return out
}

// settingRow is a row of the table of docs/terms.md: setting, default or not, value, sentence.
var settingRow = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w*) ?\\| `(.+?)` \\| (.+) \\|$")

// docs/terms.md and `termed check --verbose` say the same, sentence for sentence: check prints the sentence of each row
// when its setting is used, both have the sentences of every term, and the defaults agree. Without --verbose, check
// prints the sentences that are not the default's, and no other.
func TestTermsPageMatchesCheck(t *testing.T) {
	text, err := os.ReadFile("../../docs/terms.md")
	if err != nil {
		t.Fatal(err)
	}
	check := func(setting string, flags ...string) string {
		t.Helper()
		return checkYAML(t, fmt.Sprintf("terms:\n  - { name: T, skus: [A], shipments: 3%s }\n", setting), flags...)
	}
	plain := check("", "--verbose")
	shown := map[string]bool{}
	for _, row := range settingRow.FindAllStringSubmatch(string(text), -1) {
		setting, value := row[1], row[3]
		isDefault, sentence := row[2] == "yes", row[4]
		shown[setting] = true
		line := "\n  " + sentence + "\n"
		if !strings.Contains(check(", "+setting+": "+value, "--verbose"), line) {
			t.Errorf("%s: %s: termed check --verbose does not say %q", setting, value, sentence)
		}
		if strings.Contains(check(", "+setting+": "+value), line) == isDefault {
			t.Errorf("%s: %s: termed check prints %q: %v, want what is no default only", setting, value, sentence, isDefault)
		}
		if strings.Contains(plain, line) != isDefault {
			t.Errorf("%s: %s: the page says that it is the default: %v", setting, value, isDefault)
		}
	}
	term := counter.Term{Name: "T", Shipments: 3, Set: map[string]string{"gift": `"true"`}}
	for _, rule := range term.Rules() {
		if !shown[rule.Setting] {
			t.Errorf("the page has no row for %s: %s", rule.Setting, rule.Sentence)
		}
	}
	for _, rule := range counter.EveryTerm {
		if !strings.Contains(string(text), " "+rule.Sentence+" |") || !strings.Contains(plain, "\n  "+rule.Sentence+"\n") {
			t.Errorf("the page and termed check do not both say %q", rule.Sentence)
		}
	}
}

// The snippet of docs/storefront.md runs as it is shown, on what termed writes, and its configuration is correct.
func TestStorefrontPageSnippetRuns(t *testing.T) {
	text, err := os.ReadFile("../../docs/storefront.md")
	if err != nil {
		t.Fatal(err)
	}
	out := checkYAML(t, string(yamlBlock.FindSubmatch(text)[1]))
	for _, want := range []string{"extra_data for themes: term_made, the shipments made", `"gift": "true"`} {
		if !strings.Contains(out, want) {
			t.Fatalf("termed check does not say %q:\n%s", want, out)
		}
	}
	snippet := regexp.MustCompile("(?s)```js\n(.*?)```").FindSubmatch(text)
	js := goja.New()
	if _, err := js.RunString(string(snippet[1])); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		subscription string
		label        string
		reactivate   bool
	}{
		{
			subscription: `{live: true, extra_data: {fulfillment_counter: "3", termed: "true", ` +
				`term_total: "6", term_made: "3"}}`,
			label: "3 of 6",
		},
		{`{live: true, extra_data: '{"termed":"true","term_total":"6","term_made":"3"}'}`, "3 of 6", false},
		{
			subscription: `{live: true, extra_data: {termed: "true", ` +
				`term_total: "6", term_made: "5", term_last: "true"}}`,
			label: "5 of 6: your next box is the last",
		},
		{
			subscription: `{live: false, extra_data: {termed: "true", ` +
				`term_total: "6", term_made: "6", term_last: "true", hide: true}}`,
			label: "6 of 6: complete",
		},
		{`{live: false, extra_data: {termed: "true", term_total: "6", term_made: "2"}}`, "2 of 6: canceled", true},
		{`{live: true, extra_data: {termed: "true"}}`, "", false},
		{`{live: true, extra_data: null}`, "", false},
		{`{live: false, extra_data: ""}`, "", true},
		{`{live: false, extra_data: "no JSON"}`, "", true},
		{`{live: true, extra_data: "null"}`, "", false},
	}
	for _, test := range tests {
		got, err := js.RunString("[termLabel(" + test.subscription + "), mayReactivate(" + test.subscription + ")]")
		if err != nil {
			t.Fatalf("%s: %v", test.subscription, err)
		}
		if want := []any{test.label, test.reactivate}; !slices.Equal(got.Export().([]any), want) {
			t.Errorf("%s: %v, want %v", test.subscription, got.Export(), want)
		}
	}
}

// An endpoint can ask for every type of notification.
func TestCheckAcceptsEveryNotificationType(t *testing.T) {
	types := strings.Join(counter.NotificationTypes, ", ")
	out := checkYAML(t, fmt.Sprintf(`
terms: [ { name: T, skus: [A], shipments: 3 } ]
notifications: { endpoints: [ { url: "https://example.com/", secrets: [ "%s" ], types: [ %s ] } ] }
`, notificationSecret, types))
	if !strings.Contains(out, "notifications to example.com: "+types+", signed with 1 secret") {
		t.Error(out)
	}
}
