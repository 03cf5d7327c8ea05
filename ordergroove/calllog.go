package ordergroove

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// call is one API call on its way: what the log says of its requests.
type call struct {
	operation string
	about     slog.Attr
	attempts  int
}

type callKey struct{}

// withCall lets the transport know what its requests are for.
func withCall(ctx context.Context, r request) context.Context {
	return context.WithValue(ctx, callKey{}, &call{operation: r.doing, about: r.about})
}

// loggedTransport logs every request, retries included, at level debug. It names the call and never quotes the request:
// the header has the key, and the body and the URL what is the customer's.
type loggedTransport struct {
	next http.RoundTripper
	log  *slog.Logger
	now  func() time.Time
}

func (t *loggedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	start := t.now()
	response, err := t.next.RoundTrip(r)
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		return response, err
	}
	c.attempts++ // one request of a call at a time
	status := 0
	if err == nil {
		status = response.StatusCode
	}
	took := t.now().Sub(start).Round(time.Microsecond).String()
	t.log.Debug("api call",
		"operation", c.operation, c.about, "status", status, "attempt", c.attempts, "duration", took)
	return response, err
}

// CloseIdleConnections forwards the call, as limitedTransport's does.
func (t *loggedTransport) CloseIdleConnections() {
	if next, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}
