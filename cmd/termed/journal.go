package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/store"
)

// linesAtATime keeps a long journal out of the memory.
const linesAtATime = 1000

func journalCommand(env environment) *cobra.Command {
	var path, subscription, since string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Say who did what to subscriptions, when and why, before and after",
		Long:  "Prints the journal, oldest first. It is only ever added to. With --json each line is a JSON object.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := readSince(since, time.Now())
			if err != nil {
				return err
			}
			show := printLine
			if asJSON {
				show = jsonLine
			}
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				for after := int64(0); ; {
					lines, err := s.JournalSince(cmd.Context(), subscription, from, after, linesAtATime)
					if err != nil || len(lines) == 0 {
						return err
					}
					for _, line := range lines {
						after = line.Sequence
						if err := show(env.stdout, line); err != nil {
							return err
						}
					}
				}
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&subscription, "subscription", "", "only of this one")
	cmd.Flags().StringVar(&since, "since", "", "only since a date (2026-11-18), a time (2026-11-18T09:00:00Z), or for so long (36h)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, an object a line")
	return cmd
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
	return 0, exit{2, fmt.Sprintf("--since is %q; write a date (2026-11-18), a time (2026-11-18T09:00:00Z), or for so long (36h)", text)}
}

func printLine(out io.Writer, l store.Line) error {
	text := []string{stamp(l.At), l.Subscription, l.Actor, l.What}
	switch {
	case l.Before != "" && l.After != "":
		text = append(text, l.Before+" → "+l.After)
	case l.Before != "":
		text = append(text, l.Before+" → nothing")
	case l.After != "":
		text = append(text, l.After)
	}
	if l.Reason != "" {
		text = append(text, "("+l.Reason+")")
	}
	_, err := fmt.Fprintln(out, strings.Join(text, "  "))
	return err
}

func jsonLine(out io.Writer, l store.Line) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(struct {
		At           any    `json:"at"`
		Subscription string `json:"subscription"`
		Actor        string `json:"actor"`
		What         string `json:"what"`
		Before       string `json:"before"`
		After        string `json:"after"`
		Reason       string `json:"reason"`
	}{when(l.At), l.Subscription, l.Actor, l.What, l.Before, l.After, l.Reason})
}
