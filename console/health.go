package console

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// Check is one condition for readiness.
type Check struct {
	Name string
	Test func(ctx context.Context) error
}

// Detail is information about the service that does not affect readiness.
type Detail func(ctx context.Context) (any, error)

// Server wraps a handler in limits for a private address.
func Server(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      5 * time.Minute, // of the longest export
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// readyz answers 200 if every check passes, and 503 otherwise. The body shows the error of each failed check and the
// warnings, and the details with ?verbose.
func (c *Console) readyz(g *gin.Context) {
	ctx, cancel := context.WithTimeout(g.Request.Context(), 3*time.Second)
	defer cancel()
	status := http.StatusOK
	checks := map[string]string{}
	for _, check := range c.Checks {
		checks[check.Name] = "ok"
		if err := check.Test(ctx); err != nil {
			status = http.StatusServiceUnavailable
			checks[check.Name] = err.Error()
		}
	}
	body := gin.H{"ready": status == http.StatusOK, "checks": checks}
	if c.Warnings != nil {
		body["warnings"] = c.Warnings(ctx)
	}
	if backlog, err := c.Backlog(ctx); err == nil {
		body["backlog"] = backlog
	}
	if _, verbose := g.GetQuery("verbose"); verbose {
		for name, detail := range c.Details {
			if value, err := detail(ctx); err == nil {
				body[name] = value
			}
		}
	}
	g.JSON(status, body)
}
