// Package accesstest is an OpenID Connect provider for tests; nothing but tests imports it.
package accesstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"golang.org/x/oauth2"
)

// The client that the provider knows.
const (
	ClientID     = "termed"
	ClientSecret = "secret-of-the-client"
)

// Provider signs in, without a question, whoever Claims describes.
type Provider struct {
	Issuer string // with the name localhost, so that it is another site than 127.0.0.1

	mu     sync.Mutex
	claims map[string]any
	key    *ecdsa.PrivateKey
	codes  map[string]url.Values // what /auth was asked for with a code
}

// New starts a provider, which ends with the test.
func New(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{codes: map[string]url.Values{}}
	p.key = newKey(t)
	known := &oidctest.Server{
		PublicKeys: []oidctest.PublicKey{{PublicKey: p.key.Public(), KeyID: "1", Algorithm: "ES256"}},
		Algorithms: []string{"ES256"},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/auth", p.authorize)
	mux.HandleFunc("/token", p.token)
	mux.Handle("/", known)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.Issuer = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	known.SetIssuer(p.Issuer)
	p.Claim(nil)
	return p
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Claim changes what the ID tokens to come say of Ana, who supports customers; nil leaves a claim out.
func (p *Provider) Claim(changes map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = map[string]any{
		"iss":            p.Issuer,
		"aud":            ClientID,
		"sub":            "subject-1",
		"email":          "ana@example.com",
		"email_verified": true,
		"groups":         []string{"support", "everybody"},
		"exp":            time.Now().Add(time.Hour).Unix(),
		"iat":            time.Now().Unix(),
	}
	for name, value := range changes {
		p.claims[name] = value
		if value == nil {
			delete(p.claims, name)
		}
	}
}

// SignWithAnother makes the tokens to come signed with a key that is not the provider's.
func (p *Provider) SignWithAnother(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = newKey(t)
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q
	p.mu.Unlock()
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound) //nolint:gosec // a test
}

// token wants what the specification wants: the client's secret, a code that was not used, and its PKCE verifier.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	p.mu.Lock()
	defer p.mu.Unlock()
	asked, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	w.Header().Set("Content-Type", "application/json")
	challenge := oauth2.S256ChallengeFromVerifier(r.FormValue("code_verifier"))
	if !ok || id != ClientID || secret != ClientSecret || challenge != asked.Get("code_challenge") {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	if _, set := p.claims["nonce"]; !set {
		p.claims["nonce"] = asked.Get("nonce")
		defer delete(p.claims, "nonce")
	}
	claims, err := json.Marshal(p.claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{
		"access_token": "unused",
		"token_type":   "Bearer",
		"id_token":     oidctest.SignIDToken(p.key, "1", "ES256", string(claims)),
	})
}
