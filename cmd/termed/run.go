package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// run runs one command line.
func run(ctx context.Context, args []string, env environment) error {
	root := rootCommand(env)
	root.SetArgs(args)
	started := false
	onStart(root, func() { started = true })
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		// Cobra refused the command line.
		return exit{exitUsage, fmt.Sprintf("termed: %v\nsee %s --help", err, cmd.CommandPath())}
	}
	return err
}

// rootCommand is termed with all its commands.
func rootCommand(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "termed",
		Short: "End termed (fixed-length) subscriptions on Ordergroove when their term is complete",
		Long: `termed receives Ordergroove's webhooks, counts the placed orders of the SKUs that you list in
termed.yaml, keeps extra_data.fulfillment_counter true, and when a term is complete hides the
subscription from reactivation and cancels it.

Try it without an account:  termed demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		adjustmentsCommand(env),
		applyCommand(env),
		approveCommand(env),
		backupCommand(env),
		forgetCommand(env),
		checkCommand(env),
		copyCommand(env),
		demoCommand(env),
		eventsCommand(env),
		explainCommand(env),
		hashPasswordCommand(env),
		initCommand(env),
		journalCommand(env),
		migrateCommand(env),
		notificationsCommand(env),
		pauseCommand(env),
		planCommand(env),
		reconcileCommand(env),
		replayCommand(env),
		resumeCommand(env),
		serveCommand(env),
		simulateCommand(env),
		subscriptionsCommand(env),
		triggerCommand(env),
	)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	refuseUnknown(root)
	return root
}

// onStart calls note before a command does its work, after its flags and arguments were accepted.
func onStart(cmd *cobra.Command, note func()) {
	if do := cmd.RunE; do != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			note()
			return do(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		onStart(child, note)
	}
}
