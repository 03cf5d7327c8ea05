package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
)

func initCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration to start from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return exit{exitError, path + " already exists; it was not changed"}
			}
			if err != nil {
				return err
			}
			if _, err := file.Write(config.Starter); err != nil {
				return errors.Join(err, file.Close())
			}
			if err := file.Close(); err != nil {
				return err
			}
			fmt.Fprintf(env.stdout, "wrote %s; set ORDERGROOVE_API_KEY and ORDERGROOVE_WEBHOOK_KEY, "+
				"list your SKUs, then run: termed check\n", path)
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}
