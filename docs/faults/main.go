// Command faults writes docs/faults.md from a test run: a line for each fault that a test names, and a line for each
// safeguard, removed in turn, with the test that turned red. `make faults` runs it.
//
// A test names a fault by logging "FAULT | what goes wrong | which invariants hold".
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
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
| I4 | at most one effective cancel a term, never before zero; a stale retry never cancels what somebody else has reactivated |
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

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "faults: "+err.Error())
		os.Exit(1)
	}
}

func run() error {
	var page strings.Builder
	page.WriteString(head)
	rows, err := matrix()
	if err != nil {
		return err
	}
	for _, r := range rows {
		fmt.Fprintf(&page, "| %s | %s | %s | `%s` |\n", r.fault, r.invariants, r.result, r.test)
	}
	page.WriteString(middle)
	var survived error
	for _, s := range safeguards {
		test, err := s.remove()
		if err != nil {
			survived = errors.Join(survived, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, test)
		fmt.Fprintf(&page, "| %s | `%s` | `%s` |\n", s.name, s.file, test)
	}
	if survived != nil {
		return survived
	}
	return os.WriteFile("docs/faults.md", []byte(page.String()), 0o644)
}

// row is one fault of the matrix.
type row struct {
	fault, invariants, result, test string
}

// matrix runs the tests and gathers the faults that they name.
func matrix() ([]row, error) {
	command := exec.Command("go", "test", "-json", "-count=1", "./...")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	var rows []row
	results, said := map[string]string{}, map[string]string{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		switch e.Action {
		case "pass", "fail", "skip":
			results[e.Package+e.Test] = e.Action
			if e.Action == "fail" {
				fmt.Fprint(os.Stderr, said[e.Package+e.Test])
			}
		case "output":
			said[e.Package+e.Test] += e.Output
			if _, text, ok := strings.Cut(e.Output, "FAULT | "); ok {
				fault, invariants, _ := strings.Cut(strings.TrimSpace(text), " | ")
				rows = append(rows, row{fault, invariants, e.Package, e.Test})
			}
		}
	}
	if err := errors.Join(lines.Err(), command.Wait()); err != nil {
		return nil, fmt.Errorf("running the tests: %w", err)
	}
	for i := range rows {
		rows[i].result = results[rows[i].result+rows[i].test]
		if rows[i].result != "pass" {
			return nil, fmt.Errorf("%s: %s", rows[i].test, rows[i].result)
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.test, b.test), cmp.Compare(a.fault, b.fault)) })
	return slices.Compact(rows), nil
}
