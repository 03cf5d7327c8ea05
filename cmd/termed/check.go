package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/service"
	"github.com/termed/termed/webhook"
)

func checkCommand(env environment) *cobra.Command {
	var path string
	var asJSON, verbose, noEnv bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and explain it in sentences",
		Long: `Reports every mistake in the configuration, each with its line and what would be right. If there is
none, prints how long each term lasts and what differs from the defaults; --verbose prints everything.

With --no-env, environment variables are not read, so that a file can be checked where the secrets are
not, as in CI: a value with a variable that has no default is not checked. Everything else is.

Exit code: 0 the configuration is correct; 1 error; 2 usage, or a mistake in the configuration.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := configToCheck(path, noEnv, env)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.stdout, checkOf(c))
			}
			printCheck(env.stdout, c, verbose)
			return nil
		},
	}
	configFlag(cmd, &path)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print what is at its default, too")
	cmd.Flags().BoolVar(&noEnv, "no-env", false, "check without environment variables, as in CI")
	return cmd
}

// configToCheck reads the configuration and, if that is to be without variables, names those that have no value.
func configToCheck(path string, noEnv bool, env environment) (config.Config, error) {
	if !noEnv {
		return loadConfig(path, env)
	}
	env.lookup = nil
	c, err := loadConfig(path, env)
	if len(c.Unchecked) > 0 {
		fmt.Fprintf(env.stderr, "not checked: %s (--no-env)\n", strings.Join(c.Unchecked, ", "))
	}
	return c, err
}

// printCheck prints the length of each term and what differs from the defaults, or everything.
func printCheck(out io.Writer, c config.Config, verbose bool) {
	for i, term := range service.Terms(c) {
		fmt.Fprintf(out, "%s\n", term.Name)
		for _, sku := range term.SKUs {
			fmt.Fprintf(out, "  %s\n", term.Sentence(sku))
		}
		if term.CancelReason != "" {
			fmt.Fprintf(out, "  cancel reason: %s\n", term.CancelReason)
		}
		for _, a := range c.Terms[i].Adjustments {
			fmt.Fprintf(out, "  %s: %s\n", a.Matcher, a.Action)
		}
		for _, rule := range term.Rules() {
			if verbose || !slices.Contains(defaultRules(term), rule) {
				fmt.Fprintf(out, "  %s\n", rule.Sentence)
			}
		}
	}
	if verbose {
		fmt.Fprintln(out, "every term")
		for _, rule := range counter.EveryTerm {
			fmt.Fprintf(out, "  %s\n", rule.Sentence)
		}
	}
	defaults := defaultSentences()
	for _, line := range serviceSentences(c) {
		if verbose || !slices.Contains(defaults, line) {
			fmt.Fprintln(out, line)
		}
	}
	if !verbose {
		fmt.Fprintln(out, "everything else is at its default; --verbose prints it")
	}
}

// defaultRules are the rules of a term of the same length that sets nothing else.
func defaultRules(term counter.Term) []counter.Rule {
	return counter.Term{Shipments: term.Shipments, FirstShipment: term.FirstShipment}.Rules()
}

// defaultSentences are the sentences of a file that sets nothing but what is required.
func defaultSentences() []string {
	c := config.Default()
	c.Ordergroove.WebhookKeys = make([]config.Secret, 1)
	return serviceSentences(c)
}

// apiSentence says how many API calls are made. Only on PostgreSQL there may be several services.
func apiSentence(c config.Config) string {
	text := fmt.Sprintf("API: %s, at most %d requests/min", c.Ordergroove.APIURL, c.Ordergroove.RequestsPerMinute)
	switch {
	case c.Ordergroove.OutgoingGroup != "":
		text += " for all services of the outgoing group " + c.Ordergroove.OutgoingGroup
	case databaseFile(c) == "":
		text += " for all services of this database together"
	}
	return text
}

// serviceSentences say how the service works, besides its terms.
func serviceSentences(c config.Config) []string {
	lines := []string{
		modeSentence(c.Mode),
		fmt.Sprintf("brake: at most %d ends an hour of subscriptions that were complete when first seen, "+
			"or %d %% of the active ones", c.Brake.EndsPerHour, c.Brake.Percent),
		fmt.Sprintf("webhooks: received at %s%s, verified with %s",
			c.Listen, webhook.Path, plural(len(c.Ordergroove.WebhookKeys), "key")),
		fmt.Sprintf("webhook limits: signatures up to %s old and %s ahead, bodies up to %d bytes",
			shortDuration(c.Webhook.MaxAge), shortDuration(c.Webhook.MaxAhead), c.Webhook.MaxBody),
		maxGapSentence(c.Webhook.MaxGap),
		consoleSentence(c.Console),
		signInSentence(c.Console),
		"console actions: " + orNone(c.Console.Actions),
		databaseSentence(c),
		fmt.Sprintf("settled events: kept for %s", shortDuration(c.KeepEvents)),
		apiSentence(c),
		reconcileSentence(c.Reconcile),
		"timezone: " + c.Timezone,
		"platform: " + c.Platform,
		"discount codes: " + orNone(discountCodes(c)),
		fmt.Sprintf("extra_data keys: %s, %s, %s", c.Keys.Counter, c.Keys.Termed, c.Keys.Hide),
	}
	if origins := c.Console.FrameAncestors; len(origins) > 0 {
		lines = append(lines, "console frames: pages of customers may be shown by "+strings.Join(origins, ", "))
	}
	if c.Backup.To != "" {
		lines = append(lines, fmt.Sprintf("backups: into %s every %s, of which %d are kept", c.Backup.To,
			shortDuration(c.Backup.Every), c.Backup.Keep))
	}
	if c.Webhook.PublicURL != "" {
		lines = append(lines, "webhooks come from: "+c.Webhook.PublicURL)
	}
	if c.Console.Profiles {
		lines = append(lines, "console profiles: operators may read them below /debug/pprof/")
	}
	return append(append(lines, keySentences(c.Keys)...), notificationSentences(c.Notifications)...)
}

// modeSentence says whether anything is changed at Ordergroove.
func modeSentence(mode string) string {
	if mode == "observe" {
		return "mode: observe, everything is counted, and nothing is changed at Ordergroove"
	}
	return "mode: live, subscriptions are written, and ended when their term is complete"
}

// discountCodes are the codes that adjustments may use, with what they give.
func discountCodes(c config.Config) []string {
	var codes []string
	for _, name := range slices.Sorted(maps.Keys(c.DiscountCodes)) {
		code := c.DiscountCodes[name]
		text := name + " (" + code.Value
		if code.Percent {
			text += " %"
		}
		if code.Until != "" {
			text += ", until " + code.Until
		}
		if !code.Active {
			text += ", not active"
		}
		codes = append(codes, text+")")
	}
	return codes
}

// consoleSentence says where the console listens, and where browsers open it if that is somewhere else.
func consoleSentence(c config.Console) string {
	if c.PublicURL == "" {
		return "console: listens at " + c.Listen
	}
	return fmt.Sprintf("console: listens at %s, opened as %s", c.Listen, c.PublicURL)
}

// signInSentence says who may use the console, without anything secret.
func signInSentence(c config.Console) string {
	var people, applications []string
	for _, u := range c.Users {
		people = append(people, fmt.Sprintf("%s (%s)", u.Name, u.Role))
	}
	for _, t := range c.Tokens {
		applications = append(applications, fmt.Sprintf("%s (%s)", t.Name, t.Role))
	}
	if len(people)+len(applications) == 0 && c.OIDC == nil {
		return "console sign-in: none, everybody on this machine is an operator"
	}
	text := fmt.Sprintf("console sign-in: users %s; tokens %s", orNone(people), orNone(applications))
	if c.OIDC != nil {
		var groups []string
		for _, g := range c.OIDC.Groups {
			groups = append(groups, fmt.Sprintf("%s (%s)", g.Name, g.Role))
		}
		text += fmt.Sprintf("; groups at %s: %s", c.OIDC.Issuer, orNone(groups))
	}
	return text
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// maxGapSentence says when the watchdog raises an alarm.
func maxGapSentence(gap time.Duration) string {
	switch {
	case gap < 0:
		return "watchdog: no alarm when no webhook arrives"
	case gap == 0:
		return "watchdog: an alarm when no webhook arrives for longer than usual"
	}
	return fmt.Sprintf("watchdog: an alarm when no webhook arrives for %s", shortDuration(gap))
}

// databaseSentence names the file, but not the URL of a server, which can contain a password.
func databaseSentence(c config.Config) string {
	name := cmp.Or(databaseFile(c), "PostgreSQL")
	schema := "schema changes at every start"
	if c.Migrate == "manual" {
		schema = "schema changes with termed migrate up only"
	}
	return fmt.Sprintf("database: %s, %s", name, schema)
}

// databaseFile is the path of a SQLite database; "" is PostgreSQL.
func databaseFile(c config.Config) string {
	if path := strings.TrimPrefix(c.Database, "sqlite://"); !strings.Contains(path, "://") {
		return path
	}
	return ""
}

// reconcileSentence says how often the service reconciles by itself.
func reconcileSentence(r config.Reconcile) string {
	if r.Every == 0 {
		return "reconcile: only when you run termed reconcile"
	}
	return fmt.Sprintf("reconcile: recently updated subscriptions every %s, all subscriptions every %s",
		shortDuration(r.Every), shortDuration(r.Full))
}

// keySentences say what themes can show.
func keySentences(keys config.Keys) []string {
	var lines []string
	for _, key := range []struct{ name, value string }{
		{keys.ShipmentsTotal, "the shipments of the term"},
		{keys.ShipmentsMade, "the shipments made"},
		{keys.LastShipment, `"true" when the next shipment is the last`},
	} {
		if key.name != "" {
			lines = append(lines, fmt.Sprintf("extra_data for themes: %s, %s", key.name, key.value))
		}
	}
	return lines
}

// notificationSentences say which notifications are sent, and where.
func notificationSentences(n config.Notifications) []string {
	var lines []string
	for _, e := range n.Endpoints {
		types := "all types"
		if len(e.Types) > 0 {
			types = strings.Join(e.Types, ", ")
		}
		lines = append(lines, fmt.Sprintf("notifications to %s: %s, signed with %s",
			e.Name, types, plural(len(e.Secrets), "secret")))
	}
	if days := n.LastShipmentDays; days > 0 {
		lines = append(lines, fmt.Sprintf("notification of the last shipment: %s before its order is placed",
			plural(days, "day")))
	}
	return lines
}

// shortDuration prints a time without the zeros at its end.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func checkOf(c config.Config) checkJSON {
	check := checkJSON{
		Terms:             []termRulesJSON{},
		EveryTerm:         rulesJSON(counter.EveryTerm),
		Webhooks:          c.Listen + webhook.Path,
		WebhookKeys:       len(c.Ordergroove.WebhookKeys),
		APIURL:            c.Ordergroove.APIURL,
		RequestsPerMinute: c.Ordergroove.RequestsPerMinute,
		OutgoingGroup:     c.Ordergroove.OutgoingGroup,
		Reconcile:         reconcileEveryJSON{shortDuration(c.Reconcile.Every), shortDuration(c.Reconcile.Full)},
		ExtraDataKeys:     extraDataKeysJSON(c.Keys),
		LastShipmentDays:  c.Notifications.LastShipmentDays,
		Endpoints:         []endpointConfigJSON{},
	}
	for _, term := range service.Terms(c) {
		rules := termRulesJSON{Term: term.Name, Shipments: term.Shipments, Rules: rulesJSON(term.Rules())}
		for _, sku := range term.SKUs {
			rules.SKUs = append(rules.SKUs, skuJSON{sku, term.Sentence(sku)})
		}
		check.Terms = append(check.Terms, rules)
	}
	for _, e := range c.Notifications.Endpoints {
		check.Endpoints = append(check.Endpoints, endpointConfigJSON{e.Name, append([]string{}, e.Types...), len(e.Secrets)})
	}
	return check
}
