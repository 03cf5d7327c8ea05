package access_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/console/access"
	"github.com/termed/termed/console/access/accesstest"
)

// openOIDC is a console at which people sign in at a provider, too.
func openOIDC(t *testing.T, p *accesstest.Provider, log *strings.Builder) *console {
	t.Helper()
	o := options(t)
	o.OIDC = &access.OIDC{
		Issuer:       p.Issuer,
		ClientID:     accesstest.ClientID,
		ClientSecret: accesstest.ClientSecret,
		Name:         "Example",
		GroupsClaim:  "groups",
		NameClaim:    "email",
		Roles:        map[string]access.Role{"support": access.Agent, "operations": access.Operator},
	}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	return open(t, o)
}

// begin goes to the provider, and answers the path that the provider sends the browser back to.
func (c *console) begin(next string) string {
	c.t.Helper()
	answer := c.send("GET", "/sign-in/oidc?next="+url.QueryEscape(next), nil)
	if answer.StatusCode != http.StatusSeeOther {
		c.t.Fatalf("no sign-in began: %d %s", answer.StatusCode, text(answer))
	}
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	back, err := stay.Get(answer.Header.Get("Location"))
	if err != nil {
		c.t.Fatal(err)
	}
	back.Body.Close()
	to, err := back.Location()
	if err != nil || to.Scheme+"://"+to.Host != publicURL {
		c.t.Fatalf("the provider sends back to %v, %v", to, err)
	}
	return to.RequestURI()
}

// Whoever the provider does not confirm, or who has no role, is not signed in, and reads why.
func TestOIDCIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		claims map[string]any
		change func(callback url.Values)
		status int
		want   string
	}{
		{"another state", nil, func(q url.Values) { q.Set("state", "x") }, 400, "not begun here"},
		{"no state", nil, func(q url.Values) { q.Del("state") }, 400, "not begun here"},
		{"another code", nil, func(q url.Values) { q.Set("code", "x") }, 502, "could not confirm"},
		{"the provider refuses", nil, func(q url.Values) { q.Set("error", "access_denied") }, 403, "answered access_denied"},
		{"markup", nil, func(q url.Values) { q.Set("error", "<b>") }, 403, "answered an error"},
		{"another nonce", map[string]any{"nonce": "x"}, nil, 502, "could not confirm"},
		{"expired", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, nil, 502, "could not confirm"},
		{"for another client", map[string]any{"aud": "other"}, nil, 502, "could not confirm"},
		{"by another issuer", map[string]any{"iss": "http://localhost:1"}, nil, 502, "could not confirm"},
		{"no groups", map[string]any{"groups": nil}, nil, 403, "none of your groups"},
		{"other groups", map[string]any{"groups": []string{"everybody", "suppor"}}, nil, 403, "none of your groups"},
		{"a user's name", map[string]any{"email": "otto"}, nil, 403, "the same name"},
		{"a token's name", map[string]any{"email": "helpdesk"}, nil, 403, "the same name"},
		{"a line break", map[string]any{"email": "a\nb"}, nil, 403, "no name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := accesstest.New(t)
			p.Claim(test.claims)
			var log strings.Builder
			c := openOIDC(t, p, &log)
			back, err := url.Parse(c.begin("/events"))
			if err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				q := back.Query()
				test.change(q)
				back.RawQuery = q.Encode()
			}
			answer := c.send("GET", back.RequestURI(), nil, header{"Sec-Fetch-Site", "cross-site"})
			body := text(answer)
			if answer.StatusCode != test.status || !strings.Contains(body, test.want) {
				t.Errorf("it answered %d %s, want %d with %q", answer.StatusCode, body, test.status, test.want)
			}
			c.wantStatus(c.send("GET", "/", nil), 401, "after a refused sign-in")
			if !strings.Contains(log.String(), "sign-in refused") || strings.Contains(log.String(), "ana@") {
				t.Errorf("the log says %s", log.String())
			}
		})
	}
}

// A callback counts once, in the browser that began, and with the provider's signature.
func TestOIDCCallbackOfAnother(t *testing.T) {
	p := accesstest.New(t)
	var log strings.Builder
	c := openOIDC(t, p, &log)
	victim := &console{t: t, handler: c.handler, host: c.host, cookies: map[string]string{}}
	back := c.begin("/")
	victim.wantStatus(victim.send("GET", back, nil), 400, "a callback of another browser")
	victim.wantStatus(victim.send("GET", "/", nil), 401, "after it")
	c.wantStatus(c.send("GET", back, nil), 200, "the callback")
	c.wantStatus(c.send("GET", back, nil), 400, "the callback again")
	p.SignWithAnother(t)
	forged := &console{t: t, handler: c.handler, host: c.host, cookies: map[string]string{}}
	forged.wantStatus(forged.send("GET", forged.begin("/"), nil), 502, "a forged token")
	forged.wantStatus(forged.send("GET", "/", nil), 401, "after it")
}

func TestOIDC(t *testing.T) {
	for _, test := range []struct {
		name   string
		claims map[string]any
		want   string
	}{
		{"in one group", nil, "ana@example.com agent true"},
		{"in two", map[string]any{"groups": []string{"support", "operations"}}, "ana@example.com operator true"},
		{"one group as text", map[string]any{"groups": "operations"}, "ana@example.com operator true"},
		{"an address that is not verified", map[string]any{"email_verified": false}, "subject-1 agent true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := accesstest.New(t)
			p.Claim(test.claims)
			var log strings.Builder
			c := openOIDC(t, p, &log)
			answer := c.send("GET", c.begin("/events?status=dead"), nil, header{"Sec-Fetch-Site", "cross-site"})
			c.wantStatus(answer, 200, "the callback")
			if to := answer.Header.Get("Refresh"); to != "0; url=/events?status=dead" {
				t.Errorf("it goes on to %q", to)
			}
			for _, cookie := range answer.Cookies() {
				if cookie.Value != "" && (!cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode) {
					t.Errorf("the cookie of the session is %v", cookie)
				}
			}
			if got := text(c.send("GET", "/", nil)); got != test.want {
				t.Errorf("the request is of %q, want %q", got, test.want)
			}
			c.wantStatus(c.send("POST", "/sign-out", url.Values{}), 303, "signing out")
			c.wantStatus(c.send("GET", "/", nil), 401, "after signing out")
		})
	}
}

// A service starts while the provider is down, says so, and asks it again.
func TestOIDCProviderIsDown(t *testing.T) {
	p := accesstest.New(t)
	issuer := p.Issuer
	p.Issuer = "http://localhost:1"
	var log strings.Builder
	c := openOIDC(t, p, &log)
	answer := c.send("GET", "/sign-in/oidc", nil)
	if body := text(answer); answer.StatusCode != 502 || !strings.Contains(body, "cannot be reached; try again") {
		t.Errorf("it answered %d %s", answer.StatusCode, body)
	}
	if !strings.Contains(log.String(), "connection refused") {
		t.Errorf("the log says %s", log.String())
	}
	c.wantStatus(c.signIn("vi", password), 303, "a user with a password")
	p.Issuer = issuer
	openOIDC(t, p, &log).begin("/")
}
