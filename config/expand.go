package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|\$\{`)

// expand replaces ${NAME} and ${NAME:-default} by the environment's values; $$ is a dollar sign. It works on one value of
// the tree, so that a variable can never add a line to the file. Where NAME is not set and NAME_FILE is, the value is what
// that file holds, without its last line break.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var fault error
	expanded := variable.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		parts := variable.FindStringSubmatch(match)
		if parts[1] == "" {
			fault = fmt.Errorf("${ without a name and } after it; write ${NAME} or ${NAME:-default}, or $${ for the characters themselves")
			return ""
		}
		value, err := valueOf(parts[1], lookup)
		if err == nil && value == "" {
			if parts[2] != "" {
				return parts[3]
			}
			err = fmt.Errorf("the variable %s is not set; set it, or %s_FILE to a file that holds it, or write ${%s:-default}", parts[1], parts[1], parts[1])
		}
		if err != nil {
			fault = err
		}
		return value
	})
	return expanded, fault
}

func valueOf(name string, lookup func(string) (string, bool)) (string, error) {
	value, set := lookup(name)
	path, inFile := lookup(name + "_FILE")
	switch {
	case set && value != "" && inFile && path != "":
		return "", fmt.Errorf("both %s and %s_FILE are set; set one", name, name)
	case !inFile || path == "":
		return value, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading %s_FILE: %w", name, err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
