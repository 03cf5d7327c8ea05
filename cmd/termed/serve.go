package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/webhook"
)

func serveCommand(env environment) *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long:  "Runs the service. SIGHUP makes it read the configuration again; SIGTERM ends it.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(path, env)
			if err != nil {
				return err
			}
			log, err := newLog(env.stderr, level)
			if err != nil {
				return err
			}
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP) // before anybody can know of us: one that nobody awaits ends the process
			defer signal.Stop(hangups)
			s, err := newService(cmd.Context(), c, log)
			if err != nil {
				return err
			}
			go s.reloadOn(cmd.Context(), hangups, func() (config.Config, error) { return config.Load(path, env.lookup) })
			fmt.Fprintf(env.stdout, "webhooks: http://%s%s\nconsole:  http://%s\n", s.doorAddress(), webhook.Path, s.consoleAddress())
			return s.run(cmd.Context())
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "termed.yaml", "the configuration file")
}

// loadConfig reads the configuration; its mistakes are all told at once, with exit code 2.
func loadConfig(path string, env environment) (config.Config, error) {
	c, err := config.Load(path, env.lookup)
	if err != nil {
		return c, exit{2, err.Error()}
	}
	return c, nil
}

// newLog writes JSON lines, or, on a terminal, lines for people.
func newLog(w io.Writer, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("%q is no log level; write debug, info, warn or error", level)
	}
	if isTerminal(w) {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: least, TimeFormat: "15:04:05"})), nil
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})), nil
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
