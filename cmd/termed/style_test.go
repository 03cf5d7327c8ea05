package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// banned are names that the project gave up, and the names that replace them. CONTRIBUTING.md has the glossary.
var banned = map[string]string{
	"Amended":           "Changed",
	"Announced":         "PlacedByWebhook",
	"Anew":              "a new enrollment",
	"Blocking":          "ReactivationBlocked",
	"Book":              "Endpoints",
	"Door":              "Receiver",
	"ExtraOrder":        "PendingExtraOrder",
	"ForAPerson":        "NeedsAttention",
	"Fresh":             "IsNew",
	"Gone":              "NotFound",
	"Guard":             "Overship",
	"Guarded":           "OvershipRisk",
	"Knows":             "HasSent",
	"LastTold":          "LastShipmentNotified",
	"Lasting":           "WithLength",
	"Ledger":            "Enrollment",
	"LetGo":             "Release",
	"Looming":           "AtOvershipRisk",
	"Made":              "OrdersPlaced",
	"Notice":            "Notification",
	"Notices":           "Notifications",
	"Over":              "NotLive",
	"Patience":          "MaxGap",
	"Post":              "Message",
	"Putting":           "WithManagedKeys",
	"Rehearsal":         "DryRun",
	"Rehearse":          "DryRun",
	"Renews":            "WouldRenew",
	"Reopen":            "a new enrollment",
	"Resize":            "SetLength",
	"Resting":           "Settled",
	"Sending":           "WithSent",
	"Silence":           "Watchdog",
	"Tell":              "Notifications",
	"TestGone":          "the subject and the case, as in TestEndpointAnswers410",
	"TestOtherHands":    "the subject and the case, as in TestEndpointAnswers410",
	"TestWhole":         "the subject and the case, as in TestEndpointAnswers410",
	"Told":              "Notified",
	"Under":             "WithTerm",
	"Untold":            "Unnotified",
	"atDesk":            "consoleListener",
	"atDoor":            "webhookListener",
	"bell":              "wakeup",
	"beside":            "session",
	"door":              "receiver",
	"errUnwanted":       "errGaveUp",
	"everyRow":          "isDatabaseError",
	"gate":              "breaker",
	"guard":             "overship",
	"hand":              "workCtx",
	"happenings":        "events",
	"heard":             "record",
	"inTheWay":          "isContention",
	"inVain":            "failEvent",
	"keepOther":         "quarantineConflict",
	"lives":             "subscriptions",
	"look":              "sync",
	"mind":              "model",
	"mix":               "hashRow",
	"notice":            "notification",
	"notices":           "notifications",
	"nursed":            "supervised",
	"patience":          "maxGap",
	"pencil":            "expected",
	"piece":             "task",
	"pour":              "copyTable",
	"rehearsal":         "dryRun",
	"rehearse":          "dryRun",
	"rhythm":            "deliveryGaps",
	"shut":              "open",
	"silence":           "watchdog",
	"soaked":            "what the value is",
	"stage":             "dryRun",
	"standing":          "situation",
	"takeSubscriptions": "claimSubscriptions",
	"takenBack":         "reactivatedAfterEnd",
	"trouble":           "logStoreError",
	"turnstile":         "priorityLimiter",
	"wentBack":          "isStale",
	"wish":              "bulkEdit",
}

// bannedMethods are words that are good names for other things, but not for methods.
var bannedMethods = map[string]string{
	"Boxes": "ShipmentsMade",
	"Due":   "OrdersDue",
	"Total": "OrdersTotal",
	"level": "sync",
}

// bannedWords are words that are no good in any part of a name, as in openDoor and doorOpen.
var bannedWords = map[string]string{
	"bell":      "wakeup",
	"desk":      "console",
	"door":      "receiver",
	"gate":      "breaker",
	"looming":   "atOvershipRisk",
	"turnstile": "limiter",
}

// bannedFiles are file names, with and without _test, and the names that replace them.
var bannedFiles = map[string]string{
	"amend":     "subscriptions_set",
	"beside":    "open",
	"door":      "receiver",
	"figures":   "metrics",
	"gate":      "breaker",
	"guard":     "overship",
	"look":      "sync",
	"minds":     "lifecycle",
	"notice":    "notification",
	"notices":   "notifications",
	"rehearsal": "dryrun",
	"silence":   "watchdog",
	"turnstile": "limiter",
}

// source is a parsed file. The rules need no types, and so see files of every build tag and platform.
type source struct {
	files *token.FileSet
	file  *ast.File
}

func (s source) line(p token.Pos) int { return s.files.Position(p).Line }

func (s source) name() string {
	return strings.TrimPrefix(filepath.ToSlash(s.files.Position(s.file.FileStart).Filename), "../../")
}

// report gets the place and the text of each finding of a rule.
type report func(at token.Pos, format string, args ...any)

var rules = map[string]func(s source, report report){
	"assignments": checkAssignments,
	"literals":    checkLiterals,
	"names":       checkNames,
	"files":       checkFileName,
	"records":     checkRecords,
}

func TestStyle(t *testing.T) {
	sources := parseModule(t)
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		t.Run(name, func(t *testing.T) {
			for _, s := range sources {
				for _, finding := range findings(s, name) {
					t.Error(finding)
				}
			}
		})
	}
}

func parseModule(t *testing.T) []source {
	t.Helper()
	var sources []source
	files := token.NewFileSet()
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		sources = append(sources, source{files, file})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 50 {
		t.Fatalf("found %d files, want all of the module", len(sources))
	}
	return sources
}

func findings(s source, rule string) []string {
	var found []string
	rules[rule](s, func(at token.Pos, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s:%d: ", s.name(), s.line(at))+fmt.Sprintf(format, args...))
	})
	return found
}

// checkAssignments allows two targets, and three for the results of one call.
func checkAssignments(s source, report report) {
	check := func(at token.Pos, targets int, values []ast.Expr) {
		if targets > 3 || targets == 3 && !isOneCall(values) {
			report(at, "%d targets in one assignment, want at most two", targets)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			check(n.Pos(), len(n.Lhs), n.Rhs)
		case *ast.ValueSpec:
			if len(n.Values) > 0 {
				check(n.Pos(), len(n.Names), n.Values)
			}
		}
		return true
	})
}

func isOneCall(values []ast.Expr) bool {
	if len(values) != 1 {
		return false
	}
	_, isCall := ast.Unparen(values[0]).(*ast.CallExpr)
	return isCall
}

// checkLiterals wants each field on its own line where a struct literal names more than four.
func checkLiterals(s source, report report) {
	elided := map[ast.Expr]ast.Expr{} // the types of literals that leave out their type
	ast.Inspect(s.file, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		typ := literal.Type
		if typ == nil {
			typ = elided[literal]
		}
		for _, value := range literal.Elts {
			if pair, ok := value.(*ast.KeyValueExpr); ok {
				value = pair.Value
			}
			elided[value] = elementType(typ)
		}
		if len(literal.Elts) > 4 && namesFields(literal, typ) && !s.hasFieldPerLine(literal) {
			report(literal.Pos(), "%d fields in a literal, want each on its own line", len(literal.Elts))
		}
		return true
	})
}

// elementType returns nil where the type does not say.
func elementType(typ ast.Expr) ast.Expr {
	switch typ := typ.(type) {
	case *ast.ArrayType:
		return typ.Elt
	case *ast.MapType:
		return typ.Value
	}
	return nil
}

func namesFields(literal *ast.CompositeLit, typ ast.Expr) bool {
	if elementType(typ) != nil {
		return false
	}
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		if _, ok := pair.Key.(*ast.Ident); !ok {
			return false
		}
	}
	return true
}

func (s source) hasFieldPerLine(literal *ast.CompositeLit) bool {
	last := s.line(literal.Lbrace)
	for _, field := range literal.Elts {
		if s.line(field.Pos()) == last {
			return false
		}
		last = s.line(field.End())
	}
	return true
}

// checkNames looks at what the file declares, and not at the names of others that it uses.
func checkNames(s source, report report) {
	check := func(names ...*ast.Ident) {
		for _, name := range names {
			if better := betterName(name.Name); better != "" {
				report(name.Pos(), "%q is not a word of the project, use %q", name.Name, better)
			}
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			check(n.Name)
			if better := bannedMethods[n.Name.Name]; better != "" && n.Recv != nil {
				report(n.Pos(), "%q is not a method name of the project, use %q", n.Name.Name, better)
			}
		case *ast.TypeSpec:
			check(n.Name)
		case *ast.Field:
			check(n.Names...)
		case *ast.ValueSpec:
			check(n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				check(identifiers(n.Lhs...)...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				check(identifiers(n.Key, n.Value)...)
			}
		case *ast.ImportSpec:
			if n.Name != nil {
				check(n.Name)
			}
		case *ast.LabeledStmt:
			check(n.Label)
		}
		return true
	})
}

func identifiers(expressions ...ast.Expr) []*ast.Ident {
	var names []*ast.Ident
	for _, e := range expressions {
		if name, ok := e.(*ast.Ident); ok {
			names = append(names, name)
		}
	}
	return names
}

func betterName(name string) string {
	if better := banned[name]; better != "" {
		return better
	}
	for _, word := range wordsOf(name) {
		if better := bannedWords[word]; better != "" {
			return better
		}
	}
	return ""
}

// wordsOf splits a name at its capitals: "openDoor" into "open" and "door".
func wordsOf(name string) []string {
	var split strings.Builder
	for _, letter := range name {
		if unicode.IsUpper(letter) || letter == '_' {
			split.WriteByte(' ')
		}
		split.WriteRune(unicode.ToLower(letter))
	}
	return strings.FieldsFunc(split.String(), func(r rune) bool { return r == ' ' || r == '_' })
}

func checkFileName(s source, report report) {
	name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(s.name()), ".go"), "_test")
	if better := bannedFiles[name]; better != "" {
		report(s.file.Package, "%q is not a file name of the project, use %q", name, better)
	}
}

// checkRecords keeps the records of the core small: one that grows has more than one owner.
func checkRecords(s source, report report) {
	room, _, _ := strings.Cut(s.name(), "/")
	if !slices.Contains([]string{"counter", "ledger", "store"}, room) {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if record, ok := n.(*ast.StructType); ok && record.Fields.NumFields() >= 20 {
			report(n.Pos(), "a record of %d fields, want under 20", record.Fields.NumFields())
		}
		return true
	})
}

func TestStyleRuleForRecords(t *testing.T) {
	fields := func(n int) string { return "package p\ntype T struct {\n" + strings.Repeat("a, b int\n", n/2) + "}" }
	for name, want := range map[string]int{"../../counter/x.go": 1, "../../ledger/x.go": 1, "../../config/x.go": 0} {
		if got := findings(parse(t, name, fields(20)), "records"); len(got) != want {
			t.Errorf("20 fields in %s: found %q, want %d findings", name, got, want)
		}
	}
	if got := findings(parse(t, "../../store/x.go", fields(18)), "records"); len(got) > 0 {
		t.Errorf("18 fields: found %q", got)
	}
}

func TestStyleRules(t *testing.T) {
	tests := []struct {
		rule, code string
		want       int // findings
	}{
		{"assignments", `a, b, c = x, y, z`, 1},
		{"assignments", `a, b, c := x, y, f()`, 1},
		{"assignments", `var a, b, c = 1, 2, 3`, 1},
		{"assignments", `a, b, c, d := f()`, 1},
		{"assignments", `if a, b, c := x, y, z; a { g(b, c) }`, 1},
		{"assignments", `for i, j, k := 0, 0, 0; i < 9; i++ { g(j, k) }`, 1},
		{"assignments", `for i := 0; i < 9; i, j, k = i+1, j+1, k+1 {}`, 1},
		{"assignments", `switch a, b, c := x, y, z; d := a.(type) {}`, 1},
		{"assignments", `func() { a, b, c = c, b, a }()`, 1},
		{"assignments", `a, b = b, a`, 0},
		{"assignments", `a, b, c := f()`, 0},
		{"assignments", `var a, b, c = f()`, 0},
		{"assignments", `var a, b, c int`, 0},
		{"assignments", `for i, v := range list { g(i, v) }`, 0},
		{"literals", `x := T{a: 1, b: 2, c: 3, d: 4, e: 5}`, 1},
		{"literals", `x := &p.T{a: 1, b: 2, c: 3, d: 4, e: 5}`, 1},
		{"literals", `x := T[int]{a: 1, b: 2, c: 3, d: 4, e: 5}`, 1},
		{"literals", `x := []T{{a: 1, b: 2, c: 3, d: 4, e: 5}}`, 1},
		{"literals", `x := map[string]T{"x": {a: 1, b: 2, c: 3, d: 4, e: 5}}`, 1},
		{"literals", "x := T{a: 1,\n b: 2,\n c: 3,\n d: 4,\n e: 5}", 1},
		{"literals", "x := T{\n a: 1,\n b: f(\n2), c: 3,\n d: 4,\n e: 5,\n}", 1},
		{"literals", "x := T{\n a: 1,\n b: f(\n2),\n c: 3,\n d: 4,\n e: 5,\n}", 0},
		{"literals", `x := T{a: 1, b: 2, c: 3, d: 4}`, 0},
		{"literals", `x := T{1, 2, 3, 4, 5}`, 0},
		{"literals", `x := []int{a: 1, b: 2, c: 3, d: 4, e: 5}`, 0},
		{"literals", `x := map[K]int{a: 1, b: 2, c: 3, d: 4, e: 5}`, 0},
		{"literals", `x := map[string]map[K]int{"x": {a: 1, b: 2, c: 3, d: 4, e: 5}}`, 0},
		{"literals", `x := M{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}`, 0},
		{"names", `look := 1`, 1},
		{"names", `var bell chan int`, 1},
		{"names", `const inVain = 1`, 1},
		{"names", `type Ledger struct{}`, 1},
		{"names", `type T struct{ Made int }`, 1},
		{"names", `type T interface{ Tell(int) error }`, 1},
		{"names", `f := func(hand int) (trouble error) { return nil }`, 2},
		{"names", `for piece := range list { g(piece) }`, 1},
		{"names", `for _, piece := range list { g(piece) }`, 1},
		{"names", `if wish, err := f(); err == nil { g(wish) }`, 1},
		{"names", `openDoor := 1`, 1},
		{"names", `type turnstileOptions struct{}`, 1},
		{"names", `x := other.Ledger{Made: look.Due()}`, 0},
		{"names", `ledgers, overdue, aggregate := f()`, 0},
		{"names", `type T struct{ Due, Total, level int }`, 0},
	}
	for _, test := range tests {
		got := findings(parse(t, "x.go", "package p\nfunc f() {\n"+test.code+"\n}"), test.rule)
		if len(got) != test.want {
			t.Errorf("%s: %s: found %q, want %d findings", test.rule, test.code, got, test.want)
		}
	}
}

func TestStyleRuleForMethods(t *testing.T) {
	s := parse(t, "x.go", "package p\nfunc (t T) Due() {}\nfunc Due() {}\nfunc Reopen() {}")
	want := []string{
		`x.go:2: "Due" is not a method name of the project, use "OrdersDue"`,
		`x.go:4: "Reopen" is not a word of the project, use "a new enrollment"`,
	}
	if got := findings(s, "names"); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestStyleRuleForFiles(t *testing.T) {
	for name, want := range map[string]int{"a/door.go": 1, "a/door_test.go": 1, "a/outdoor.go": 0, "a/receiver.go": 0} {
		if got := findings(parse(t, name, "package p"), "files"); len(got) != want {
			t.Errorf("%s: found %q, want %d findings", name, got, want)
		}
	}
}

func parse(t *testing.T, name, code string) source {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("%s: %v", code, err)
	}
	return source{files, file}
}
