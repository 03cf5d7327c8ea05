package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mutation takes a safeguard out of the marked code: the statement, or the field of a literal, below the marker.
type mutation func(text string, marked ast.Node, at func(token.Pos) int) (string, error)

const marker = "// safeguard: "

// mark is the comment above the safeguard, with its end of line.
func (s safeguard) mark() string { return marker + s.id + "\n" }

// taken returns the marked node of a file that has the safeguard's marker, and the file's text without the safeguard.
func (s safeguard) taken(text string, set *token.FileSet, parsed *ast.File) (ast.Node, string, error) {
	marked := nodeAt(set, parsed, lineBelow(text, s.mark()))
	if marked == nil {
		return nil, "", errors.New("there is no statement below its marker")
	}
	without, err := s.without(text, marked, func(p token.Pos) int { return set.Position(p).Offset })
	if err == nil && without == text {
		err = errors.New("the mutation changes nothing")
	}
	return marked, without, err
}

// lineBelow returns the number of the first line of code below a marker; other comments may come between.
func lineBelow(source, mark string) int {
	lines := strings.Split(source, "\n")
	n := strings.Count(source[:strings.Index(source, mark)], "\n")
	for n < len(lines) && strings.HasPrefix(strings.TrimSpace(lines[n]), "//") {
		n++
	}
	return n + 1
}

// find returns the one file that has the safeguard's marker.
func (s safeguard) find(root string) (string, error) {
	var found []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for range strings.Count(string(source), s.mark()) {
			found = append(found, path)
		}
		return err
	})
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%q marks %d places, not one: %s", marker+s.id, len(found), strings.Join(found, ", "))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// nodeAt returns the outermost statement, or field of a literal, that begins on a line.
func nodeAt(set *token.FileSet, file *ast.File, line int) (found ast.Node) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n.(type) {
		case ast.Stmt, *ast.KeyValueExpr:
			if found == nil && set.Position(n.Pos()).Line == line {
				found = n
			}
		}
		return found == nil
	})
	return found
}

// condition is what a statement depends on, answers or assigns.
func condition(marked ast.Node) (ast.Expr, error) {
	switch n := marked.(type) {
	case *ast.IfStmt:
		return n.Cond, nil
	case *ast.CaseClause:
		if len(n.List) == 1 {
			return n.List[0], nil
		}
	case *ast.ReturnStmt:
		if len(n.Results) == 1 {
			return n.Results[0], nil
		}
	case *ast.AssignStmt:
		if len(n.Rhs) == 1 {
			return n.Rhs[0], nil
		}
	}
	return nil, fmt.Errorf("a %T has no condition", marked)
}

// never makes a condition false, always makes it true; what it is made of stays, so that nothing is unused.
var (
	never  = onCondition(func(c string) string { return "(" + c + ") && false" })
	always = onCondition(func(c string) string { return "(" + c + ") || true" })
)

// as puts another expression in place of a condition.
func as(expression string) mutation {
	return onCondition(func(string) string { return expression })
}

func onCondition(change func(string) string) mutation {
	return func(text string, marked ast.Node, at func(token.Pos) int) (string, error) {
		c, err := condition(marked)
		if err != nil {
			return "", err
		}
		from, to := at(c.Pos()), at(c.End())
		return text[:from] + change(text[from:to]) + text[to:], nil
	}
}

// called puts another expression in place of what an if statement calls first: if err := CALL; err != nil.
func called(expression string) mutation {
	return func(text string, marked ast.Node, at func(token.Pos) int) (string, error) {
		statement, ok := marked.(*ast.IfStmt)
		if !ok {
			return "", fmt.Errorf("a %T is not an if statement", marked)
		}
		assign, ok := statement.Init.(*ast.AssignStmt)
		if !ok {
			return "", errors.New("the if statement calls nothing")
		}
		c := assign.Rhs[0]
		return text[:at(c.Pos())] + expression + text[at(c.End()):], nil
	}
}

// drop takes the statement, or the field, out.
func drop(text string, marked ast.Node, at func(token.Pos) int) (string, error) {
	rest := text[at(marked.End()):]
	if _, field := marked.(*ast.KeyValueExpr); field {
		rest = strings.TrimPrefix(rest, ",")
	}
	return text[:at(marked.Pos())] + rest, nil
}

// first puts a statement at the beginning of a case of a select statement.
func first(statement string) mutation {
	return func(text string, marked ast.Node, at func(token.Pos) int) (string, error) {
		c, ok := marked.(*ast.CommClause)
		if !ok {
			return "", fmt.Errorf("a %T is not a case of a select statement", marked)
		}
		colon := at(c.Colon) + 1
		return text[:colon] + "\n" + statement + text[colon:], nil
	}
}

// swap puts other words in place of the first such words of the statement: for SQL, whose text has no conditions of
// Go's.
func swap(old, new string) mutation {
	return func(text string, marked ast.Node, at func(token.Pos) int) (string, error) {
		from, to := at(marked.Pos()), at(marked.End())
		if !strings.Contains(text[from:to], old) {
			return "", fmt.Errorf("the marked statement does not contain %q", old)
		}
		return text[:from] + strings.Replace(text[from:to], old, new, 1) + text[to:], nil
	}
}
