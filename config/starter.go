package config

import _ "embed"

// Starter is the file that `termed init` writes: every setting with its default and what it is for.
//
//go:embed starter.yaml
var Starter []byte
