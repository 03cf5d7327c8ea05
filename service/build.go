package service

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// Build is what a build says of the program.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // with "+changes" if the tree was not as committed
	Date     string `json:"date"`   // of the commit: RFC 3339
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ReadBuild returns what the build says of this program. What it does not say is "unknown": `go run` knows no commit.
func ReadBuild() Build {
	const unknown = "unknown"
	b := Build{
		Version:  unknown,
		Commit:   unknown,
		Date:     unknown,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(info.Main.Version, unknown)
	changed := ""
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Date = setting.Value
		case "vcs.modified":
			if setting.Value == "true" {
				changed = "+changes"
			}
		}
	}
	b.Commit += changed
	return b
}
