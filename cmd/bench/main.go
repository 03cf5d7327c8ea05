// Command bench measures the built binary as a user gets it, over HTTP, beside small reference receivers, and prints
// what it measured. With -write it writes docs/performance.md. `make bench-process` runs it.
//
// The load comes from the same machine, and takes part of its processors: figures are for comparisons in one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one run of everything.
type bench struct {
	dir           string // for databases, removed at the end
	program       string // the built termed
	self          string // this program, for the references
	postgres      string // the address of a server; "" leaves PostgreSQL out
	time          time.Duration
	events        int    // how many are stored before growth is measured
	subscriptions int    // how many a full reconcile compares
	profile       string // a file for a profile of termed while it receives; "": none
	page          page
}

// parts are what can be measured, in the order of the page.
var parts = []struct {
	name    string
	measure func(*bench, context.Context) error
}{
	{"sqlite", (*bench).receiveSQLite},
	{"postgres", (*bench).receivePostgres},
	{"growth", (*bench).growth},
	{"flood", (*bench).flood},
	{"burst", (*bench).burst},
	{"backlog", (*bench).backlog},
	{"calls", (*bench).callsPerShipment},
	{"reconcile", (*bench).reconcileLarge},
	{"years", (*bench).years},
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "reference" {
		exit(serveReference(context.Background(), os.Args[2], os.Args[3] == "together"))
	}
	b := &bench{}
	flag.StringVar(&b.postgres, "postgres", os.Getenv("TERMED_TEST_POSTGRES"),
		"address of a PostgreSQL server; empty: none")
	flag.DurationVar(&b.time, "time", 10*time.Second, "how long each load lasts")
	flag.IntVar(&b.events, "events", 5_000_000, "how many events are stored when growth is measured")
	flag.IntVar(&b.subscriptions, "subscriptions", 1_000_000, "how many subscriptions a large shop has")
	flag.StringVar(&b.profile, "profile", "", "write a profile of termed while it receives to this file")
	only := flag.String("only", "", "names of what to measure, with commas; empty: all of "+names())
	write := flag.Bool("write", false, "write docs/performance.md")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(b.run(ctx, *only, *write))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

func names() string {
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	return strings.Join(all, ",")
}

func (b *bench) run(ctx context.Context, only string, write bool) (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "termed-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.program = filepath.Join(b.dir, "termed")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.program, "./cmd/termed")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building termed: %w\n%s", err, said)
	}
	b.page.commit = commit(ctx) // before the page is written, which is a change
	for _, p := range parts {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		b.page.part = p.name
		if err := p.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if !write {
			continue
		}
		if err := b.page.write(); err != nil { // after each part: the next may take long, and fail
			return err
		}
	}
	return nil
}
