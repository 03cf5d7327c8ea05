package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/termed/termed/service"
)

func versionCommand(env environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, with its commit and date",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := service.ReadBuild()
			if asJSON {
				return printJSON(env.stdout, b)
			}
			fmt.Fprintf(env.stdout, "termed %s\ncommit:   %s\ndate:     %s\nbuilt by: %s for %s\n",
				b.Version, b.Commit, b.Date, b.Go, b.Platform)
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
