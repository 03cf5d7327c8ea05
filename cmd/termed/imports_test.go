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

// arrows are our packages and what each may import of ours. A new arrow is a decision about the architecture: it is
// made here and in README.md.
var arrows = map[string][]string{
	"cmd/termed": {
		"cancelapp", "cancelapp/agent", "cancelapp/explain", "cancelapp/reconcile", "config", "counter",
		"counter/schedule", "ledger", "ordergroove",
		"ordergroove/sim", "service",
		"service/demo", "service/doctor", "store", "testdata", "tracing", "tracing/export", "webhook",
	},
	"cmd/bench":       {"ordergroove", "ordergroove/sim", "service", "testdata"},
	"cmd/faultmatrix": {},
	"service": {
		"cancelapp", "cancelapp/agent", "cancelapp/reconcile", "config", "console", "console/access", "counter",
		"counter/schedule", "ledger", "notify",
		"ordergroove", "service/doctor", "store", "webhook",
	},
	"service/doctor":      {"config", "ordergroove", "store", "webhook"},
	"service/demo":        {"config", "ledger", "ordergroove/sim", "service", "testdata"},
	"webhook":             {"failpoint", "ledger", "ordergroove", "tracing"},
	"counter":             {},
	"counter/schedule":    {},
	"cancelapp":           {"counter", "counter/schedule", "failpoint", "ledger", "ordergroove", "tracing"},
	"cancelapp/agent":     {"cancelapp", "counter", "counter/schedule", "failpoint", "ledger", "ordergroove", "tracing"},
	"cancelapp/explain":   {"cancelapp", "cancelapp/reconcile", "counter", "counter/schedule", "ledger"},
	"cancelapp/reconcile": {"cancelapp", "counter", "ledger", "ordergroove"},
	"cancelapp/apptest": {
		"cancelapp", "cancelapp/reconcile", "counter", "ledger", "ordergroove", "ordergroove/sim", "store", "testdata",
	},
	"notify":          {"counter", "ledger"},
	"ledger":          {"counter", "counter/schedule"},
	"store":           {"counter", "counter/schedule", "failpoint", "ledger", "tracing"},
	"failpoint":       {},
	"tracing":         {},
	"tracing/export":  {},
	"ordergroove":     {},
	"ordergroove/sim": {"ordergroove"},
	"console": {
		"cancelapp", "cancelapp/agent", "cancelapp/explain", "cancelapp/reconcile", "console/access", "counter",
		"counter/schedule", "ledger", "ordergroove", "store",
	},
	"console/access":            {},
	"console/access/accesstest": {},
	"config":                    {"counter/schedule"},
	"testdata":                  {},
}

// pure is what counter may import of the standard library: no input or output, no clock, no randomness.
var pure = []string{"cmp", "encoding/json", "errors", "fmt", "slices", "strconv", "strings"}

func TestImportsMatchTheTable(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("imports: there is no go command")
	}
	command := exec.Command(goTool, "list", "-json=ImportPath,Imports", "./...", "./testdata")
	command.Dir = "../.."
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg goPackage
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen[strings.TrimPrefix(pkg.ImportPath, module)] = true
		checkImports(t, pkg)
	}
	for name := range arrows {
		if !seen[name] {
			t.Errorf("%s is in the table and does not exist", name)
		}
	}
}

// goPackage is a package as go list prints it.
type goPackage struct {
	ImportPath string
	Imports    []string
}

func checkImports(t *testing.T, pkg goPackage) {
	t.Helper()
	name := strings.TrimPrefix(pkg.ImportPath, module)
	allowed, known := arrows[name]
	if !known {
		t.Errorf("%s is a new package; add it to the table", name)
		return
	}
	for _, other := range allowed {
		if !slices.Contains(pkg.Imports, module+other) {
			t.Errorf("%s may import %s and does not: remove the arrow", name, other)
		}
	}
	for _, path := range pkg.Imports {
		ours, isOurs := strings.CutPrefix(path, module)
		if isOurs && !slices.Contains(allowed, ours) {
			t.Errorf("%s imports %s: a new arrow", name, ours)
		}
		if name == "counter" && !slices.Contains(pure, path) {
			t.Errorf("counter imports %s: it must stay pure", path)
		}
	}
}
