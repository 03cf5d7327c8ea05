package main

import (
	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/service/demo"
)

func demoCommand(env environment) *cobra.Command {
	var path string
	var keepRunning, calendar bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See everything in a few seconds, without an account",
		Long: `Runs the service, an embedded database and a simulator of Ordergroove in one process on free loopback
ports, and plays a merchant's story over real HTTP. It ends by itself.

With --config it plays your own terms: one subscription of each SKU of the file goes through its whole term, with all
its rules. Of the file only the terms and the names of the keys are used: it needs none of the secrets, and reaches
neither Ordergroove nor your endpoints.

With --calendar it prints, instead of each call, the calendar of one subscription of each term, while the clock runs
ahead: each order and counter, what a theme can show, adjustments, notifications, and the end.

Exit code: 0 every subscription is as it must be; 1 error, or one is not; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := demo.Options{Color: isTerminal(env.stdout), KeepRunning: keepRunning, Calendar: calendar}
			if path != "" {
				c, err := config.LoadWithoutSecrets(path, env.lookup)
				if err != nil {
					return exit{exitUsage, err.Error()}
				}
				o.Config = &c
			}
			return demo.Run(cmd.Context(), env.stdout, o)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "play the terms of this configuration file")
	cmd.Flags().BoolVar(&calendar, "calendar", false, "print what happens on which day, while the clock runs ahead")
	cmd.Flags().BoolVar(&keepRunning, "keep-running", false,
		"keep everything running until interrupted, and print where it is")
	return cmd
}
