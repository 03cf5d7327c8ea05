package config

import (
	"bytes"
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

// reader walks the YAML tree and collects problems with their positions instead of stopping at the first. It reads
// every scalar as it is spelled: decoded as YAML, the SKU 0123 would be the number 83, and 1e3 a thousand.
type reader struct {
	file      string
	lookup    func(string) (string, bool) // nil: no environment
	unchecked []string                    // the variables that have no value because there is no environment
	problems  []Problem

	codes          map[string]DiscountCode // that adjustments may use
	withoutSecrets bool                    // variables of unneededKeys may be unset

	describes bool     // no file is read: what could be in one is described
	choices   []string // what the last check offered, while a file is described
}

// unneededKeys are the settings that LoadWithoutSecrets leaves empty if their variables are not set.
var unneededKeys = []string{"api_key", "api_url", "webhook_keys", "url", "secrets", "password", "hash"}

// section is a mapping in the file, or one that is absent.
type section struct {
	r       *reader
	name    string
	at      ast.Node // nil for an absent section
	partial bool     // some of it cannot be read, and was reported: no key is reported as missing
	fields  map[string]*ast.MappingValueNode
	allowed *[]string // the keys that were read so far

	described *property // where a file is described
}

// scalar is a text and its position.
type scalar struct {
	text string
	at   ast.Node
}

// report adds a problem at the position of a node, or of the whole file for nil.
func (r *reader) report(at ast.Node, format string, args ...any) {
	p := Problem{File: r.file, Text: fmt.Sprintf(format, args...)}
	if token := tokenOf(at); token != nil && token.Position != nil {
		p.Line, p.Column = token.Position.Line, token.Position.Column
	}
	r.problems = append(r.problems, p)
}

// tokenOf returns the token where a node begins; for a mapping without braces that is its first key.
func tokenOf(at ast.Node) *token.Token {
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

// byteOrderMark is what some editors on Windows write in front of a text.
const byteOrderMark = "\ufeff"

func (r *reader) root(text []byte) section {
	file, err := parser.ParseBytes(bytes.TrimPrefix(text, []byte(byteOrderMark)), 0)
	if syntax, ok := errors.AsType[*yaml.SyntaxError](err); ok {
		p := syntax.Token.Position
		r.problems = append(r.problems, Problem{r.file, p.Line, p.Column, "invalid YAML: " + syntaxMessage(syntax)})
		return r.section("", nil)
	}
	if err != nil {
		r.report(nil, "invalid YAML: %v", err)
		return r.section("", nil)
	}
	if len(file.Docs) > 1 {
		r.report(file.Docs[1].Body, "a second YAML document starts here; keep one document in the file")
	}
	var body ast.Node
	if len(file.Docs) > 0 {
		body = file.Docs[0].Body
	}
	return r.section("", body)
}

func syntaxMessage(err *yaml.SyntaxError) string {
	if strings.Contains(err.Message, "found character '\t'") {
		return "a tab; YAML wants spaces"
	}
	return err.Message
}

func (r *reader) section(name string, node ast.Node) section {
	s := section{
		r:       r,
		name:    name,
		fields:  map[string]*ast.MappingValueNode{},
		allowed: &[]string{},
	}
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case nil, *ast.NullNode:
		return s
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		if !r.unsupported(name, node) {
			r.report(node, "%s: not a mapping; write %s", orFile(name), wantMapping(name, node))
		}
		s.partial = true
	}
	s.at = node
	for _, v := range values {
		if r.unsupported(name, v.Key) {
			s.partial = true
			continue
		}
		key := v.Key.GetToken().Value
		if _, twice := s.fields[key]; twice {
			r.report(v.Key, "duplicate key %q; keep one", key)
			continue
		}
		s.fields[key] = v
	}
	return s
}

// wantMapping says what to write instead of a value that is not a mapping.
func wantMapping(name string, node ast.Node) string {
	text, _ := spelled(node)
	if _, err := parseDuration(text); name == "reconcile" && (err == nil || text == "off") {
		return "reconcile: { every: " + text + " }"
	}
	return "key: value lines"
}

// unsupported reports what the reader does not resolve: anchors, aliases, tags and merge keys.
func (r *reader) unsupported(name string, node ast.Node) bool {
	switch node.(type) {
	case *ast.MergeKeyNode:
		r.report(node, "%s: merge keys (<<) are not supported; write the keys and values themselves", orFile(name))
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		r.report(node, "%s: anchors, aliases and tags are not supported; write the value itself", orFile(name))
	default:
		return false
	}
	return true
}

func (s section) present() bool { return s.at != nil || s.r.describes }

// has says that an optional setting has a value, or is described.
func (s section) has(key string) bool {
	s.note(key, property{})
	_, set := s.value(key)
	return set || s.r.describes
}

// allow marks a key as known.
func (s section) allow(key string) {
	if !slices.Contains(*s.allowed, key) {
		*s.allowed = append(*s.allowed, key)
	}
}

// end reports the keys that were not read.
func (s section) end() {
	for key, field := range s.fields {
		if !slices.Contains(*s.allowed, key) {
			hint := "allowed"
			if near := nearest(key, *s.allowed); near != "" {
				hint = fmt.Sprintf("did you mean %q? Allowed", near)
			}
			allowed := strings.Join(*s.allowed, ", ")
			s.r.report(field.Key, "unknown key %q in %s; %s keys: %s", key, orFile(s.name), hint, allowed)
		}
	}
}

// value returns a field's node, and whether the field has a value.
func (s section) value(key string) (ast.Node, bool) {
	s.allow(key)
	field, ok := s.fields[key]
	if !ok {
		return nil, false
	}
	if _, null := field.Value.(*ast.NullNode); null || field.Value == nil {
		return field.Key, false
	}
	return field.Value, true
}

// tokenOf returns where a value begins; nil for none.
func (s section) tokenOf(key string) *token.Token {
	if at, set := s.value(key); set {
		return tokenOf(at)
	}
	return nil
}

func (s section) section(key string) section {
	node, ok := s.value(key)
	if s.r.describes {
		return s.r.describe(key, s.note(key, property{Kind: aMapping}))
	}
	if !ok {
		return s.r.section(key, nil)
	}
	return s.r.section(key, node)
}

// requiredSection is a section whose keys are reported as missing if it is.
func (s section) requiredSection(key string) section {
	s.note(key, property{Kind: aMapping, Required: true})
	return s.section(key)
}

func (s section) sections(key, want string) []section {
	if s.r.describes {
		noted := s.note(key, property{Kind: aList, Entry: &property{Kind: aMapping}, Required: true})
		return []section{s.r.describe(key, noted.Entry)}
	}
	var all []section
	for _, node := range s.list(key, want) {
		if !s.emptyEntry(key, node) {
			all = append(all, s.r.section(key, node))
		}
	}
	return all
}

func (s section) texts(key, want string) []scalar {
	s.note(key, property{Kind: aList, Entry: &property{Kind: aText}, Required: true})
	var all []scalar
	for _, node := range s.list(key, want) {
		if s.emptyEntry(key, node) {
			continue
		}
		if text, ok := s.r.scalar(key, node); ok {
			all = append(all, scalar{text, node})
		}
	}
	return all
}

// emptyEntry reports an entry of a list that has no value.
func (s section) emptyEntry(key string, entry ast.Node) bool {
	if _, null := entry.(*ast.NullNode); !null {
		return false
	}
	s.r.report(entry, "%s has an empty entry; remove it, or write a value (in quotes if it starts with #)", key)
	return true
}

func (s section) list(key, want string) []ast.Node {
	node, ok := s.value(key)
	if !ok {
		s.missing(node, key, want)
		return nil
	}
	if s.r.unsupported(key, node) {
		return nil
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		s.r.report(node, "%s must be a list; write %s", key, want)
		return nil
	}
	if len(list.Values) == 0 {
		s.r.report(node, "%s is empty; write %s", key, want)
	}
	return list.Values
}

// text reads an optional setting. The check returns what is wrong and what would be right, or "".
func (s section) text(key, fallback string, check func(string) string) string {
	s.note(key, property{Kind: aText, Default: fallback, Choices: s.r.offered(check)})
	node, ok := s.value(key)
	if !ok {
		return fallback
	}
	text, ok := s.r.scalar(key, node)
	if !ok {
		return fallback
	}
	if check != nil && !s.r.withoutValue(node) {
		if problem := check(text); problem != "" {
			s.r.report(node, "%s: %s", key, problem)
		}
	}
	return text
}

func (s section) required(key, want string) string {
	s.note(key, property{Kind: aText, Required: true})
	node, ok := s.value(key)
	if !ok {
		s.missing(node, key, want)
		return ""
	}
	text, _ := s.r.scalar(key, node)
	return text
}

func (s section) requiredNumber(key, want string, least, most int) int {
	s.note(key, property{Kind: aNumber, Least: least, Most: most, Required: true})
	if node, ok := s.value(key); !ok {
		s.missing(node, key, want)
		return least
	}
	return s.readNumber(key, least, least, most)
}

func (s section) number(key string, fallback, least, most int) int {
	s.note(key, property{Kind: aNumber, Default: strconv.Itoa(fallback), Least: least, Most: most})
	return s.readNumber(key, fallback, least, most)
}

func (s section) readNumber(key string, fallback, least, most int) int {
	node, ok := s.value(key)
	if !ok {
		return fallback
	}
	text, ok := s.r.scalar(key, node)
	if !ok {
		return fallback
	}
	if s.r.withoutValue(node) {
		return fallback
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	if err != nil || n < least || n > most {
		s.r.report(node, "%s: invalid number %q; write a whole number from %d to %d", key, text, least, most)
		return fallback
	}
	return n
}

func (s section) duration(key string, fallback, least time.Duration) time.Duration {
	return s.durationOr(key, nil, fallback, least)
}

// durationOr reads a duration, or one of a few words.
func (s section) durationOr(key string, words map[string]time.Duration, fallback, least time.Duration) time.Duration {
	s.note(key, durationProperty(words, fallback, least))
	node, ok := s.value(key)
	if !ok {
		return fallback
	}
	text, ok := s.r.scalar(key, node)
	if !ok {
		return fallback
	}
	if s.r.withoutValue(node) {
		return fallback
	}
	if d, known := words[text]; known {
		return d
	}
	d, err := parseDuration(text)
	if err != nil || d < least {
		choices := ""
		for _, word := range slices.Sorted(maps.Keys(words)) {
			choices += word + ", or "
		}
		s.r.report(node, "%s: invalid duration %q; write %sa duration of at least %s, for example 30s, 5m, 72h or 30d",
			key, text, choices, short(least))
		return fallback
	}
	return d
}

func (s section) missing(at ast.Node, key, want string) {
	if s.partial {
		return
	}
	if at == nil {
		at = s.at
	}
	s.r.report(at, "missing key %q in %s; write %s", key, orFile(s.name), want)
}

// scalar reads a value as it is spelled, and expands its variables.
func (r *reader) scalar(key string, node ast.Node) (string, bool) {
	if r.unsupported(key, node) {
		return "", false
	}
	text, ok := spelled(node)
	if !ok {
		r.report(node, "%s: a mapping or list is not allowed here; write a text or a number", key)
		return "", false
	}
	expanded, err := expand(text, r.lookup)
	if err != nil && r.withoutSecrets && slices.Contains(unneededKeys, key) {
		return "", false
	}
	if err != nil {
		r.report(node, "%s: %v%s", key, err, defaultHint(key, err))
		return "", false
	}
	if strings.TrimSpace(expanded) == "" {
		r.report(node, "%s is empty; write a value or remove the key", key)
		return "", false
	}
	if r.withoutValue(node) {
		r.unchecked = append(r.unchecked, withoutDefault(text)...)
	}
	return expanded, true
}

// spelled returns a scalar as it is spelled in the file.
func spelled(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	case *ast.NullNode:
		return "", true
	}
	return "", false
}

// withoutValue says that a scalar has a variable whose value nobody knows, because there is no environment. It cannot
// be checked.
func (r *reader) withoutValue(node ast.Node) bool {
	text, _ := spelled(node)
	return r.lookup == nil && len(withoutDefault(text)) > 0
}

// secretKeys are the settings that are secret, or can contain a password. A default for one would be a secret in the
// file.
var secretKeys = []string{"api_key", "webhook_keys", "database", "url", "secrets", "password", "hash"}

// defaultHint goes on after the error of a variable that is not set.
func defaultHint(key string, err error) string {
	unset, ok := errors.AsType[*unsetError](err)
	if !ok || slices.Contains(secretKeys, key) {
		return ""
	}
	return fmt.Sprintf(", or write ${%s:-default}", unset.name)
}

func orFile(name string) string {
	if name == "" {
		return "the file"
	}
	return name
}
