package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/termed/termed/store"
)

func migrateCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "migrate", Short: "Migrate the database schema by hand"}
	groupConfigFlag(cmd, &path)
	cmd.AddCommand(
		migrationCommand(env, &path, "up", "Migrate to the schema of this version of termed", store.Auto),
		migrationCommand(env, &path, "status", "Show the schema version of the database", store.LookOnly),
	)
	return cmd
}

// migrationCommand opens the database, migrating it or not, and prints its schema version.
func migrationCommand(env environment, path *string, name, short string, how store.Migrate) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), *path, env, how, func(s *store.Store) error {
				version, latest, err := s.SchemaVersions(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(env.stdout, schemaJSON{version, latest})
				}
				fmt.Fprintf(env.stdout, "schema version %d of %d\n", version, latest)
				return nil
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
