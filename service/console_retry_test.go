package service_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove/sim"
)

// TestRetryEventsFromTheConsole retries dead events by filter: first it says what would be done, and why not all.
func TestRetryEventsFromTheConsole(t *testing.T) {
	t.Parallel()
	s := openShopBeside(t, sim.Options{Snapshot: "none"}, nil)
	sub := s.subscribe("GIFT-3MO", "customer-1")
	s.sim.Break(sim.Fault{Path: "/items/", Status: http.StatusBadRequest, Body: `{"order":["No such order."]}`, Times: 1})
	s.place(sub)
	operator, viewer := s.as("operator"), s.as("viewer")
	operator.want(operator.get("/events?status=dead&type=order.success"), http.StatusOK,
		`href="/events/retry?status=dead&amp;type=order.success"`)
	viewer.want(viewer.get("/events/retry"), http.StatusForbidden)
	viewer.want(viewer.send("POST", "/events/retry", url.Values{}), http.StatusForbidden)
	viewer.want(viewer.send("POST", "/api/v1/events/retry", `{}`), http.StatusForbidden)
	if strings.Contains(viewer.get("/events?status=dead").body, "/events/retry") {
		t.Error("a viewer is offered a retry")
	}

	operator.want(operator.get("/events/retry"), http.StatusOK,
		`<td class="num">1</td><td class="wide">eligible`, `not: done already`, "Retry 1</button>")
	operator.want(operator.get("/events/retry?type=order.reject"), http.StatusOK, "type <b>order.reject</b>",
		"No dead event matches.")
	operator.want(operator.send("POST", "/api/v1/events/retry", `{"type":"order.reject"}`), http.StatusAccepted,
		`"eligible":0`, `"of":0`)
	operator.waitFor("/api/v1/events/retry", `"running":false`)
	operator.want(operator.send("POST", "/api/v1/events/retry", `{"dry_run":true}`), http.StatusAccepted,
		`"eligible":1`, `{"count":1,"why":"done already"}`, `"retried":0`)
	operator.want(operator.get("/api/v1/events?status=dead"), http.StatusOK, `"order.success"`)

	got := operator.send("POST", "/events/retry", url.Values{"type": {"order.success"}})
	operator.want(got, http.StatusSeeOther)
	if to := got.header.Get("Location"); to != "/events/retry?type=order.success" {
		t.Errorf("it goes on to %s", to)
	}
	operator.waitFor(got.header.Get("Location"), "1 of 1 made due, by operator-token")
	s.settle()
	operator.want(operator.get("/api/v1/events/retry"), http.StatusOK, `"eligible":0`, `"retried":1`, `"of":1`,
		`"by":"operator-token"`)
	operator.want(operator.get("/api/v1/subscriptions/"+sub.ID), http.StatusOK, `"made":2`)
}

// waitFor waits until a page has a text.
func (c *client) waitFor(path, text string) {
	c.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := c.get(path)
		if strings.Contains(got.body, text) {
			return
		}
		if time.Now().After(end) {
			c.Fatalf("%s does not say %q:\n%s", path, text, got.body)
		}
	}
}
