package main

import (
	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
)

func schemaCommand(env environment) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of termed.yaml, for editors",
		Long: `Prints the JSON Schema of termed.yaml. Write it to a file next to termed.yaml, and editors complete the
keys and mark mistakes: the first line that termed init writes names termed.schema.json.

    termed schema > termed.schema.json

What the schema accepts can still be wrong, such as a SKU in two terms: termed check knows everything.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = env.stdout.Write(append(schema, '\n'))
			return err
		},
	}
}
