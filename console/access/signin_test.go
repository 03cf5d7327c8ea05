package access_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/termed/termed/console/access"
)

// A wrong name and a wrong password get the same answer, and no session.
func TestSignInIsRefused(t *testing.T) {
	c := open(t, options(t))
	wrong := text(c.signIn("vi", "wrong"))
	for _, test := range []struct{ name, password string }{
		{"nobody", password},
		{"VI", password},
		{"", ""},
		{"vi ", password},
		{"vi", ""},
		{"ada", password + "x"},
		{"nobody", strings.Repeat("x", 100)},
	} {
		answer := c.signIn(test.name, test.password, header{"X-Forwarded-For", "198.51.100." + fmt.Sprint(len(test.name))})
		c.wantStatus(answer, 401, test.name)
		want := strings.Replace(wrong, `value="vi"`, `value="`+test.name+`"`, 1)
		if got := text(answer); got != want || !strings.Contains(got, "The name or the password is wrong.") {
			t.Errorf("%q: got %s, want %s", test.name, got, want)
		}
	}
	c.wantStatus(c.send("GET", "/", nil), 401, "after refused sign-ins")
	large := url.Values{"name": {"vi"}, "password": {strings.Repeat("x", 10_000)}}
	c.wantStatus(c.send("POST", "/sign-in", large), 400, "a form that is too large")
	c.wantStatus(c.send("GET", "/sign-in?name=vi&password="+url.QueryEscape(password), nil), 200, "a password in the URL")
	c.wantStatus(c.send("POST", "/sign-in?name=vi&password="+url.QueryEscape(password), url.Values{}), 401,
		"a password in the URL of a POST")
}

// bcrypt reads 72 bytes: a longer password is no other spelling of one that begins so.
func TestPasswordIsComparedAsAWhole(t *testing.T) {
	long := strings.Repeat("x", 72)
	o := options(t)
	o.Users[0].Password = hashOf(t, long, bcrypt.MinCost)
	c := open(t, o)
	c.wantStatus(c.signIn("vi", long+"x"), 401, "73 bytes")
	c.wantStatus(c.signIn("vi", long), 303, "72 bytes")
}

func TestSessionCookie(t *testing.T) {
	o := options(t)
	c := open(t, o)
	answer := c.signIn("vi", password)
	if got := answer.Header.Get("Set-Cookie"); !strings.HasPrefix(got, "__Host-termed=") ||
		!strings.HasSuffix(got, "; Path=/; HttpOnly; Secure; SameSite=Strict") {
		t.Errorf("cookie over https: %s", got)
	}
	if got := text(c.send("GET", "/", nil)); got != "vi viewer true" {
		t.Errorf("with the cookie: %q", got)
	}
	o.Listen = listen
	o.PublicURL = ""
	answer = open(t, o).signIn("vi", password)
	if got := answer.Header.Get("Set-Cookie"); !strings.HasPrefix(got, "termed=") ||
		!strings.HasSuffix(got, "; Path=/; HttpOnly; SameSite=Strict") {
		t.Errorf("cookie over http on loopback: %s", got)
	}
}

// A sign-in gives the session a new token, so that nobody can set one beforehand; a second sign-in ends the first.
func TestSessionFixation(t *testing.T) {
	c := open(t, options(t))
	c.cookies["__Host-termed"] = "chosen-by-somebody-else"
	c.mustSignIn("vi")
	first := c.cookies["__Host-termed"]
	if first == "" || first == "chosen-by-somebody-else" {
		t.Fatalf("the session kept the token %q", first)
	}
	c.mustSignIn("otto")
	if c.cookies["__Host-termed"] == first {
		t.Error("the second sign-in kept the token of the first")
	}
	if got := text(c.send("GET", "/", nil)); got != "otto operator true" {
		t.Errorf("after the second sign-in: %q", got)
	}
	c.cookies["__Host-termed"] = first
	c.wantStatus(c.send("GET", "/", nil), 401, "with the first token")
}

func TestSignOut(t *testing.T) {
	c := open(t, options(t))
	c.mustSignIn("vi")
	token := c.cookies["__Host-termed"]
	c.wantStatus(c.send("GET", "/sign-out", nil), 200, "a GET goes to the console")
	c.wantStatus(c.send("GET", "/", nil), 200, "after a GET")
	answer := c.send("POST", "/sign-out", nil)
	c.wantStatus(answer, 303, "sign-out")
	if answer.Header.Get("Location") != "/sign-in" || len(c.cookies) != 0 {
		t.Errorf("sign-out: to %s, cookies %v", answer.Header.Get("Location"), c.cookies)
	}
	c.cookies["__Host-termed"] = token
	c.wantStatus(c.send("GET", "/", nil), 401, "with the old cookie")
}

// A request that is running when its session ends does not bring the session back.
func TestSignOutWhileARequestRuns(t *testing.T) {
	a, err := access.New(options(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, host: publicHost, cookies: map[string]string{}}
	running, done := make(chan struct{}), make(chan struct{})
	c.handler = a.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(running)
			<-done
		}
		w.WriteHeader(http.StatusOK)
	}))
	c.mustSignIn("vi")
	other := &console{t: t, handler: c.handler, host: publicHost, cookies: map[string]string{}}
	for name, value := range c.cookies {
		other.cookies[name] = value
	}
	var requests sync.WaitGroup
	requests.Go(func() { other.send("GET", "/slow", nil) })
	<-running
	c.send("POST", "/sign-out", nil)
	close(done)
	requests.Wait()
	other.wantStatus(other.send("GET", "/", nil), 401, "after the sign-out")
}

// A session ends an hour after its last request, and 12 hours after the sign-in.
func TestSessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, options(t))
		c.mustSignIn("vi")
		time.Sleep(59 * time.Minute)
		c.wantStatus(c.send("GET", "/", nil), 200, "after 59 minutes")
		time.Sleep(61 * time.Minute)
		c.wantStatus(c.send("GET", "/", nil), 401, "61 minutes after the last request")

		c.mustSignIn("vi")
		for range 14 {
			time.Sleep(50 * time.Minute)
			c.wantStatus(c.send("GET", "/", nil), 200, "every 50 minutes")
		}
		time.Sleep(21 * time.Minute)
		c.wantStatus(c.send("GET", "/", nil), 401, "after 12 hours")
	})
}

// After five failures of a user, whatever the address, the next sign-in has to wait: twice as long each time, up to 15
// minutes. The right password has to wait, too.
func TestThrottleOfAUser(t *testing.T) {
	for _, name := range []string{"vi", "nobody"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, options(t))
				from := 0
				fail := func() *http.Response {
					from++
					return c.signIn(name, "wrong", header{"X-Forwarded-For", fmt.Sprintf("198.51.100.%d", from)})
				}
				for range 5 {
					c.wantStatus(fail(), 401, "one of the first five")
				}
				for _, wait := range []int{10, 20, 40, 80, 160, 320, 640, 900, 900} {
					answer := c.signIn(name, password, header{"X-Forwarded-For", "203.0.113.1"})
					c.wantStatus(answer, 429, "the right password")
					if got := answer.Header.Get("Retry-After"); got != fmt.Sprint(wait) {
						t.Errorf("Retry-After %s, want %d", got, wait)
					}
					time.Sleep(time.Duration(wait) * time.Second)
					c.wantStatus(fail(), 401, "after the wait")
				}
			})
		})
	}
}

// After five failures from an address, its next sign-in has to wait, whatever the user, and no other address has to.
func TestThrottleOfAnAddress(t *testing.T) {
	tests := []struct {
		name           string
		https          bool
		guesser, other []header
	}{
		{
			"behind a proxy", true,
			[]header{{"X-Forwarded-For", "203.0.113.1, 198.51.100.7"}},
			[]header{{"X-Forwarded-For", "198.51.100.7, 203.0.113.1"}},
		},
		{
			"IPv6, by network", true,
			[]header{{"X-Forwarded-For", "2001:db8::1"}}, []header{{"X-Forwarded-For", "2001:db8:0:1::1"}},
		},
		{"not behind a proxy", false, []header{{"RemoteAddr", "127.0.0.1:5"}}, []header{{"RemoteAddr", "127.0.0.2:5"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(t)
				if !test.https {
					o.Listen = listen
					o.PublicURL = ""
				}
				c := open(t, o)
				for i := range 5 {
					c.wantStatus(c.signIn(fmt.Sprint("nobody", i), "wrong", test.guesser...), 401, "a failure")
				}
				c.wantStatus(c.signIn("vi", password, test.guesser...), 429, "the same address")
				c.wantStatus(c.signIn("vi", password, test.other...), 303, "another address")
				time.Sleep(11 * time.Second)
				c.wantStatus(c.signIn("vi", password, test.guesser...), 303, "the same address, after the wait")
			})
		})
	}
	t.Run("IPv6, the same network", func(t *testing.T) {
		c := open(t, options(t))
		for i := range 5 {
			c.signIn(fmt.Sprint("nobody", i), "wrong", header{"X-Forwarded-For", fmt.Sprintf("2001:db8::%d", i)})
		}
		c.wantStatus(c.signIn("vi", password, header{"X-Forwarded-For", "2001:db8::99"}), 429, "another of its addresses")
	})
	t.Run("a forged header without a proxy", func(t *testing.T) {
		o := options(t)
		o.Listen = listen
		o.PublicURL = ""
		c := open(t, o)
		for i := range 5 {
			c.signIn(fmt.Sprint("nobody", i), "wrong", header{"X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i)})
		}
		c.wantStatus(c.signIn("vi", password, header{"X-Forwarded-For", "203.0.113.1"}), 429, "the same sender")
	})
}

// Many sign-ins at a time are no way around the limit.
func TestThrottleOfManyAtATime(t *testing.T) {
	c := open(t, options(t))
	var mu sync.Mutex
	answers := map[int]int{}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			one := &console{t: t, handler: c.handler, host: publicHost, cookies: map[string]string{}}
			answer := one.signIn("vi", "wrong", header{"X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i)})
			mu.Lock()
			defer mu.Unlock()
			answers[answer.StatusCode]++
		})
	}
	all.Wait()
	if answers[401] != 5 || answers[429] != 15 {
		t.Errorf("answers by status: %v, want 5 of 401 and 15 of 429", answers)
	}
}

// A sign-in forgets the failures of its user, and an hour forgets all.
func TestThrottleForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, options(t))
		for range 4 {
			c.signIn("vi", "wrong")
		}
		c.mustSignIn("vi")
		c.wantStatus(c.signIn("vi", "wrong", header{"X-Forwarded-For", "203.0.113.1"}), 401, "a failure after a sign-in")
		c.wantStatus(c.signIn("vi", "wrong", header{"X-Forwarded-For", "203.0.113.1"}), 401, "another")
		c.wantStatus(c.signIn("ada", "wrong"), 401, "the fifth failure of the address")
		c.wantStatus(c.signIn("ada", "wrong"), 429, "the sixth")
		time.Sleep(61 * time.Minute)
		for range 5 {
			c.wantStatus(c.signIn("ada", "wrong"), 401, "one of five, an hour later")
		}
	})
}

// The sign-in opens the page that was asked for, and never another site.
func TestSignInOpensLocalPathsOnly(t *testing.T) {
	for next, want := range map[string]string{
		"/subscriptions?state=dead":  "/subscriptions?state=dead",
		"":                           "/",
		"https://evil.example/":      "/",
		"//evil.example/":            "/",
		`/\evil.example/`:            "/",
		"/\t/evil.example/":          "/",
		"javascript:alert(1)":        "/",
		"subscriptions":              "/",
		"/sign-in?next=/sign-in":     "/",
		"/sign-out":                  "/",
		"/customers/7#shipments":     "/customers/7#shipments",
		"http:/evil.example":         "/",
		"/x?next=https://evil.local": "/x?next=https://evil.local",
	} {
		c := open(t, options(t))
		answer := c.send("POST", "/sign-in", url.Values{"name": {"vi"}, "password": {password}, "next": {next}})
		if got := answer.Header.Get("Location"); answer.StatusCode != 303 || got != want {
			t.Errorf("next %q: %d to %q, want %q", next, answer.StatusCode, got, want)
		}
	}
}
