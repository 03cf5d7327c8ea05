package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/service"
	"github.com/termed/termed/service/doctor"
	"github.com/termed/termed/store"
)

func doctorCommand(env environment) *cobra.Command {
	var path, url string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine the installation: what works, what does not, and what to do",
		Long: `Examines, one after the other: the configuration, the database and its disk, the API key and its
permission, the clock, the listeners, the way of a webhook from its public URL, which webhooks arrive, the API calls
that are left, and the age of the last backup. Nothing is changed at Ordergroove. The public URL (webhook.public_url,
or --url) gets a signed probe, which the service answers and does not file.

Exit code: 0 everything works, perhaps with warnings; 1 something does not; 2 usage, or a mistake in the
configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings, err := examine(cmd.Context(), env, path, url)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(env.stdout, findings)
			} else {
				printFindings(env, findings)
			}
			if err == nil && doctor.Failed(findings) {
				return exit{code: exitError}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&url, "url", "", "where Ordergroove sends its webhooks; default webhook.public_url")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func examine(ctx context.Context, env environment, path, url string) ([]doctor.Finding, error) {
	c, err := loadConfig(path, env)
	if err != nil {
		return nil, err
	}
	o := service.ClientOptions(c)
	o.RequestsPerMinute = sessionRequestsPerMinute
	client, err := ordergroove.NewClient(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	in := doctor.Installation{Config: c, Client: client, PublicURL: c.Webhook.PublicURL}
	if url != "" {
		in.PublicURL = url
	}
	in.Store, in.StoreErr = store.Open(ctx, store.Options{Database: c.Database, Migrate: store.Manual})
	if in.StoreErr == nil {
		defer in.Store.Close()
	}
	return doctor.Examine(ctx, in), nil
}

func printFindings(env environment, findings []doctor.Finding) {
	for _, f := range findings {
		fmt.Fprintf(env.stdout, "%2d. %-7s  %s: %s\n", f.Number, f.Level, f.Check, f.Says)
		if f.Do != "" {
			fmt.Fprintf(env.stdout, "             → %s\n", f.Do)
		}
	}
}
