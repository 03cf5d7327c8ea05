package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/store"
)

func backupCommand(env environment) *cobra.Command {
	var path, to string
	cmd := &cobra.Command{
		Use:   "backup --to FILE",
		Short: "Copy the database of a running service to a file",
		Long: `Writes a consistent copy of the SQLite database while the service runs. Copying the file itself is
not a backup: the latest commits are still in its -wal file. For PostgreSQL use pg_dump.

Exit code: 0 success; 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(to); err == nil {
				return exit{exitError, to + " already exists; it was not changed"}
			}
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				if err := s.Backup(cmd.Context(), to, time.Now().UnixMilli()); err != nil {
					return err
				}
				fmt.Fprintf(env.stdout, "copied the database to %s\n", to)
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&to, "to", "", "the file to write")
	_ = cmd.MarkFlagRequired("to") // the flag exists
	return cmd
}
