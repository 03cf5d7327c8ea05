package service_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
	"github.com/termed/termed/testdata"
)

const (
	webhookKey = "simulated-webhook-key"
	password   = "correct horse battery"
)

// shop is a running service with its console, next to a simulator of Ordergroove.
type shop struct {
	*testing.T
	sim     *sim.Simulator
	sender  *sim.Sender
	service *service.Service
	url     string // of the console
}

// tokenOf is the API token of a role.
func tokenOf(role string) string { return "token-of-the-" + role + "-0123456789abcdef" }

// openShop starts a shop whose console has a user and a token for each role.
func openShop(t *testing.T, change func(*config.Config)) *shop {
	t.Helper()
	return openShopBeside(t, sim.Options{}, change)
}

// openShopBeside is openShop beside a simulator with other options.
func openShopBeside(t *testing.T, o sim.Options, change func(*config.Config)) *shop {
	t.Helper()
	o.Key = "simulated-api-key"
	o.Payloads = testdata.Webhooks()
	simulator := sim.New(o)
	server := httptest.NewServer(simulator.Handler())
	t.Cleanup(server.Close)
	c := config.Default()
	c.Listen, c.Console.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Database = filepath.Join(t.TempDir(), "termed.db")
	c.Ordergroove.APIURL = server.URL
	c.Ordergroove.APIKey = "simulated-api-key"
	c.Ordergroove.WebhookKeys = []config.Secret{webhookKey}
	c.Reconcile.Every = 0
	c.Terms = []config.Term{
		{
			Name:          "Gift",
			SKUs:          []string{"GIFT-3MO"},
			Shipments:     3,
			FirstShipment: "checkout",
			CancelReason:  "1|Gift complete",
		},
		{Name: "Six-box program", SKUs: []string{"SIX"}, Shipments: 6, FirstShipment: "recurring"},
	}
	c.Console.Actions = []string{"cancel", "skip", "adjust"}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"viewer", "agent", "operator"} {
		sum := sha256.Sum256([]byte(tokenOf(role)))
		c.Console.Users = append(c.Console.Users, config.User{Name: role, Role: role, Password: config.Secret(hash)})
		c.Console.Tokens = append(c.Console.Tokens, config.Token{Name: role + "-token", Role: role,
			Hash: config.Secret(hex.EncodeToString(sum[:]))})
	}
	if change != nil {
		change(&c)
	}
	s := &shop{T: t, sim: simulator}
	if s.service, err = service.New(t.Context(), c, service.Options{}); err != nil {
		t.Fatal(err)
	}
	s.url = s.service.ConsoleURL()
	s.sender = &sim.Sender{URL: s.service.WebhookURL(), Keys: []string{webhookKey}}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- s.service.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	return s
}

// subscribe makes a subscription, and has it enrolled.
func (s *shop) subscribe(sku, customer string) sim.Subscription {
	s.Helper()
	sub, err := s.sim.Subscribe(sim.NewSubscription{Product: sku, Customer: customer})
	if err != nil {
		s.Fatal(err)
	}
	s.settle()
	return sub
}

func (s *shop) place(subs ...sim.Subscription) {
	s.Helper()
	for _, sub := range subs {
		if _, err := s.sim.Place([]string{sub.ID}); err != nil {
			s.Fatal(err)
		}
	}
	s.settle()
}

// settle delivers what is announced, until nothing is left to do.
func (s *shop) settle() {
	s.Helper()
	for {
		events := s.sim.Take()
		if err := s.sender.SendAll(s.Context(), events, 1); err != nil {
			s.Fatal(err)
		}
		if err := service.WaitIdle(s.Context(), s.url); err != nil {
			s.Fatal(err)
		}
		if len(events) == 0 {
			return
		}
	}
}

// reply is the answer to a request.
type reply struct {
	status int
	header http.Header
	body   string
}

// client sends requests as somebody.
type client struct {
	*shop
	token   string
	cookies *http.Client
	headers map[string]string
}

func (s *shop) as(role string) *client {
	return &client{shop: s, token: tokenOf(role), cookies: noRedirects(nil)}
}

func (s *shop) asNobody() *client { return &client{shop: s, cookies: noRedirects(nil)} }

func noRedirects(jar http.CookieJar) *http.Client {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Jar: jar, CheckRedirect: stay}
}

// signedIn is a browser that signed in.
func (s *shop) signedIn(name string) *client {
	s.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	c := &client{shop: s, cookies: noRedirects(jar)}
	got := c.send("POST", "/sign-in", url.Values{"name": {name}, "password": {password}, "next": {"/subscriptions"}})
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/subscriptions" {
		s.Fatalf("signing in as %s: %d, to %s", name, got.status, got.header.Get("Location"))
	}
	return c
}

// send sends a form, JSON, or nothing.
func (c *client) send(method, path string, body any) reply {
	c.Helper()
	var content io.Reader
	contentType := ""
	switch b := body.(type) {
	case url.Values:
		content, contentType = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	case string:
		content, contentType = strings.NewReader(b), "application/json"
	}
	request, err := http.NewRequestWithContext(c.Context(), method, c.url+path, content)
	if err != nil {
		c.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if !strings.HasPrefix(path, "/api/") {
		request.Header.Set("Accept", "text/html")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, value := range c.headers {
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := c.cookies.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

func (c *client) get(path string) reply { c.Helper(); return c.send("GET", path, nil) }

// with sends a header with each request.
func (c *client) with(name, value string) *client {
	changed := *c
	changed.headers = map[string]string{name: value}
	return &changed
}

func (c *client) want(got reply, status int, parts ...string) {
	c.Helper()
	if got.status != status {
		c.Errorf("it answered %d, want %d: %s", got.status, status, got.body)
	}
	for _, part := range parts {
		if !strings.Contains(got.body, part) {
			c.Errorf("the answer lacks %q:\n%s", part, got.body)
		}
	}
}

var pages = []string{
	"/", "/subscriptions", "/subscriptions?state=active&term=Gift&last=true", "/subscriptions.csv", "/events",
	"/events?status=dead&type=order.success", "/events/retry", "/terms", "/reconcile", "/health", "/observe",
	"/health/doctor",
}

// Operators examine the installation from the console, and others do not: it makes calls.
func TestConsoleDoctor(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	viewer := s.signedIn("viewer")
	viewer.want(viewer.get("/health/doctor"), http.StatusForbidden, "Operators examine the installation")
	operator := s.signedIn("operator")
	operator.want(operator.get("/health/doctor"), http.StatusOK, "API key", "accepts it", "a commit takes",
		"there has been none", "the service runs at")
	operator.want(operator.get("/health"), http.StatusOK, "/health/doctor")
}

// Nobody gets to see anything without signing in, from another site, or under another host name.
func TestConsoleRefusals(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	sub := s.subscribe("GIFT-3MO", "customer-1")
	subscription := "/subscriptions/" + sub.ID
	changes := []string{"/pause", "/resume", "/reconcile", "/events/retry"}
	for _, action := range []string{"cancel", "skip", "adjustments", "length", "release", "approve", "enroll", "retry"} {
		changes = append(changes, subscription+"/"+action)
	}
	form := url.Values{"reason": {"attack"}, "shipments": {"9"}, "key": {"k"}}
	nobody := s.asNobody()
	for _, path := range slices.Concat(pages, []string{subscription, "/customers/customer-1"}) {
		got := nobody.get(path)
		if got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/sign-in") {
			t.Errorf("GET %s without signing in: %d", path, got.status)
		}
	}
	for _, path := range changes {
		nobody.want(nobody.send("POST", path, form), http.StatusUnauthorized)
		api := "/api/v1" + path
		nobody.want(nobody.send("POST", api, `{"reason":"attack"}`), http.StatusUnauthorized, "send a token")
	}
	nobody.want(nobody.get("/api/v1/subscriptions"), http.StatusUnauthorized)
	bad := &client{shop: s, token: "guessed", cookies: noRedirects(nil)}
	bad.want(bad.get("/api/v1/subscriptions"), http.StatusUnauthorized)

	// Another site makes the browser of a signed-in operator send the form.
	operator := s.signedIn("operator")
	for _, path := range changes {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			crossing := operator.with(name, value)
			crossing.want(crossing.send("POST", path, form), http.StatusForbidden)
		}
	}
	// Another name points to our address.
	rebound := operator.with("Host", "evil.example")
	for _, path := range append(pages, changes...) {
		rebound.want(rebound.get(path), http.StatusMisdirectedRequest)
	}
	if now, _ := s.sim.Subscription(sub.ID); !now.Live || len(s.sim.Take()) != 0 {
		t.Error("something was changed at Ordergroove")
	}
	got := operator.get("/api/v1" + subscription)
	operator.want(got, http.StatusOK, `"total":3`, `"state":"active"`)
	if strings.Contains(got.body, "attack") {
		t.Errorf("a refused request changed something: %s", got.body)
	}
}

// bodies are what the API takes.
var bodies = map[string]string{
	"/cancel": `{}`,
	"/skip":   `{}`,

	"/adjustments": `{"matcher":{"type":"CYCLE","cycle":0},"action":{"type":"SKIP_ORDER","input":{"reason":"x"}}}`,

	"/length":  `{"shipments":4,"reason":"x"}`,
	"/release": `{"reason":"x"}`,
	"/retry":   `{}`,
}

// What a role does not include is hidden and refused.
func TestConsoleRoles(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	sub := s.subscribe("GIFT-3MO", "customer-1")
	path := "/subscriptions/" + sub.ID
	for _, test := range []struct {
		role            string
		shown, hidden   []string
		may, mayNot     []string
		seesTheCustomer bool
	}{
		{"viewer", nil, []string{"Cancel subscription", "Skip next order", "Change length", "Release"},
			nil, []string{"/cancel", "/skip", "/adjustments", "/length", "/release", "/retry"}, false},
		{"agent", []string{"Cancel subscription", "Skip next order"}, []string{"Change length", "Release"},
			nil, []string{"/length", "/release", "/retry"}, true},
		{"operator", []string{"Cancel subscription", "Skip next order", "Change length", "Release"}, nil,
			[]string{"/length"}, nil, true},
	} {
		c := s.signedIn(test.role)
		got := c.get(path)
		c.want(got, http.StatusOK, test.shown...)
		for _, hidden := range test.hidden {
			if strings.Contains(got.body, ">"+hidden+"<") {
				t.Errorf("%s: the page shows %q", test.role, hidden)
			}
		}
		if strings.Contains(got.body, "customer-1") != test.seesTheCustomer {
			t.Errorf("%s: the customer is shown: %v", test.role, !test.seesTheCustomer)
		}
		form := url.Values{"reason": {"x"}, "shipments": {"4"}}
		for _, action := range test.mayNot {
			c.want(c.send("POST", path+action, form), http.StatusForbidden)
			c.want(c.send("POST", "/api/v1"+path+action, bodies[action]), http.StatusForbidden)
		}
		for _, action := range test.may {
			c.want(c.send("POST", path+action, form), http.StatusSeeOther)
		}
		status := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[test.seesTheCustomer]
		c.want(c.get("/customers/customer-1"), status)
		export := c.get("/subscriptions.csv")
		c.want(export, http.StatusOK, sub.ID, "GIFT-3MO")
		if strings.Contains(export.body, "customer-1") != test.seesTheCustomer {
			t.Errorf("%s: the export has the customer: %v", test.role, !test.seesTheCustomer)
		}
	}
	event := regexp.MustCompile(`/events/\d+/[^"]+`).FindString(s.signedIn("operator").get("/events").body)
	for role, may := range map[string]bool{"viewer": false, "agent": false, "operator": true} {
		got := s.signedIn(role).get(event + "?payload=true")
		if strings.Contains(got.body, "customer-1") != may {
			t.Errorf("%s sees the payload: %v", role, !may)
		}
	}
}

// Actions are off until the merchant activates them, whatever the role.
func TestConsoleActionsAreOffByDefault(t *testing.T) {
	t.Parallel()
	s := openShop(t, func(c *config.Config) { c.Console.Actions = nil })
	sub := s.subscribe("GIFT-3MO", "customer-1")
	operator := s.as("operator")
	got := operator.send("POST", "/api/v1/subscriptions/"+sub.ID+"/cancel", `{}`)
	operator.want(got, http.StatusForbidden, "not activated")
	if got := operator.get("/subscriptions/" + sub.ID); strings.Contains(got.body, "Cancel subscription") {
		t.Error("the page offers to cancel")
	}
}

// Who guesses passwords waits, by name and by address.
func TestConsoleSignIn(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	nobody := s.asNobody()
	try := func(name, password string) reply {
		return nobody.send("POST", "/sign-in", url.Values{"name": {name}, "password": {password}})
	}
	nobody.want(try("nobody", password), http.StatusUnauthorized, "The name or the password is wrong.")
	nobody.want(try("agent", "wrong"), http.StatusUnauthorized, "The name or the password is wrong.")
	good := try("agent", password)
	cookie := good.header.Get("Set-Cookie")
	if good.status != http.StatusSeeOther || !strings.Contains(cookie, "HttpOnly") ||
		!strings.Contains(cookie, "SameSite=Strict") {
		t.Errorf("signing in: %d, cookie %s", good.status, cookie)
	}
	if got := nobody.send("POST", "/sign-in", url.Values{"name": {"agent"}, "password": {password},
		"next": {"//evil.example/"}}); got.header.Get("Location") != "/" {
		t.Errorf("after signing in it goes to %s", got.header.Get("Location"))
	}
	agent := s.signedIn("agent")
	agent.want(agent.get("/"), http.StatusOK, "agent")
	if got := agent.send("POST", "/sign-out", nil); got.status != http.StatusSeeOther {
		t.Errorf("signing out: %d", got.status)
	}
	if got := agent.get("/"); got.status != http.StatusSeeOther {
		t.Errorf("after signing out: %d", got.status)
	}

	for range 6 {
		try("viewer", "guess")
	}
	got := try("viewer", password)
	nobody.want(got, http.StatusTooManyRequests)
	if got.header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}

}

var keyPattern = regexp.MustCompile(`/(cancel|skip)">\s*<input type="hidden" name="key" value="([^"]+)"`)

// keyOf is the idempotency key of an action's form.
func keyOf(t *testing.T, page, action string) string {
	t.Helper()
	for _, match := range keyPattern.FindAllStringSubmatch(page, -1) {
		if match[1] == action {
			return match[2]
		}
	}
	t.Fatalf("the page has no form to %s:\n%s", action, page)
	return ""
}

// An agent cancels and skips on the page: once, however often the form is sent, with what became of it afterwards.
func TestConsoleActions(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	gift, program := s.subscribe("GIFT-3MO", "customer-1"), s.subscribe("SIX", "customer-1")
	s.place(gift, program)
	agent := s.signedIn("agent")
	path := "/subscriptions/" + program.ID
	page := agent.get(path).body
	shown := regexp.MustCompile(`name="order" value="([^"]+)"`).FindStringSubmatch(page)
	if shown == nil {
		t.Fatal("the form to skip does not say which order")
	}
	form := url.Values{"key": {keyOf(t, page, "skip")}, "order": {shown[1]}}
	for range 2 { // a second click
		got := agent.send("POST", path+"/skip", form)
		if got.status != http.StatusSeeOther {
			t.Fatalf("skipping: %d %s", got.status, got.body)
		}
		agent.want(agent.get(got.header.Get("Location")), http.StatusOK, "Skipped the next order", "agent: skipped order")
	}
	form.Set("key", "another")
	agent.want(agent.send("POST", path+"/skip", form), http.StatusConflict, "Another order is upcoming by now")
	agent.want(agent.get(path+"/remote"), http.StatusOK, "Next order")

	path = "/subscriptions/" + gift.ID
	s.sim.Break(sim.Fault{
		Method: "PATCH",
		Path:   "/cancel/",
		Status: 400,
		Body:   `{"detail":"It is on hold."}`,
		Times:  1,
	})
	form = url.Values{"key": {keyOf(t, agent.get(path).body, "cancel")}, "code": {"8"}, "details": {"too much <b>"}}
	got := agent.send("POST", path+"/cancel", form)
	agent.want(agent.get(got.header.Get("Location")), http.StatusOK, "Not canceled: It is on hold.")
	form = url.Values{"key": {keyOf(t, agent.get(path).body, "cancel")}, "code": {"8"}, "details": {"too much <b>"},
		"back": {"/customers/customer-1"}}
	got = agent.send("POST", path+"/cancel", form)
	if !strings.HasPrefix(got.header.Get("Location"), "/customers/customer-1?") {
		t.Errorf("it goes to %s", got.header.Get("Location"))
	}
	agent.want(agent.get(got.header.Get("Location")), http.StatusOK, "Canceled")
	s.settle()
	if now, _ := s.sim.Subscription(gift.ID); now.Live || now.Cancels != 1 || now.CancelReason != "8|too much <b>" {
		t.Errorf("live %v, %d cancels, reason %s", now.Live, now.Cancels, now.CancelReason)
	}
	agent.want(agent.get(path), http.StatusOK, "canceled by agent with 1 to go", "too much &lt;b&gt;")
	if strings.Contains(agent.get(path).body, ">Cancel subscription<") {
		t.Error("a canceled subscription can be canceled")
	}
	agent.want(agent.send("POST", path+"/cancel", url.Values{"key": {"third"}}), http.StatusConflict,
		"The subscription is not active at Ordergroove.")
}

// The API says the same as the pages, in the form that its description promises.
func TestConsoleAPI(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	gift := s.subscribe("GIFT-3MO", "customer-1")
	s.place(gift)
	operator := s.as("operator")
	operator.want(operator.get("/api/v1/subscriptions?q="+gift.ID[:6]), http.StatusOK,
		gift.ID, `"made":2`, `"customer":"customer-1"`)
	viewer := s.as("viewer")
	if got := viewer.get("/api/v1/subscriptions"); strings.Contains(got.body, "customer-1") {
		t.Errorf("a viewer sees the customer: %s", got.body)
	}
	viewer.want(viewer.get("/api/v1/subscriptions?customer=customer-1"), http.StatusForbidden)
	operator.want(operator.get("/api/v1/subscriptions?state=running"), http.StatusUnprocessableEntity, "query.state")
	operator.want(operator.get("/api/v1/subscriptions?cursor=x"), http.StatusUnprocessableEntity, "cursor")
	operator.want(operator.get("/api/v1/subscriptions/"+gift.ID+"?remote=true"), http.StatusOK,
		`"next_order"`, `"shipments":[`)
	operator.want(operator.get("/api/v1/subscriptions/nobody"), http.StatusNotFound)
	operator.want(operator.get("/api/v1/events?type=order.success"), http.StatusOK, `"status":"done"`)
	operator.want(operator.get("/api/v1/notifications"), http.StatusOK, `"items":[]`)
	operator.want(operator.get("/api/v1/terms"), http.StatusOK, `"Six-box program"`)
	operator.want(operator.get("/api/v1/cancel-reasons"), http.StatusOK, "Too expensive")
	operator.want(operator.send("POST", "/api/v1/subscriptions/"+gift.ID+"/length", `{"shipments":0,"reason":"x"}`),
		http.StatusUnprocessableEntity, "body.shipments")
	operator.want(operator.send("POST", "/api/v1/subscriptions/"+gift.ID+"/length", `{"shipments":1,"reason":"x"}`),
		http.StatusConflict, "2 shipments already made")
	operator.want(operator.send("POST", "/api/v1/subscriptions/"+gift.ID+"/length", `{"shipments":4,"reason":"a gift"}`),
		http.StatusOK, `"total":4`, "operator-token", "a gift")
	operator.want(operator.send("POST", "/api/v1/pause", `{"reason":"stocktaking"}`), http.StatusOK,
		`"by":"operator-token"`)
	operator.want(operator.get("/"), http.StatusOK, "All changes at Ordergroove are paused", "stocktaking")
	agent := s.as("agent")
	cancel := func(key string) reply {
		path := "/api/v1/subscriptions/" + gift.ID + "/cancel"
		return agent.with("Idempotency-Key", key).send("POST", path, `{"reason_code":"8"}`)
	}
	agent.want(cancel("c1"), http.StatusConflict, "paused")
	operator.want(operator.send("POST", "/api/v1/resume", nil), http.StatusOK, `"ready":true`)
	first := cancel("c1")
	agent.want(first, http.StatusOK, `"status":"done"`, `"reason":"8|"`)
	if again := cancel("c1"); again.body != first.body {
		t.Errorf("the same request again: %s, want %s", again.body, first.body)
	}
	agent.want(cancel("c2"), http.StatusConflict, "not active")
	operator.want(operator.send("POST", "/api/v1/reconciliation", nil), http.StatusAccepted, `"by":"operator-token"`)
	for range 100 {
		if got := operator.get("/api/v1/reconciliation"); strings.Contains(got.body, `"running":false`) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	operator.want(operator.get("/api/v1/reconciliation"), http.StatusOK, `"running":false`, `"compared":1`)
}

// The OpenAPI document names every path that the handlers answer, and the handlers answer every path that it names.
func TestConsoleOpenAPI(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	operator := s.as("operator")
	got := operator.get("/api/v1/openapi.json")
	operator.want(got, http.StatusOK, `"openapi":"3.1.0"`)
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string
			Summary     string
		}
	}
	if err := json.Unmarshal([]byte(got.body), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Paths) < 15 {
		t.Errorf("only %d paths", len(document.Paths))
	}
	nobody := s.asNobody()
	for path, methods := range document.Paths {
		for method, op := range methods {
			concrete := regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(path, "1")
			got := operator.send(strings.ToUpper(method), concrete, `{"reason":"x","shipments":2}`)
			if got.status == http.StatusMethodNotAllowed ||
				got.status == http.StatusNotFound && strings.Contains(got.body, "There is no such page") {
				t.Errorf("%s %s is not answered: %d", method, path, got.status)
			}
			if got := nobody.send(strings.ToUpper(method), concrete, nil); got.status != http.StatusUnauthorized {
				t.Errorf("%s %s without a token: %d", method, path, got.status)
			}
			if op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s %s has no name or summary", method, path)
			}
		}
	}
}

// Pages answer, and are readable without JavaScript; nothing on them is from elsewhere.
func TestConsolePages(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	gift := s.subscribe("GIFT-3MO", "customer-1")
	s.place(gift)
	operator := s.signedIn("operator")
	more := []string{"/subscriptions/" + gift.ID, "/subscriptions/" + gift.ID + "/remote", "/customers/customer-1"}
	for _, path := range slices.Concat(pages, more) {
		got := operator.get(path)
		operator.want(got, http.StatusOK)
		if foreign := regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//[^"]*"`).FindString(got.body); foreign != "" {
			t.Errorf("%s has %s", path, foreign)
		}
		for _, inline := range []string{"style=", "<script>", " onclick="} {
			if strings.Contains(got.body, inline) {
				t.Errorf("%s has %s, which the content security policy forbids", path, inline)
			}
		}
	}
	operator.want(operator.get("/subscriptions?q=customer-1"), http.StatusOK, gift.ID,
		`hx-get="/subscriptions?q=customer-1" hx-trigger="every 20s"`)
	operator.want(operator.get("/subscriptions?q=none-such"), http.StatusOK, "No subscription matches")
	operator.want(operator.get("/subscriptions/none-such"), http.StatusNotFound, "No such subscription")
	operator.want(operator.get("/none-such"), http.StatusNotFound, "There is no such page.")
	operator.want(operator.get("/subscriptions?cursor=x"), http.StatusBadRequest)
	wantPolicy := func(c *client, path, part string) {
		if policy := c.get(path).header.Get("Content-Security-Policy"); !strings.Contains(policy, part) {
			t.Errorf("the policy of %s is %s", path, policy)
		}
	}
	wantPolicy(operator, "/", "frame-ancestors 'none'")
	framed := openShop(t, func(c *config.Config) { c.Console.FrameAncestors = []string{"https://help.example"} })
	agent := framed.as("agent")
	wantPolicy(agent, "/customers/1", "frame-ancestors https://help.example")
	wantPolicy(agent, "/subscriptions", "frame-ancestors 'none'")
}

// Profiles are off unless configured, and for operators.
func TestProfiles(t *testing.T) {
	t.Parallel()
	const path = "/debug/pprof/goroutine?debug=1"
	off := openShop(t, nil).as("operator")
	off.want(off.get(path), http.StatusNotFound)
	on := openShop(t, func(c *config.Config) { c.Console.Profiles = true })
	operator, agent := on.as("operator"), on.as("agent")
	operator.want(operator.get(path), http.StatusOK, "goroutine profile")
	operator.want(operator.get("/debug/pprof/cmdline"), http.StatusNotFound)
	agent.want(agent.get(path), http.StatusForbidden, "operator")
}
