package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// performance is the page that -write writes.
const performance = "docs/performance.md"

const introduction = `# Performance

What the built binary does, as a user gets it: over HTTP, in its default configuration, with everything stored and
synced before it is answered. A program in the repository offers the load from the same machine, so that it takes part
of the processors. A reference is the least that a receiver must do (verify, parse, store, answer), without limits,
states or safeguards; its source is cmd/bench/reference.go. Figures of one table come from one run.

    make bench-process     # writes this page
    make bench             # the parts: verify, parse, decide, merge, store
`

const ending = `
## Where the time goes

With ` + "`console: { profiles: true }`" + ` operators may read profiles of the running process, as ` +
	"`go tool pprof`" + ` expects them:

    go tool pprof -top http://127.0.0.1:8081/debug/pprof/profile?seconds=10

A profile tells how much time which function takes. It holds no body, no ID and no key.
`

// page gathers what was measured.
type page struct {
	sections []*table
}

// table is a section of the page.
type table struct {
	title string
	note  string
	rows  [][]string
}

// section begins a table. Its rows are printed as they come.
func (p *page) section(title, note string, columns ...string) *table {
	t := &table{title: title, note: note}
	p.sections = append(p.sections, t)
	fmt.Printf("\n%s\n", title)
	t.add(columns...)
	return t
}

func (t *table) add(cells ...string) {
	t.rows = append(t.rows, cells)
	fmt.Println(strings.Join(cells, " | "))
}

// write writes the page.
func (p *page) write(ctx context.Context) error {
	var text bytes.Buffer
	text.WriteString(introduction)
	fmt.Fprintf(&text, "\nMeasured on %s: %s, commit %s, by `go run ./cmd/bench %s`.\n",
		time.Now().UTC().Format(time.DateOnly), machine(), commit(ctx), strings.Join(os.Args[1:], " "))
	for _, t := range p.sections {
		fmt.Fprintf(&text, "\n## %s\n\n%s\n", t.title, t.note)
		for i, row := range t.rows {
			if i == 1 {
				text.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
			}
			text.WriteString("| " + strings.Join(row, " | ") + " |\n")
		}
	}
	text.WriteString(ending)
	return os.WriteFile(performance, text.Bytes(), 0o644)
}

// machine describes where it was measured, and names nothing.
func machine() string {
	model := runtime.GOARCH
	info, _ := os.ReadFile("/proc/cpuinfo") // another system has none
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d processors (%s), %s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.Version())
}

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func megabytes(n int64) string {
	return fmt.Sprintf("%d MB", n>>20)
}
