package demo

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/termed/termed/ordergroove/sim"
)

// timeline prints what happens as it happens; with colors if asked for.
type timeline struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
	state func(subscription string) string // after a change
	names map[string]string                // of subscriptions, by id
	paint func(text.Color, string) string
}

func newTimeline(w io.Writer, color bool) *timeline {
	t := &timeline{w: w, start: time.Now(), names: map[string]string{}}
	t.paint = func(_ text.Color, s string) string { return s }
	if color {
		t.paint = func(c text.Color, s string) string { return c.Sprint(s) }
	}
	return t
}

// name gives a subscription the name that the timeline prints.
func (t *timeline) name(id, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.names[id] = name
}

func (t *timeline) scene(s string) {
	t.line(text.Bold, "\n"+s)
}

func (t *timeline) say(s string) {
	t.line(text.FgHiGreen, t.stamp()+s)
}

// reply prints a delivery to the service.
func (t *timeline) reply(e sim.Event, r sim.Reply) {
	t.line(text.FgCyan, fmt.Sprintf("%swebhook  %-20s %d %s", t.stamp(), e.Type, r.Status, r.Body))
}

// call prints an API call of the service.
func (t *timeline) call(c sim.Call) {
	if c.IsPing() {
		return // it proves the key, and belongs to no scene
	}
	path := c.Path
	about := ""
	t.mu.Lock()
	if name, ok := t.names[c.Subscription]; ok {
		path = strings.ReplaceAll(path, c.Subscription, "…")
		about = name
	}
	t.mu.Unlock()
	if c.Method == http.MethodPatch && t.state != nil {
		about += ": " + t.state(c.Subscription)
	}
	t.line(text.FgYellow, fmt.Sprintf("%s  %-5s %-27s %d  %s", t.stamp(), c.Method, path, c.Status, about))
}

func (t *timeline) stamp() string {
	return fmt.Sprintf("%5.2fs  ", time.Since(t.start).Seconds())
}

func (t *timeline) line(c text.Color, s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.w, t.paint(c, s))
}
