package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/console/access"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

const (
	rowsAPage   = 50
	pageTimeout = 10 * time.Second // of everything but what Ordergroove is asked for
	askTimeout  = 15 * time.Second // of what Ordergroove is asked for

	examineTimeout = time.Minute // of an examination: each check has its own, shorter one
)

// page is the template of one page.
type page struct{ template *template.Template }

// readPages reads the templates, each with the layout.
func (c *Console) readPages() (map[string]*page, error) {
	pages := map[string]*page{}
	for _, name := range []string{"overview", "subscriptions", "subscription", "remote", "customer", "events", "event",
		"retry", "terms", "reconcile", "health", "doctor", "observe", "sign-in", "message"} {
		t, err := template.New("").Funcs(c.functions()).ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", name, err)
		}
		pages[name] = &page{t}
	}
	return pages, nil
}

// view is what the layout shows around a page.
type view struct {
	Title    string
	Nav      []link
	Query    string
	User     string
	SignedIn bool
	Banners  []banner
	Page     any
}

type link struct {
	Name, Path string
	Current    bool
}

// banner is what is said above a page.
type banner struct {
	Kind       string // "", ok, info, bad: the color
	Text       string
	Detail     string
	Path, Link string // where to go from it; "": nowhere
	Flash      bool   // it is about what was done just now
	Refresh    string // where it is read again until its outcome is known; "": it is
}

var navigation = []link{
	{Name: "Overview", Path: "/"},
	{Name: "Subscriptions", Path: "/subscriptions"},
	{Name: "Events", Path: "/events"},
	{Name: "Terms", Path: "/terms"},
	{Name: "Reconcile", Path: "/reconcile"},
	{Name: "Health", Path: "/health"},
}

func (c *Console) addPages(engine *gin.Engine) {
	engine.GET("/", c.overview)
	engine.GET("/subscriptions", c.subscriptions)
	engine.GET("/subscriptions.csv", c.exportCSV)
	engine.GET("/subscriptions/:id", c.subscription)
	engine.GET("/subscriptions/:id/remote", c.remote)
	engine.GET("/customers/:customer", c.customer)
	engine.GET("/events", c.events)
	engine.GET("/events/retry", c.retryEvents)
	engine.GET("/events/:created/:id", c.event)
	engine.GET("/terms", c.terms)
	engine.GET("/reconcile", c.reconcile)
	engine.GET("/health", c.health)
	engine.GET("/health/doctor", c.doctor)
	engine.GET("/observe", c.observe)
	c.addForms(engine)
}

// show answers with a page.
func (c *Console) show(g *gin.Context, status int, name, title string, content any, banners ...banner) {
	c.render(g.Writer, g.Request, status, name, title, content, banners...)
}

func (c *Console) render(
	w http.ResponseWriter, r *http.Request, status int, name, title string, content any, banners ...banner,
) {
	v := view{Title: title, Query: r.URL.Query().Get("q"), Page: content}
	if p, ok := access.PrincipalFrom(r.Context()); ok {
		v.User = p.Name
		v.SignedIn = c.Access.SignsIn()
		v.Banners = append(banners, c.banners()...)
		for _, l := range navigation {
			l.Current = l.Path == "/"+strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 2)[0]
			v.Nav = append(v.Nav, l)
		}
	}
	out, err := c.execute(name, v)
	if err != nil {
		http.Error(w, "Internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}

// execute renders a page whole, before its first byte is sent.
func (c *Console) execute(name string, v view) (*bytes.Buffer, error) {
	var out bytes.Buffer
	err := c.pages[name].template.ExecuteTemplate(&out, "layout", v)
	if err != nil {
		c.Log.Error("a page could not be rendered", "page", name, "error", err)
	}
	return &out, err
}

// banners are about the service as a whole, on every page.
func (c *Console) banners() []banner {
	var all []banner
	brake := c.App.LatestBrake()
	if brake.Pause.Since != 0 {
		all = append(all, banner{
			Kind:   "bad",
			Text:   "All changes at Ordergroove are paused",
			Detail: "since " + when(at(brake.Pause.Since), c.Now()) + " by " + brake.Pause.Actor + ": " + brake.Pause.Reason,
			Path:   "/health",
			Link:   "Resume",
		})
	}
	if err := c.App.Ready(); err != nil {
		all = append(all, banner{
			Kind:   "bad",
			Text:   "Ordergroove’s API does not answer, or refuses the key",
			Detail: "Everything is counted, and continues when it does.",
			Path:   "/health",
			Link:   "See why",
		})
	}
	if c.App.Rules().Observe {
		all = append(all, banner{Text: "Mode is observe", Detail: "nothing is changed at Ordergroove",
			Path: "/observe", Link: "What termed would do"})
	}
	for _, t := range brake.Terms {
		all = append(all, banner{Text: fmt.Sprintf("%s of %s ran before it was listed",
			plural(t.Complete+t.Running, "subscription"), t.Term), Detail: "they are counted, not ended",
			Path: withQuery("/subscriptions", nil, "state", string(counter.AwaitingApproval), "term", t.Term),
			Link: "Review and approve"})
	}
	if brake.Throttled > 0 {
		all = append(all, banner{Text: plural(brake.Throttled, "end") + " held back",
			Detail: "more subscriptions were complete at first sight than may be ended in an hour",
			Path:   "/subscriptions?state=throttled", Link: "Review"})
	}
	return all
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

type messagePage struct{ Title, Text, Back string }

// message is a page that only says something.
func (c *Console) message(g *gin.Context, status int, title, text, back string) {
	c.show(g, status, "message", title, messagePage{title, text, back})
}

// fail answers an error of the store: what it says is for the log.
func (c *Console) fail(g *gin.Context, err error) {
	switch {
	case errors.Is(err, ledger.ErrUnknown):
		c.message(g, http.StatusNotFound, "Not found", "No such subscription is enrolled in a term.", "/subscriptions")
	case errors.Is(err, store.ErrCursor):
		c.message(g, http.StatusBadRequest, "Not a page", "This address does not point into the list.", g.Request.URL.Path)
	default:
		c.Log.Error("store error", "error", err)
		c.message(g, http.StatusInternalServerError, "Not available",
			"The database could not be read. The service’s log says why.", g.Request.URL.Path)
	}
}

func (c *Console) may(g *gin.Context, action access.Action) bool {
	return c.Access.MayDo(g.Request.Context(), action)
}

// forbidden answers a request of somebody who may not make it, and says whether it did.
func (c *Console) forbidden(g *gin.Context, action access.Action) bool {
	// safeguard: role
	if c.may(g, action) {
		return false
	}
	c.message(g, http.StatusForbidden, "Not allowed", "Your role does not include this, or the action is not activated "+
		"in termed.yaml.", "/")
	return true
}

func within(g *gin.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(g.Request.Context(), d)
}

// SignInPage writes the page with the form to sign in.
func (c *Console) SignInPage(w http.ResponseWriter, page access.SignIn) {
	if out, err := c.execute("sign-in", view{Title: "Sign in", Page: page}); err == nil {
		_, _ = out.WriteTo(w)
	}
}

// Refuse answers a request that is let through to nobody: a page for a browser, and a problem for a program.
func (c *Console) Refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	if strings.HasPrefix(r.URL.Path, apiPath) || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(struct {
			Title  string `json:"title"`
			Status int    `json:"status"`
			Detail string `json:"detail"`
		}{http.StatusText(status), status, text})
		return
	}
	title := "Not allowed"
	if status == http.StatusBadRequest || status >= http.StatusInternalServerError {
		title = "Not signed in" // nobody was refused: it did not work
	}
	c.render(w, r, status, "message", title, messagePage{title, sentence(text), "/"})
}

// ActionOf says which action a request asks for that changes something; "": what only operators do.
func ActionOf(r *http.Request) access.Action {
	path := strings.TrimPrefix(r.URL.Path, apiPath)
	if !strings.HasPrefix(path, "/subscriptions/") {
		return ""
	}
	switch {
	case strings.Contains(path, "/adjustments"):
		return access.Adjust
	case strings.HasSuffix(path, "/cancel"):
		return access.Cancel
	case strings.HasSuffix(path, "/skip"):
		return access.Skip
	}
	return ""
}
