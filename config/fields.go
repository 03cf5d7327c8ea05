package config

import (
	"slices"
	"strings"
	"time"
)

// config reads the whole file: one line per setting, with its default.
func (r *reader) config(top section) Config {
	c := Config{
		Listen:     top.text("listen", "127.0.0.1:8080", r.address),
		Database:   top.text("database", "termed.db", r.database),
		Migrate:    top.text("migrate", "auto", r.migrate),
		Mode:       top.text("mode", "live", r.mode),
		KeepEvents: top.duration("keep_events", 30*24*time.Hour, time.Hour),
		Timezone:   top.text("timezone", "UTC", r.timezone),
		Platform:   top.text("platform", "other", r.platform),
	}
	if token := top.tokenOf("database"); token != nil {
		c.DatabaseLine = token.Position.Line
	}
	console := top.section("console")
	c.Console = r.console(console)
	r.listeners(top, console, c)
	c.Ordergroove = r.ordergroove(top.requiredSection("ordergroove"))
	c.Brake = r.brake(top.section("brake"))
	c.Webhook = r.webhook(top.section("webhook"))
	if at, set := top.value("keep_events"); set && c.KeepEvents < c.Webhook.MaxAge {
		r.report(at, "keep_events is shorter than webhook.max_age, so a late duplicate would count as a new event; "+
			"write at least %s", short(c.Webhook.MaxAge))
	}
	c.Reconcile = r.reconcile(top.section("reconcile"))
	c.Backup = r.backup(top.section("backup"), c.Database)
	c.Keys = r.keys(top.section("extra_data_keys"))
	c.Notifications = r.notifications(top.section("notifications"))
	c.DiscountCodes = r.discountCodes(top.section("discount_codes"))
	r.codes = c.DiscountCodes
	c.Terms = r.terms(top, c.Keys.names())
	top.end()
	return c
}

// listeners reports that both listeners have the same address.
func (r *reader) listeners(top, console section, c Config) {
	at, set := console.value("listen")
	if !set {
		at, _ = top.value("listen")
	}
	if sameAddress(c.Listen, c.Console.Listen) {
		r.report(at, "listen (%s) and console.listen (%s) need the same port; give each its own",
			c.Listen, c.Console.Listen)
	}
}

// shortestKey is how many characters a webhook key has at least: who guesses it can forge deliveries.
const shortestKey = 8

func (r *reader) ordergroove(s section) Ordergroove {
	defer s.end()
	const (
		wantAPIKey      = "the API key from the Ordergroove Admin, as ${ORDERGROOVE_API_KEY}"
		wantWebhookKeys = "the verification key from the Ordergroove Admin, as [ \"${ORDERGROOVE_WEBHOOK_KEY}\" ]"
	)
	o := Ordergroove{
		APIURL:            s.text("api_url", "https://restapi.ordergroove.com", r.apiURL),
		APIKey:            Secret(s.required("api_key", wantAPIKey)),
		RequestsPerMinute: s.number("requests_per_minute", 5400, 1, 1_000_000),
		OutgoingGroup:     s.text("outgoing_group", "", nil),
	}
	for _, key := range s.texts("webhook_keys", wantWebhookKeys) {
		variable := strings.Contains(key.text, "$") // it is not known yet, or reported already
		if !variable && len(key.text) < shortestKey {
			s.r.report(key.at, "a webhook key needs %d characters or more, or it can be guessed; want %s",
				shortestKey, wantWebhookKeys)
		}
		o.WebhookKeys = append(o.WebhookKeys, Secret(key.text))
	}
	return o
}

func (r *reader) webhook(s section) Webhook {
	defer s.end()
	maxGap := map[string]time.Duration{"learned": 0, "off": -1}
	return Webhook{
		MaxAge:   s.duration("max_age", 72*time.Hour, time.Minute),
		MaxAhead: s.duration("max_ahead", 5*time.Minute, 0),
		MaxBody:  s.number("max_body", 1<<20, 1<<10, 64<<20),
		MaxGap:   s.durationOr("max_gap", maxGap, 0, time.Second),

		PublicURL: s.text("public_url", "", r.webhookURL),
	}
}

func (r *reader) reconcile(s section) Reconcile {
	defer s.end()
	c := Reconcile{
		Every: s.durationOr("every", map[string]time.Duration{"off": 0}, time.Hour, time.Second),
		Full:  s.duration("full", 24*time.Hour, time.Second),
	}
	if at, set := s.value("full"); set && c.Full < c.Every {
		r.report(at, "reconcile.full is shorter than reconcile.every; write at least %s", short(c.Every))
	}
	c.Full = max(c.Full, c.Every)
	return c
}

func (r *reader) backup(s section, database string) Backup {
	defer s.end()
	b := Backup{
		To:    s.text("to", "", nil),
		Every: s.duration("every", 24*time.Hour, time.Second),
		Keep:  s.number("keep", 7, 1, 1000),
	}
	switch {
	case s.at == nil:
	case b.To == "":
		s.missing(nil, "to", "a folder on another disk")
	case strings.Contains(database, "://") && !strings.HasPrefix(database, "sqlite://"):
		r.report(s.at, "backup is for SQLite; back up PostgreSQL with its own tools, such as pg_dump")
	}
	return b
}

func (r *reader) brake(s section) Brake {
	defer s.end()
	return Brake{
		EndsPerHour: s.number("ends_per_hour", 20, 1, 1_000_000),
		Percent:     s.number("percent", 2, 0, 100),
	}
}

func (r *reader) keys(s section) Keys {
	defer s.end()
	k := Keys{
		Counter:        s.text("counter", "fulfillment_counter", nil),
		Termed:         s.text("termed", "termed", nil),
		Hide:           s.text("hide", "hide", nil),
		ShipmentsTotal: s.text("total", "", nil),
		ShipmentsMade:  s.text("made", "", nil),
		LastShipment:   s.text("last", "", nil),
	}
	names := k.names()
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) < len(names) {
		r.report(s.at, "extra_data_keys: two keys have the same name; give each its own name")
	}
	return k
}

// names are the names of the keys that are on.
func (k Keys) names() []string {
	all := []string{k.Counter, k.Termed, k.Hide, k.ShipmentsTotal, k.ShipmentsMade, k.LastShipment}
	return slices.DeleteFunc(all, func(name string) bool { return name == "" })
}
