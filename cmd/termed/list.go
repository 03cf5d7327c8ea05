package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

// atMost is how many events a list shows.
const atMost = 1000

func eventsCommand(env environment) *cobra.Command {
	var path, state string
	cmd := &cobra.Command{Use: "events", Short: "List the inbox, and retry what is dead"}
	cmd.PersistentFlags().StringVarP(&path, "config", "c", "termed.yaml", "the configuration file")
	list := &cobra.Command{
		Use:   "list",
		Short: "List events, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				events, err := s.Events(cmd.Context(), state, atMost)
				if err != nil {
					return err
				}
				t := newTable("event", "type", "received", "state", "attempts", "next try", "last error")
				for _, e := range events {
					t.AppendRow(table.Row{e.ID, e.Type, stamp(e.Received), e.Status, e.Attempts, stamp(e.Due.Int64), e.LastError})
				}
				fmt.Fprintln(env.stdout, t.Render())
				return nil
			})
		},
	}
	list.Flags().StringVar(&state, "state", "", "only those in this state: pending, done, ignored, dead or quarantined")
	cmd.AddCommand(list, retryCommand(env, &path, "events", "dead events", (*store.Store).RetryEvents))
	return cmd
}

func subscriptionsCommand(env environment) *cobra.Command {
	var path, state string
	cmd := &cobra.Command{Use: "subscriptions", Short: "List the ledger, change the length of subscriptions, release them, and retry what needs attention"}
	cmd.PersistentFlags().StringVarP(&path, "config", "c", "termed.yaml", "the configuration file")
	list := &cobra.Command{
		Use:   "list",
		Short: "List subscriptions in the order of enrolment",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				subscriptions, err := s.Subscriptions(cmd.Context(), counter.State(state))
				if err != nil {
					return err
				}
				t := newTable("subscription", "SKU", "term", "shipments made", "state", "attempts", "next look", "why")
				for _, sub := range subscriptions {
					why := sub.Reason
					if why == "" {
						why = sub.Error
					}
					t.AppendRow(table.Row{sub.Subscription, sub.SKU, sub.Term, sub.Show(), sub.State, sub.Attempts, stamp(sub.Next), why})
				}
				fmt.Fprintln(env.stdout, t.Render())
				return nil
			})
		},
	}
	list.Flags().StringVar(&state, "state", "", "only those in this state: enrolled, active, completing, completed, ended, released or attention")
	cmd.AddCommand(list, setCommand(env, &path), releaseCommand(env, &path), retryCommand(env, &path, "subscriptions", "subscriptions that need attention or failed", (*store.Store).RetrySubscriptions))
	return cmd
}

// retryCommand makes what it is about due at once; the running service takes it up within a second.
func retryCommand(env environment, path *string, what, which string, retry func(*store.Store, context.Context, string, int64) (int64, error)) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "retry ID | --all",
		Short: "Try " + which + " again",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return exit{2, "give one id, or --all"}
			}
			id := ""
			if !all {
				id = args[0]
			}
			return withStore(cmd.Context(), *path, env, store.Manual, func(s *store.Store) error {
				n, err := retry(s, cmd.Context(), id, time.Now().UnixMilli())
				if err != nil {
					return err
				}
				if n == 0 && !all {
					return exit{1, fmt.Sprintf("there is nothing to retry under %s", id)}
				}
				fmt.Fprintf(env.stdout, "%d %s to be tried again\n", n, what)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all "+which)
	return cmd
}

// withStore opens the configured database beside a running service.
func withStore(ctx context.Context, path string, env environment, how store.Migrate, do func(*store.Store) error) error {
	c, err := loadConfig(path, env)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{Database: c.Database, Migrate: how})
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}

func newTable(columns ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(columns)
	return t
}

// stamp shows a time of UTC unix milliseconds, or nothing for none.
func stamp(at int64) string {
	if at == 0 {
		return ""
	}
	return time.UnixMilli(at).UTC().Format(time.DateTime)
}
