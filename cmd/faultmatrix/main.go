// Command faultmatrix writes docs/faults.md from a test run: a line for each fault that a test names, and a line for
// each safeguard, removed in turn, with the test that failed. `make faults` runs it. With -check it reads the test run
// from its input (go test -json), and compares instead of writing.
//
// A test names a fault by logging "FAULT | what goes wrong | which invariants hold".
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

const head = `# Faults

What the tests make go wrong, and what held. A test run writes this page: ` + "`make faults`" + `.

## Invariants

I1 to I11 hold whenever no work is in progress. I12 and I13 say how long anybody may be wrong until then; what the
throttle, an approval, observe mode or a pause holds back on purpose is not counted, nor what the limit of calls needs.

| | |
|---|---|
| I1 | an event answered with 2xx is never lost |
| I2 | counter = orders due + adjustment − distinct (subscription, order) shipments of the enrollment, never below 0 |
| I3 | keys of ` + "`extra_data`" + ` that termed does not manage are unchanged |
| I4 | at most one effective cancellation per enrollment, one more per blocked reactivation, none above zero |
| I5 | the receiver answers within 5 s |
| I6 | unauthenticated bytes reach no parser, table or log |
| I7 | every event and subscription is settled or has a due time: nothing is stuck |
| I8 | at most one change of a subscription is in flight |
| I9 | API calls stay within the rate limit |
| I10 | replaying anything any number of times changes nothing |
| I11 | memory and disk usage are bounded |
| I12 | isolation: one whose own calls work is right within a minute of its news, whatever befalls others |
| I13 | recovery: after an outage of T all is right within T/10 + 15 s of its end; the breaker adds 10 s at most |
| I14 | an agent's action has one effect, however often it is asked for, and is shown as done, failed or unknown |

## Faults injected

| fault | invariants | result | test |
|---|---|---|---|
`

const middle = `
## The safeguards

Each was removed from the code in turn: the test in the last column passes with it, and fails without it.

| safeguard | removed from | failed without it |
|---|---|---|
`

const page = "docs/faults.md"

func main() {
	check := flag.Bool("check", false, "read the test run from the input, and compare instead of writing")
	input := flag.Bool("input", false, "read the test run from the input, as go test -json prints it, and write")
	flag.Parse()
	if err := run(*check, *check || *input); err != nil {
		fmt.Fprintln(os.Stderr, "faultmatrix: "+err.Error())
		os.Exit(1)
	}
}

func run(check, input bool) error {
	gather := runTests
	if input {
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
	lines, err := withoutAll(context.Background())
	if err != nil {
		return err
	}
	text.WriteString(lines)
	if !check {
		return os.WriteFile(page, []byte(text.String()), 0o644)
	}
	written, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if line, differs := firstDifference(string(written), text.String()); differs {
		return fmt.Errorf("%s differs from this run; write it again with make faults\n%s", page, line)
	}
	fmt.Print(found.summary) // go test's own, once more, as the last word
	return nil
}

// withoutAll removes each safeguard in turn and returns their lines of the page.
func withoutAll(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "safeguards-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	p, err := buildPrograms(ctx, dir, safeguards)
	if err != nil {
		return "", err
	}
	return withoutEach(safeguards, func(s safeguard) (file, test string, err error) { return p.without(ctx, s) })
}

// withoutEach removes each safeguard and returns their lines of the page. More are tried at a time than there are
// processors: some tests wait.
func withoutEach(all []safeguard, remove func(safeguard) (file, test string, err error)) (string, error) {
	lines, failed := make([]string, len(all)), make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0) + 1)
	for i, s := range all {
		group.Go(func() error {
			file, test, err := remove(s)
			if err != nil {
				failed[i] = fmt.Errorf("%s: %w", s.name, err)
				return nil // the others are tried all the same: all that survived are shown at once
			}
			fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, test)
			lines[i] = s.line(file, test)
			return nil
		})
	}
	if err := errors.Join(append(failed, group.Wait())...); err != nil {
		return "", err
	}
	return strings.Join(lines, ""), nil
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(was, is string) (line string, differs bool) {
	before, after := strings.Split(was, "\n"), strings.Split(is, "\n")
	for i := range max(len(before), len(after)) {
		x, y := lineOf(before, i), lineOf(after, i)
		if x != y {
			return fmt.Sprintf("line %d was %q\nand is %q", i+1, x, y), true
		}
	}
	return "", false
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
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
	command := exec.CommandContext(context.Background(), "go", "test", "-json", "-count=1", "./...")
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
			if e.Test == "" &&
				(strings.HasPrefix(e.Output, "ok ") || strings.HasPrefix(e.Output, "FAIL") || strings.HasPrefix(e.Output, "? ")) {
				found.summary += e.Output
				fmt.Print(e.Output)
			}
			if fault, invariants, ok := named(e.Output); ok {
				found.rows = append(found.rows, row{fault, invariants, e.Package, e.Test})
			}
		}
	}
	return found, lines.Err()
}

// sectionTime is what a story adds to the comment that begins a section: how long the section took.
var sectionTime = regexp.MustCompile(` \(\d+\.\d+s\)$`)

// named returns the fault that a line of output names, and which invariants hold.
func named(line string) (fault, invariants string, ok bool) {
	_, text, ok := strings.Cut(line, "FAULT | ")
	text = sectionTime.ReplaceAllString(strings.TrimSpace(text), "")
	fault, invariants, _ = strings.Cut(text, " | ")
	return fault, invariants, ok
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
