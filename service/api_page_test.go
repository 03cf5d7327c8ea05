package service_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// schema is what the page needs of a JSON schema.
type schema struct {
	Ref         string `json:"$ref"`
	Type        any
	Format      string
	Description string
	Enum        []any
	Items       *schema
	Required    []string
	Properties  map[string]schema
}

type apiOperation struct {
	Summary, Description string
	Parameters           []struct {
		Name, In, Description string
		Required              bool
		Schema                schema
	}
	RequestBody struct {
		Content map[string]struct{ Schema schema }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema schema }
	}
}

type apiDocument struct {
	Paths      map[string]map[string]apiOperation
	Components struct{ Schemas map[string]schema }
}

// TestAPIPage holds docs/api.md against the OpenAPI document. TERMED_UPDATE=1 writes the page.
func TestAPIPage(t *testing.T) {
	s := openShop(t, nil)
	var document apiDocument
	if err := json.Unmarshal([]byte(s.as("operator").get("/api/v1/openapi.json").body), &document); err != nil {
		t.Fatal(err)
	}
	const path = "../docs/api.md"
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	introduction, _, _ := strings.Cut(string(got), tableOfRequests)
	want := introduction + document.page()
	if os.Getenv("TERMED_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != want && os.Getenv("TERMED_UPDATE") == "" {
		t.Error("docs/api.md is not what the OpenAPI document says; write it with:" +
			" TERMED_UPDATE=1 go test ./service -run TestAPIPage")
	}
}

// tableOfRequests begins what is made from the document; what is above it is written by hand.
const tableOfRequests = "| request | what it does |\n|---|---|\n"

func (d apiDocument) page() string {
	var b strings.Builder
	b.WriteString(tableOfRequests)
	order := func(visit func(method, path string, op apiOperation)) {
		for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
			for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
				visit(strings.ToUpper(method), strings.TrimPrefix(path, "/api/v1"), d.Paths[path][method])
			}
		}
	}
	order(func(method, path string, op apiOperation) {
		fmt.Fprintf(&b, "| `%s %s` | %s |\n", method, path, op.Summary)
	})
	order(func(method, path string, op apiOperation) {
		fmt.Fprintf(&b, "\n## %s\n\n`%s %s`\n", op.Summary, method, path)
		if op.Description != "" {
			fmt.Fprintf(&b, "\n%s\n", op.Description)
		}
		d.parameters(&b, op)
		if content, ok := op.RequestBody.Content["application/json"]; ok {
			d.fields(&b, "the body", content.Schema)
		}
		for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
			if content, ok := op.Responses[status].Content["application/json"]; ok && status < "300" {
				d.fields(&b, "the answer, "+status, content.Schema)
			}
		}
	})
	return b.String()
}

func (d apiDocument) parameters(b *strings.Builder, op apiOperation) {
	if len(op.Parameters) == 0 {
		return
	}
	b.WriteString("\n| parameter | in | type | |\n|---|---|---|---|\n")
	for _, p := range op.Parameters {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, p.In, d.typeOf(p.Schema), p.Description)
	}
}

func (d apiDocument) fields(b *strings.Builder, what string, of schema) {
	of = d.resolve(of)
	if len(of.Properties) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| %s | type | |\n|---|---|---|\n", what)
	for _, name := range slices.Sorted(maps.Keys(of.Properties)) {
		if name == "$schema" {
			continue
		}
		property := of.Properties[name]
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, d.typeOf(property), property.Description)
		inner := d.resolve(property)
		if inner.Items != nil {
			inner = d.resolve(*inner.Items)
			name += "[]"
		}
		for _, field := range slices.Sorted(maps.Keys(inner.Properties)) {
			fmt.Fprintf(b, "| `%s.%s` | %s | %s |\n", name, field, d.typeOf(inner.Properties[field]),
				inner.Properties[field].Description)
		}
	}
}

func (d apiDocument) resolve(of schema) schema {
	if of.Ref == "" {
		return of
	}
	return d.Components.Schemas[of.Ref[strings.LastIndex(of.Ref, "/")+1:]]
}

// typeOf is a type in a word or two.
func (d apiDocument) typeOf(of schema) string {
	of = d.resolve(of)
	if len(of.Enum) > 0 {
		words := make([]string, len(of.Enum))
		for i, word := range of.Enum {
			words[i] = fmt.Sprint(word)
		}
		return strings.Join(words, ", ")
	}
	if of.Format == "date-time" {
		return "time"
	}
	switch kind := of.Type.(type) {
	case string:
		return strings.Replace(kind, "array", "list", 1)
	case []any: // with null
		for _, one := range kind {
			if one != "null" {
				return strings.Replace(fmt.Sprint(one), "array", "list", 1)
			}
		}
	}
	return ""
}
