package console

import (
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// overviewPage is what the overview shows.
type overviewPage struct {
	Observe                                 bool
	LastWebhook                             time.Time
	Running, LastNext, Completed30, Ended   int
	Waiting, WaitingEvents, WaitingMessages int
	OldestDue                               string
	Attention                               int
	APIError                                bool
	Calls, Busy, TooMany                    int64
	Counted                                 bool
	CountedAt                               time.Time
	Chart                                   template.HTML
	Terms                                   []termRow
}

type termRow struct {
	Name    string
	Running int
	Chart   template.HTML
}

func (c *Console) overview(g *gin.Context) {
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	now := c.Now()
	f := c.counts.get()
	o := overviewPage{
		Observe:     c.App.Rules().Observe,
		Running:     f.in("", running...),
		LastNext:    f.lastNext(),
		Completed30: f.completedSince(now.Unix()/86400 - 29),
		Ended:       f.in("", counter.Ended),
		APIError:    c.App.Ready() != nil,
		Counted:     !f.at.IsZero(),
		CountedAt:   f.at,
		Chart:       f.dayChart(now),
	}
	for _, outcome := range ordergroove.Outcomes {
		o.Calls += c.Calls(outcome)
	}
	o.Busy, o.TooMany = c.Calls(ordergroove.Locked), c.Calls(ordergroove.Throttled)
	backlog, err := c.Store.Backlog(ctx)
	if err != nil {
		c.fail(g, err)
		return
	}
	o.Waiting, o.WaitingEvents = backlog.Subscriptions, backlog.Events
	outbox, err := c.Store.Outbox(ctx)
	if err != nil {
		c.fail(g, err)
		return
	}
	o.WaitingMessages = outbox.Pending
	o.Attention = f.work.Attention
	oldest := earliest(f.work.OldestEvent, f.work.OldestSubscription)
	if backlog.Subscriptions+backlog.Events > 0 && oldest != 0 && oldest < now.UnixMilli() {
		o.OldestDue = now.Sub(at(oldest)).Round(time.Second).String()
	}
	last, err := c.Store.LastDelivery(ctx, now.UnixMilli()+1)
	if err != nil {
		c.fail(g, err)
		return
	}
	o.LastWebhook = at(last)
	for _, name := range c.termNames(f) {
		if n := f.in(name, running...); n > 0 {
			o.Terms = append(o.Terms, termRow{name, n, f.termChart(name)})
		}
	}
	c.show(g, http.StatusOK, "overview", "Overview", o)
}

func earliest(times ...int64) int64 {
	first := int64(0)
	for _, t := range times {
		if t != 0 && (first == 0 || t < first) {
			first = t
		}
	}
	return first
}

// termNames are the terms of termed.yaml, then those that only subscriptions have.
func (c *Console) termNames(f figures) []string {
	var names []string
	for _, t := range c.App.Rules().Terms.All() {
		names = append(names, t.Name)
	}
	for _, t := range f.byTerm {
		if t.Term != "" && !slices.Contains(names, t.Term) {
			names = append(names, t.Term)
		}
	}
	return names
}
