package main

import (
	"errors"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/store"
)

func copyCommand(env environment) *cobra.Command {
	var from, to string
	var empty bool
	cmd := &cobra.Command{
		Use:   "copy --from DATABASE --to DATABASE",
		Short: "Move a shop from SQLite to PostgreSQL, or back",
		Long: `copy copies everything from one database to another and compares what arrived with what was read, by
count and checksum, table by table. Stop the service first; then change database: in termed.yaml and
start it again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Taking both as a service does keeps a running one out, where the database can tell.
			source, err := store.Open(cmd.Context(), store.Options{Database: from, Serve: true})
			if err != nil {
				return err
			}
			defer source.Close()
			target, err := store.Open(cmd.Context(), store.Options{Database: to, Serve: true})
			if err != nil {
				return err
			}
			defer target.Close()
			copied, err := store.Copy(cmd.Context(), source, target, empty)
			if errors.Is(err, store.ErrNotEmpty) {
				return exit{1, err.Error() + "; --empty-target empties it first"}
			}
			if err != nil {
				return err
			}
			t := newTable("table", "rows", "checksum")
			for _, c := range copied {
				t.AppendRow(table.Row{c.Table, c.Rows, c.Checksum[:12]})
			}
			fmt.Fprintln(env.stdout, t.Render())
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "where everything is")
	cmd.Flags().StringVar(&to, "to", "", "where it is to go")
	cmd.Flags().BoolVar(&empty, "empty-target", false, "empty the target first")
	for _, name := range []string{"from", "to"} {
		_ = cmd.MarkFlagRequired(name) // the flag is there
	}
	return cmd
}
