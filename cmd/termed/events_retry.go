package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// eventsRetry makes dead events due now: one, or those that a filter selects.
type eventsRetry struct {
	query  store.EventQuery
	since  string
	all    bool
	dryRun bool
}

func eventsRetryCommand(env environment, path *string) *cobra.Command {
	var r eventsRetry
	cmd := &cobra.Command{
		Use:   "retry ID | --all | FILTER ...",
		Short: "Retry dead events",
		Long: `Processes dead events once more: the one with the ID, all, or those that match every filter. Only dead
events are retried. A running service begins within a second.

With --dry-run it says how many would be retried, how many of the selected would not be, and why.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filtered := r.query != store.EventQuery{} || r.since != ""
			if len(args) == 1 == (r.all || filtered) || r.all && filtered {
				return exit{exitUsage, "give one ID, --all, or a filter: --type, --subscription or --since"}
			}
			return withStore(cmd.Context(), *path, env, store.Manual, func(s *store.Store) error {
				if len(args) == 1 {
					return r.one(cmd.Context(), env, s, args[0])
				}
				return r.many(cmd.Context(), env, s)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.all, "all", false, "retry all dead events")
	f.StringVar(&r.query.Type, "type", "", "those of this type, for example order.success")
	f.StringVar(&r.query.Subscription, "subscription", "", "those about this subscription")
	f.StringVar(&r.since, "since", "", "those received since a date (2026-11-18) or a time, or in the last hours (36h)")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be retried, and retry nothing")
	return cmd
}

// one retries the event with an ID, or with the only ID that begins so.
func (r *eventsRetry) one(ctx context.Context, env environment, s *store.Store, id string) error {
	e, err := findEvent(ctx, s, id)
	if err != nil {
		return err
	}
	if e.Status != ledger.EventDead {
		why := ledger.WhyNotRetried[e.Status]
		if reason := eventReason(e); e.Status == ledger.EventQuarantined && reason != "" {
			why += ": " + reason
		}
		return exit{exitError, fmt.Sprintf("termed: event %s is not retried: %s", e.ID, why)}
	}
	if r.dryRun {
		fmt.Fprintln(env.stdout, "dry run: 1 event would be retried")
		return nil
	}
	r.query.ID = e.ID
	return r.retry(ctx, env, s)
}

// many retries those that the filter selects, and says which of them are not.
func (r *eventsRetry) many(ctx context.Context, env environment, s *store.Store) error {
	since, err := readSince(r.since, time.Now())
	if err := errors.Join(checkEventType(r.query.Type), err); err != nil {
		return err
	}
	r.query.Since = since
	if r.query.Subscription, err = enrolledID(ctx, s, r.query.Subscription); err != nil {
		return err
	}
	counted, err := s.CountEvents(ctx, r.query)
	if err != nil {
		return err
	}
	eligible := counted[ledger.EventDead]
	if r.dryRun {
		fmt.Fprintf(env.stdout, "dry run: %s would be retried\n", plural(eligible, "event"))
	}
	if !r.all || r.dryRun {
		for _, status := range ledger.EventStatuses {
			if why := ledger.WhyNotRetried[status]; why != "" && counted[status] > 0 {
				fmt.Fprintf(env.stdout, "%s not: %s\n", plural(counted[status], "event"), why)
			}
		}
	}
	switch {
	case r.dryRun:
		return nil
	case eligible == 0:
		fmt.Fprintln(env.stdout, "no event needs a retry")
		return nil
	}
	return r.retry(ctx, env, s)
}

func (r *eventsRetry) retry(ctx context.Context, env environment, s *store.Store) error {
	progress := progressOn(env.stderr)
	n, err := s.RetryEvents(ctx, r.query, time.Now().UnixMilli(), func(n int) {
		progress(plural(n, "event") + " so far")
	})
	progress("")
	if err != nil {
		return fmt.Errorf("%s will be retried, then: %w", plural(n, "event"), err)
	}
	fmt.Fprintf(env.stdout, "%s will be retried\n", plural(n, "event"))
	return nil
}
