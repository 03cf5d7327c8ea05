// Package testdata holds recorded payloads, for tests, for the demo and for the simulator, which fills in its own ids.
package testdata

import (
	"embed"
	"io/fs"
)

//go:embed webhooks/*.json
var files embed.FS

// Webhooks returns the payloads: one file for each event type, named <type>.json.
func Webhooks() fs.FS {
	webhooks, err := fs.Sub(files, "webhooks")
	if err != nil {
		return files // not reached: the folder is embedded
	}
	return webhooks
}
