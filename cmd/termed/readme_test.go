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

	"github.com/termed/termed/ordergroove/sim"
)

var (
	consoleBlock = regexp.MustCompile("(?s)```console\n\\$ go run ./cmd/termed ([^\n]*)\n(.*?)```")
	yamlBlock    = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	clock        = regexp.MustCompile(`(?m)^ *\d+\.\d\ds`)
	atOnce       = regexp.MustCompile(`^0s +(GET|PATCH|webhook) `)
	link         = regexp.MustCompile(`\]\(([^)#:]+)\)`)
)

// README and the documents beside it show what the commands print: each is run here, `check` on the configuration that
// the same document shows.
func TestReadmeShowsRealOutput(t *testing.T) {
	h := newHarness(t.TempDir(), sim.Options{})
	defer h.close()
	if err := os.WriteFile(filepath.Join(h.dir, "termed.yaml"), []byte(loadConfigYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.serve(); err != nil {
		t.Fatal(err)
	}
	t.Chdir("../..")
	for document, command := range map[string]string{
		"README.md":             "demo",
		"docs/configuration.md": "check",
		"CONTRIBUTING.md":       "replay",
	} {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		blocks := consoleBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) != 1 || !strings.HasPrefix(blocks[0][1], command) {
			t.Errorf("%s shows %d commands, want one, %s", document, len(blocks), command)
		}
		shown := shownConfig(t, h.dir, text)
		for _, block := range blocks {
			line, want := block[1], block[2]
			t.Run(line, func(t *testing.T) {
				args := strings.Fields(line)
				switch args[0] {
				case "check":
					args = append(args, "--config", shown)
				case "replay":
					args = append(args, "--url", h.webhookURL)
				}
				got := runReadmeCommand(t, args)
				if diff := cmp.Diff(timeless(want), timeless(got)); diff != "" {
					t.Errorf("%s shows something else (-document +real):\n%s", document, diff)
				}
			})
		}
	}
}

// shownConfig writes the configuration that a document shows to a file.
func shownConfig(t *testing.T, dir string, document []byte) string {
	t.Helper()
	yaml := yamlBlock.FindSubmatch(document)
	if yaml == nil {
		return ""
	}
	path := filepath.Join(dir, "shown.yaml")
	if err := os.WriteFile(path, yaml[1], 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The short configuration of README is correct, and the counter starts where its comment says.
func TestReadmeConfigurationIsCorrect(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	got := runReadmeCommand(t, []string{"check", "--config", shownConfig(t, t.TempDir(), readme)})
	want := "GIFT-3MO: 3 shipments: 1 at checkout and 2 recurring orders; the counter starts at 2;"
	if !strings.Contains(got, want) {
		t.Errorf("termed check does not say %q:\n%s", want, got)
	}
}

var packageRow = regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\| .* \\| (nothing|`.*`) \\|$")

// The table of packages in README is the table that the imports are compared with.
func TestReadmeListsThePackages(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(readme), "## Packages")
	if !found {
		t.Fatal("README has no packages")
	}
	got := map[string][]string{}
	for _, row := range packageRow.FindAllStringSubmatch(table, -1) {
		got[row[1]] = []string{}
		if row[2] != "nothing" {
			got[row[1]] = strings.Split(strings.ReplaceAll(row[2], "`", ""), ", ")
		}
	}
	if diff := cmp.Diff(arrows, got); diff != "" {
		t.Errorf("README lists other packages or imports (-test +README):\n%s", diff)
	}
}

func runReadmeCommand(t *testing.T, args []string) string {
	t.Helper()
	variables := map[string]string{"ORDERGROOVE_API_KEY": "k", "ORDERGROOVE_WEBHOOK_KEY": canaryWebhookKey}
	var stdout, stderr lockedBuffer
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	err := run(ctx, args, environment{
		lookup: func(name string) (string, bool) { value, ok := variables[name]; return value, ok },
		stdin:  strings.NewReader(""),
		stdout: &stdout,
		stderr: &stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	return stdout.String()
}

// timeless removes what differs from run to run: the times, and which of two things that happen at once comes first:
// two syncs, or a sync and the answer to the webhook that caused it.
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

// The files that the documents link to exist.
func TestLinksPointToFiles(t *testing.T) {
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, "../../README.md", "../../CONTRIBUTING.md", "../../testdata/script/README.md")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), l[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, l[1], err)
			}
		}
	}
}

var (
	transcript = regexp.MustCompile("(?s)```console\n(\\$ termed .*?)```")
	publicID   = regexp.MustCompile(`[0-9a-f]{30}([0-9a-f]{2})`)
	took       = regexp.MustCompile(`\d+ API calls, \d+\.\d s`) // a running service makes some of the calls
)

// docs/switching.md shows what the commands print, for a shop whose own application has kept the counters so far: the
// first transcript before termed is started, the second after.
func TestSwitchingShowsRealOutput(t *testing.T) {
	text, err := os.ReadFile("../../docs/switching.md")
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t.TempDir(), sim.Options{})
	defer h.close()
	yaml := strings.Replace(loadConfigYAML, "- { name: Gift,", "- { name: Three-month gift,", 1)
	if err := os.WriteFile(filepath.Join(h.dir, "termed.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	h.ahead.Store(-int64(48 * time.Hour)) // they run for a while
	for i, extra := range []string{
		`{"fulfillment_counter":"4","termed":"true"}`,
		`{"fulfillment_counter":"5","termed":"true"}`,
		`{"fulfillment_counter":"two"}`,
		``,
	} {
		sub, err := h.sim.Subscribe(sim.NewSubscription{
			Customer:  canaryName,
			Product:   "SIX",
			ExtraData: []byte(extra),
			Silent:    true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if i != 2 {
			if _, err := h.sim.Place([]string{sub.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.sim.Take()
	h.ahead.Store(0)
	blocks := transcript.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/switching.md shows %d transcripts, want one of before and one of after", len(blocks))
	}
	for i, block := range blocks {
		if i == 1 {
			if err := h.serve(); err != nil {
				t.Fatal(err)
			}
		}
		var got strings.Builder
		for line := range strings.Lines(block[1]) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ termed ")
			if !ok {
				continue
			}
			out, _, err := h.termed(t.Context(), append(strings.Fields(command), "--log-level", "error+4")...)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString(line + strings.ReplaceAll(out, h.dir, "/srv/termed"))
		}
		plain := func(s string) string {
			return took.ReplaceAllString(publicID.ReplaceAllString(s, "…$1"), "0 API calls, 0.0 s")
		}
		if diff := cmp.Diff(plain(block[1]), plain(got.String())); diff != "" {
			t.Errorf("docs/switching.md shows something else (-docs +real):\n%s\nreal:\n%s", diff, plain(got.String()))
		}
	}
}
