package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/termed/termed/store"
)

func forgetCommand(env environment) *cobra.Command {
	var path string
	var yes bool
	cmd := &cobra.Command{
		Use:   "forget CUSTOMER --yes",
		Short: "Remove what is personal about a customer; counts stay right",
		Long: `Removes a customer's ID from its subscriptions, the bodies of webhooks that name it, and notifications that
were sent to your systems. Subscriptions, shipments and the journal stay: they do not name the customer, and
without them the count would be wrong. What is still to be processed keeps its body; the command says how much
that is, and you run it again later.

A new webhook about the customer brings its ID back. Delete the customer at Ordergroove first.

Exit code: 0 done; 1 error; 2 usage, also without --yes; 3 some of it is still to be processed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return exit{exitUsage, "this cannot be undone: add --yes"}
			}
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				done, err := s.Forget(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				fmt.Fprintf(env.stdout, "removed from %s, %s and %s\n", plural(int(done.Subscriptions), "subscription"),
					plural(int(done.Events), "event"), plural(int(done.Messages), "notification"))
				if done.Waiting > 0 {
					return exit{exitPending, fmt.Sprintf("%s or notifications that name the customer are still to be processed;"+
						" run the command again later", plural(int(done.Waiting), "event"))}
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it; it cannot be undone")
	return cmd
}
