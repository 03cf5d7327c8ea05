package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

const (
	tailInterval = 500 * time.Millisecond
	tailPatience = 2 * time.Second // how long an event may be pending until it is shown as it is
	tailOverlap  = 10_000          // milliseconds; events are not filed quite in the order in which they are received
	tailMemory   = 5 * 60_000      // milliseconds; how long the end of an event that was shown as pending is waited for
)

// tail follows the inbox: each event is one line, once it is settled. One that stays pending is a line more.
type tail struct {
	env    environment
	store  *store.Store
	filter store.EventFilter
	asJSON bool
	known  map[eventKey]knownEvent
	first  int64 // when the first line's event arrived: UTC unix milliseconds
	newest int64 // when the last event arrived
}

type eventKey struct {
	created int64
	id      string
}

// knownEvent is an event that was printed, or that waits for it.
type knownEvent struct {
	received int64
	since    time.Time          // when it was seen first
	status   ledger.EventStatus // as it was read last
	printed  ledger.EventStatus // as it was printed last; "" if it was not
}

func eventsTailCommand(env environment, path *string) *cobra.Command {
	t := tail{env: env, known: map[eventKey]knownEvent{}}
	var lines int
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print a line for each event as it arrives",
		Long: `Prints the latest events, and then each one that arrives, until it is interrupted: when it was received, its
type, what became of it, its ID, the enrolled subscriptions that it is about, and why it is ignored or was not
processed. An event is printed once it is settled. One that is pending for two seconds is printed as such, and again
when it is settled within five minutes. With --json each line is a JSON object.

Exit code: 0 interrupted; 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := errors.Join(checkEventType(t.filter.Type), checkLimit(lines))
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), *path, env, store.Manual, func(s *store.Store) error {
				t.store = s
				if t.filter.Subscription, err = enrolledID(cmd.Context(), s, t.filter.Subscription); err != nil {
					return err
				}
				err = t.follow(cmd.Context(), lines)
				if errors.Is(err, context.Canceled) {
					return nil
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&t.filter.Type, "type", "", "only events of this type, for example order.success")
	cmd.Flags().StringVar(&t.filter.Subscription, "subscription", "", "only events about this subscription")
	cmd.Flags().IntVarP(&lines, "lines", "n", 10, "how many of the latest events to print first")
	jsonFlag(cmd, &t.asJSON)
	return cmd
}

// follow prints the latest n events, and then what arrives.
func (t *tail) follow(ctx context.Context, n int) error {
	latest, err := t.store.Events(ctx, t.filter, max(n, 1))
	if err != nil {
		return err
	}
	if len(latest) > 0 {
		t.newest = latest[0].Received
		t.first = t.newest + 1
	}
	for _, e := range slices.Backward(latest[:min(n, len(latest))]) {
		t.first = min(t.first, e.Received)
		if err := t.print(ctx, e); err != nil {
			return err
		}
	}
	clock := time.NewTicker(tailInterval)
	defer clock.Stop()
	for {
		if err := t.once(ctx, time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-clock.C:
		}
	}
}

// once prints what has arrived since the last time.
func (t *tail) once(ctx context.Context, now time.Time) error {
	t.filter.Since = t.since()
	events, err := t.store.Events(ctx, t.filter, oneMore(0))
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(events) {
		t.newest = max(t.newest, e.Received)
		if !t.isNew(e, now) {
			continue
		}
		if err := t.print(ctx, e); err != nil {
			return err
		}
	}
	maps.DeleteFunc(t.known, func(_ eventKey, e knownEvent) bool { return e.received < t.filter.Since })
	return nil
}

// since is from when on the inbox is read: a little before the last event, and from the oldest that is pending.
func (t *tail) since() int64 {
	since := t.newest - tailOverlap
	for _, e := range t.known {
		if e.status == ledger.EventPending && e.received > t.newest-tailMemory {
			since = min(since, e.received)
		}
	}
	return max(t.first, since)
}

// isNew says whether an event is to be printed now: it was not printed as it is, and it is settled, or has waited.
func (t *tail) isNew(e store.Event, now time.Time) bool {
	key := eventKey{e.Created, e.ID}
	known, seen := t.known[key]
	if !seen {
		known = knownEvent{received: e.Received, since: now}
	}
	known.status = e.Status
	t.known[key] = known
	return known.printed != e.Status && (e.Status != ledger.EventPending || now.Sub(known.since) >= tailPatience)
}

func (t *tail) print(ctx context.Context, e store.Event) error {
	key := eventKey{e.Created, e.ID}
	t.known[key] = knownEvent{e.Received, t.known[key].since, e.Status, e.Status}
	_, subscriptions, err := t.store.EventBody(ctx, e)
	if err != nil {
		return err
	}
	if t.asJSON {
		encoder := json.NewEncoder(t.env.stdout)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(tailJSON{eventsJSON([]store.Event{e})[0], append([]string{}, subscriptions...)})
	}
	format := "%s  %-26s %-11s %s  %s  %s\n"
	if !isTerminal(t.env.stdout) {
		format = "%s\t%s\t%s\t%s\t%s\t%s\n"
	}
	_, err = fmt.Fprintf(t.env.stdout, format,
		stamp(e.Received), e.Type, e.Status, e.ID, strings.Join(subscriptions, ","), eventReason(e))
	return err
}
