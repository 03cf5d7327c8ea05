package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/termed/termed/"

// arrows are the rooms and what each may import of ours. A new arrow is a decision about the architecture: it is made
// here and in README.md, or not at all.
var arrows = map[string][]string{
	"cmd/termed":  {"cancelapp", "config", "console", "counter", "notice", "ogsim", "ordergroove", "store", "testdata", "webhook"},
	"webhook":     {"failpoint", "ordergroove"},
	"counter":     {},
	"cancelapp":   {"counter", "failpoint", "ordergroove"},
	"notice":      {"counter"},
	"store":       {"counter", "failpoint", "ordergroove"},
	"failpoint":   {},
	"ordergroove": {},
	"ogsim":       {"ordergroove"},
	"console":     {"counter", "ordergroove"},
	"config":      {},
	"docs/faults": {},
	"testdata":    {},
}

// pure is what counter may import of the standard library: nothing that does input or output, tells the time, or rolls dice.
var pure = []string{"cmp", "encoding/json", "errors", "fmt", "slices", "strconv", "strings"}

func TestImports(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("imports: there is no go command here")
	}
	command := exec.Command(goTool, "list", "-json=ImportPath,Imports", "./...", "./testdata")
	command.Dir = "../.."
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(pkg.ImportPath, module)
		allowed, known := arrows[room]
		if !known {
			t.Errorf("%s is a new room; the table does not know it", room)
			continue
		}
		seen[room] = true
		for _, path := range pkg.Imports {
			ours, isOurs := strings.CutPrefix(path, module)
			if isOurs && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s: a new arrow", room, ours)
			}
			if room == "counter" && !slices.Contains(pure, path) {
				t.Errorf("counter imports %s: it is to stay pure", path)
			}
		}
	}
	for room := range arrows {
		if !seen[room] {
			t.Errorf("%s is in the table and nowhere else", room)
		}
	}
}
