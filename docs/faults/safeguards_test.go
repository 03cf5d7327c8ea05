package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a safeguard takes out stands once in its file: known in a moment, and not after all tests have run.
func TestSafeguardsStand(t *testing.T) {
	for _, s := range safeguards {
		text, err := os.ReadFile(filepath.Join("../..", s.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), s.old); n != 1 {
			t.Errorf("%s: %q stands %d times in %s", s.name, s.old, n, s.file)
		}
	}
}
