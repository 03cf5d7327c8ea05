package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ogsim"
)

var (
	consoleBlock = regexp.MustCompile("(?s)```console\n\\$ go run ./cmd/termed ([^\n]*)\n(.*?)```")
	yamlBlock    = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	clock        = regexp.MustCompile(`(?m)^ *\d+\.\d\ds`)
	atOnce       = regexp.MustCompile(`^0s +(GET|PATCH|webhook) `)
	link         = regexp.MustCompile(`\]\(([^)#:]+)\)`)
)

// What README shows is what the commands print: each is run here, on the configuration that README shows.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t.TempDir(), ogsim.Options{})
	defer w.close()
	yaml := yamlBlock.FindSubmatch(readme)
	if yaml == nil {
		t.Fatal("README shows no configuration")
	}
	shown := filepath.Join(w.dir, "shown.yaml")
	if err := os.WriteFile(shown, yaml[1], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "termed.yaml"), []byte(loadConfigYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.serve(); err != nil {
		t.Fatal(err)
	}
	blocks := consoleBlock.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 3 {
		t.Fatalf("README shows %d commands, want demo, check and replay", len(blocks))
	}
	t.Chdir("../..")
	for _, block := range blocks {
		line, want := block[1], block[2]
		t.Run(line, func(t *testing.T) {
			args := strings.Fields(line)
			switch args[0] {
			case "check":
				args = append(args, "--config", shown)
			case "replay":
				args = append(args, "--url", w.door)
			}
			var out, faults lockedBuffer
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			environment := environment{lookup: func(name string) (string, bool) {
				value, ok := map[string]string{"ORDERGROOVE_API_KEY": "k", "ORDERGROOVE_WEBHOOK_KEY": canaryWebhookKey}[name]
				return value, ok
			}, stdin: strings.NewReader(""), stdout: &out, stderr: &faults}
			if err := run(ctx, args, environment); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(timeless(want), timeless(out.String())); diff != "" {
				t.Errorf("README shows something else (-README +real):\n%s", diff)
			}
		})
	}
}

// timeless takes away what differs from run to run: the times, and which of two things that happen at once comes first: two looks,
// or a look and the answer to the webhook that it is about.
func timeless(s string) string {
	lines := strings.Split(strings.TrimSpace(clock.ReplaceAllString(s, "0s")), "\n")
	for from := 0; from < len(lines); from++ {
		to := from
		for to < len(lines) && atOnce.MatchString(lines[to]) {
			to++
		}
		slices.Sort(lines[from:to])
		from = max(from, to-1)
	}
	return strings.Join(lines, "\n")
}

// The files that the documents point to are there.
func TestLinks(t *testing.T) {
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "docs/operations.md", "docs/switching.md", "docs/terms.md", "docs/storefront.md", "docs/notices.md", "testdata/script/README.md"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(name), l[1])); err != nil {
				t.Errorf("%s points to %s: %v", name, l[1], err)
			}
		}
	}
}

// The demo finds what is not as it must be.
func TestDemoFindsFaults(t *testing.T) {
	var out lockedBuffer
	told := newTimeline(&out)
	stage, err := newStage(t.Context(), filepath.Join(t.TempDir(), "demo.db"), told)
	if err != nil {
		t.Fatal(err)
	}
	defer stage.close()
	s := &story{stage: stage, told: told}
	if err := s.gift(t.Context()); err != nil {
		t.Fatal(err)
	}
	env := environment{stdout: &out}
	if faults, err := stage.outcome(t.Context(), s.cast, env); err != nil || len(faults) > 0 {
		t.Fatalf("outcome = %v, %v; want no fault yet", faults, err)
	}
	if err := stage.sim.Edit(s.cast[0].id, []byte(`{"fulfillment_counter":"1"}`)); err != nil {
		t.Fatal(err)
	}
	faults, err := stage.outcome(t.Context(), s.cast, env)
	if err != nil || len(faults) == 0 || !strings.Contains(out.String(), "NO") {
		t.Errorf("outcome = %v, %v; want faults\n%s", faults, err, out.String())
	}
}

var (
	transcript = regexp.MustCompile("(?s)```console\n(\\$ termed .*?)```")
	publicID   = regexp.MustCompile(`[0-9a-f]{30}([0-9a-f]{2})`)
	took       = regexp.MustCompile(`\d+ API calls, \d+\.\d s`) // a running service makes some of them
)

// What docs/switching.md shows is what the commands print, in a shop that an application of its own has kept so far: the
// first before termed is started, the others after.
func TestSwitching(t *testing.T) {
	text, err := os.ReadFile("../../docs/switching.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t.TempDir(), ogsim.Options{})
	defer w.close()
	yaml := strings.Replace(loadConfigYAML, "- { name: Gift,", "- { name: Three-month gift,", 1)
	if err := os.WriteFile(filepath.Join(w.dir, "termed.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, extra := range []string{
		`{"fulfillment_counter":"4","termed":"true"}`, `{"fulfillment_counter":"5","termed":"true"}`, `{"fulfillment_counter":"two"}`, ``,
	} {
		sub, err := w.sim.Subscribe(ogsim.NewSubscription{Customer: canaryName, Product: "SIX", ExtraData: []byte(extra), Silent: true})
		if err != nil {
			t.Fatal(err)
		}
		if i != 2 {
			if _, err := w.sim.Place([]string{sub.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.sim.Take()
	blocks := transcript.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/switching.md shows %d transcripts, want that of before and that of after", len(blocks))
	}
	for i, block := range blocks {
		if i == 1 {
			if err := w.serve(); err != nil {
				t.Fatal(err)
			}
		}
		var got strings.Builder
		for line := range strings.Lines(block[1]) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ termed ")
			if !ok {
				continue
			}
			out, _, err := w.termed(t.Context(), append(strings.Fields(command), "--log-level", "error+4")...)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString(line + out)
		}
		plain := func(s string) string {
			return took.ReplaceAllString(publicID.ReplaceAllString(s, "…$1"), "0 API calls, 0.0 s")
		}
		if diff := cmp.Diff(plain(block[1]), plain(got.String())); diff != "" {
			t.Errorf("docs/switching.md shows something else (-docs +real):\n%s\nreal:\n%s", diff, plain(got.String()))
		}
	}
}
