package access

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	signInPath  = "/sign-in"
	signOutPath = "/sign-out"

	userKey = "user" // of a session: a user of termed.yaml,
	nameKey = "name" // or somebody of the provider,
	roleKey = "role" // with the role of the sign-in

	largestForm = 8 << 10 // bytes
	longestName = 100     // as in termed.yaml
)

// SignIn is what the sign-in page shows.
type SignIn struct {
	Name    string // what was entered before
	Next    string // the path to open after the sign-in
	Problem string // why the last one was refused, or ""

	Password bool   // somebody can sign in with one
	OIDC     string // the name of where else, or ""
	Continue string // signed in: the path that the browser opens by itself; or ""
}

// OIDCPath is where a sign-in at the provider begins.
func (s SignIn) OIDCPath() string { return oidcPath + "?next=" + url.QueryEscape(s.Next) }

// principal is who signed in, unless they were removed since.
func (a *Access) principal(ctx context.Context) (Principal, bool) {
	if user, known := a.users[a.sessions.GetString(ctx, userKey)]; known {
		return Principal{user.Name, user.Role}, true
	}
	p := Principal{a.sessions.GetString(ctx, nameKey), Role(a.sessions.GetInt(ctx, roleKey))}
	return p, p.Name != "" && p.Role != 0
}

// serveSession serves who signed in, and the sign-in and sign-out themselves.
func (a *Access) serveSession(w http.ResponseWriter, r *http.Request, next http.Handler) {
	p, signedIn := a.principal(r.Context())
	switch {
	case a.provider != nil && r.URL.Path == oidcPath && isRead(r):
		a.beginOIDC(w, r)
	case a.provider != nil && r.URL.Path == callbackPath && isRead(r):
		a.finishOIDC(w, r)
	case r.URL.Path == signInPath && isRead(r):
		a.writeSignIn(w, http.StatusOK, SignIn{Next: localPath(r.URL.Query().Get("next"))})
	case r.URL.Path == signInPath && r.Method == http.MethodPost:
		a.signIn(w, r)
	case r.URL.Path == signOutPath && r.Method == http.MethodPost:
		a.signOut(w, r)
	case !signedIn:
		a.askToSignIn(w, r)
	default:
		a.serve(w, r, p, next)
	}
}

// askToSignIn sends a browser to the sign-in page, and answers everything else with 401.
func (a *Access) askToSignIn(w http.ResponseWriter, r *http.Request) {
	page := signInPath + "?next=" + url.QueryEscape(localPath(r.URL.RequestURI()))
	switch fragment := r.Header.Get("HX-Request") != ""; {
	case fragment:
		w.Header().Set("HX-Redirect", signInPath) // htmx opens it as a page
	case isRead(r) && strings.Contains(r.Header.Get("Accept"), "text/html"):
		http.Redirect(w, r, page, http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	a.refuse(w, r, http.StatusUnauthorized, "sign in at "+signInPath+", or send a token")
}

// signIn says the same for a wrong name and a wrong password, and takes the same time.
func (a *Access) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, largestForm)
	if err := r.ParseForm(); err != nil {
		a.refuse(w, r, http.StatusBadRequest, "the form cannot be read")
		return
	}
	page := SignIn{Name: r.PostForm.Get("name"), Next: localPath(r.PostForm.Get("next"))}
	user, known := a.users[page.Name]
	name := throttleKey{"user", page.Name[:min(len(page.Name), longestName)]}
	address := throttleKey{"address", a.addressOf(r)}
	if wait := a.throttle.begin(time.Now(), name, address); wait > 0 {
		a.logRefused(user, address, "throttled")
		a.tooMany(w, page, wait)
		return
	}
	ok, err := a.passwords.match(r.Context(), user, known, r.PostForm.Get("password"))
	switch {
	case err != nil:
		a.throttle.undo(name, address)
		a.logRefused(user, address, "too many at a time")
		a.tooMany(w, page, longestTurn)
	case !ok:
		a.logRefused(user, address, "wrong name or password")
		page.Problem = "The name or the password is wrong."
		a.writeSignIn(w, http.StatusUnauthorized, page)
	default:
		a.throttle.succeeded(name, address)
		a.startSession(w, r, user, page.Next)
	}
}

// logRefused logs the name of a user who exists. Another name may be a password in the wrong field.
func (a *Access) logRefused(user User, address throttleKey, reason string) {
	a.log.Warn("sign-in refused", "user", user.Name, "address", address.value, "reason", reason)
}

func (a *Access) tooMany(w http.ResponseWriter, page SignIn, wait time.Duration) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	page.Problem = "Too many sign-ins have failed. Try again in " + strconv.Itoa(seconds) + " seconds."
	if seconds > 90 {
		page.Problem = "Too many sign-ins have failed. Try again in " + strconv.Itoa((seconds+59)/60) + " minutes."
	}
	a.writeSignIn(w, http.StatusTooManyRequests, page)
}

func (a *Access) startSession(w http.ResponseWriter, r *http.Request, user User, next string) {
	if !a.renewSession(w, r) {
		return
	}
	a.sessions.Put(r.Context(), userKey, user.Name)
	a.log.Info("signed in", "user", user.Name, "role", user.Role.String())
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// renewSession gives the session a new token: somebody else may have set the one that it came with. False: it could
// not, and the answer says so.
func (a *Access) renewSession(w http.ResponseWriter, r *http.Request) bool {
	ctx := r.Context()
	// safeguard: new-session-token
	if err := errors.Join(a.sessions.Clear(ctx), a.sessions.RenewToken(ctx)); err != nil {
		a.sessions.ErrorFunc(w, r, err)
		return false
	}
	return true
}

func (a *Access) signOut(w http.ResponseWriter, r *http.Request) {
	if err := a.sessions.Destroy(r.Context()); err != nil {
		a.sessions.ErrorFunc(w, r, err)
		return
	}
	http.Redirect(w, r, signInPath, http.StatusSeeOther)
}

func (a *Access) writeSignIn(w http.ResponseWriter, status int, page SignIn) {
	if a.options.SignInPage == nil {
		writeText(w, status, strings.TrimSpace(page.Problem+" Send the name and the password as a form."))
		return
	}
	page.Password = len(a.users) > 0
	if a.provider != nil {
		page.OIDC = a.provider.Name
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	a.options.SignInPage(w, page)
}

// localPath returns a path of the console, and "/" for everything that a browser would take for another site.
func localPath(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/"):
		return "/"
	case strings.HasPrefix(next, "//") || strings.Contains(next, `\`) || strings.ContainsFunc(next, unicode.IsControl):
		return "/"
	case u.Path == signInPath || u.Path == signOutPath:
		return "/"
	}
	return next
}

// addressOf is the address that a sign-in is throttled by: for IPv6 the network, which one customer has all of. The
// console itself serves http, so with a public URL of https a proxy is in front, and adds who called it at the end of
// X-Forwarded-For. Without the header that is the proxy, for everybody.
func (a *Access) addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ","); forwarded != "" && a.public.Scheme == "https" {
		last := strings.TrimSpace(forwarded[strings.LastIndex(forwarded, ",")+1:])
		if _, err := netip.ParseAddr(last); err == nil {
			host = last
		}
	}
	address, err := netip.ParseAddr(host)
	if err != nil || address.Unmap().Is4() {
		return host
	}
	network, err := address.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}
