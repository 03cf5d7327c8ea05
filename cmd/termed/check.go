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
	"github.com/termed/termed/counter"
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
				for _, rule := range term.Rules() {
					fmt.Fprintf(env.stdout, "  %s\n", rule.Sentence)
				}
			}
			fmt.Fprintln(env.stdout, "every term")
			for _, rule := range counter.EveryTerm {
				fmt.Fprintf(env.stdout, "  %s\n", rule.Sentence)
			}
			fmt.Fprintf(env.stdout, "webhooks are taken at %s%s, %d signing key(s)\n", c.Listen, webhook.Path, len(c.Ordergroove.WebhookKeys))
			fmt.Fprintf(env.stdout, "%s is called at most %d times a minute\n", c.Ordergroove.APIURL, c.Ordergroove.RequestsPerMinute)
			fmt.Fprintln(env.stdout, comparing(c.Reconcile))
			for _, line := range telling(c) {
				fmt.Fprintln(env.stdout, line)
			}
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

// telling says who is told what comes about, and what themes can show.
func telling(c config.Config) []string {
	var lines []string
	for _, name := range []struct{ name, what string }{
		{c.Keys.Total, "the shipments of the term"}, {c.Keys.Made, "those made"}, {c.Keys.Last, `"true" when the next is the last`},
	} {
		if name.name != "" {
			lines = append(lines, fmt.Sprintf("themes find in extra_data: %s, %s", name.name, name.what))
		}
	}
	for _, e := range c.Notices.Endpoints {
		what := "of everything"
		if len(e.Types) > 0 {
			what = "of " + strings.Join(e.Types, ", ")
		}
		lines = append(lines, fmt.Sprintf("%s is told %s, signed with %s", e.Name, what, plural(len(e.Secrets), "secret")))
	}
	if days := c.Notices.LastShipmentDays; days > 0 {
		lines = append(lines, fmt.Sprintf("the last shipment is announced %s before its order is placed", plural(days, "day")))
	}
	return lines
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
