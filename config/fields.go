package config

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
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
		Total:   keys.text("total", "", nil),
		Made:    keys.text("made", "", nil),
		Last:    keys.text("last", "", nil),
	}
	keys.end()
	names := slices.DeleteFunc([]string{c.Keys.Counter, c.Keys.Termed, c.Keys.Hide, c.Keys.Total, c.Keys.Made, c.Keys.Last}, func(name string) bool { return name == "" })
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) < len(names) {
		r.wrong(keys.at, "two of the keys have the same name; give each its own")
	}
	c.Notices = r.notices(top.section("notices"))
	c.Terms = r.terms(top, names)
	top.end()
	return c
}

// noticeTypes are the types of notices, as docs/notices.md lists them.
var noticeTypes = []string{
	"term.started", "term.shipment", "term.last_shipment_next", "term.completed", "term.ended", "term.blocked_reactivation",
	"guard.extra_order", "subscription.attention", "service.silence",
}

func (r *reader) notices(s section) Notices {
	defer s.end()
	n := Notices{LastShipmentDays: s.number("last_shipment_days", 0, 0, 365)}
	if _, set := s.value("endpoints"); !set {
		return n
	}
	names := map[string]bool{}
	for _, e := range s.sections("endpoints", "at least one endpoint, with url and secrets") {
		private := e.text("private", "false", r.yesOrNo) == "true"
		to := Endpoint{Private: private, URL: Secret(e.required("url", "where to post to, for example https://example.com/termed"))}
		if at, set := e.value("url"); set {
			if fault := endpointURL(to.URL.Reveal(), private); fault != "" {
				r.wrong(at, "url: %s", fault)
			}
		}
		to.Name = e.text("name", hostOf(to.URL.Reveal()), nil)
		if names[to.Name] {
			r.wrong(e.at, "a second endpoint is called %q; give each a name of its own", to.Name)
		}
		names[to.Name] = true
		for _, secret := range e.texts("secrets", "what the notices are signed with, as [ \"${TERMED_NOTICE_SECRET}\" ]: whsec_ and the base64 of 24 to 64 random bytes") {
			if !signingSecret(secret.text) {
				r.wrong(secret.at, "secrets: it is no signing secret; write whsec_ and the base64 of 24 to 64 random bytes: echo whsec_$(openssl rand -base64 32)")
			}
			to.Secrets = append(to.Secrets, Secret(secret.text))
		}
		if _, set := e.value("types"); set {
			for _, t := range e.texts("types", "types of notices, for example [term.completed]") {
				if !slices.Contains(noticeTypes, t.text) {
					r.wrong(t.at, "types: %q is no type of notice; there are: %s", t.text, strings.Join(noticeTypes, ", "))
				}
				to.Types = append(to.Types, t.text)
			}
		}
		e.end()
		n.Endpoints = append(n.Endpoints, to)
	}
	return n
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Host
	}
	return ""
}

// endpointURL does not quote the address: its path may be a secret.
func endpointURL(v string, private bool) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "it is no address; write https://host/path"
	case u.Scheme == "http" && !private:
		return "http would send the notices in the clear; write https://, or private: true for an address of your own network"
	case u.User != nil:
		return "it holds a name or password, which nothing would send; take it out"
	}
	return ""
}

func signingSecret(v string) bool {
	encoded, ok := strings.CutPrefix(v, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	return ok && err == nil && len(key) >= 24 && len(key) <= 64
}

func (r *reader) terms(top section, ours []string) []Term {
	var terms []Term
	var written []section
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
		t.OnComplete, t.SwapTo = r.onComplete(s)
		t.OnReactivation = s.text("on_reactivation", "block", r.onReactivation)
		t.OnSwap = s.text("on_swap", "keep", r.onSwap)
		t.Set = r.constants(s.section("set"), ours)
		s.end()
		terms, written = append(terms, t), append(written, s)
	}
	for i, t := range terms { // once all SKUs are known
		if other, termed := owner[t.SwapTo]; termed {
			at, _ := written[i].value("on_complete")
			r.wrong(at, "on_complete: %s is in the term %q; write a product that no term names", t.SwapTo, other)
		}
	}
	return terms
}

// onComplete is a word, or swap: {sku: …}.
func (r *reader) onComplete(s section) (what, sku string) {
	node, ok := s.value("on_complete")
	if !ok {
		return "cancel", ""
	}
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		swap := s.section("on_complete")
		to := swap.section("swap")
		if !to.there() {
			swap.missing(nil, "swap", "swap: { sku: PRODUCT }")
		} else {
			sku = to.required("sku", "the product to go on with, which no term names")
		}
		to.end()
		swap.end()
		return "swap", sku
	}
	return s.text("on_complete", "cancel", func(v string) string {
		if v == "cancel" || v == "renew" || v == "release" {
			return ""
		}
		return fmt.Sprintf("%q is neither cancel (hidden and cancelled), renew (a new term starts), release (it goes on without a term) nor { swap: { sku: PRODUCT } } (it goes on as another product)", v)
	}), ""
}

// quoted is a text as JSON, with no more escaped than has to be.
func quoted(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a text always marshals
	return strings.TrimSuffix(out.String(), "\n")
}

// constants are members of extra_data: a text, or a JSON number, true or false as it is spelled.
func (r *reader) constants(s section, ours []string) map[string]string {
	var set map[string]string
	for name, field := range s.fields {
		*s.asked = append(*s.asked, name)
		if slices.Contains(ours, name) {
			r.wrong(field.Key, "set: %s is one of our own members; give yours another name", name)
			continue
		}
		text, ok := r.scalar(name, field.Value)
		if !ok {
			continue
		}
		value := quoted(text)
		switch field.Value.(type) {
		case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
			if !json.Valid([]byte(text)) {
				r.wrong(field.Value, "set: %s is %s, which JSON does not know; write it in quotes", name, text)
				continue
			}
			value = text
		}
		if set == nil {
			set = map[string]string{}
		}
		set[name] = value
	}
	return set
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

func (r *reader) onReactivation(v string) string {
	if v == "block" || v == "new_term" || v == "release" {
		return ""
	}
	return fmt.Sprintf("%q is neither block (hidden and cancelled again), new_term (a new term starts) nor release (it goes on without a term)", v)
}

func (r *reader) onSwap(v string) string {
	if v == "keep" || v == "restart" {
		return ""
	}
	return fmt.Sprintf("%q is neither keep (the shipments made count) nor restart (the new term starts anew)", v)
}

func (r *reader) yesOrNo(v string) string {
	if v == "true" || v == "false" {
		return ""
	}
	return fmt.Sprintf("%q is neither true nor false", v)
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
