package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Each safeguard is marked once, its mutation can be made, and the page names the file it is in: known in a moment, and
// not after all tests have run.
func TestSafeguardsAreMarked(t *testing.T) {
	root := filepath.Join("..", "..")
	written, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := removable(root, safeguards); err != nil {
		t.Error(err)
	}
	for _, s := range safeguards {
		file, err := s.find(root)
		if err != nil {
			t.Errorf("%s: %v", s.id, err)
			continue
		}
		file, err = filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		if line, _, _ := strings.Cut(s.line(file, "TEST"), "`TEST`"); !strings.Contains(string(written), line) {
			t.Errorf("%s has no line %q; write it again with make faults", page, line)
		}
	}
	_, table, _ := strings.Cut(string(written), middle)
	if listed := strings.Count(table, "\n"); listed != len(safeguards) {
		t.Errorf("%s lists %d safeguards, not %d", page, listed, len(safeguards))
	}
}

// The page has the lines of all safeguards, in their order, when the last of them was removed: those that take longest
// too.
func TestWithoutEachWaits(t *testing.T) {
	var all []safeguard
	want := ""
	for i := range 20 {
		all = append(all, safeguard{id: strconv.Itoa(i), name: "number " + strconv.Itoa(i)})
		want += fmt.Sprintf("| number %d | `a.go` | `Test%d` |\n", i, i)
	}
	synctest.Test(t, func(t *testing.T) {
		got, err := withoutEach(all, func(s safeguard) (string, string, error) {
			n, err := strconv.Atoi(s.id)
			time.Sleep(time.Duration(n%7+1) * time.Second)
			return "a.go", "Test" + s.id, err
		})
		if err != nil || got != want {
			t.Errorf("lines are\n%s, %v, not\n%s", got, err, want)
		}
		_, err = withoutEach(all, func(s safeguard) (string, string, error) { return "", "", errors.New("it stays") })
		if err == nil || strings.Count(err.Error(), "it stays") != len(all) {
			t.Errorf("of 20 that no test misses, the error is %v", err)
		}
	})
}

// A line of the page depends on what went wrong, and never on how long a test took.
func TestFaultsHaveNoTimes(t *testing.T) {
	for line, want := range map[string][2]string{
		"    soak_test.go:34: FAULT | kill -9 | I1 I2\n":       {"kill -9", "I1 I2"},
		"    > # FAULT | a key (401) | it says so (0.114s)\n":  {"a key (401)", "it says so"},
		"# FAULT | the database is locked for 11 s | I1 (x)\n": {"the database is locked for 11 s", "I1 (x)"},
	} {
		fault, invariants, ok := named(line)
		if !ok || fault != want[0] || invariants != want[1] {
			t.Errorf("%q names %q, %q", line, fault, invariants)
		}
	}
	if line, differs := firstDifference("a\nb\n", "a\nc\n"); !differs || line != "line 2 was \"b\"\nand is \"c\"" {
		t.Errorf("the first difference is %q, %v", line, differs)
	}
}
