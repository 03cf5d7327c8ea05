package console

import (
	"net/http"
	"net/http/pprof"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/console/access"
)

// profilesPath is where the profiles of the process are, as `go tool pprof` expects them.
const profilesPath = "/debug/pprof/"

// profile answers a profile to an operator: taking one takes processor time.
func (c *Console) profile(g *gin.Context) {
	// safeguard: profiles-for-operators
	if p, known := access.PrincipalFrom(g.Request.Context()); !known || p.Role < access.Operator {
		c.Refuse(g.Writer, g.Request, http.StatusForbidden, "this needs the role operator")
		return
	}
	switch g.Param("name") {
	case "/profile":
		pprof.Profile(g.Writer, g.Request)
	case "/trace":
		pprof.Trace(g.Writer, g.Request)
	case "/symbol":
		pprof.Symbol(g.Writer, g.Request)
	case "/cmdline": // it is of no use, and arguments may hold addresses
		c.Refuse(g.Writer, g.Request, http.StatusNotFound, "there is no such profile")
	default:
		pprof.Index(g.Writer, g.Request)
	}
}
