package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// word is one that readers stumbled over, and what to write instead. CONTRIBUTING.md has the glossary.
type word struct {
	pattern *regexp.Regexp
	instead string
}

func words(pairs ...string) []word {
	var all []word
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, word{regexp.MustCompile(`(?i)` + pairs[i]), pairs[i+1]})
	}
	return all
}

// avoided are words of the glossary's last column, each in a form that has no other meaning here, and British
// spellings. A hyphen before "box" makes it part of a term's name (six-box).
var avoided = words(
	`\bledger pages?\b`, "enrollment",
	`\bdoors?\b`, "receiver or listener",
	`\bdesks?\b`, "console listener",
	`\bbells?\b`, "wake-up",
	`\bgates?\b`, "circuit breaker",
	`\bturnstiles?\b`, "rate limiter",
	`\bin vain\b`, "failed attempt",
	`\blook(s|ed)? at (it|each|all|one|a subscription|subscriptions)\b`, "sync",
	`\b(a|the next|another|each) look\b`, "sync",
	`(^|[^-\w])box(es)?\b`, "shipment",
	`\bnotices?\b`, "notification",
	`\bmembers?\b`, "managed key, or key",
	`\bsilences?\b`, "gap; the alarm is the watchdog's",
	`\bguard(s|ed)?\b`, "overship risk",
	`\bloom(s|ed|ing)?\b`, "overship risk",
	`\brehears(e|es|al)\b`, "dry run",
	`\blet(s|ting)? go\b`, "release",
	`\bso many\b`, "the number",
	`\b(is|are|was|were|be|been) told\b`, "is notified, or is announced",
	`\btell(s|ing)? of\b|\btold of\b`, "announce, or notify",
	`\b(go|goes|going|gone|went) on (with|as|under|without)\b`, "continue",
	`\b(that|which|it|what|copy|file) (is|are) none\b|\bnone that\b`, "a positive sentence",
	`\bwhat stands there\b|\bstands (at|where)\b`, "is",
	`\banew\b`, "again, or new",
	`\bfor a person\b|\bneeds a person\b`, "needs attention",
	`\bchanges? of mind\b`, "lifecycle",
	`\bunder way\b`, "running, or in progress",
	`\bin hand\b|\bother hands\b`, "in progress; other applications",
	`\bturn(s|ed)? red\b`, "fails",
	`\bbehaviours?\b|\bcolours?\b|\bfavours?\b|\bhonours?\b`, "-or",
	`\b\w*(al|an|ar|er|gn|im|in|on|or|ym)is(e|ed|es|ing|ation)\b`, "-ize",
	`\bcancell(ed|ing)\b`, "canceled",
	`\benrol(s|ment|ments)?\b`, "enroll, enrollment",
	`\bprogrammes?\b`, "program",
	`\blicences?\b`, "license",
	`\bfulfil(s|ment)?\b`, "fulfill",
	`\bcatalogues?\b|\bcentres?\b|\bgrey\b|\bjudgement\b|\bwhilst\b|\blearnt\b|\bfor ever\b`, "the American spelling",
)

func checkWords(t *testing.T, where, text string) {
	t.Helper()
	for _, problem := range problems(text) {
		t.Errorf("%s %s", where, problem)
	}
}

func problems(text string) []string {
	var all []string
	for _, w := range avoided {
		if found := w.pattern.FindString(text); found != "" {
			all = append(all, fmt.Sprintf("says %q; write: %s", strings.TrimSpace(found), w.instead))
		}
	}
	return all
}

// The list finds what readers stumbled over, and leaves plain English alone.
func TestLanguageList(t *testing.T) {
	for _, text := range []string{
		"a plain copy of the file is none",
		"SIGTERM shuts the door, finishes or lets go of what is in hand",
		"the next look would do: nothing",
		"it is due in a minute, after 6 in vain",
		"a box too many that looms",
		"who is told what comes about",
		"our members are taken out of extra_data",
		"a term is so many boxes",
		"it goes on without a term",
		"the longest silence of four weeks",
		"a notice was cancelled",
		"synchronised, recognised and normalised enrolments of a programme",
	} {
		if len(problems(text)) == 0 {
			t.Errorf("nothing is found in %q", text)
		}
	}
	for _, text := range []string{
		"a six-box program ends; if there is none, a term continues; it arrives otherwise at once",
		"safeguards are marked; each shipment is released; a cancellation precedes the enrolled subscription's end",
	} {
		if found := problems(text); len(found) > 0 {
			t.Errorf("%q %v", text, found)
		}
	}
}

var (
	fenced      = regexp.MustCompile("(?s)```(js|json|yaml)\n.*?```")
	inlineCode  = regexp.MustCompile("`[^`\n]*`")
	quoted      = regexp.MustCompile(`"[^"\n]*"`) // samples, and words that are mentioned and not used
	glossaryRow = regexp.MustCompile(`(?s)\| word \| means \| not \|\n.*?\n\n`)
)

// The documents are written in the words of the glossary. Code, samples for customers, and the names of Ordergroove's
// events and fields are not checked; neither are the contract, which is in Ordergroove's words, and the page that
// `make faults` writes: its sentences are those of the tests.
func TestLanguageOfDocuments(t *testing.T) {
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, "../../README.md", "../../CONTRIBUTING.md", "../../testdata/script/README.md")
	for _, name := range names {
		switch filepath.Base(name) {
		case "ordergroove-contract.md":
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		plain := string(text)
		for _, code := range []*regexp.Regexp{glossaryRow, fenced, inlineCode, quoted} {
			plain = code.ReplaceAllString(plain, "")
		}
		for i, line := range strings.Split(plain, "\n") {
			checkWords(t, fmt.Sprintf("%s, text line %d", filepath.Base(name), i+1), line)
		}
	}
}

var subcommand = regexp.MustCompile(`(?m)^  ([a-z-]+) +\S`)

// Every --help is written in the words of the glossary.
func TestLanguageOfHelp(t *testing.T) {
	seen := 0
	var walk func(command ...string)
	walk = func(command ...string) {
		seen++
		help := runReadmeCommand(t, append(command, "--help"))
		where := "termed " + strings.Join(append(command, "--help"), " ")
		for line := range strings.Lines(help) {
			checkWords(t, where, line)
		}
		_, list, _ := strings.Cut(help, "[command]\n")
		list, _, _ = strings.Cut(list, "\nFlags:")
		for _, child := range subcommand.FindAllStringSubmatch(list, -1) {
			if child[1] != "help" && child[1] != "completion" { // the texts of these are the library's
				walk(append(slices.Clone(command), child[1])...)
			}
		}
	}
	walk()
	if seen < 25 {
		t.Errorf("%d commands have a help, want all of them", seen)
	}
}

// sqlText finds statements: their words are SQL's and those of columns.
var sqlText = regexp.MustCompile(
	`(?i)\b(select|insert|update|delete|pragma|vacuum|create|alter|order by|and \w+ =|on conflict)\b`)

// What the product prints, logs and answers is written in the words of the glossary: every string literal of several
// words.
func TestLanguageOfLiterals(t *testing.T) {
	eachProductFile(t, func(path string, set *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.BasicLit:
				text, err := strconv.Unquote(node.Value)
				if node.Kind != token.STRING || err != nil || !strings.Contains(text, " ") || sqlText.MatchString(text) {
					return true
				}
				where := fmt.Sprintf("%s:%d", path, set.Position(node.Pos()).Line)
				for line := range strings.Lines(inlineCode.ReplaceAllString(text, "")) {
					checkWords(t, where, line)
				}
			}
			return true
		})
	})
}

// eachProductFile parses every Go file that is not a test.
func eachProductFile(t *testing.T, do func(path string, set *token.FileSet, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err == nil {
			do(strings.TrimPrefix(path, "../../"), set, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// docs/operations.md says what to do about every message that the product logs as an error or a warning, and about
// every metric; it has no other ones.
func TestOperationsPageMatchesCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	messages, metrics := map[string]bool{}, map[string]bool{}
	eachProductFile(t, func(_ string, _ *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.CallExpr:
				if message := loggedMessage(node); message != "" {
					messages[message] = true
				}
			case *ast.BasicLit:
				if name := strings.Trim(node.Value, `"`); metricName.MatchString(name) {
					metrics[name] = true
				}
			}
			return true
		})
	})
	_, log, found := strings.Cut(string(text), "\n## The log\n")
	if !found {
		t.Fatal("docs/operations.md has no section about the log")
	}
	log, _, _ = strings.Cut(log, "\n## ")
	shown := map[string]bool{}
	for line := range strings.Lines(log) {
		if column, _, isRow := strings.Cut(strings.TrimPrefix(line, "| "), " |"); isRow {
			for _, code := range inlineCode.FindAllString(column, -1) {
				shown[strings.Trim(code, "`")] = true
			}
		}
	}
	compareNames(t, "message", messages, shown)
	shown = map[string]bool{}
	for _, code := range inlineCode.FindAllString(string(text), -1) {
		if name := strings.Trim(code, "`"); metricName.MatchString(name) {
			shown[name] = true
		}
	}
	compareNames(t, "metric", metrics, shown)
}

var metricName = regexp.MustCompile(`^termed_[a-z_]+$`)

// loggedMessage is the message of a call that logs an error or a warning, or "".
func loggedMessage(call *ast.CallExpr) string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	message := call.Args[0]
	switch method.Sel.Name {
	case "Error", "Warn":
	case "ErrorContext", "WarnContext":
		message = call.Args[min(1, len(call.Args)-1)]
	default:
		return ""
	}
	name := ""
	switch receiver := method.X.(type) {
	case *ast.Ident:
		name = receiver.Name
	case *ast.SelectorExpr:
		name = receiver.Sel.Name
	}
	literal, ok := message.(*ast.BasicLit)
	if !ok || !strings.EqualFold(name, "log") {
		return ""
	}
	return strings.Trim(literal.Value, `"`)
}

func compareNames(t *testing.T, what string, inCode, inPage map[string]bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(inCode)) {
		if !inPage[name] {
			t.Errorf("docs/operations.md does not have the %s %q", what, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inPage)) {
		if !inCode[name] {
			t.Errorf("docs/operations.md has the %s %q, and the product does not", what, name)
		}
	}
	if len(inCode) == 0 {
		t.Errorf("no %s was found in the code", what)
	}
}
