package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/service"
	"github.com/termed/termed/service/doctor"
	"github.com/termed/termed/webhook"
)

// healthcheckTimeout is how long the service may take to answer.
const healthcheckTimeout = 4 * time.Second

func healthcheckCommand(env environment) *cobra.Command {
	var path string
	var ready bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Say whether the service on this machine is healthy, for containers",
		Long: `Asks the service that runs with the same configuration on this machine for /healthz: whether webhooks can be
stored. With --ready it asks for /readyz: whether it can do its work, for which Ordergroove must be up, too. A
container that is restarted because Ordergroove is down gains nothing, so ask for that in alarms only.

Exit code: 0 healthy; 1 not, or nothing answers; 2 usage, or a mistake in the configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.LoadWithoutSecrets(path, env.lookup)
			if err != nil {
				return exit{exitUsage, err.Error()}
			}
			address, at := c.Listen, webhook.HealthPath
			if ready {
				address, at = c.Console.Listen, service.ReadyPath
			}
			return askHealth(cmd.Context(), "http://"+doctor.Nearby(address)+at, env)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether the service can do its work, not only store webhooks")
	return cmd
}

func askHealth(ctx context.Context, url string, env environment) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: healthcheckTimeout}).Do(request)
	if err != nil {
		return exit{exitError, fmt.Sprintf("unhealthy: nothing answers: %v", err)}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return exit{exitError, fmt.Sprintf("unhealthy: %s answers %s", url, response.Status)}
	}
	fmt.Fprintln(env.stdout, "healthy")
	return nil
}
