package console

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/console/access"
)

// Finding is what an examination of the installation found about one thing.
type Finding struct {
	Number int
	Check  string
	Level  string // OK, WARN, ERROR or SKIPPED
	Says   string
	Do     string // what puts it right; "": nothing is wrong
}

// Chip is the color of the level.
func (f Finding) Chip() string {
	return map[string]string{"OK": "ok", "WARN": "warn", "ERROR": "bad"}[f.Level]
}

// doctor examines the installation whenever the page is opened: it makes two calls to Ordergroove, so it is for
// operators.
func (c *Console) doctor(g *gin.Context) {
	if !c.may(g, access.Operate) {
		c.message(g, http.StatusForbidden, "Not allowed", "Operators examine the installation.", "/health")
		return
	}
	ctx, cancel := context.WithTimeout(g.Request.Context(), examineTimeout)
	defer cancel()
	c.show(g, http.StatusOK, "doctor", "Doctor", c.Examine(ctx))
}
