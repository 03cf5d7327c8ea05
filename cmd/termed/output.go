package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
)

// Exit codes.
const (
	exitOK      = 0
	exitError   = 1
	exitUsage   = 2 // the command line or the configuration is wrong
	exitPending = 3 // a dry run, plan or explain --verify found something to do
)

// exit is an error with an exit code of its own. Its text is printed as it is.
type exit struct {
	code int
	text string
}

func (e exit) Error() string { return e.text }

// newTable begins a table: aligned columns without borders.
func newTable(columns ...any) table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	style.Options = table.OptionsNoBordersAndSeparators
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	t.AppendHeader(columns)
	return t
}

// printList prints rows that other programs may read, too: where they do not go to a terminal there are tabs between
// the columns, and no header. That there are none is said to people only.
func printList(env environment, rows table.Writer, noun string) {
	switch {
	case rows.Length() == 0:
		fmt.Fprintf(env.stderr, "no %s\n", noun)
	case isTerminal(env.stdout):
		fmt.Fprintln(env.stdout, rows.Render())
	default:
		rows.ResetHeaders()
		fmt.Fprintln(env.stdout, rows.RenderTSV())
	}
}

// stamp prints a time of UTC unix milliseconds for people, and nothing for 0.
func stamp(at int64) string {
	if at == 0 {
		return ""
	}
	return time.UnixMilli(at).UTC().Format(time.DateTime)
}

// plural prints "1 subscription" or "2 subscriptions".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// progressOn returns a function that shows how far the work is, on one line of a terminal, at most ten times a second.
// An empty text clears the line.
func progressOn(out io.Writer) func(string) {
	if !isTerminal(out) {
		return func(string) {}
	}
	last := time.Time{}
	return func(text string) {
		if text != "" && time.Since(last) < 100*time.Millisecond {
			return
		}
		last = time.Now()
		fmt.Fprintf(out, "\r\x1b[K%s", text)
	}
}

// newLog writes JSON lines to standard error or, on a terminal, lines for people.
func newLog(env environment, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, exit{exitUsage, fmt.Sprintf("--log-level is %q; write debug, info, warn or error", level)}
	}
	if isTerminal(env.stderr) {
		noColor, _ := env.lookup("NO_COLOR") // see no-color.org
		return slog.New(tint.NewTextHandler(env.stderr, &tint.Options{
			Level:      least,
			TimeFormat: "15:04:05",
			NoColor:    noColor != "",
		})), nil
	}
	return slog.New(slog.NewJSONHandler(env.stderr, &slog.HandlerOptions{Level: least})), nil
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
