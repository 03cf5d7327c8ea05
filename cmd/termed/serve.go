package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/service"
	"github.com/termed/termed/tracing"
	"github.com/termed/termed/tracing/export"
	"github.com/termed/termed/webhook"
)

func serveCommand(env environment) *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: `Runs the service until SIGTERM: then it stops accepting webhooks, finishes or releases the work in
progress, and exits within 10 s. On SIGHUP it reloads the configuration.
With an OTEL_* variable that names an exporter or its endpoint it exports traces.
Under systemd it says when it receives and when it stops (Type=notify), and keeps the watchdog.

Exit code: 0 stopped by a signal; 1 error; 2 usage, or a mistake in the configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(path, env)
			if err != nil {
				return err
			}
			log, err := newLog(env, level)
			if err != nil {
				return err
			}
			traces, err := export.Start(cmd.Context(), export.Options{
				Lookup:  env.lookup,
				Version: service.ReadBuild().Version,
				Console: env.stdout,
				Log:     log,
			})
			if err != nil {
				return exit{exitUsage, err.Error()}
			}
			defer traces.Close()
			if traces != nil {
				log = slog.New(tracing.LogHandler{Handler: log.Handler()})
			}
			// A SIGHUP that nothing catches ends the process, so it is caught before anybody can know of the process.
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			s, err := service.New(cmd.Context(), c, service.Options{Log: log, Traces: traces.Provider()})
			if err != nil {
				return databaseError(path, c, err)
			}
			go onEach(cmd.Context(), hangups, func() {
				s.Reload(cmd.Context(), func() (config.Config, error) { return config.Load(path, env.lookup) })
			})
			fmt.Fprintf(env.stdout, "webhooks: %s\nconsole:  %s\n", s.WebhookURL(), s.ConsoleURL())
			var told sync.WaitGroup
			defer told.Wait()
			told.Go(func() { tellSupervisor(cmd.Context(), strings.TrimSuffix(s.WebhookURL(), webhook.Path)+"/livez") })
			return s.Run(cmd.Context())
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// onEach calls do at each signal, until ctx is done.
func onEach(ctx context.Context, signals <-chan os.Signal, do func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			do()
		}
	}
}
