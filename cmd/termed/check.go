package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/webhook"
)

func checkCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and read it back",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := loadConfig(path, env)
			if err != nil {
				return err
			}
			for _, term := range termsOf(c) {
				fmt.Fprintf(env.stdout, "%s\n", term.Name)
				for _, sku := range term.SKUs {
					fmt.Fprintf(env.stdout, "  %s\n", term.Sentence(sku))
				}
			}
			fmt.Fprintf(env.stdout, "webhooks are taken at %s%s, %d signing key(s)\n", c.Listen, webhook.Path, len(c.Ordergroove.WebhookKeys))
			fmt.Fprintf(env.stdout, "%s is called at most %d times a minute\n", c.Ordergroove.APIURL, c.Ordergroove.RequestsPerMinute)
			fmt.Fprintln(env.stdout, comparing(c.Reconcile))
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// comparing says how often everything is compared with Ordergroove.
func comparing(r config.Reconcile) string {
	if r.Every == 0 {
		return "nothing is compared with Ordergroove but by termed reconcile"
	}
	return fmt.Sprintf("what was updated lately is compared with Ordergroove every %s, everything every %s", short(r.Every), short(r.Full))
}

// short prints a time without the zeros at its end.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func initCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration to start from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return exit{1, path + " is there already; it was left as it is"}
			}
			if err != nil {
				return err
			}
			if _, err := file.Write(config.Starter); err != nil {
				return errors.Join(err, file.Close())
			}
			if err := file.Close(); err != nil {
				return err
			}
			fmt.Fprintf(env.stdout, "wrote %s; set ORDERGROOVE_API_KEY and ORDERGROOVE_WEBHOOK_KEY, list your SKUs, then: termed check\n", path)
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}
