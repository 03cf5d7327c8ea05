package main

import (
	"testing"
)

// Each safeguard is marked once, and its mutation can be made: known in a moment, and not after all tests have run.
func TestSafeguardsAreMarked(t *testing.T) {
	for _, s := range safeguards {
		if _, _, err := s.mutate("../.."); err != nil {
			t.Errorf("%s: %v", s.id, err)
		}
	}
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
