package access

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDC is an OpenID Connect provider at which people sign in, by the authorization code flow with PKCE.
type OIDC struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	Name         string          // on the button
	Scopes       []string        // besides openid, profile and email
	GroupsClaim  string          // has the groups of somebody
	NameClaim    string          // has the name for the journal; of an address that is not verified, sub is taken instead
	Roles        map[string]Role // of a group; somebody in several has the highest, in none is refused
}

const (
	oidcPath     = signInPath + "/oidc"
	callbackPath = oidcPath + "/callback"

	beganFor        = 10 * time.Minute // how long somebody may take to sign in at the provider
	providerTimeout = 10 * time.Second // of what is asked of the provider
	providerCalls   = 4                // sign-ins that ask it at a time
)

// provider is an OIDC provider, asked for what it can do when somebody first signs in there: a service starts while its
// provider is down.
type provider struct {
	OIDC
	redirectURL string
	client      *http.Client
	slots       chan struct{} // one for each sign-in that may ask it

	mu    sync.Mutex
	found *oidc.Provider // nil: not yet
}

func newProvider(o OIDC, publicURL string) *provider {
	return &provider{
		OIDC:        o,
		redirectURL: publicURL + callbackPath,
		client:      &http.Client{Timeout: providerTimeout},
		slots:       make(chan struct{}, providerCalls),
	}
}

// discover asks the provider for its endpoints and keys, until it has answered once.
func (p *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	found, err := oidc.NewProvider(ctx, p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its endpoints: %w", p.Issuer, err)
	}
	p.found = found
	return found, nil
}

// asking bounds what is asked of the provider, by how many at a time, and by time.
func (p *provider) asking(ctx context.Context) (context.Context, func(), error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), providerTimeout)
	select {
	case p.slots <- struct{}{}:
		return ctx, func() { <-p.slots; cancel() }, nil
	case <-ctx.Done():
		cancel()
		return nil, nil, errors.New("too many sign-ins at a time")
	}
}

func (p *provider) config(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.ClientID,
		ClientSecret: p.ClientSecret,
		Endpoint:     found.Endpoint(),
		RedirectURL:  p.redirectURL,
		Scopes:       append([]string{oidc.ScopeOpenID, "profile", "email"}, p.Scopes...),
	}
}

// begun is a sign-in that goes on at the provider. The browser keeps it, in a cookie that lives for some minutes: it
// binds what comes back to the browser that began.
type begun struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Next     string `json:"next"`
}

// begunCookie is sent with the redirect that comes back from the provider's site, so it cannot be SameSite=Strict.
func (a *Access) begunCookie(value string, age time.Duration) *http.Cookie {
	secure := a.public.Scheme == "https"
	name := "termed-sign-in"
	if secure {
		name = "__Host-" + name
	}
	return &http.Cookie{ //nolint:gosec // Lax for the reason above; Secure wherever the console is opened by https
		Name:     name,
		Value:    value,
		Path:     "/",
		MaxAge:   int(age.Seconds()),
		Secure:   secure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
}

// beginOIDC sends the browser to the provider.
func (a *Access) beginOIDC(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if canonicalHost(a.public.Scheme, r.Host) != a.public.Host { // the cookie would not be there when it comes back
		http.Redirect(w, r, a.public.String()+SignIn{Next: next}.OIDCPath(), http.StatusSeeOther)
		return
	}
	ctx, done, err := a.provider.asking(r.Context())
	if err != nil {
		a.refuseOIDC(w, r, http.StatusServiceUnavailable, "too many people are signing in; try again", err)
		return
	}
	defer done()
	found, err := a.provider.discover(ctx)
	if err != nil {
		a.refuseOIDC(w, r, http.StatusBadGateway, "the sign-in service cannot be reached; try again", err)
		return
	}
	b := begun{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next}
	text, err := json.Marshal(b)
	if err != nil {
		a.sessions.ErrorFunc(w, r, err)
		return
	}
	http.SetCookie(w, a.begunCookie(base64.RawURLEncoding.EncodeToString(text), beganFor))
	to := a.provider.config(found).AuthCodeURL(b.State, oidc.Nonce(b.Nonce), oauth2.S256ChallengeOption(b.Verifier))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// readBegun returns the sign-in that the browser began.
func (a *Access) readBegun(r *http.Request) (begun, error) {
	cookie, err := r.Cookie(a.begunCookie("", 0).Name)
	if err != nil {
		return begun{}, err
	}
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return begun{}, err
	}
	var b begun
	if err := json.Unmarshal(text, &b); err != nil {
		return begun{}, err
	}
	if b.State == "" || b.Nonce == "" {
		return begun{}, errors.New("an empty state or nonce")
	}
	return b, nil
}

var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// finishOIDC signs in whom the provider sends back.
func (a *Access) finishOIDC(w http.ResponseWriter, r *http.Request) {
	b, err := a.readBegun(r)
	http.SetCookie(w, a.begunCookie("", -time.Second))
	query := r.URL.Query()
	// safeguard: oidc-state
	if err != nil || query.Get("state") != b.State {
		a.refuseOIDC(w, r, http.StatusBadRequest, "this sign-in was not begun here, or more than ten minutes ago; "+
			"sign in again at "+signInPath, errors.New("the state is not the one of this browser"))
		return
	}
	if code := query.Get("error"); code != "" {
		if !errorCode.MatchString(code) {
			code = "an error"
		}
		a.refuseOIDC(w, r, http.StatusForbidden, "the sign-in service answered "+code, errors.New(code))
		return
	}
	ctx, done, err := a.provider.asking(r.Context())
	if err != nil {
		a.refuseOIDC(w, r, http.StatusServiceUnavailable, "too many people are signing in; try again", err)
		return
	}
	defer done()
	claims, err := a.provider.exchange(ctx, query.Get("code"), b)
	if err != nil {
		a.refuseOIDC(w, r, http.StatusBadGateway, "the sign-in service could not confirm who you are; sign in again at "+
			signInPath, err)
		return
	}
	p, why := a.provider.principal(claims)
	// safeguard: oidc-name
	if why == "" && a.isConfigured(p.Name) {
		why = "another sign-in of the console has the same name"
	}
	if why != "" {
		a.refuseOIDC(w, r, http.StatusForbidden, why, errors.New(why))
		return
	}
	a.continueAs(w, r, p, localPath(b.Next))
}

// isConfigured says whether a name is one of a user or token, whose actions in the journal are their own.
func (a *Access) isConfigured(name string) bool {
	if _, taken := a.users[name]; taken {
		return true
	}
	for _, t := range a.tokens {
		if t.Name == name {
			return true
		}
	}
	return name == local.Name
}

// continueAs starts a session. Its cookie is not sent with a redirect that began at another site, so the browser gets a
// page, which goes on by itself.
func (a *Access) continueAs(w http.ResponseWriter, r *http.Request, p Principal, next string) {
	if !a.renewSession(w, r) {
		return
	}
	a.sessions.Put(r.Context(), nameKey, p.Name)
	a.sessions.Put(r.Context(), roleKey, int(p.Role))
	a.log.Info("signed in", "user", p.Name, "role", p.Role.String())
	w.Header().Set("Refresh", "0; url="+next)
	a.writeSignIn(w, http.StatusOK, SignIn{Continue: next})
}

// exchange turns a code into what the provider says of a person, signed and meant for us.
func (p *provider) exchange(ctx context.Context, code string, b begun) (map[string]any, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	token, err := p.config(found).Exchange(ctx, code, oauth2.VerifierOption(b.Verifier))
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return nil, fmt.Errorf("exchanging the code: HTTP %d", refused.Response.StatusCode) // its body may name the person
	}
	if err != nil {
		return nil, fmt.Errorf("exchanging the code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("the answer has no ID token")
	}
	verified, err := found.VerifierContext(ctx, &oidc.Config{ClientID: p.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("verifying the ID token: %w", err)
	}
	// safeguard: oidc-nonce
	if verified.Nonce != b.Nonce {
		return nil, errors.New("the ID token has another nonce")
	}
	claims := map[string]any{}
	if err := verified.Claims(&claims); err != nil {
		return nil, fmt.Errorf("reading the ID token: %w", err)
	}
	return claims, nil
}

// principal is who the claims are about. Somebody without a group that has a role is refused: why says so.
func (p *provider) principal(claims map[string]any) (who Principal, why string) {
	var groups []string
	switch v := claims[p.GroupsClaim].(type) {
	case string:
		groups = []string{v}
	case []any:
		for _, g := range v {
			if name, ok := g.(string); ok {
				groups = append(groups, name)
			}
		}
	}
	for group, role := range p.Roles {
		if slices.Contains(groups, group) {
			who.Role = max(who.Role, role)
		}
	}
	// safeguard: oidc-group
	if who.Role == 0 {
		return Principal{}, "none of your groups may use this console; console.oidc.groups lists those that may"
	}
	who.Name, _ = claims[p.NameClaim].(string)
	verified, _ := claims["email_verified"].(bool)
	if who.Name == "" || p.NameClaim == "email" && !verified {
		who.Name, _ = claims["sub"].(string)
	}
	unreadable := len(who.Name) > longestName || strings.ContainsFunc(who.Name, unicode.IsControl)
	if strings.TrimSpace(who.Name) == "" || unreadable {
		return Principal{}, "the sign-in service gave no name that the journal can have"
	}
	return who, ""
}

// refuseOIDC says why to the person, and more to the log. The error names no person.
func (a *Access) refuseOIDC(w http.ResponseWriter, r *http.Request, status int, text string, err error) {
	a.log.Warn("sign-in refused", "user", "", "address", a.addressOf(r), "reason", err.Error())
	a.refuse(w, r, status, text)
}
