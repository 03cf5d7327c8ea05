package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/store"
)

func copyCommand(env environment) *cobra.Command {
	var o store.CopyOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "copy --from DATABASE --to DATABASE",
		Short: "Move a shop from SQLite to PostgreSQL, or back",
		Long: `Copies everything from one database to another, and compares what arrived with what was read, by
count and checksum, table by table. Stop the service first: a database that a service is running on
is refused, as source and as target. Then change database: in termed.yaml and start it again.

The source must exist. The target is created if it does not exist. If it is not empty, name it with
--empty-target: the file name without its folder, or the name of the PostgreSQL database. It is
emptied, filled and compared in one transaction: after an error it holds what it held before.

Exit code: 0 success; 1 error, nothing was copied; 2 usage, or --empty-target names another database.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("empty-target") && o.EmptyTarget == "" {
				return exit{exitUsage, "--empty-target needs the name of the target's database"}
			}
			progress := progressOn(env.stderr)
			var now pace
			o.Progress = func(p store.CopyProgress) {
				if p.Rows == 0 || now.total != p.All {
					now = newPace(p.All) // of the next table
				}
				progress(copyProgress(p, now))
			}
			copied, err := copyDatabase(cmd.Context(), o)
			progress("")
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.stdout, copied)
			}
			t := newTable("table", "rows", "checksum")
			for _, c := range copied {
				t.AppendRow(table.Row{c.Table, c.Rows, c.Checksum[:12]})
			}
			fmt.Fprintln(env.stdout, t.Render())
			fmt.Fprintf(env.stdout, "Next: set database: in termed.yaml to the value of --to (%s), start termed, and keep %s "+
				"until you have seen it work.\n", store.Name(o.To), store.Name(o.From))
			return nil
		},
	}
	cmd.Flags().StringVar(&o.From, "from", "", "the database to read")
	cmd.Flags().StringVar(&o.To, "to", "", "the database to write")
	cmd.Flags().StringVar(&o.EmptyTarget, "empty-target", "", "empty the target first; `NAME` must be its name")
	jsonFlag(cmd, &asJSON)
	for _, name := range []string{"from", "to"} {
		_ = cmd.MarkFlagRequired(name) // the flag exists
	}
	return cmd
}

// copyProgress says how far a copy is.
func copyProgress(p store.CopyProgress, now pace) string {
	done := "copied"
	if p.Comparing {
		done = "compared"
	}
	return fmt.Sprintf("%s %s: %s", done, p.Table, now.after(p.Rows, time.Now()))
}

func copyDatabase(ctx context.Context, o store.CopyOptions) ([]copiedTableJSON, error) {
	copied, err := store.Copy(ctx, o)
	switch {
	case errors.Is(err, store.ErrNotEmpty):
		return nil, exit{exitError, err.Error() +
			"; to empty it first, confirm with --empty-target NAME: its file name, or the name of the PostgreSQL database"}
	case errors.Is(err, store.ErrOtherName):
		return nil, exit{exitUsage, err.Error() + "; --empty-target confirms which database loses what it holds"}
	case err != nil:
		return nil, err
	}
	all := make([]copiedTableJSON, len(copied))
	for i, c := range copied {
		all[i] = copiedTableJSON(c)
	}
	return all, nil
}
