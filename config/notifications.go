package config

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// notificationTypes are the types of notifications, as docs/notifications.md lists them.
var notificationTypes = []string{
	"term.started",
	"term.shipment",
	"term.last_shipment_next",
	"term.completed",
	"term.ended",
	"term.blocked_reactivation",
	"overship.risk",
	"subscription.attention",
	"service.no_deliveries",
	"approval.needed",
	"brake.ends_held_back",
	"adjustment.missed",
	"adjustment.failed",
	"adjustment.attention",
}

const (
	secretFormat = "whsec_ followed by the base64 of 24 to 64 random bytes"
	wantSecrets  = "the signing secrets, as [ \"${TERMED_NOTIFICATION_SECRET}\" ]: " + secretFormat
)

func (r *reader) notifications(s section) Notifications {
	defer s.end()
	n := Notifications{LastShipmentDays: s.number("last_shipment_days", 0, 0, 365)}
	if !s.has("endpoints") {
		return n
	}
	names := map[string]bool{}
	for _, s := range s.sections("endpoints", "at least one endpoint, with url and secrets") {
		e := r.endpoint(s)
		if e.Name != "" && names[e.Name] {
			r.report(s.at, "duplicate endpoint name %q; give each endpoint its own name", e.Name)
		}
		names[e.Name] = true
		n.Endpoints = append(n.Endpoints, e)
	}
	return n
}

func (r *reader) endpoint(s section) Endpoint {
	defer s.end()
	e := Endpoint{
		Private: s.text("private", "false", r.boolean) == "true",
		URL:     Secret(s.required("url", "the address to post to, for example https://example.com/termed")),
	}
	if at, set := s.value("url"); set && e.URL != "" && !r.withoutValue(at) {
		if problem := endpointURL(e.URL.Reveal(), e.Private); problem != "" {
			r.report(at, "url: %s", problem)
		}
	}
	e.Name = s.text("name", endpointName(e.URL.Reveal()), nil)
	for _, secret := range s.texts("secrets", wantSecrets) {
		if !r.withoutValue(secret.at) && !signingSecret(secret.text) {
			r.report(secret.at, "secrets: invalid signing secret; write %s: echo whsec_$(openssl rand -base64 32)",
				secretFormat)
		}
		e.Secrets = append(e.Secrets, Secret(secret.text))
	}
	e.Types = r.types(s)
	return e
}

func (r *reader) types(s section) []string {
	if !s.has("types") {
		return nil
	}
	var types []string
	named := s.texts("types", "notification types, for example [term.completed]")
	s.offer("types", notificationTypes)
	for _, t := range named {
		if !r.withoutValue(t.at) && !slices.Contains(notificationTypes, t.text) {
			allowed := strings.Join(notificationTypes, ", ")
			r.report(t.at, "types: unknown notification type %q; allowed types: %s", t.text, allowed)
		}
		types = append(types, t.text)
	}
	return types
}

// endpointName is the host of the URL. If that is a variable without a value, it is the variable.
func endpointName(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	if len(withoutDefault(address)) > 0 {
		return variable.FindString(address)
	}
	return ""
}

// endpointURL does not quote the URL, because its path may be secret.
func endpointURL(v string, private bool) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "invalid URL; write https://host/path"
	case u.Scheme == "http" && !private:
		return "http would send notifications unencrypted; write https://, or private: true for your own network"
	case u.User != nil:
		return "a user name or password in the URL is not supported; remove it"
	}
	return ""
}

func signingSecret(v string) bool {
	encoded, ok := strings.CutPrefix(v, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	return ok && err == nil && len(key) >= 24 && len(key) <= 64
}
