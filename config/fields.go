package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// config reads the whole file: one line a setting, with its default.
func (r *reader) config(top section) Config {
	c := Config{
		Listen:     top.text("listen", "127.0.0.1:8080", r.address),
		Database:   top.text("database", "termed.db", r.database),
		Migrate:    top.text("migrate", "auto", r.migrate),
		KeepEvents: top.duration("keep_events", 30*24*time.Hour, time.Hour),
	}
	console := top.section("console")
	c.Console.Listen = console.text("listen", "127.0.0.1:8081", r.address)
	c.Console.Password = Secret(console.text("password", "", nil))
	console.end()

	og := top.section("ordergroove")
	c.Ordergroove = Ordergroove{
		APIURL:            og.text("api_url", "https://restapi.ordergroove.com", r.apiURL),
		APIKey:            Secret(og.required("api_key", "the API key from the Ordergroove Admin, as ${ORDERGROOVE_API_KEY}")),
		RequestsPerMinute: og.number("requests_per_minute", 5400, 1, 1_000_000),
	}
	for _, key := range og.texts("webhook_keys", "the verification key from the Ordergroove Admin, as [ \"${ORDERGROOVE_WEBHOOK_KEY}\" ]") {
		c.Ordergroove.WebhookKeys = append(c.Ordergroove.WebhookKeys, Secret(key.text))
	}
	og.end()

	hook := top.section("webhook")
	c.Webhook = Webhook{
		MaxAge:   hook.duration("max_age", 72*time.Hour, time.Minute),
		MaxAhead: hook.duration("max_ahead", 5*time.Minute, 0),
		MaxBody:  hook.number("max_body", 1<<20, 1<<10, 64<<20),
		Silence:  hook.durationOr("silence", map[string]time.Duration{"learned": 0, "off": -1}, 0, time.Second),
	}
	hook.end()
	if at, set := top.value("keep_events"); set && c.KeepEvents < c.Webhook.MaxAge {
		r.wrong(at, "keep_events is shorter than webhook.max_age, so a late duplicate would be taken for news; make it at least %s", c.Webhook.MaxAge)
	}

	reconcile := top.section("reconcile")
	c.Reconcile = Reconcile{
		Every: reconcile.durationOr("every", map[string]time.Duration{"off": 0}, time.Hour, time.Second),
		Full:  reconcile.duration("full", 24*time.Hour, time.Second),
	}
	reconcile.end()
	if at, set := reconcile.value("full"); set && c.Reconcile.Full < c.Reconcile.Every {
		r.wrong(at, "reconcile.full is shorter than reconcile.every; make it at least %s", c.Reconcile.Every)
	}
	c.Reconcile.Full = max(c.Reconcile.Full, c.Reconcile.Every)

	keys := top.section("extra_data_keys")
	c.Keys = Keys{
		Counter: keys.text("counter", "fulfillment_counter", nil),
		Termed:  keys.text("termed", "termed", nil),
		Hide:    keys.text("hide", "hide", nil),
	}
	keys.end()
	if c.Keys.Counter == c.Keys.Termed || c.Keys.Counter == c.Keys.Hide || c.Keys.Termed == c.Keys.Hide {
		r.wrong(keys.at, "two of the keys have the same name; give each its own")
	}
	c.Terms = r.terms(top)
	top.end()
	return c
}

func (r *reader) terms(top section) []Term {
	var terms []Term
	names, owner := map[string]bool{}, map[string]string{}
	for _, s := range top.sections("terms", "at least one term, with name, skus and shipments") {
		t := Term{
			Name:          s.required("name", "what people call it, for example \"Three-month gift\""),
			Shipments:     s.requiredNumber("shipments", "the number of boxes in all, for example 3", 1, 1000),
			FirstShipment: s.text("first_shipment", "checkout", r.firstShipment),
		}
		if at, set := s.value("name"); set && t.Name != "" && names[t.Name] {
			r.wrong(at, "a second term is called %q; give each its own name", t.Name)
		}
		names[t.Name] = true
		for _, sku := range s.texts("skus", "the Ordergroove product ids, for example [GIFT-3MO]") {
			if other, taken := owner[sku.text]; taken {
				r.wrong(sku.at, "SKU %q is in the term %q already; a SKU belongs to one term", sku.text, other)
				continue
			}
			owner[sku.text] = t.Name
			t.SKUs = append(t.SKUs, sku.text)
		}
		t.CancelReason = r.cancelReason(s.section("cancel_reason"))
		t.KeepRenewal = s.text("prepaid_renewal", "cancel", r.prepaidRenewal) == "keep"
		s.end()
		terms = append(terms, t)
	}
	return terms
}

func (r *reader) cancelReason(s section) string {
	defer s.end()
	if !s.there() {
		return ""
	}
	code := s.requiredNumber("code", "one of your Ordergroove cancel reason codes, for example 1", 0, 1_000_000)
	details := s.text("details", "", func(v string) string {
		if strings.Contains(v, "|") {
			return "it contains |, which separates the code from the details; write it without"
		}
		return ""
	})
	return fmt.Sprintf("%d|%s", code, details)
}

// The checks below answer what is wrong and what would be right, or "".

func (r *reader) firstShipment(v string) string {
	if v == "checkout" || v == "recurring" {
		return ""
	}
	return fmt.Sprintf("%q is neither checkout (the checkout's own order is box 1) nor recurring (box 1 is the first recurring order)", v)
}

func (r *reader) prepaidRenewal(v string) string {
	if v == "cancel" || v == "keep" {
		return ""
	}
	return fmt.Sprintf("%q is neither cancel (a prepaid subscription ends when what was paid for is used up) nor keep (its renewal is left as it is)", v)
}

func (r *reader) migrate(v string) string {
	if v == "auto" || v == "manual" {
		return ""
	}
	return fmt.Sprintf("%q is neither auto (at every start) nor manual (by termed migrate up)", v)
}

func (r *reader) address(v string) string {
	_, port, err := net.SplitHostPort(v)
	if err == nil && port != "" {
		return ""
	}
	return fmt.Sprintf("%q is no address to listen on; write host:port, for example 127.0.0.1:8080 or :8080", v)
}

func (r *reader) database(v string) string {
	scheme, _, isURL := strings.Cut(v, "://")
	if !isURL {
		return ""
	}
	switch scheme {
	case "postgres", "postgresql":
		if _, err := url.Parse(v); err != nil {
			return "the PostgreSQL address cannot be read; write postgres://user@host/database" // v may hold a password
		}
		return ""
	case "sqlite":
		return ""
	}
	return fmt.Sprintf("%s is no database of ours; write a file name for SQLite, or postgres://user@host/database", scheme)
}

func (r *reader) apiURL(v string) string {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "it is no address; write https://restapi.ordergroove.com"
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "it is more than a host; write https://restapi.ordergroove.com, the paths are added"
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return fmt.Sprintf("http would send the API key in the clear to %s; write https://%s", u.Hostname(), u.Host)
	}
	return ""
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
