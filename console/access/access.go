// Package access owns who may use the console, and for what: sign-in and sessions, tokens, roles, the actions that a
// merchant activated, and the HTTP middleware that refuses everybody else. It knows no page and no subscription, never
// writes one, and imports nothing of ours.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/alexedwards/scs/v2"
)

// User is a person who signs in with a password.
type User struct {
	Name     string
	Role     Role
	Password string // its bcrypt hash
}

// Token is another application, which sends a token with each request.
type Token struct {
	Name string
	Role Role
	Hash string // the SHA-256 of the token, in hex
}

// Options of the access to a console.
type Options struct {
	Users   []User
	Tokens  []Token
	OIDC    *OIDC    // where people sign in besides; default nowhere
	Actions []Action // those that are activated; default none

	Listen         string   // the address of the listener, as host:port
	PublicURL      string   // as browsers open the console; default http at Listen
	FrameAncestors []string // the origins that may show pages below /customers/ in a frame; default none

	// ActionOf says which action a request asks for that changes something. For "", and by default, that is Operate.
	ActionOf func(*http.Request) Action
	// SignInPage writes the page with the form that posts name, password and next to /sign-in. The status is written
	// already. The default is a line of text.
	SignInPage func(http.ResponseWriter, SignIn)
	// Refuse answers a request that is refused. The default is a line of text.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, text string)
	Log    *slog.Logger // default none
}

// Access decides who may do what. It is safe for concurrent use. Sessions live in memory, and end with it.
type Access struct {
	options   Options
	users     map[string]User
	tokens    map[[sha256.Size]byte]Principal
	activated map[Action]bool

	public      *url.URL
	listen      *url.URL // its Host only
	private     bool     // only this machine reaches the console
	crossOrigin *http.CrossOriginProtection
	sessions    *scs.SessionManager
	passwords   *passwords
	provider    *provider // nil: none
	throttle    *throttle
	log         *slog.Logger
}

// New checks the options. A console that other machines reach needs a user or a token.
func New(o Options) (*Access, error) {
	a := &Access{
		options:     o,
		users:       map[string]User{},
		tokens:      map[[sha256.Size]byte]Principal{},
		activated:   map[Action]bool{},
		crossOrigin: http.NewCrossOriginProtection(),
		throttle:    newThrottle(),
		log:         o.Log,
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if err := a.setAddresses(); err != nil {
		return nil, err
	}
	// safeguard: access-sign-in
	if !a.private && !a.asksWho() {
		return nil, errors.New("the console is reachable from other machines, and nobody would have to sign in")
	}
	if err := a.setPrincipals(); err != nil {
		return nil, err
	}
	for _, action := range o.Actions {
		a.activated[action] = true
	}
	if o.OIDC != nil {
		a.provider = newProvider(*o.OIDC, a.public.String())
	}
	a.sessions = a.newSessions()
	return a, nil
}

func (a *Access) setAddresses() error {
	host, _, err := net.SplitHostPort(a.options.Listen)
	if err != nil {
		return fmt.Errorf("reading the address of the console: %w", err)
	}
	a.listen = &url.URL{Scheme: "http", Host: a.options.Listen}
	a.public = &url.URL{Scheme: "http", Host: a.options.Listen}
	if a.options.PublicURL != "" {
		if a.public, err = url.Parse(a.options.PublicURL); err != nil {
			return fmt.Errorf("reading the public URL of the console: %w", err)
		}
	} else if !isLoopback(host) {
		return errors.New("the console is reachable from other machines, and has no public URL")
	}
	a.public.Host = canonicalHost(a.public.Scheme, a.public.Host)
	a.private = isLoopback(host) && isLoopback(a.public.Hostname())
	// A proxy that drops the port from the Host header makes same-origin requests look like others.
	if err := a.crossOrigin.AddTrustedOrigin(a.public.Scheme + "://" + a.public.Host); err != nil {
		return fmt.Errorf("reading the public URL of the console: %w", err)
	}
	return nil
}

func (a *Access) setPrincipals() error {
	for _, u := range a.options.Users {
		a.users[u.Name] = u
	}
	for _, t := range a.options.Tokens {
		hash, err := hex.DecodeString(t.Hash)
		if err != nil || len(hash) != sha256.Size {
			return fmt.Errorf("reading the hash of token %s: not a SHA-256", t.Name)
		}
		a.tokens[[sha256.Size]byte(hash)] = Principal{t.Name, t.Role}
	}
	var err error
	a.passwords, err = newPasswords(a.options.Users)
	return err
}

// asksWho says that nobody is served without a sign-in or a token.
func (a *Access) asksWho() bool {
	return len(a.options.Users)+len(a.options.Tokens) > 0 || a.options.OIDC != nil
}

// needsNoSignIn says that everybody is an operator: only this machine reaches the console, and it has no users.
func (a *Access) needsNoSignIn() bool { return a.private && !a.asksWho() }

// SignsIn says whether people sign in, and so can sign out.
func (a *Access) SignsIn() bool { return len(a.users) > 0 || a.provider != nil }

type principalKey struct{}

// PrincipalFrom returns who sent the request of a context, and false for an endpoint that needs no sign-in.
func PrincipalFrom(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
