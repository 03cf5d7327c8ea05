// Command faults writes docs/faults.md from a test run: a line for each fault that a test names, and a line for each
// safeguard, removed in turn, with the test that turned red. `make faults` runs it. With -check it takes the test run from
// its input (go test -json), and compares instead of writing.
//
// A test names a fault by logging "FAULT | what goes wrong | which invariants hold".
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const head = `# Faults

What was made to go wrong, and what held. This page is written by a test run: ` + "`make faults`" + `.

## Invariants, at rest

| | |
|---|---|
| I1 | an event answered 2xx is never lost |
| I2 | counter = due − distinct (subscription, order) shipments + adopted adjustments |
| I3 | foreign members of ` + "`extra_data`" + ` are unchanged |
| I4 | at most one effective cancel a term, and one a reactivation where the term blocks it, never before zero; a stale retry never cancels what somebody else has reactivated |
| I5 | the door answers within 5 s |
| I6 | unauthenticated bytes reach no parser, table or log |
| I7 | every event and subscription is settled or has a due time: nothing is stuck |
| I8 | at most one change in flight a subscription |
| I9 | calls stay within the limit |
| I10 | replaying anything any number of times changes nothing |
| I11 | memory and disk are bounded |

## The matrix

| fault | invariants | result | test |
|---|---|---|---|
`

const middle = `
## The safeguards

Each was taken out of the code in turn, and the tests run: the last column is the test that turned red.

| safeguard | taken out of | caught by |
|---|---|---|
`

const page = "docs/faults.md"

func main() {
	check := flag.Bool("check", false, "take the test run from the input, and compare instead of writing")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "faults: "+err.Error())
		os.Exit(1)
	}
}

func run(check bool) error {
	gather := runTests
	if check {
		gather = func() (*results, error) { return read(os.Stdin) }
	}
	found, err := gather()
	if err != nil {
		return err
	}
	rows, err := found.matrix()
	if err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString(head)
	for _, r := range rows {
		fmt.Fprintf(&text, "| %s | %s | %s | `%s` |\n", r.fault, r.invariants, r.result, r.test)
	}
	text.WriteString(middle)
	var survived error
	for _, s := range safeguards {
		test, err := s.remove()
		if err != nil {
			survived = errors.Join(survived, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, test)
		fmt.Fprintf(&text, "| %s | `%s` | `%s` |\n", s.name, s.file, test)
	}
	if survived != nil {
		return survived
	}
	if !check {
		return os.WriteFile(page, []byte(text.String()), 0o644)
	}
	written, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if string(written) != text.String() {
		return errors.New(page + " says something else than this run; write it anew with make faults")
	}
	fmt.Print(found.summary) // go test's own, once more, as the last word
	return nil
}

// row is one fault of the matrix.
type row struct {
	fault, invariants, result, test string
}

// results are what a test run said.
type results struct {
	rows    []row             // result holds the package until matrix
	end     map[string]string // pass, fail or skip, by package and test
	summary string            // go test's own lines about packages
}

// runTests runs all tests.
func runTests() (*results, error) {
	command := exec.Command("go", "test", "-json", "-count=1", "./...")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	found, err := read(out)
	return found, errors.Join(err, command.Wait())
}

// read gathers the faults that tests name, and shows the lines about packages, and all that a failed test said.
func read(run io.Reader) (*results, error) {
	found := &results{end: map[string]string{}}
	said := map[string]string{}
	lines := bufio.NewScanner(run)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		switch e.Action {
		case "pass", "fail", "skip":
			found.end[e.Package+e.Test] = e.Action
			if e.Action == "fail" {
				fmt.Print(said[e.Package+e.Test])
			}
		case "output":
			said[e.Package+e.Test] += e.Output
			if e.Test == "" && (strings.HasPrefix(e.Output, "ok ") || strings.HasPrefix(e.Output, "FAIL") || strings.HasPrefix(e.Output, "? ")) {
				found.summary += e.Output
				fmt.Print(e.Output)
			}
			if _, text, ok := strings.Cut(e.Output, "FAULT | "); ok {
				fault, invariants, _ := strings.Cut(strings.TrimSpace(text), " | ")
				found.rows = append(found.rows, row{fault, invariants, e.Package, e.Test})
			}
		}
	}
	return found, lines.Err()
}

// matrix is a row for each fault, with its result; one that did not pass is an error.
func (r *results) matrix() ([]row, error) {
	if len(r.rows) == 0 {
		return nil, errors.New("no test named a fault")
	}
	rows := slices.Clone(r.rows)
	for i := range rows {
		if rows[i].result = r.end[rows[i].result+rows[i].test]; rows[i].result != "pass" {
			return nil, fmt.Errorf("%s: %s", rows[i].test, rows[i].result)
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.test, b.test), cmp.Compare(a.fault, b.fault)) })
	return slices.Compact(rows), nil
}
