package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/termed/termed/config"
)

// eachDocument calls check with every document.
func eachDocument(t *testing.T, check func(name, text string)) {
	t.Helper()
	found := 0
	for _, pattern := range []string{"*.md", "docs/*.md", "testdata/script/*.md"} {
		files, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found++
			check(filepath.Base(file), string(text))
		}
	}
	if found < 20 {
		t.Errorf("only %d documents were found", found)
	}
}

// whole are what a part of termed.yaml needs to be a whole file.
var whole = map[string]string{
	"ordergroove": `ordergroove: { api_key: k, webhook_keys: [long-enough] }`,
	"terms":       `terms: [ { name: T, skus: [A], shipments: 3 } ]`,
}

// Every YAML block of a document that is termed.yaml, or a part of it, is right.
func TestYAMLBlocks(t *testing.T) {
	t.Parallel()
	blocks := 0
	eachDocument(t, func(name, text string) {
		for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
			var keys map[string]any
			if err := yaml.Unmarshal([]byte(block[1]), &keys); err != nil {
				t.Errorf("%s: %v\n%s", name, err, block[1])
				continue
			}
			if _, other := keys["scrape_configs"]; other {
				continue // of Prometheus
			}
			blocks++
			file := block[1]
			for key, line := range whole {
				if _, has := keys[key]; !has {
					file += "\n" + line
				}
			}
			if _, err := config.Parse(name, []byte(file), nil); err != nil {
				t.Errorf("%v\n%s", err, file)
			}
		}
	})
	if blocks < 5 {
		t.Errorf("only %d blocks were found", blocks)
	}
}

// commandLine is a line of a block, or an indented one, that runs termed.
var commandLine = regexp.MustCompile(`(?m)^(?: {4}|\$ )(?:go run ./cmd/)?(?:termed) ([a-z].*)$`)

// Every command that a document shows exists, with the flags that it has.
func TestCommandsOfDocuments(t *testing.T) {
	t.Parallel()
	root := rootCommand(environment{lookup: os.LookupEnv})
	commands := 0
	eachDocument(t, func(name, text string) {
		for _, line := range commandLine.FindAllStringSubmatch(text, -1) {
			command := regexp.MustCompile(`[\[\]|]| (?:>|<|2>|&|#) ?.*`).ReplaceAllString(line[1], "")
			commands++
			if problem := hintProblem(root, strings.TrimSpace(command)); problem != "" {
				t.Errorf("%s: termed %s: %s", name, command, problem)
			}
		}
	})
	if commands < 15 {
		t.Errorf("only %d commands were found", commands)
	}
}
