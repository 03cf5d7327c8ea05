package main

import (
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/agent"
)

func releaseCommand(env environment, path *string) *cobra.Command {
	e := &bulkEdit{Edit: agent.Release()}
	cmd := &cobra.Command{
		Use:   "release ID | --term TERM | --ids FILE  --reason TEXT",
		Short: "Take subscriptions out of their terms: they renew until somebody cancels them",
		Long: `Removes termed's keys from a subscription's extra_data, leaves everything else there as it is, and
stops counting it: it renews until somebody cancels it. It stays released as long as its product is
in this term. termed subscriptions enroll takes it back.

With --term or --ids this is a dry run unless you add --yes.

Exit code: 0 done; 3 something would change (dry run); 1 error, or a change was refused; 2 usage.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.configPath = *path
			return e.run(cmd.Context(), env, args)
		},
	}
	e.flags(cmd, env)
	return cmd
}
