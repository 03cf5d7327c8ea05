package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// reader walks the YAML tree, and keeps what is wrong with its place instead of stopping. It reads every scalar as it is
// spelled: decoded as YAML, the SKU 0123 would be the number 83, and 1e3 a thousand.
type reader struct {
	file     string
	lookup   func(string) (string, bool)
	problems []Problem
}

// section is a mapping of the file, or one that is not there.
type section struct {
	r      *reader
	name   string
	at     ast.Node // its place; nil where it is not there
	fields map[string]*ast.MappingValueNode
	asked  *[]string // the keys that can stand here, as they are asked for
}

// scalar is a text and its place.
type scalar struct {
	text string
	at   ast.Node
}

func (r *reader) wrong(at ast.Node, format string, args ...any) {
	p := Problem{File: r.file, Text: fmt.Sprintf(format, args...)}
	if token := placeOf(at); token != nil && token.Position != nil {
		p.Line, p.Column = token.Position.Line, token.Position.Column
	}
	r.problems = append(r.problems, p)
}

// placeOf is where a node begins; of a mapping without braces that is its first key.
func placeOf(at ast.Node) *token.Token {
	switch n := at.(type) {
	case nil:
		return nil
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	}
	return at.GetToken()
}

func (r *reader) root(text []byte) section {
	file, err := parser.ParseBytes(text, 0)
	if syntax, ok := errors.AsType[*yaml.SyntaxError](err); ok {
		p := syntax.Token.Position
		r.problems = append(r.problems, Problem{r.file, p.Line, p.Column, "not YAML: " + syntax.Message})
		return r.section("", nil)
	}
	if err != nil {
		r.wrong(nil, "not YAML: %v", err)
		return r.section("", nil)
	}
	if len(file.Docs) > 1 {
		r.wrong(file.Docs[1].Body, "a second document starts here; write one")
	}
	var body ast.Node
	if len(file.Docs) > 0 {
		body = file.Docs[0].Body
	}
	return r.section("", body)
}

func (r *reader) section(name string, node ast.Node) section {
	s := section{r: r, name: name, fields: map[string]*ast.MappingValueNode{}, asked: &[]string{}}
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case nil, *ast.NullNode:
		return s
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		r.wrong(node, "%s is not a mapping; write key: value lines below it", orFile(name))
		return s
	}
	s.at = node
	for _, v := range values {
		key := v.Key.GetToken().Value
		if _, twice := s.fields[key]; twice {
			r.wrong(v.Key, "%s stands here twice; keep one", key)
			continue
		}
		s.fields[key] = v
	}
	return s
}

func (s section) there() bool { return s.at != nil }

// end reports the keys that nothing asked for.
func (s section) end() {
	for key, field := range s.fields {
		if !slices.Contains(*s.asked, key) {
			s.r.wrong(field.Key, "unknown key %q in %s; there can be: %s", key, orFile(s.name), strings.Join(*s.asked, ", "))
		}
	}
}

// value returns a field's node, and whether it is there with a value.
func (s section) value(key string) (ast.Node, bool) {
	if !slices.Contains(*s.asked, key) {
		*s.asked = append(*s.asked, key)
	}
	field, ok := s.fields[key]
	if !ok {
		return nil, false
	}
	if _, null := field.Value.(*ast.NullNode); null || field.Value == nil {
		return field.Key, false
	}
	return field.Value, true
}

func (s section) section(key string) section {
	node, ok := s.value(key)
	if !ok {
		return s.r.section(key, nil)
	}
	return s.r.section(key, node)
}

func (s section) sections(key, want string) []section {
	var all []section
	for _, node := range s.list(key, want) {
		all = append(all, s.r.section(key, node))
	}
	return all
}

func (s section) texts(key, want string) []scalar {
	var all []scalar
	for _, node := range s.list(key, want) {
		if text, ok := s.r.scalar(key, node); ok {
			all = append(all, scalar{text, node})
		}
	}
	return all
}

func (s section) list(key, want string) []ast.Node {
	node, ok := s.value(key)
	if !ok {
		s.missing(node, key, want)
		return nil
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		s.r.wrong(node, "%s is not a list; write %s", key, want)
		return nil
	}
	if len(list.Values) == 0 {
		s.r.wrong(node, "%s is empty; write %s", key, want)
	}
	return list.Values
}

// text reads a setting that may be absent. The check answers what is wrong and what would be right, or "".
func (s section) text(key, otherwise string, check func(string) string) string {
	node, ok := s.value(key)
	if !ok {
		return otherwise
	}
	text, ok := s.r.scalar(key, node)
	if !ok {
		return otherwise
	}
	if check != nil {
		if fault := check(text); fault != "" {
			s.r.wrong(node, "%s: %s", key, fault)
		}
	}
	return text
}

func (s section) required(key, want string) string {
	node, ok := s.value(key)
	if !ok {
		s.missing(node, key, want)
		return ""
	}
	text, _ := s.r.scalar(key, node)
	return text
}

func (s section) requiredNumber(key, want string, least, most int) int {
	if node, ok := s.value(key); !ok {
		s.missing(node, key, want)
		return least
	}
	return s.number(key, least, least, most)
}

func (s section) number(key string, otherwise, least, most int) int {
	node, ok := s.value(key)
	if !ok {
		return otherwise
	}
	text, ok := s.r.scalar(key, node)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	if err != nil || n < least || n > most {
		s.r.wrong(node, "%s is %q; write a whole number from %d to %d", key, text, least, most)
		return otherwise
	}
	return n
}

func (s section) duration(key string, otherwise, least time.Duration) time.Duration {
	return s.durationOr(key, nil, otherwise, least)
}

// durationOr is duration, or one of a few words.
func (s section) durationOr(key string, words map[string]time.Duration, otherwise, least time.Duration) time.Duration {
	node, ok := s.value(key)
	if !ok {
		return otherwise
	}
	text, ok := s.r.scalar(key, node)
	if !ok {
		return otherwise
	}
	if d, known := words[text]; known {
		return d
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least {
		instead := ""
		for _, word := range slices.Sorted(maps.Keys(words)) {
			instead += word + ", or "
		}
		s.r.wrong(node, "%s is %q; write %sa time of at least %s, for example 30s, 5m or 72h", key, text, instead, least)
		return otherwise
	}
	return d
}

func (s section) missing(at ast.Node, key, want string) {
	if at == nil {
		at = s.at
	}
	s.r.wrong(at, "%s has no %s; write %s", orFile(s.name), key, want)
}

// scalar reads a value as it is spelled, expanded.
func (r *reader) scalar(key string, node ast.Node) (string, bool) {
	text := ""
	switch n := node.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		text = n.GetToken().Value
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		r.wrong(node, "%s uses an anchor, alias or tag, which this file does not know; write the value out", key)
		return "", false
	default:
		r.wrong(node, "%s has no single value; write a text or a number", key)
		return "", false
	}
	expanded, err := expand(text, r.lookup)
	if err != nil {
		r.wrong(node, "%s: %v", key, err)
		return "", false
	}
	if strings.TrimSpace(expanded) == "" {
		r.wrong(node, "%s is empty; write a value or leave the key out", key)
		return "", false
	}
	return expanded, true
}

func orFile(name string) string {
	if name == "" {
		return "the file"
	}
	return name
}
