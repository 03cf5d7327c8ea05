package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// journalBatchSize is how many entries are read at a time, so that a long journal does not fill the memory.
const journalBatchSize = 1000

func journalCommand(env environment) *cobra.Command {
	var path, subscription, since string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Show the audit log",
		Long: `Prints who did what to subscriptions, when and why, with the value before and after, oldest first.
Entries are only ever added. With --json each line is a JSON object.

Exit code: 0 success; 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := readSince(since, time.Now())
			if err != nil {
				return err
			}
			print := printEntry
			if asJSON {
				print = printEntryJSON
			}
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				id, err := enrolledID(cmd.Context(), s, subscription)
				if err != nil {
					return err
				}
				return eachEntry(cmd.Context(), s, id, from, func(l store.Line) error {
					return print(env.stdout, l)
				})
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&subscription, "subscription", "", "only this subscription")
	cmd.Flags().StringVar(&since, "since", "",
		"only since a date (2026-11-18) or a time (2026-11-18T09:00:00Z), or the last hours (36h)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// enrolledID returns the ID that a person meant by its beginning; "" stays "". One that is not enrolled is refused: an
// empty journal would read as if nothing had happened to it.
func enrolledID(ctx context.Context, s *store.Store, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	sub, err := find(ctx, s, id)
	if errors.Is(err, ledger.ErrUnknown) {
		return "", exit{exitError, fmt.Sprintf("termed: %s is not enrolled; see termed subscriptions list", id)}
	}
	return sub.ID, err
}

// eachEntry reads the journal of a subscription, or of all for "", oldest first.
func eachEntry(ctx context.Context, s *store.Store, subscription string, from int64, do func(store.Line) error) error {
	after := int64(0)
	for {
		lines, err := s.JournalSince(ctx, subscription, from, after, journalBatchSize)
		if err != nil || len(lines) == 0 {
			return err
		}
		for _, line := range lines {
			after = line.Sequence
			if err := do(line); err != nil {
				return err
			}
		}
	}
}

// readSince reads a date, a time or a duration before now, as UTC unix milliseconds; "" is the beginning.
func readSince(text string, now time.Time) (int64, error) {
	if text == "" {
		return 0, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMilli(), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d).UnixMilli(), nil
	}
	return 0, exit{exitUsage, fmt.Sprintf(
		"--since is %q; write a date (2026-11-18), a time (2026-11-18T09:00:00Z) or a number of hours (36h)", text)}
}

func printEntry(out io.Writer, l store.Line) error {
	text := []string{stamp(l.At), l.Subscription, l.Actor, l.What}
	switch {
	case l.Before != "" && l.After != "":
		text = append(text, l.Before+" → "+l.After)
	case l.Before != "":
		text = append(text, l.Before+" → none")
	case l.After != "":
		text = append(text, l.After)
	}
	if l.Reason != "" {
		text = append(text, "("+l.Reason+")")
	}
	_, err := fmt.Fprintln(out, strings.Join(text, "  "))
	return err
}

func printEntryJSON(out io.Writer, l store.Line) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(entryOf(l.JournalEntry))
}
