package config

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/crypto/bcrypt"
)

// Console is the address for operators and agents, and who may do what there.
type Console struct {
	Listen         string
	PublicURL      string // as browsers open it: scheme, host and perhaps a port; "": http at the address it listens on
	Users          []User
	Tokens         []Token
	OIDC           *OIDC    // nil: nobody signs in elsewhere
	Actions        []string // what is activated: "cancel", "skip", "adjust"
	FrameAncestors []string // the origins that may show pages of customers in a frame
	Profiles       bool     // operators may read profiles of the running process, below /debug/pprof/
}

// User is a person who signs in with a password.
type User struct {
	Name     string
	Role     string // "viewer", "agent" or "operator"
	Password Secret // its bcrypt hash
}

// Token is another application, which sends a token with each request.
type Token struct {
	Name string
	Role string // "viewer", "agent" or "operator"
	Hash Secret // the SHA-256 of the token, in hex
}

// OIDC is an OpenID Connect provider at which people sign in.
type OIDC struct {
	Issuer       string
	ClientID     string
	ClientSecret Secret
	Name         string   // on the button
	Scopes       []string // besides openid, profile and email
	GroupsClaim  string
	NameClaim    string
	Groups       []Group
}

// Group gives a role to those whom the provider has in a group.
type Group struct {
	Name string
	Role string // "viewer", "agent" or "operator"
}

const (
	wantPublicURL = "the address that browsers open, for example https://termed.example.com"
	wantPassword  = "the bcrypt hash that `termed hash-password` prints"
	wantHash      = "the hash that `termed hash-password --token` prints below a new token"
	wantActions   = "the actions to activate, for example [cancel, skip, adjust]"
	wantAncestors = "the origins of the pages that show a customer in a frame, for example [https://helpdesk.example.com]"
)

func (r *reader) console(s section) Console {
	defer s.end()
	c := Console{
		Listen:    s.text("listen", "127.0.0.1:8081", r.address),
		PublicURL: strings.TrimSuffix(s.text("public_url", "", r.publicURL), "/"),
	}
	names := map[string]bool{}
	if s.has("users") {
		for _, entry := range s.sections("users", "at least one user, with name, role and password") {
			c.Users = append(c.Users, r.user(entry, names))
		}
	}
	if s.has("tokens") {
		for _, entry := range s.sections("tokens", "at least one token, with name, role and hash") {
			c.Tokens = append(c.Tokens, r.token(entry, names))
		}
	}
	if oidc := s.section("oidc"); oidc.present() {
		c.OIDC = r.oidc(oidc, s)
	}
	c.Actions = r.words(s, "actions", wantActions, r.action)
	c.FrameAncestors = r.words(s, "frame_ancestors", wantAncestors, r.origin)
	c.Profiles = s.text("profiles", "false", r.boolean) == "true"
	r.signInNeeded(s, c)
	return c
}

// signInNeeded reports a console that other machines reach and where nobody has to sign in.
func (r *reader) signInNeeded(s section, c Console) {
	listen, listenSet := s.value("listen")
	public, publicSet := s.value("public_url")
	if s.partial || listenSet && r.withoutValue(listen) || publicSet && r.withoutValue(public) {
		return
	}
	listensHere := listensOnLoopback(c.Listen)
	openedHere := c.PublicURL == "" || loopbackURL(c.PublicURL)
	if listensHere && openedHere {
		return
	}
	// safeguard: console-sign-in
	if len(c.Users)+len(c.Tokens) == 0 && c.OIDC == nil {
		at, setting := listen, fmt.Sprintf("listen (%s)", c.Listen)
		if listensHere {
			at, setting = public, fmt.Sprintf("public_url (%s)", c.PublicURL)
		}
		r.report(at, "console.%s is reachable from other machines, and nobody would have to sign in; "+
			"add console.users, console.tokens or console.oidc, or listen at 127.0.0.1:8081", setting)
	}
	if !listensHere && c.PublicURL == "" {
		r.report(listen, "console.listen (%s) is reachable from other machines; add console.public_url: %s",
			c.Listen, wantPublicURL)
	}
}

func (r *reader) user(s section, names map[string]bool) User {
	defer s.end()
	u := User{
		Name: r.actor(s, "the name to sign in with, for example ana", names),
		Role: r.role(s),
	}
	s.note("password", property{Kind: aText, Required: true})
	at, set := s.value("password")
	switch text, _ := spelled(at); {
	case !set:
		s.missing(at, "password", wantPassword)
	case strings.HasPrefix(text, "$2") && !strings.Contains(text, "{"):
		u.Password = Secret(text) // the dollar signs of a hash begin no variable
	default:
		u.Password = Secret(s.required("password", wantPassword))
	}
	if problem := passwordHash(u.Password.Reveal()); problem != "" && u.Password != "" && !r.withoutValue(at) {
		r.report(at, "password: %s; write %s", problem, wantPassword)
	}
	return u
}

// The cost of a hash: below, passwords can be guessed from it; above, a sign-in takes too long.
const (
	leastCost = 10
	mostCost  = 15
)

var bcryptHash = regexp.MustCompile(`^\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}$`)

// passwordHash does not quote the value, because it may be the password itself.
func passwordHash(v string) string {
	cost, err := bcrypt.Cost([]byte(v))
	switch {
	case err != nil || !bcryptHash.MatchString(v):
		return "not a bcrypt hash"
	case cost < leastCost || cost > mostCost:
		return fmt.Sprintf("a bcrypt hash of cost %d, want %d to %d", cost, leastCost, mostCost)
	}
	return ""
}

func (r *reader) token(s section, names map[string]bool) Token {
	defer s.end()
	t := Token{
		Name: r.actor(s, "a name for the application, for example helpdesk", names),
		Role: r.role(s),
		Hash: Secret(s.required("hash", wantHash)),
	}
	if at, set := s.value("hash"); set && t.Hash != "" && !r.withoutValue(at) {
		if hash, err := hex.DecodeString(t.Hash.Reveal()); err != nil || len(hash) != 32 {
			// It may be the token itself, and is not quoted.
			r.report(at, "hash: not the SHA-256 of a token, which has 64 hexadecimal digits; write %s", wantHash)
		}
	}
	t.Hash = Secret(strings.ToLower(t.Hash.Reveal()))
	return t
}

// actor reads the name of a user or token, as the journal shows it.
func (r *reader) actor(s section, want string, names map[string]bool) string {
	name := s.required("name", want)
	at, set := s.value("name")
	switch {
	case !set || name == "" || r.withoutValue(at):
		return name
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl) || len(name) > 100:
		r.report(at, "invalid name %q; write up to 100 letters, without blanks around them", name)
	case names[name]:
		r.report(at, "duplicate name %q; give each user and token of the console its own name", name)
	}
	names[name] = true
	return name
}

var roles = []string{
	"viewer (sees all but customers and payloads, changes nothing)",
	"agent (also sees customers, and uses the activated actions)",
	"operator (may do everything)",
}

func (r *reader) role(s section) string {
	role := s.required("role", "viewer, agent or operator")
	s.offer("role", roles)
	if at, set := s.value("role"); set && role != "" && !r.withoutValue(at) {
		if problem := r.alike(role, roles...); problem != "" {
			r.report(at, "role: %s", problem)
		}
	}
	return role
}

func (r *reader) action(v string) string {
	return r.alike(v,
		"cancel (a subscription)",
		"skip (its next order)",
		"adjust (one of its orders before it ships)")
}

// alike is oneOf with the choice that a misspelled word probably stands for.
func (r *reader) alike(v string, choices ...string) string {
	problem := r.oneOf(v, choices...)
	var words []string
	for _, choice := range choices {
		word, _, _ := strings.Cut(choice, " ")
		words = append(words, word)
	}
	if near := nearest(v, words); problem != "" && near != "" {
		_, rest, _ := strings.Cut(problem, "; ")
		return fmt.Sprintf("invalid value %q; did you mean %q? W%s", v, near, strings.TrimPrefix(rest, "w"))
	}
	return problem
}

// words reads an optional list of different words.
func (r *reader) words(s section, key, want string, check func(string) string) []string {
	if !s.has(key) {
		return nil
	}
	var all []string
	words := s.texts(key, want)
	s.offer(key, r.offered(check))
	for _, word := range words {
		problem := check(word.text)
		switch {
		case r.withoutValue(word.at):
		case problem != "":
			r.report(word.at, "%s: %s", key, problem)
		case slices.Contains(all, word.text):
			r.report(word.at, "%s: %q is listed twice; remove one", key, word.text)
		}
		all = append(all, word.text)
	}
	return all
}

func (r *reader) publicURL(v string) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return "invalid URL; write " + wantPublicURL
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "the URL has more than a scheme and a host; write " + wantPublicURL
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Sprintf("http would send passwords and sessions to %s unencrypted; write https://%s",
			u.Hostname(), u.Host)
	}
	return ""
}

var originPattern = regexp.MustCompile(`^https://(\*\.)?[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?$`)

func (r *reader) origin(v string) string {
	if originPattern.MatchString(v) {
		return ""
	}
	return fmt.Sprintf("invalid origin %q; write https:// and a host, for example https://helpdesk.example.com", v)
}

// listensOnLoopback says that no other machine reaches a listener. An address with a mistake was reported already.
func listensOnLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err != nil || loopback(host)
}

func loopbackURL(v string) bool {
	u, err := url.Parse(v)
	return err != nil || loopback(u.Hostname())
}
