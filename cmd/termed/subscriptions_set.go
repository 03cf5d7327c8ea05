package main

import (
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/agent"
)

func setCommand(env environment, path *string) *cobra.Command {
	e := &bulkEdit{}
	var shipments int
	cmd := &cobra.Command{
		Use:   "set ID | --term TERM | --ids FILE  --shipments N --reason TEXT",
		Short: "Change the number of shipments of subscriptions",
		Long: `Sets the number of shipments of subscriptions, the checkout's included. N cannot be less than the
shipments already made. If it is equal, the term is complete, and ends now.

With --term or --ids this is a dry run unless you add --yes.

Exit code: 0 done; 3 something would change (dry run); 1 error, or a change was refused; 2 usage.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if shipments == 0 {
				return exit{exitUsage, "missing --shipments N"}
			}
			e.configPath = *path
			e.Edit = agent.SetLength(shipments)
			return e.run(cmd.Context(), env, args)
		},
	}
	cmd.Flags().IntVar(&shipments, "shipments", 0, "the number of shipments, the checkout's included")
	e.flags(cmd, env)
	return cmd
}
