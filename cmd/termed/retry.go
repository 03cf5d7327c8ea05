package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

// retryable is what a retry command is about.
type retryable struct {
	noun  string
	list  string // the command that lists them
	which string
	retry func(s *store.Store, ctx context.Context, id string, at int64) (int64, error)
	// eligible returns the ID that a person meant by its beginning, and why it is not retried; default every ID is.
	eligible func(ctx context.Context, s *store.Store, id string) (full, why string, err error)
}

// retryCommand makes something due now. A running service notices within a second.
func retryCommand(env environment, path *string, r retryable) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "retry ID | --all",
		Short: "Retry " + r.which,
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return exit{exitUsage, "give one ID or --all"}
			}
			return withStore(cmd.Context(), *path, env, store.Manual, func(s *store.Store) error {
				id := ""
				if !all {
					id = args[0]
				}
				return r.do(cmd.Context(), env, s, id)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "retry all of them")
	return cmd
}

// do retries the one with the ID, or all for "".
func (r retryable) do(ctx context.Context, env environment, s *store.Store, id string) error {
	if id != "" && r.eligible != nil {
		full, why, err := r.eligible(ctx, s, id)
		if err != nil {
			return err
		}
		if why != "" {
			return exit{exitError, fmt.Sprintf("termed: %s %s is not retried: %s", r.noun, full, why)}
		}
		id = full
	}
	n, err := r.retry(s, ctx, id, time.Now().UnixMilli())
	switch {
	case err != nil:
		return err
	case n == 0 && id != "":
		return exit{exitError, fmt.Sprintf("no %s to retry has the ID %s; see %s", r.noun, id, r.list)}
	case n == 0:
		fmt.Fprintf(env.stdout, "no %s needs a retry\n", r.noun)
	default:
		fmt.Fprintf(env.stdout, "%s will be retried\n", plural(int(n), r.noun))
	}
	return nil
}

// eligibleSubscription says why a subscription is not retried; "" if it is.
func eligibleSubscription(ctx context.Context, s *store.Store, id string) (string, string, error) {
	id, err := enrolledID(ctx, s, id)
	if err != nil {
		return id, "", err
	}
	sub, err := s.Subscription(ctx, id)
	switch {
	case err != nil:
		return id, "", err
	case sub.State == counter.Released:
		return id, "it is released, so nothing is synced; see termed subscriptions enroll", nil
	case counter.NeedsApproval(sub.Subscription) && sub.State != counter.Attention:
		return id, "it waits for an approval: " + sub.Reason + "; see termed approve", nil
	case sub.State != counter.Attention && sub.Error == "" && sub.Due == 0:
		return id, "it is " + string(sub.State) + ", and nothing has failed; see termed explain", nil
	}
	return id, "", nil
}
