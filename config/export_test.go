package config

import (
	"maps"
	"slices"
)

// Described are the keys that have a description.
func Described() []string { return slices.Sorted(maps.Keys(descriptions)) }
