package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

var eventStates = []string{
	string(ledger.EventPending),
	string(ledger.EventDone),
	string(ledger.EventIgnored),
	string(ledger.EventDead),
	string(ledger.EventQuarantined),
}

func eventsCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "events", Short: "List the events in the inbox, follow it, show one, and retry dead ones"}
	groupConfigFlag(cmd, &path)
	cmd.AddCommand(eventsListCommand(env, &path), eventsTailCommand(env, &path), eventsShowCommand(env, &path),
		eventsRetryCommand(env, &path))
	return cmd
}

func eventsListCommand(env environment, path *string) *cobra.Command {
	var f store.EventFilter
	var state, since string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := readSince(since, time.Now())
			err = errors.Join(checkState(state, eventStates), checkLimit(limit), err)
			if err != nil {
				return err
			}
			f.Status = ledger.EventStatus(state)
			f.Since = from
			return withStore(cmd.Context(), *path, env, store.Manual, func(s *store.Store) error {
				id, err := enrolledID(cmd.Context(), s, f.Subscription)
				if err != nil {
					return err
				}
				f.Subscription = id
				events, err := s.Events(cmd.Context(), f, oneMore(limit))
				if err != nil {
					return err
				}
				if len(events) == 0 {
					if err := checkEventType(f.Type); err != nil {
						return err
					}
				}
				events, note := cut(events, limit)
				defer fmt.Fprint(env.stderr, note)
				if asJSON {
					return printJSON(env.stdout, eventsJSON(events))
				}
				printEvents(env, events)
				return nil
			})
		},
	}
	stateFlag(cmd, &state, eventStates)
	cmd.Flags().StringVar(&f.Type, "type", "", "only events of this type, for example order.success")
	cmd.Flags().StringVar(&f.Subscription, "subscription", "", "only events about this subscription")
	cmd.Flags().StringVar(&since, "since", "", "only since a date (2026-11-18) or a time, or the last hours (36h)")
	limitFlag(cmd, &limit)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// checkEventType refuses a type that Ordergroove does not have: an empty list would read as if there were no such
// events.
func checkEventType(name string) error {
	if name == "" || ordergroove.KnownType(name) {
		return nil
	}
	return exit{exitUsage, fmt.Sprintf("termed: unknown event type %q%s",
		name, didYouMean(name, ordergroove.EventTypes()))}
}

func printEvents(env environment, events []store.Event) {
	t := newTable("event", "type", "received", "state", "attempts", "next attempt", "reason")
	for _, e := range events {
		t.AppendRow(table.Row{e.ID, e.Type, stamp(e.Received), e.Status, e.Attempts, stamp(e.Due.Int64), eventReason(e)})
	}
	printList(env, t, "events")
}

// eventReason says why an event is in its state, where that is not plain.
func eventReason(e store.Event) string {
	switch {
	case e.LastError != "":
		return e.LastError
	case e.Reason != "":
		return e.Reason
	case e.Status == ledger.EventIgnored:
		return "termed does not know this type of event"
	case e.Status == ledger.EventQuarantined && e.Type == "":
		return "authentic, and not readable as an event"
	case e.Status == ledger.EventQuarantined:
		return "another event has the same ID and another body"
	}
	return ""
}

func eventsShowCommand(env environment, path *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show an event with its body",
		Long: `Shows what became of an event, the enrolled subscriptions that it is about, and its body as it came. ID is the
event's ID, or the beginning of it if no other ID begins the same way. The body holds personal data.

Exit code: 0 success; 1 error; 2 usage.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd.Context(), *path, env, store.Manual, func(s *store.Store) error {
				e, err := findEvent(cmd.Context(), s, args[0])
				if err != nil {
					return err
				}
				body, subscriptions, err := s.EventBody(cmd.Context(), e)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(env.stdout, shownEvent(e, subscriptions, body))
				}
				printEvent(env.stdout, e, subscriptions, body)
				return nil
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// findEvent returns the event with an ID, or the only one whose ID begins so. Of two with one ID, one of them in
// quarantine, it is the one that was not.
func findEvent(ctx context.Context, s *store.Store, id string) (store.Event, error) {
	found, err := s.Events(ctx, store.EventFilter{IDPrefix: id}, 3)
	if err != nil {
		return store.Event{}, err
	}
	for _, e := range found {
		if e.ID == id {
			return e, nil
		}
	}
	switch {
	case id == "" || len(found) > 1:
		return store.Event{}, exit{exitUsage,
			fmt.Sprintf("termed: more than one event ID begins with %q; write more of it", id)}
	case len(found) == 0:
		return store.Event{}, exit{exitError, fmt.Sprintf("termed: no event has the ID %s; see termed events list", id)}
	}
	return found[0], nil
}

func printEvent(out io.Writer, e store.Event, subscriptions []string, body []byte) {
	for _, line := range [][2]string{
		{"event", e.ID},
		{"type", e.Type},
		{"created", stamp(e.Created)},
		{"received", stamp(e.Received)},
		{"state", string(e.Status)},
		{"attempts", fmt.Sprint(e.Attempts)},
		{"next attempt", stamp(e.Due.Int64)},
		{"reason", eventReason(e)},
		{"subscriptions", strings.Join(subscriptions, ", ")},
	} {
		if line[1] != "" {
			fmt.Fprintf(out, "%-14s %s\n", line[0]+":", line[1])
		}
	}
	fmt.Fprintf(out, "body:\n%s\n", readable(body))
}

// readable indents JSON, and quotes what is not even text: a terminal would obey its control characters.
func readable(body []byte) string {
	var indented bytes.Buffer
	switch {
	case json.Indent(&indented, body, "", "  ") == nil:
		return indented.String()
	case utf8.Valid(body) && !bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }):
		return string(body)
	}
	return fmt.Sprintf("%q", body)
}
