package config

import _ "embed"

// Starter is the file that `termed init` writes: every setting with its default and its purpose.
//
//go:embed starter.yaml
var Starter []byte
