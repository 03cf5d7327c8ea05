package main

import (
	"go/format"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// One build has every safeguard twice: a statement that declares something with the rest of its block, and each of two
// safeguards of one statement alone.
func TestRemovable(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "f.go"), []byte(`package f

func f(n int) int {
	// safeguard: outer
	x := n + 1
	// safeguard: inner
	// safeguard: same
	if x > 2 {
		return 1
	}
	return x
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := removable(root, []safeguard{
		{id: "inner", without: never},
		{id: "outer", without: swap(" + 1", "")},
		{id: "same", without: always},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := format.Source([]byte(files[filepath.Join(root, "f.go")]))
	if err != nil {
		t.Fatal(err)
	}
	want := `package f

func f(n int) int {
	// safeguard: outer
	if safeguardRemoved("outer") {
		x := n
		// safeguard: inner
		// safeguard: same
		if x > 2 {
			return 1
		}
		return x
	} else {
		x := n + 1
		// safeguard: inner
		// safeguard: same
		if safeguardRemoved("inner") {
			if (x > 2) && false {
				return 1
			}
		} else {
			if safeguardRemoved("same") {
				if (x > 2) || true {
					return 1
				}
			} else {
				if x > 2 {
					return 1
				}
			}
		}
		return x
	}
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, added := files[filepath.Join(root, "removed_safeguard.go")]; !added || len(files) != 2 {
		t.Errorf("%d files, and the one that reads the variable: %v", len(files), added)
	}
}
