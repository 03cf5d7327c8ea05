package main

import (
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/counter"
)

func enrollCommand(env environment, path *string) *cobra.Command {
	e := &bulkEdit{needs: isReleasedByOperator}
	cmd := &cobra.Command{
		Use:   "enroll ID | --term TERM | --ids FILE  --reason TEXT",
		Short: "Take a release back: count subscriptions again that an operator released",
		Long: `Takes back what release did. The subscription is in its term again, where it was: its placed orders are
recounted from Ordergroove's history, and those that were placed meanwhile count, so that no shipment is made
too many. If its term is complete by then, it is hidden and canceled.

With --term or --ids this is a dry run unless you add --yes.

Exit code: 0 done; 3 something would change (dry run); 1 error, or a change was refused; 2 usage.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.configPath = *path
			e.inSession = func(s session) { e.Edit = agent.Enroll(s.terms) }
			return e.run(cmd.Context(), env, args)
		},
	}
	e.flags(cmd, env)
	return cmd
}

func isReleasedByOperator(s counter.Subscription) bool { return s.ClosedAs == counter.ClosedReleased }
