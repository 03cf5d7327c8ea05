package config

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/termed/termed/counter/schedule"
)

// kind is what a value is.
type kind string

const (
	aText           kind = "text"
	aNumber         kind = "number"
	aDuration       kind = "duration"
	aList           kind = "list"
	aMapping        kind = "mapping"
	aWordOrMapping  kind = "word or mapping"
	someAdjustments kind = "adjustments"
)

// property is what can be written at one place of the file. The reader itself says so: it reads a file that is not
// there, and notes what it asks for.
type property struct {
	Kind        kind
	Default     string
	Required    bool
	Choices     []string // words, each of which goes on to explain itself
	Least, Most int      // of a number
	Entry       *property
	AnyKey      *property // of a mapping whose keys are the merchant's own
	fields      map[string]*property
	order       []string
}

// describe is a section of a file that is described.
func (r *reader) describe(name string, as *property) section {
	s := r.section(name, nil)
	s.partial = true // nothing is missing
	s.described = as
	if as.fields == nil {
		as.fields = map[string]*property{}
	}
	return s
}

// note remembers what can be written at a key. What was noted first of a key stays, that it is optional included.
func (s section) note(key string, p property) *property {
	if s.described == nil {
		return nil
	}
	if known, ok := s.described.fields[key]; ok {
		if known.Kind == "" {
			known.Kind, known.Entry = p.Kind, p.Entry
		}
		return known
	}
	s.described.fields[key] = &p
	s.described.order = append(s.described.order, key)
	return &p
}

// offer notes the words that a key, or each entry of its list, may be.
func (s section) offer(key string, choices []string) {
	if s.described == nil {
		return
	}
	p := s.described.fields[key]
	if p.Entry != nil {
		p = p.Entry
	}
	p.Choices = choices
}

// anyKey is the section behind any key of a mapping whose keys are the merchant's own.
func (s section) anyKey() section {
	s.described.AnyKey = &property{Kind: aMapping}
	return s.r.describe("", s.described.AnyKey)
}

// offered are the words that a check offers.
func (r *reader) offered(check func(string) string) []string {
	r.choices = nil
	if r.describes && check != nil {
		check("")
	}
	return r.choices
}

func durationProperty(words map[string]time.Duration, fallback, least time.Duration) property {
	p := property{Kind: aDuration, Default: inDays(fallback), Least: int(least / time.Second)}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		p.Choices = append(p.Choices, word)
		if words[word] == fallback {
			p.Default = word
		}
	}
	return p
}

// inDays prints a duration as people write it in the file.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	if d > 3*day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	return short(d)
}

// describeFile is what a whole file can contain.
func describeFile() *property {
	top := &property{Kind: aMapping}
	r := &reader{describes: true}
	r.config(r.describe("", top))
	return top
}

// Setting is one key of the file.
type Setting struct {
	Path        string // with dots; [] is an entry of a list, and * a name of the merchant's own
	Default     string // as it is written; "": none
	Required    bool   // where the section is written
	IsSection   bool   // it has keys itself
	Choices     []string
	Description string // in Markdown; links begin in docs
}

// Settings are all keys of the file, in the order in which the reader asks for them.
func Settings() []Setting {
	var all []Setting
	describeFile().walk("", func(path string, p *property) {
		all = append(all, Setting{
			Path:        path,
			Default:     p.Default,
			Required:    p.Required,
			IsSection:   p.Kind == aMapping,
			Choices:     firstWords(p.words()),
			Description: descriptions[path],
		})
	})
	return all
}

// walk visits every key below a property.
func (p *property) walk(path string, visit func(string, *property)) {
	if p.Entry != nil {
		p.Entry.walk(path+"[]", visit)
	}
	if p.AnyKey != nil {
		p.AnyKey.walk(strings.TrimPrefix(path+".*", "."), visit)
	}
	for _, key := range p.order {
		at := strings.TrimPrefix(path+"."+key, ".")
		visit(at, p.fields[key])
		p.fields[key].walk(at, visit)
	}
}

// words are what a value, or each of its entries, may be.
func (p *property) words() []string {
	if p.Entry != nil {
		return p.Entry.Choices
	}
	return p.Choices
}

// firstWords are choices without what explains them.
func firstWords(choices []string) []string {
	var words []string
	for _, choice := range choices {
		if word, _, _ := strings.Cut(choice, " "); word != "{" {
			words = append(words, word)
		}
	}
	return words
}

type object = map[string]any

// Schema is the JSON Schema of the file, for editors. It refuses nothing that the reader accepts; the reader knows
// more.
func Schema() ([]byte, error) {
	top := describeFile().schema("")
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "termed.yaml"
	top["description"] = "What termed sells, and how to reach Ordergroove."
	var adjustment object
	if err := json.Unmarshal(schedule.Schema, &adjustment); err != nil {
		return nil, err
	}
	top["$defs"] = adjustment["$defs"]
	return json.MarshalIndent(top, "", "  ")
}

// variablePattern is a value with a variable, which nobody knows yet.
const variablePattern = `\$\{`

func (p *property) schema(path string) object {
	s := p.shape(path)
	if description := plainText(descriptions[path]); description != "" {
		s["description"] = description
	}
	if p.Default != "" {
		s["default"] = p.Default
	}
	return s
}

func (p *property) shape(path string) object {
	variable := object{"type": "string", "pattern": variablePattern}
	switch p.Kind {
	case aNumber:
		return object{"anyOf": []object{{"type": "integer", "minimum": p.Least, "maximum": p.Most}, variable}}
	case aDuration:
		choices := []object{{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h|d))+$`}, variable}
		if len(p.Choices) > 0 {
			choices = append(choices, object{"enum": p.Choices})
		}
		return object{"anyOf": choices}
	case aList:
		return object{"type": "array", "minItems": 1, "items": p.Entry.schema(path + "[]")}
	case aMapping:
		return object{"anyOf": []object{p.mapping(path), {"type": "null"}}}
	case aWordOrMapping:
		return object{"anyOf": []object{p.enum(), p.mapping(path), variable}}
	case someAdjustments:
		return object{"type": "array", "minItems": 1, "items": object{"$ref": "#/$defs/termAdjustment"}}
	}
	if len(p.Choices) > 0 {
		return object{"anyOf": []object{p.enum(), variable}}
	}
	return object{"type": []string{"string", "number", "boolean"}} // the reader takes each as it is spelled
}

func (p *property) enum() object {
	words := firstWords(p.Choices)
	if slices.Equal(words, []string{"true", "false"}) {
		return object{"type": "boolean"}
	}
	return object{"enum": words}
}

func (p *property) mapping(path string) object {
	fields := object{}
	var required []string
	for key, field := range p.fields {
		fields[key] = field.schema(strings.TrimPrefix(path+"."+key, "."))
		if field.Required {
			required = append(required, key)
		}
	}
	slices.Sort(required)
	s := object{"type": "object", "properties": fields, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	if p.AnyKey != nil {
		s["additionalProperties"] = p.AnyKey.schema(path + ".*")
	}
	return s
}

var markdownLink = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// plainText is Markdown without its marks.
func plainText(markdown string) string {
	return strings.ReplaceAll(markdownLink.ReplaceAllString(markdown, "$1"), "`", "")
}
