package access

import (
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Middleware lets through the requests that are allowed, each with its principal in the context, and answers /sign-in
// and /sign-out itself. Everything that the console serves belongs behind it.
func (a *Access) Middleware(next http.Handler) http.Handler {
	bySession := a.sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serveSession(w, r, next)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.setHeaders(w.Header(), r.URL.Path)
		token, hasToken := bearerToken(r)
		knowsHost := a.knowsHost(r.Host)
		switch {
		case !a.private && isProbe(r): // the kubelet calls the address of a pod
			next.ServeHTTP(w, r)
		case !knowsHost && !hasToken:
			a.refuse(w, r, http.StatusMisdirectedRequest, "this is not the address of the console; open "+a.public.String()+
				", or set console.public_url")
		case a.crossOrigin.Check(r) != nil:
			a.refuse(w, r, http.StatusForbidden, "the request came from another site")
		case a.private && knowsHost && isMonitoring(r), isRead(r) && strings.HasPrefix(r.URL.Path, staticPath):
			next.ServeHTTP(w, r)
		case hasToken:
			a.serveToken(w, r, token, next)
		case a.needsNoSignIn():
			a.serveLocal(w, r, next)
		default:
			bySession.ServeHTTP(w, r)
		}
	})
}

// staticPath is where the style of the pages is, of the one to sign in, too.
const staticPath = "/static/"

// isProbe says that a request asks whether the service is live or ready, and for no details.
func isProbe(r *http.Request) bool {
	return isRead(r) && r.URL.RawQuery == "" && (r.URL.Path == "/livez" || r.URL.Path == "/readyz")
}

func isMonitoring(r *http.Request) bool {
	return isRead(r) && slices.Contains([]string{"/livez", "/readyz", "/metrics"}, r.URL.Path)
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// knowsHost compares the Host header with the addresses of the console. A page of another site whose name was made to
// resolve to this machine (DNS rebinding) sends its own name.
func (a *Access) knowsHost(host string) bool {
	// safeguard: console-host
	if canonicalHost(a.public.Scheme, host) == a.public.Host {
		return true
	}
	name, port, err := net.SplitHostPort(host)
	return err == nil && isLoopback(a.listen.Hostname()) && isLoopback(name) && port == a.listen.Port()
}

// canonicalHost is a host as browsers send it in Origin: in lower case, and without the port that the scheme implies.
func canonicalHost(scheme, host string) string {
	implied := map[string]string{"https": ":443", "http": ":80"}[scheme]
	return strings.TrimSuffix(strings.ToLower(host), implied)
}

// shortestToken is how many characters a token has at least: who guesses it is in.
const shortestToken = 32

func bearerToken(r *http.Request) (string, bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, found && strings.EqualFold(scheme, "bearer")
}

// serveToken needs no check of the Host header: a page of another site does not know the token.
func (a *Access) serveToken(w http.ResponseWriter, r *http.Request, token string, next http.Handler) {
	// The look-up is by hash, so its time says nothing about a token.
	p, known := a.tokens[sha256.Sum256([]byte(token))]
	if !known || len(token) < shortestToken {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		a.refuse(w, r, http.StatusUnauthorized, "the token is not known")
		return
	}
	a.serve(w, r, p, next)
}

// proxyHeaders are those that proxies add.
var proxyHeaders = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"}

// serveLocal serves whoever is at this machine. A proxy would let in everybody who reaches it.
func (a *Access) serveLocal(w http.ResponseWriter, r *http.Request, next http.Handler) {
	for _, name := range proxyHeaders {
		if r.Header.Get(name) != "" {
			a.refuse(w, r, http.StatusForbidden, "a proxy sent the request, and nobody would have to sign in; "+
				"add console.public_url and console.users")
			return
		}
	}
	if r.URL.Path == signInPath || r.URL.Path == signOutPath {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	a.serve(w, r, local, next)
}

// serve lets a principal through, unless the request changes something that it may not.
func (a *Access) serve(w http.ResponseWriter, r *http.Request, p Principal, next http.Handler) {
	if !isRead(r) && r.Method != http.MethodOptions {
		action := Operate
		if a.options.ActionOf != nil {
			action = a.options.ActionOf(r)
		}
		// safeguard: console-roles
		if !a.mayChange(p, action) {
			a.refuse(w, r, http.StatusForbidden, a.whyNot(p, action))
			return
		}
	}
	next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, p)))
}

func (a *Access) whyNot(p Principal, action Action) string {
	switch {
	case p.Role < Agent:
		return "the role " + p.Role.String() + " changes nothing"
	case action == Cancel || action == Skip:
		return "the action " + string(action) + " is not activated; add it to console.actions"
	}
	return "this needs the role operator"
}

func (a *Access) refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	if a.options.Refuse != nil {
		a.options.Refuse(w, r, status, text)
		return
	}
	writeText(w, status, text)
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") //nolint:gosec // plain text, and nosniff
}
