package main

import (
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

    make bench-process     # measures everything, and writes this page
    make bench             # the parts: verify, parse, decide, merge, store

Below each table it says when, where and by which command it was measured, and whether it meets the project's goals.
`

const ending = endOfMeasured + `
## Where a goal is missed

**Receiving at 0.95 of the reference, with 1.15 times its CPU.** What termed does in addition to the reference: five
index entries for a delivery instead of two, a second look at the head of the event (strict JSON, no key twice), a
limit on the memory of all bodies, counters, and a check of the header before the body is read. A profile of the
receiver on SQLite: 28% are system calls of the network, 32% the commit (12% of all are the inserts), 25% the handler,
9% the head of the event. Without the indexes that lists of events read it reaches 0.99: the lists of the console and
of ` + "`termed events list`" + ` would then have to be filled later, from events that were stored already.
On PostgreSQL the receiver's own time is 25% writing (14% the insert, 8% begin and commit, each a round trip), 21% the
handler (5% the head, 4% the signature), 15% garbage collection, and the network for the most of the rest; the index
entries are the server's work, which takes its part of the same two processors.

**As fast with years of data.** Every statement reads what it needs by an index, and a test checks that. What a large
shop still pays: its rows lie apart in a file of some gigabytes, half a millisecond for a page of fifty subscriptions;
and ` + "`/metrics`" + ` counts the subscriptions that need attention and the dead events, of which that shop has fifty
thousand each. Its deliveries are measured minutes after those of the small one; the table that measures a full and an
empty database in turn is the one to compare them by.

**Deliveries while workers are busy, 99 of 100 within 25 ms.** Two processors run the sender, the receiver and the
workers. Where the receiver alone reaches hardly more than 10,000 deliveries a second, as on another machine that was
measured, the burst is all that it can do: none was lost, and the p99 was 258 ms. What it would take there is
processors of its own, or workers that step aside while deliveries arrive.

**At most 2.3 calls a shipment.** A shipment costs one GET and one PATCH. A subscription costs three calls more: GET
and PATCH when it starts, and the cancel when it ends. The terms of this load have three shipments on average, so that
these three calls are one call a shipment: 3.0 in all, and less only where news of two shipments shares a sync, which
happens on a machine that is behind. Terms of more than ten shipments are below 2.3.

## Where the time goes

With ` + "`console: { profiles: true }`" + ` operators may read profiles of the running process, as ` +
	"`go tool pprof`" + ` expects them:

    go tool pprof -top http://127.0.0.1:8081/debug/pprof/profile?seconds=10

A profile tells how much time which function takes. It holds no body, no ID and no key.
`

// endOfMeasured ends what was measured in the page.
const endOfMeasured = "\n<!-- the end of what was measured -->\n"

// page gathers what was measured, by part.
type page struct {
	part   string // that is being measured
	tables map[string][]*table
	commit string // that is measured
}

// table is a section of the page.
type table struct {
	title string
	note  string
	rows  [][]string
	goals []string
}

// goal says below the table whether a goal is met.
func (t *table) goal(met bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...) + ": met"
	if !met {
		text = fmt.Sprintf(format, args...) + ": **missed**, see [below](#where-a-goal-is-missed)"
	}
	t.goals = append(t.goals, text)
	fmt.Println(text)
}

// section begins a table. Its rows are printed as they come.
func (p *page) section(title, note string, columns ...string) *table {
	t := &table{title: title, note: note}
	if p.tables == nil {
		p.tables = map[string][]*table{}
	}
	p.tables[p.part] = append(p.tables[p.part], t)
	fmt.Printf("\n%s\n", title)
	t.add(columns...)
	return t
}

func (t *table) add(cells ...string) {
	t.rows = append(t.rows, cells)
	fmt.Println(strings.Join(cells, " | "))
}

// write writes the page. What was not measured this time stays as it is there.
func (p *page) write() error {
	old, err := os.ReadFile(performance)
	if err != nil {
		return err
	}
	measured := fmt.Sprintf("Measured on %s: %s, commit %s, by `go run ./cmd/bench %s`.",
		time.Now().UTC().Format(time.DateOnly), machine(), p.commit, strings.Join(os.Args[1:], " "))
	var text strings.Builder
	text.WriteString(introduction)
	for _, part := range parts {
		marker := "\n<!-- " + part.name + " -->\n"
		if p.tables[part.name] == nil {
			_, before, found := strings.Cut(string(old), marker)
			before, _, _ = strings.Cut(before, "\n<!-- ")
			if found {
				text.WriteString(marker + before)
			}
			continue
		}
		text.WriteString(marker)
		for _, t := range p.tables[part.name] {
			text.WriteString(t.markdown())
		}
		text.WriteString("\n" + measured + "\n")
	}
	text.WriteString(ending)
	return os.WriteFile(performance, []byte(text.String()), 0o644)
}

func (t *table) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n## %s\n\n", t.title)
	if t.note != "" {
		text.WriteString(t.note + "\n")
	}
	for i, row := range t.rows {
		if i == 1 {
			text.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
		text.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	for i, goal := range t.goals {
		if i == 0 {
			text.WriteString("\n")
		}
		text.WriteString("- " + goal + "\n")
	}
	return text.String()
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
