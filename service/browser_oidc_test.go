package service_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/termed/termed/config"
	"github.com/termed/termed/console/access/accesstest"
)

// TestSignInAtAProvider signs in at another site: the session's cookie, which no other site may send, is there on the
// page that the person wanted.
func TestSignInAtAProvider(t *testing.T) {
	t.Parallel()
	provider := accesstest.New(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	s := openShop(t, func(c *config.Config) {
		c.Console.Listen = address
		c.Console.PublicURL = "http://" + address
		c.Console.Users, c.Console.Tokens = nil, nil
		c.Console.OIDC = &config.OIDC{
			Issuer:       provider.Issuer,
			ClientID:     accesstest.ClientID,
			ClientSecret: accesstest.ClientSecret,
			Name:         "Example Login",
			GroupsClaim:  "groups",
			NameClaim:    "email",
			Groups:       []config.Group{{Name: "support", Role: "agent"}},
		}
	})
	got := s.asNobody().get("/sign-in/oidc/callback?state=x&code=y")
	s.asNobody().want(got, http.StatusBadRequest, "<h1>Not signed in</h1>", "was not begun here")
	b := openBrowser(t, s.url)
	b.size(1280, "light")
	b.do(chromedp.Navigate(b.url+"/terms"), chromedp.WaitVisible(`//h1[text()="Sign in"]`))
	b.check("sign-in-provider")
	b.do(chromedp.Click(`//a[text()="Sign in with Example Login"]`), chromedp.WaitVisible(`//h1[text()="Terms"]`))
	name := value(b, chromedp.Evaluate[string](`document.querySelector(".who span").textContent`))
	if name != "ana@example.com" {
		t.Errorf("signed in as %q", name)
	}
	if cookies := value(b, chromedp.Evaluate[string](`document.cookie`)); cookies != "" {
		t.Errorf("scripts can read %s", cookies)
	}
	b.do(chromedp.Click(`//button[text()="Sign out"]`), chromedp.WaitVisible(`//h1[text()="Sign in"]`))
}
