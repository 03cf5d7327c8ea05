package access

import (
	"net/http"
	"strings"
)

// contentPolicy allows a page what the console itself serves, and nothing inline.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "

// setHeaders sets what limits a browser. A handler may replace Cache-Control, for files that everybody may see.
func (a *Access) setHeaders(h http.Header, path string) {
	ancestors := "'none'"
	if strings.HasPrefix(path, "/customers/") && len(a.options.FrameAncestors) > 0 {
		ancestors = strings.Join(a.options.FrameAncestors, " ")
	} else {
		h.Set("X-Frame-Options", "DENY")
	}
	h.Set("Content-Security-Policy", contentPolicy+ancestors)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
