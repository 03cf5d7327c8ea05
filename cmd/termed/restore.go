package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// restore brings a database back from a copy.
type restore struct {
	configPath, from, actor string
	yes, markOnly           bool
}

func restoreCommand(env environment) *cobra.Command {
	var r restore
	cmd := &cobra.Command{
		Use:   "restore --from FILE --yes",
		Short: "Bring the SQLite database back from a backup",
		Long: `Reads a backup to its end, puts a copy of it in the place of the database that termed.yaml names, and
keeps what was there under another name. The service must be stopped.

What happened since the backup was made is not in it. So the database is marked: all changes at Ordergroove are paused
until the service has recounted the placed orders of every subscription; then they continue by themselves. An adjustment
that was pending may have been applied since: it needs attention.

With --mark-only, marks a database that was brought back by other means, such as pg_restore or a snapshot of the disk.

This is a dry run unless you add --yes.

Exit code: 0 done; 3 it would be done (dry run); 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.markOnly == (r.from != "") {
				return exit{exitUsage, "termed: give either --from FILE or --mark-only"}
			}
			return r.run(cmd, env)
		},
	}
	configFlag(cmd, &r.configPath)
	cmd.Flags().StringVar(&r.from, "from", "", "the backup")
	cmd.Flags().BoolVar(&r.markOnly, "mark-only", false, "mark a database that is in its place already")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do it; without it this is a dry run")
	cmd.Flags().StringVar(&r.actor, "by", operator(env), "who does it, for the journal")
	return cmd
}

func (r restore) run(cmd *cobra.Command, env environment) error {
	c, err := config.LoadWithoutSecrets(r.configPath, env.lookup)
	if err != nil {
		return exit{exitUsage, err.Error()}
	}
	by := ledger.Pause{
		Since:  time.Now().UnixMilli(),
		Actor:  r.actor,
		Reason: "the database was brought back from a copy; changes continue when all subscriptions have been recounted",
	}
	const next = "Next: termed serve. Changes at Ordergroove continue when all subscriptions have been recounted; " +
		"termed plan shows them."
	if r.markOnly {
		if !r.yes {
			fmt.Fprintf(env.stdout, "%s would be marked; add --yes to do it\n", store.Name(c.Database))
			return exit{code: exitPending}
		}
		return withStore(cmd.Context(), r.configPath, env, store.Manual, func(s *store.Store) error {
			if err := s.MarkRestored(cmd.Context(), by); err != nil {
				return err
			}
			fmt.Fprintf(env.stdout, "%s is marked as brought back\n%s\n", store.Name(c.Database), next)
			return nil
		})
	}
	found, err := store.CheckBackup(cmd.Context(), r.from)
	if err != nil {
		return exit{exitError, fmt.Sprintf("termed: the backup %s cannot be used: %v; nothing was changed", r.from, err)}
	}
	fmt.Fprintf(env.stdout, "%s is intact: %s, %s", r.from, plural(found.Subscriptions, "subscription"),
		plural(found.Events, "event"))
	if found.LastEvent != 0 {
		fmt.Fprintf(env.stdout, ", the last received at %s", stamp(found.LastEvent))
	}
	fmt.Fprintln(env.stdout)
	if !r.yes {
		what := "would be created"
		if _, err := os.Stat(store.Name(c.Database)); err == nil {
			what = "would be replaced, and kept under another name"
		}
		fmt.Fprintf(env.stdout, "dry run: %s %s; add --yes to do it\n", store.Name(c.Database), what)
		return exit{code: exitPending}
	}
	kept, err := store.Restore(cmd.Context(), c.Database, r.from, by)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "%s is brought back\n", store.Name(c.Database))
	if kept != "" {
		fmt.Fprintf(env.stdout, "what was there is %s\n", kept)
	}
	fmt.Fprintln(env.stdout, next)
	return nil
}
