// Package console owns the listener for operators and service agents: pages, the JSON API, liveness, readiness and
// metrics. It listens on loopback by default, and never on the webhook receiver's address.
//
// It decides nothing about subscriptions: pages and API show what the store has, and act through cancelapp/agent.
package console

import (
	"context"
	"embed"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/console/access"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// Options of the console.
type Options struct {
	Checks []Check
	// Warnings are what a person should know though the service can work, by name; default none.
	Warnings func(ctx context.Context) map[string]string
	Backlog  func(ctx context.Context) (any, error)      // counts of pending work
	Details  map[string]Detail                           // further fields of /readyz?verbose
	Metrics  func(ctx context.Context) ([]Metric, error) // read at each scrape; those known before an error count

	Examine func(ctx context.Context) []Finding // examines the installation

	Access     *access.Access
	Store      *store.Store
	App        *cancelapp.App
	Agent      *agent.Agent
	Reconciler *reconcile.Reconciler
	Profiles   bool                              // operators may read profiles of the process
	Reasons    func(ctx context.Context) Reasons // the shop's cancel reasons
	Calls      func(ordergroove.Outcome) int64   // how many calls came to an outcome since the start

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default none
}

// Reasons are cancel reasons to choose from.
type Reasons []ordergroove.CancelReason

//go:embed static templates
var files embed.FS

// Console answers the requests of people and their programs; make it with New.
type Console struct {
	Options
	pages   map[string]*page
	counts  counts
	reasons reasonCache
	handler http.Handler

	reconciling task[reconcile.Report]
	retrying    task[eventRetry]
}

// New makes a Console.
func New(o Options) (*Console, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Console{Options: o}
	var err error
	if c.pages, err = c.readPages(); err != nil {
		return nil, err
	}
	c.handler = o.Access.Middleware(c.routes())
	return c, nil
}

// Handler answers everything on the console's listener.
func (c *Console) Handler() http.Handler { return c.handler }

// Run counts what the overview shows, again and again, until ctx is done. What somebody started from a page
// ends with it.
func (c *Console) Run(ctx context.Context) {
	c.reconciling.begin(ctx)
	c.retrying.begin(ctx)
	c.counts.run(ctx, c)
	c.reconciling.wait()
	c.retrying.wait()
}

func (c *Console) routes() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.UseRawPath = true
	_ = engine.SetTrustedProxies(nil) // nil cannot be malformed
	// Gin's own recovery prints the panic to standard error instead of the log.
	engine.Use(gin.CustomRecoveryWithWriter(io.Discard, func(g *gin.Context, _ any) {
		c.Log.Error("panic in the console", "path", g.FullPath())
		g.AbortWithStatus(http.StatusInternalServerError)
	}))
	engine.GET("/livez", func(g *gin.Context) { g.String(http.StatusOK, "ok\n") })
	engine.GET("/readyz", c.readyz)
	engine.GET("/metrics", gin.WrapH(metrics(c.Metrics, c.Log)))
	static, err := fs.Sub(files, "static")
	if err == nil {
		engine.GET("/static/*file", gin.WrapH(cached(http.StripPrefix("/static", http.FileServerFS(static)))))
	}
	if c.Profiles {
		engine.GET(profilesPath+"*name", c.profile)
	}
	c.addPages(engine)
	c.addAPI(engine)
	engine.NoRoute(func(g *gin.Context) {
		c.message(g, http.StatusNotFound, "Not found", "There is no such page.", "/")
	})
	return engine
}

// cached lets a browser keep a file for an hour: it changes only with the program.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		next.ServeHTTP(w, r)
	})
}
