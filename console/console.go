// Package console owns the operators' address: whether the process lives, whether it can do its work, how much is waiting,
// and figures for a monitor. It listens on loopback unless told otherwise, and never on the door's address.
package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// Check is one thing that must be right for the service to do its work.
type Check struct {
	Name string
	Test func(ctx context.Context) error
}

// Options of the console.
type Options struct {
	Checks  []Check
	Backlog func(ctx context.Context) (any, error) // what is still to be done
	Details map[string]Detail                      // what /readyz?verbose says besides
	Metrics []Metric
	Log     *slog.Logger // default none
}

// Detail is something to know about the service that does not make it unready.
type Detail func(ctx context.Context) (any, error)

// Handler answers /livez, /readyz and /metrics.
func Handler(o Options) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	_ = engine.SetTrustedProxies(nil) // nil cannot be malformed
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	// Gin's own recovery prints what panicked to the standard error, past the log.
	engine.Use(gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) {
		o.Log.Error("a page made the console panic", "path", c.FullPath())
		c.AbortWithStatus(http.StatusInternalServerError)
	}))
	engine.GET("/livez", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	engine.GET("/readyz", o.readyz)
	engine.GET("/metrics", gin.WrapH(metrics(o.Metrics)))
	return engine
}

// Server wraps a handler in the limits of an operators' address.
func Server(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// readyz answers 200 when every check is right, else 503; the body says which is not, and why. With ?verbose it says more.
func (o Options) readyz(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), 3*time.Second)
	defer cancel()
	status, checks := http.StatusOK, map[string]string{}
	for _, check := range o.Checks {
		checks[check.Name] = "ok"
		if err := check.Test(ctx); err != nil {
			status, checks[check.Name] = http.StatusServiceUnavailable, err.Error()
		}
	}
	body := gin.H{"ready": status == http.StatusOK, "checks": checks}
	if backlog, err := o.Backlog(ctx); err == nil {
		body["backlog"] = backlog
	}
	if _, verbose := c.GetQuery("verbose"); verbose {
		for name, detail := range o.Details {
			if value, err := detail(ctx); err == nil {
				body[name] = value
			}
		}
	}
	c.JSON(status, body)
}
