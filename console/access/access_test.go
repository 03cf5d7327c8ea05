package access_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/termed/termed/console/access"
)

const (
	listen      = "127.0.0.1:8081"
	elsewhere   = "0.0.0.0:8081"
	publicURL   = "https://termed.example.com"
	publicHost  = "termed.example.com"
	password    = "correct horse battery staple"
	agentToken  = "termed_agent-agent-agent-agent-agent-agent-agent"
	viewerToken = "termed_viewer-viewer-viewer-viewer-viewer-view"
)

func hashOf(t *testing.T, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// options are those of a console behind a proxy, with a user of each role, two tokens, and two of the three actions.
func options(t *testing.T) access.Options {
	t.Helper()
	hash := hashOf(t, password, bcrypt.MinCost)
	return access.Options{
		Users: []access.User{
			{Name: "vi", Role: access.Viewer, Password: hash},
			{Name: "ada", Role: access.Agent, Password: hash},
			{Name: "otto", Role: access.Operator, Password: hash},
		},
		Tokens: []access.Token{
			{Name: "helpdesk", Role: access.Agent, Hash: fmt.Sprintf("%x", sha256.Sum256([]byte(agentToken)))},
			{Name: "reports", Role: access.Viewer, Hash: fmt.Sprintf("%x", sha256.Sum256([]byte(viewerToken)))},
			{Name: "short", Role: access.Viewer, Hash: fmt.Sprintf("%x", sha256.Sum256([]byte("short")))},
		},
		Actions:   []access.Action{access.Cancel},
		Listen:    elsewhere,
		PublicURL: publicURL,
		ActionOf: func(r *http.Request) access.Action {
			return access.Action(strings.TrimPrefix(r.URL.Path, "/act/"))
		},
		SignInPage: signInPage,
	}
}

var page = template.Must(template.New("sign-in").Parse(`<form method="post" action="/sign-in">{{.Problem}}
<input name="name" value="{{.Name}}"><input name="password" type="password">
<input name="next" value="{{.Next}}"></form>`))

func signInPage(w http.ResponseWriter, p access.SignIn) { _ = page.Execute(w, p) }

// console is a handler behind the middleware: it says who sent the request.
type console struct {
	t       *testing.T
	handler http.Handler
	host    string
	cookies map[string]string
}

func open(t *testing.T, o access.Options) *console {
	t.Helper()
	a, err := access.New(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, host: publicHost, cookies: map[string]string{}}
	if o.PublicURL == "" {
		c.host = o.Listen
	}
	c.handler = a.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, known := access.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "%s %s %v", p.Name, p.Role, known)
	}))
	return c
}

// header is one that a request has, or without which it is sent.
type header struct{ name, value string }

// send sends a request with the session's cookies, as a browser on the console's own page does, and keeps new cookies.
func (c *console) send(method, path string, form url.Values, headers ...header) *http.Response {
	c.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, path, body)
	r.Host = c.host
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range c.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for _, h := range headers {
		switch h.name {
		case "Host":
			r.Host = h.value
		case "RemoteAddr":
			r.RemoteAddr = h.value
		default:
			r.Header.Set(h.name, h.value)
		}
	}
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, r)
	answer := recorder.Result()
	for _, cookie := range answer.Cookies() {
		c.cookies[cookie.Name] = cookie.Value
		if cookie.MaxAge < 0 {
			delete(c.cookies, cookie.Name)
		}
	}
	return answer
}

func (c *console) signIn(name, password string, headers ...header) *http.Response {
	c.t.Helper()
	return c.send("POST", "/sign-in", url.Values{"name": {name}, "password": {password}}, headers...)
}

func (c *console) wantStatus(answer *http.Response, want int, what string) {
	c.t.Helper()
	if answer.StatusCode != want {
		c.t.Errorf("%s: status %d, want %d: %s", what, answer.StatusCode, want, text(answer))
	}
}

func (c *console) mustSignIn(name string) {
	c.t.Helper()
	if answer := c.signIn(name, password); answer.StatusCode != http.StatusSeeOther {
		c.t.Fatalf("sign-in of %s: %d %s", name, answer.StatusCode, text(answer))
	}
}

// text is the body, once.
func text(answer *http.Response) string {
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func bearer(token string) header { return header{"Authorization", "Bearer " + token} }

// A console that other machines reach is not served without somebody to sign in.
func TestConsoleElsewhereWithoutASignInIsRefused(t *testing.T) {
	user := []access.User{{Name: "vi", Role: access.Viewer, Password: hashOf(t, password, bcrypt.MinCost)}}
	tests := []struct {
		name    string
		options access.Options
		ok      bool
	}{
		{"all addresses", access.Options{Listen: ":8081", PublicURL: publicURL}, false},
		{"0.0.0.0", access.Options{Listen: "0.0.0.0:8081", PublicURL: "http://localhost:8081"}, false},
		{"a private address", access.Options{Listen: "10.0.0.7:8081", PublicURL: publicURL}, false},
		{"loopback behind a proxy", access.Options{Listen: listen, PublicURL: publicURL}, false},
		{"no public URL", access.Options{Listen: elsewhere, Users: user}, false},
		{"no hash", access.Options{Listen: listen, Users: []access.User{{Name: "x", Password: "x"}}}, false},
		{"a short hash", access.Options{Listen: listen, Tokens: []access.Token{{Name: "x", Hash: "0f"}}}, false},
		{"no address", access.Options{}, false},
		{"loopback", access.Options{Listen: listen}, true},
		{"IPv6 loopback", access.Options{Listen: "[::1]:8081"}, true},
		{"with a user", access.Options{Listen: ":8081", PublicURL: publicURL, Users: user}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := access.New(test.options); (err == nil) != test.ok {
				t.Errorf("got %v, want ok %v", err, test.ok)
			}
		})
	}
}

// Who may do what. An action that is not activated is off for everybody.
func TestRoles(t *testing.T) {
	tests := []struct {
		role   access.Role
		action access.Action
		want   bool
	}{
		{0, access.Cancel, false},
		{0, access.Operate, false},
		{access.Viewer, access.Cancel, false},
		{access.Viewer, access.Operate, false},
		{access.Agent, access.Skip, false}, // not activated
		{access.Agent, access.Operate, false},
		{access.Agent, "something new", false},
		{access.Operator, access.Skip, false}, // not activated
		{access.Agent, access.Cancel, true},
		{access.Operator, access.Cancel, true},
		{access.Operator, access.Operate, true},
		{access.Operator, "something new", true},
	}
	a, err := access.New(options(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		if got := a.May(access.Principal{Name: "x", Role: test.role}, test.action); got != test.want {
			t.Errorf("%s may %s: %v, want %v", test.role, test.action, got, test.want)
		}
	}
}

// What a role may not do is refused before the handler runs, whatever the handler checks. An action that nobody named
// needs an operator.
func TestMiddlewareRefusesByRole(t *testing.T) {
	tests := []struct {
		user, method, path string
		want               int
	}{
		{"vi", "POST", "/act/cancel", 403},
		{"vi", "PATCH", "/act/skip", 403},
		{"vi", "DELETE", "/act/", 403},
		{"ada", "POST", "/act/skip", 403},
		{"ada", "POST", "/act/operate", 403},
		{"ada", "POST", "/act/", 403},
		{"otto", "POST", "/act/skip", 403},
		{"vi", "GET", "/act/cancel", 200},
		{"ada", "POST", "/act/cancel", 200},
		{"otto", "POST", "/act/", 200},
	}
	for _, test := range tests {
		t.Run(test.user+" "+test.method+" "+test.path, func(t *testing.T) {
			c := open(t, options(t))
			c.mustSignIn(test.user)
			c.wantStatus(c.send(test.method, test.path, nil), test.want, "answer")
		})
	}
	t.Run("without ActionOf", func(t *testing.T) {
		o := options(t)
		o.ActionOf = nil
		c := open(t, o)
		c.wantStatus(c.send("POST", "/act/cancel", nil, bearer(agentToken)), 403, "an agent's POST")
	})
}

func TestUnauthenticatedIsRefused(t *testing.T) {
	c := open(t, options(t))
	html := header{"Accept", "text/html,application/xhtml+xml"}
	refused := []string{"/", "/metrics", "/readyz?verbose", "/readyz?verbose=1", "/livez?x", "/livez/x", "/customers/7"}
	for _, path := range refused {
		answer := c.send("GET", path, nil)
		c.wantStatus(answer, 401, path)
		if answer.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no WWW-Authenticate", path)
		}
	}
	c.wantStatus(c.send("POST", "/livez", nil), 401, "POST /livez")
	c.wantStatus(c.send("POST", "/act/cancel", nil, html), 401, "POST")
	answer := c.send("GET", "/subscriptions?state=dead", nil, html)
	c.wantStatus(answer, 303, "a page")
	if got := answer.Header.Get("Location"); got != "/sign-in?next=%2Fsubscriptions%3Fstate%3Ddead" {
		t.Errorf("a page: to %s", got)
	}
	answer = c.send("GET", "/", nil, html, header{"HX-Request", "true"})
	c.wantStatus(answer, 401, "htmx")
	if got := answer.Header.Get("HX-Redirect"); got != "/sign-in" {
		t.Errorf("htmx: to %q", got)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		c.wantStatus(c.send("GET", path, nil), 200, path)
		c.wantStatus(c.send("GET", path, nil, header{"Host", "10.1.2.3:8081"}), 200, path+" of a pod")
	}
	if len(c.cookies) != 0 {
		t.Errorf("cookies without a sign-in: %v", c.cookies)
	}
}

// A request of another site is refused even with a session, and a sign-in too.
func TestCrossSiteIsRefused(t *testing.T) {
	tests := []struct {
		name    string
		headers []header
		want    int
	}{
		{"cross-site", []header{{"Sec-Fetch-Site", "cross-site"}}, 403},
		{"same-site", []header{{"Sec-Fetch-Site", "same-site"}}, 403},
		{"another origin", []header{{"Origin", "https://evil.example"}}, 403},
		{"another scheme", []header{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://" + publicHost}}, 403},
		{"another port", []header{{"Origin", publicURL + ":8443"}}, 403},
		{"no origin", []header{{"Origin", "null"}}, 403},
		{"same-origin", []header{{"Sec-Fetch-Site", "same-origin"}}, 200},
		{"typed by the user", []header{{"Sec-Fetch-Site", "none"}}, 200},
		{"the public URL", []header{{"Origin", publicURL}}, 200},
		{"the port dropped by a proxy", []header{{"Origin", publicURL}, {"Host", publicHost + ":443"}}, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := open(t, options(t))
			c.mustSignIn("otto")
			c.wantStatus(c.send("POST", "/act/cancel", nil, test.headers...), test.want, "action")
			if test.want == 403 {
				c.wantStatus(c.signIn("otto", password, test.headers...), 403, "sign-in")
			}
		})
	}
}

func TestWrongHostIsRefused(t *testing.T) {
	tests := []struct {
		name, listen, public, host string
		want                       int
	}{
		{"another name", listen, "", "evil.example:8081", 421},
		{"another port", listen, "", "127.0.0.1:8082", 421},
		{"no port", listen, "", "localhost", 421},
		{"a name that begins so", listen, "", "localhost.evil.example:8081", 421},
		{"no host", listen, "", "", 421},
		{"an address of the machine", elsewhere, publicURL, "10.0.0.7:8081", 421},
		{"loopback, and it listens everywhere", elsewhere, publicURL, "127.0.0.1:8081", 421},
		{"another public port", elsewhere, publicURL, publicHost + ":8443", 421},
		{"loopback", listen, "", "127.0.0.1:8081", 200},
		{"localhost", listen, "", "LOCALHOST:8081", 200},
		{"IPv6", listen, "", "[::1]:8081", 200},
		{"a tunnel", listen, "http://localhost:9000", "localhost:9000", 200},
		{"the public URL", elsewhere, publicURL, "Termed.Example.COM", 401},
		{"with the port", elsewhere, publicURL, publicHost + ":443", 401},
		{"loopback behind a proxy", listen, publicURL, "127.0.0.1:8081", 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := access.Options{Listen: test.listen, PublicURL: test.public}
			if test.public == publicURL {
				o = options(t)
				o.Listen = test.listen
			}
			c := open(t, o)
			for _, path := range []string{"/", "/metrics", "/readyz?verbose"} {
				c.wantStatus(c.send("GET", path, nil, header{"Host", test.host}), test.want, path)
			}
			if test.want == 421 {
				answer := c.send("GET", "/metrics", nil, header{"Host", test.host}, bearer("made up"))
				c.wantStatus(answer, 401, "with a token that is not known")
			}
		})
	}
	c := open(t, options(t))
	answer := c.send("GET", "/metrics", nil, header{"Host", "10.1.2.3:8081"}, bearer(viewerToken))
	c.wantStatus(answer, 200, "Prometheus calls a pod with its token")
}

func TestTokens(t *testing.T) {
	c := open(t, options(t))
	tests := []struct {
		name, method, path, authorization string
		status                            int
		text                              string
	}{
		{"not known", "GET", "/", "Bearer " + agentToken + "x", 401, "the token is not known\n"},
		{"empty", "GET", "/", "Bearer ", 401, "the token is not known\n"},
		{"too short", "GET", "/", "Bearer short", 401, "the token is not known\n"},
		{"its hash", "GET", "/", "Bearer " + options(t).Tokens[0].Hash, 401, "the token is not known\n"},
		{"a password", "GET", "/", "Basic dmk6eA==", 401, "sign in at /sign-in, or send a token\n"},
		{"a viewer's POST", "POST", "/act/cancel", "Bearer " + viewerToken, 403, "the role viewer changes nothing\n"},
		{
			"not activated", "POST", "/act/skip", "Bearer " + agentToken, 403,
			"the action skip is not activated; add it to console.actions\n",
		},
		{"an agent's", "POST", "/act/cancel", "Bearer " + agentToken, 200, "helpdesk agent true"},
		{"a viewer's", "GET", "/metrics", "bearer " + viewerToken, 200, "reports viewer true"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			answer := c.send(test.method, test.path, nil, header{"Authorization", test.authorization})
			if got := text(answer); answer.StatusCode != test.status || got != test.text {
				t.Errorf("got %d %q, want %d %q", answer.StatusCode, got, test.status, test.text)
			}
		})
	}
	if len(c.cookies) != 0 {
		t.Errorf("a token got the cookies %v", c.cookies)
	}
}

// Without users, whoever is at the machine is an operator. A proxy would let in everybody who reaches it.
func TestLocal(t *testing.T) {
	c := open(t, access.Options{Listen: listen})
	if got := text(c.send("POST", "/act/", nil)); got != "local operator true" {
		t.Errorf("got %q", got)
	}
	c.wantStatus(c.send("POST", "/act/cancel", nil, header{"Sec-Fetch-Site", "cross-site"}), 403, "another site")
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		c.wantStatus(c.send("GET", "/", nil, header{name, "198.51.100.7"}), 403, name)
	}
	c.wantStatus(c.send("GET", "/sign-in", nil), 303, "sign-in")
	o := options(t)
	o.Listen = listen
	o.PublicURL = ""
	c = open(t, o)
	c.wantStatus(c.send("GET", "/", nil), 401, "with users")
	for _, path := range []string{"/livez", "/readyz", "/readyz?verbose", "/metrics"} {
		if got := text(c.send("GET", path, nil)); got != " none false" {
			t.Errorf("%s with users: %q", path, got)
		}
	}
}

func TestHeaders(t *testing.T) {
	o := options(t)
	o.FrameAncestors = []string{"https://help.example.com", "https://*.helpdesk.example"}
	c := open(t, o)
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors "
	tests := []struct{ path, ancestors, frames string }{
		{"/", "'none'", "DENY"},
		{"/sign-in", "'none'", "DENY"},
		{"/customers", "'none'", "DENY"},
		{"/subscriptions/customers/", "'none'", "DENY"},
		{"/customers/7", "https://help.example.com https://*.helpdesk.example", ""},
	}
	for _, test := range tests {
		got := c.send("GET", test.path, nil, bearer(viewerToken)).Header
		for name, want := range map[string]string{
			"Content-Security-Policy": policy + test.ancestors,
			"X-Frame-Options":         test.frames,
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "same-origin",
			"Cache-Control":           "no-store",
		} {
			if got.Get(name) != want {
				t.Errorf("%s: %s: %q, want %q", test.path, name, got.Get(name), want)
			}
		}
	}
	c = open(t, options(t))
	if got := c.send("GET", "/customers/7", nil).Header.Get("X-Frame-Options"); got != "DENY" {
		t.Errorf("/customers/ without origins: X-Frame-Options %q, want DENY", got)
	}
}

// No log line has a password, a token, or a name that is not one of the users'.
func TestLogHasNoSecrets(t *testing.T) {
	var log bytes.Buffer
	o := options(t)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	c := open(t, o)
	c.signIn("vi", "canary password")
	c.signIn("canary name", password)
	c.mustSignIn("vi")
	c.send("GET", "/", nil, bearer("canary"))
	if got := log.String(); strings.Contains(got, "canary") || strings.Contains(got, password) ||
		strings.Count(got, "sign-in refused") != 2 || !strings.Contains(got, `msg="signed in" user=vi role=viewer`) {
		t.Errorf("log:\n%s", got)
	}
}
