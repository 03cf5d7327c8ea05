package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// removedVariable names the safeguard that a program without one runs without.
const removedVariable = "TERMED_REMOVED_SAFEGUARD"

// removedFile is added to each package that has safeguards.
const removedFile = `package %s

import "os"

var removedSafeguard = os.Getenv("` + removedVariable + `")

func safeguardRemoved(id string) bool { return removedSafeguard == id }
`

// removable returns the files below a folder in which each safeguard stands twice, with it and without it: those that
// have any, and one more for each of their packages. Thus one build serves for all of them.
func removable(root string, all []safeguard) (map[string]string, error) {
	of := map[string][]safeguard{}
	for _, s := range all {
		file, err := s.find(root)
		if err != nil {
			return nil, err
		}
		of[file] = append(of[file], s)
	}
	files := map[string]string{}
	for file, inIt := range of {
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, source, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		var choices []choice
		for _, s := range inIt {
			c, err := s.choice(string(source), set, parsed)
			if err != nil {
				return nil, fmt.Errorf("%s in %s: %w", s.id, file, err)
			}
			choices = append(choices, c)
		}
		files[file] = withChoices(string(source), choices)
		files[filepath.Join(filepath.Dir(file), "removed_safeguard.go")] = fmt.Sprintf(removedFile, parsed.Name.Name)
	}
	return files, nil
}

// choice is what is in place of a part of a file while its safeguard is removed. Two of them are apart from each other,
// or one is within the other.
type choice struct {
	id       string
	from, to int
	without  string
}

// choice is of the statement around the safeguard; where that declares something, of the rest of its block.
func (s safeguard) choice(text string, set *token.FileSet, parsed *ast.File) (choice, error) {
	marked, without, err := s.taken(text, set, parsed)
	if err != nil {
		return choice{}, err
	}
	first, last := around(parsed, marked)
	if first == nil {
		return choice{}, errors.New("it is in no function")
	}
	from, to := set.Position(first.Pos()).Offset, set.Position(last.End()).Offset
	return choice{s.id, from, to, without[from : to+len(without)-len(text)]}, nil
}

// withChoices returns a text in which a variable chooses.
func withChoices(text string, choices []choice) string {
	slices.SortFunc(choices, func(a, b choice) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
	var out strings.Builder
	for i := range len(text) + 1 {
		for _, c := range choices {
			if c.to == i {
				out.WriteString("\n}")
			}
		}
		for _, c := range choices {
			if c.from == i {
				fmt.Fprintf(&out, "if safeguardRemoved(%q) {\n%s\n} else {\n", c.id, c.without)
			}
		}
		out.WriteString(text[i:min(i+1, len(text))])
	}
	return out.String()
}

// around returns the innermost statement of a block that a node is in, and the last one that knows what it declares.
func around(file *ast.File, marked ast.Node) (first, last ast.Stmt) {
	ast.Inspect(file, func(n ast.Node) bool {
		var list []ast.Stmt
		switch n := n.(type) {
		case *ast.BlockStmt:
			list = n.List
		case *ast.CaseClause:
			list = n.Body
		case *ast.CommClause:
			list = n.Body
		}
		for _, statement := range list {
			if statement.Pos() <= marked.Pos() && marked.End() <= statement.End() && !isCase(statement) {
				first, last = statement, statement
				if declares(statement) {
					last = list[len(list)-1]
				}
			}
		}
		return true
	})
	return first, last
}

func isCase(s ast.Stmt) bool {
	switch s.(type) {
	case *ast.CaseClause, *ast.CommClause:
		return true
	}
	return false
}

func declares(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.AssignStmt:
		return s.Tok == token.DEFINE
	case *ast.DeclStmt:
		return true
	}
	return false
}
