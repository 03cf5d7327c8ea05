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

// docs/terms.md and `termed check` say the same, sentence for sentence: each row of its table is put into a file, and checked; what
// check says of every term stands in the page; and no setting that the page lists is unknown, or has another default.
func TestTermsPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/terms.md")
	if err != nil {
		t.Fatal(err)
	}
	check := func(setting string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "termed.yaml")
		yaml := fmt.Sprintf("ordergroove: { api_key: k, webhook_keys: [k] }\nterms:\n  - { name: T, skus: [A], shipments: 3%s }\n", setting)
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := runHere(t.Context(), []string{"check", "--config", path}, "http://127.0.0.1")
		if err != nil {
			t.Fatalf("%s: %v\n%s", setting, err, out)
		}
		return out
	}
	plain := check("")
	shown := map[string]bool{}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w*) ?\\| `(.+?)` \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1)
	for _, row := range rows {
		setting, isDefault, value, sentence := row[1], row[2] == "yes", row[3], row[4]
		shown[setting] = true
		line := "\n  " + sentence + "\n"
		if !strings.Contains(check(", "+setting+": "+value), line) {
			t.Errorf("%s: %s: termed check does not say %q", setting, value, sentence)
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

// The snippet of docs/storefront.md runs as it stands there, on what termed writes, and its configuration is one.
func TestStorefrontPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/storefront.md")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "termed.yaml")
	yaml := "ordergroove: { api_key: k, webhook_keys: [k] }\n" + string(yamlBlock.FindSubmatch(text)[1])
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runHere(t.Context(), []string{"check", "--config", path}, "http://127.0.0.1")
	if err != nil || !strings.Contains(out, "themes find in extra_data: term_made, those made") || !strings.Contains(out, `"gift": "true"`) {
		t.Fatalf("%v\n%s", err, out)
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
		{`{live: true, extra_data: {fulfillment_counter: "3", termed: "true", term_total: "6", term_made: "3"}}`, "3 of 6", false},
		{`{live: true, extra_data: '{"termed":"true","term_total":"6","term_made":"3"}'}`, "3 of 6", false},
		{`{live: true, extra_data: {termed: "true", term_total: "6", term_made: "5", term_last: "true"}}`, "5 of 6: your next box is the last", false},
		{`{live: false, extra_data: {termed: "true", term_total: "6", term_made: "6", term_last: "true", hide: true}}`, "6 of 6: complete", false},
		{`{live: false, extra_data: {termed: "true", term_total: "6", term_made: "2"}}`, "2 of 6: cancelled", true},
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

// Every type of notice can be asked for, and no other.
func TestNoticeTypes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termed.yaml")
	yaml := fmt.Sprintf(`ordergroove: { api_key: k, webhook_keys: [k] }
terms: [ { name: T, skus: [A], shipments: 3 } ]
notices: { endpoints: [ { url: "https://example.com/", secrets: [ "%s" ], types: [ %s ] } ] }
`, noticeSecret, strings.Join(counter.NoticeTypes, ", "))
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runHere(t.Context(), []string{"check", "--config", path}, "http://127.0.0.1")
	if err != nil || !strings.Contains(out, "example.com is told of "+strings.Join(counter.NoticeTypes, ", ")) {
		t.Errorf("%v\n%s", err, out)
	}
}
