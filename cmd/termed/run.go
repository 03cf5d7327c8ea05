package main

import (
	"context"

	"github.com/spf13/cobra"
)

// run does one command line.
func run(ctx context.Context, args []string, env environment) error {
	root := &cobra.Command{
		Use:   "termed",
		Short: "Ends termed (fixed-length) subscriptions on Ordergroove when their last box is on its way",
		Long: `termed receives Ordergroove's webhooks, counts the successful shipments of the SKUs that you list
in termed.yaml, keeps extra_data.fulfillment_counter true, and when a term is complete hides the
subscription from reactivation and cancels it.

Try it without an account:  termed demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		demoCommand(env), serveCommand(env), checkCommand(env), initCommand(env), backupCommand(env),
		reconcileCommand(env), explainCommand(env), eventsCommand(env), subscriptionsCommand(env), planCommand(env), applyCommand(env),
		journalCommand(env), noticesCommand(env), migrateCommand(env), copyCommand(env),
		replayCommand(env), triggerCommand(env), simulateCommand(env),
	)
	root.SetArgs(args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	return root.ExecuteContext(ctx)
}
