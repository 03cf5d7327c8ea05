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

func newTable(columns ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(columns)
	return t
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

// newLog writes JSON lines or, on a terminal, lines for people.
func newLog(w io.Writer, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, exit{exitUsage, fmt.Sprintf("--log-level is %q; write debug, info, warn or error", level)}
	}
	if isTerminal(w) {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: least, TimeFormat: "15:04:05"})), nil
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})), nil
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
