package main

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// hint is a command that a text tells its reader to run: in backquotes, or after a word that asks for it.
var hint = regexp.MustCompile("(?:`|run: |see |start )termed ((?:[a-z-]+ ?)(?:[^`;,)\"\n])*)")

// hintProblem says why a hint cannot be run; "" if it can.
func hintProblem(root *cobra.Command, hint string) string {
	cmd, rest, err := root.Find(strings.Fields(hint))
	if err != nil {
		return err.Error()
	}
	if cmd == root || cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return "no such command"
	}
	cmd.InitDefaultHelpFlag()
	cmd.InheritedFlags() // from here on the flags of its group are known, too
	for _, word := range rest {
		name, isLong := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(strings.TrimRight(name, ".:]"), "=")
		short, isShort := strings.CutPrefix(word, "-")
		switch {
		case isLong && name != "" && cmd.Flags().Lookup(name) == nil:
			return "unknown flag --" + name
		case isShort && !isLong && len(short) == 1 && cmd.Flags().ShorthandLookup(short) == nil:
			return "unknown flag -" + short
		}
	}
	return ""
}

// Every command that a text of the product or a document advises exists, with its flags.
func TestHintsCanBeRun(t *testing.T) {
	root := rootCommand(environment{lookup: os.LookupEnv})
	found := 0
	check := func(where, text string) {
		for _, h := range hint.FindAllStringSubmatch(text, -1) {
			found++
			if problem := hintProblem(root, h[1]); problem != "" {
				t.Errorf("%s: termed %s: %s", where, h[1], problem)
			}
		}
	}
	eachProductFile(t, func(path string, set *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(literal.Value); err == nil {
				check(set.Position(literal.Pos()).String(), text)
			}
			return true
		})
	})
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md", "../../CONTRIBUTING.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		check(page, string(text))
	}
	if found < 50 {
		t.Errorf("%d hints; the expression finds too few", found)
	}
	for _, wrong := range []string{"subscription list", "migrate upp", "plan --yes", "begin", "events list -x"} {
		if hintProblem(root, wrong) == "" {
			t.Errorf("termed %s passes", wrong)
		}
	}
}
