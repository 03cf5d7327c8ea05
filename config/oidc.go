package config

import (
	"net/url"
)

const (
	wantIssuer   = "the issuer of the provider, for example https://login.example.com"
	wantClientID = "the client ID that the provider has for termed"
	wantSecret   = "the client secret, as a variable: ${OIDC_CLIENT_SECRET}"
	wantGroups   = "which groups have which role, for example [{ name: support, role: agent }]"
	wantScopes   = "the scopes to ask for besides openid, profile and email, for example [groups]"
)

func (r *reader) oidc(s, console section) *OIDC {
	defer s.end()
	o := &OIDC{
		ClientID:     s.required("client_id", wantClientID),
		ClientSecret: Secret(s.required("client_secret", wantSecret)),
		Name:         s.text("name", "single sign-on", nil),
		GroupsClaim:  s.text("groups_claim", "groups", nil),
		NameClaim:    s.text("name_claim", "email", nil),
		Scopes:       r.words(s, "scopes", wantScopes, func(string) string { return "" }),
	}
	o.Issuer = s.required("issuer", wantIssuer)
	if at, set := s.value("issuer"); set && o.Issuer != "" && !r.withoutValue(at) {
		if problem := r.issuer(o.Issuer); problem != "" {
			r.report(at, "issuer: %s", problem)
		}
	}
	names := map[string]bool{}
	for _, entry := range s.sections("groups", wantGroups) {
		o.Groups = append(o.Groups, r.group(entry, names))
	}
	if _, set := console.value("public_url"); !set {
		r.report(s.at, "console.oidc needs console.public_url, where the provider sends people back to: %s", wantPublicURL)
	}
	return o
}

func (r *reader) group(s section, names map[string]bool) Group {
	defer s.end()
	g := Group{Name: s.required("name", "the name of the group at the provider"), Role: r.role(s)}
	if at, set := s.value("name"); set && names[g.Name] && !r.withoutValue(at) {
		r.report(at, "duplicate group %q; give each group one role", g.Name)
	}
	names[g.Name] = true
	return g
}

func (r *reader) issuer(v string) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return "invalid URL; write " + wantIssuer
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "the issuer has more than a scheme, a host and a path; write " + wantIssuer
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "http would let others sign in as anybody; write " + wantIssuer
	}
	return ""
}
