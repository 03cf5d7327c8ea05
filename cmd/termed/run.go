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
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Start here:", []*cobra.Command{
			demoCommand(env),
			initCommand(env),
			checkCommand(env),
			schemaCommand(env),
			hashPasswordCommand(env),
		}},
		{"Run the service:", []*cobra.Command{
			serveCommand(env),
			doctorCommand(env),
			healthcheckCommand(env),
			reconcileCommand(env),
			planCommand(env),
			applyCommand(env),
			approveCommand(env),
			pauseCommand(env),
			resumeCommand(env),
		}},
		{"Look, and act on single subscriptions:", []*cobra.Command{
			explainCommand(env),
			subscriptionsCommand(env),
			adjustmentsCommand(env),
			eventsCommand(env),
			notificationsCommand(env),
			journalCommand(env),
			forgetCommand(env),
		}},
		{"The database:", []*cobra.Command{
			backupCommand(env),
			restoreCommand(env),
			copyCommand(env),
			migrateCommand(env),
		}},
		{"For development:", []*cobra.Command{
			simulateCommand(env),
			triggerCommand(env),
			replayCommand(env),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, command := range group.commands {
			command.GroupID = group.title
			root.AddCommand(command)
		}
	}
	root.AddCommand(versionCommand(env))
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	completeNames(root, env)
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
