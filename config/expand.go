package config

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|\$\{|\$[A-Za-z_]`)

// unsetError is a variable that has neither a value nor a default.
type unsetError struct {
	name string
}

func (e *unsetError) Error() string {
	return fmt.Sprintf("environment variable %s is not set; set it, or set %s_FILE to a file with the value",
		e.name, e.name)
}

// expand replaces ${NAME} and ${NAME:-default} with values from the environment; $$ is a dollar sign. It works on
// single values of the tree, so that a variable can never add a line to the file. If NAME is not set and NAME_FILE
// is, the value is the content of that file without its trailing line break. Without a lookup, ${NAME} stays as it is.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var problem error
	expanded := variable.ReplaceAllStringFunc(text, func(match string) string {
		value, err := substitute(match, lookup)
		if err != nil {
			problem = err
		}
		return value
	})
	return expanded, problem
}

// substitute returns what one match of variable stands for. Its errors do not quote the match, which can be part of a
// secret.
func substitute(match string, lookup func(string) (string, bool)) (string, error) {
	switch {
	case match == "$$":
		return "$", nil
	case match == "${":
		return "", errors.New("malformed variable; write ${NAME} or ${NAME:-default}, or $${ for a literal ${")
	case !strings.HasPrefix(match, "${"):
		return "", errors.New("looks like a variable; write ${NAME}, or $$ for a dollar sign")
	}
	parts := variable.FindStringSubmatch(match)
	name := parts[1]
	hasDefault, fallback := parts[2] != "", parts[3]
	if lookup == nil && !hasDefault {
		return match, nil
	}
	value, err := valueOf(name, lookup)
	if err != nil || value != "" {
		return value, err
	}
	if hasDefault {
		return fallback, nil
	}
	return "", &unsetError{name}
}

func valueOf(name string, lookup func(string) (string, bool)) (string, error) {
	if lookup == nil {
		return "", nil
	}
	value, set := lookup(name)
	path, inFile := lookup(name + "_FILE")
	switch {
	case set && value != "" && inFile && path != "":
		return "", fmt.Errorf("both %s and %s_FILE are set; set only one", name, name)
	case !inFile || path == "":
		return value, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading %s_FILE: %w", name, err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

// withoutDefault returns the names of the variables in a text that have no default.
func withoutDefault(text string) []string {
	var names []string
	for _, parts := range variable.FindAllStringSubmatch(text, -1) {
		if name := parts[1]; name != "" && parts[2] == "" {
			names = append(names, name)
		}
	}
	return names
}
