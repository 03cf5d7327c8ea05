package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/store"
)

func noticesCommand(env environment) *cobra.Command {
	var path, state string
	cmd := &cobra.Command{Use: "notices", Short: "List the notices to other systems, and send them again"}
	cmd.PersistentFlags().StringVarP(&path, "config", "c", "termed.yaml", "the configuration file")
	list := &cobra.Command{
		Use:   "list",
		Short: "List notices, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				notices, err := s.Notices(cmd.Context(), state, atMost)
				if err != nil {
					return err
				}
				t := newTable("notice", "endpoint", "type", "subscription", "created", "state", "attempts", "next try", "last error")
				for _, n := range notices {
					t.AppendRow(table.Row{n.ID, n.Endpoint, n.Type, n.Subscription, stamp(n.Created), n.Status, n.Attempts, stamp(n.Due.Int64), n.LastError})
				}
				fmt.Fprintln(env.stdout, t.Render())
				return nil
			})
		},
	}
	list.Flags().StringVar(&state, "state", "", "only those in this state: pending, delivered or dead")
	cmd.AddCommand(list, retryCommand(env, &path, "notices", "dead notices (by its id any)", (*store.Store).RetryNotices))
	return cmd
}
