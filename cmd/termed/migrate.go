package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/termed/termed/store"
)

func migrateCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the database's schema up to date by hand"}
	cmd.PersistentFlags().StringVarP(&path, "config", "c", "termed.yaml", "the configuration file")
	for _, c := range []struct {
		name, short string
		how         store.Migrate
	}{
		{"up", "Migrate to this program's schema", store.Auto},
		{"status", "Say where the schema stands", store.LookOnly},
	} {
		cmd.AddCommand(&cobra.Command{
			Use:   c.name,
			Short: c.short,
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return withStore(cmd.Context(), path, env, c.how, func(s *store.Store) error {
					stands, known, err := s.SchemaVersions(cmd.Context())
					if err != nil {
						return err
					}
					fmt.Fprintf(env.stdout, "the schema stands at %d of %d\n", stands, known)
					return nil
				})
			},
		})
	}
	return cmd
}
