package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/console/access"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

var errRetrying = errors.New("dead events are being retried already")

// eventRetry says how far a retry of many events is.
type eventRetry struct {
	All  int // that were dead at its start
	Done int
}

// startRetry begins to retry the dead ones of the selected events, unless that is in progress.
func (c *Console) startRetry(by string, q store.EventQuery, eligible int) error {
	at := c.Now()
	err := c.retrying.start(by, at, errRetrying,
		func(ctx context.Context, report func(eventRetry)) (eventRetry, error) {
			so := eventRetry{All: eligible}
			n, err := c.Store.RetryEvents(ctx, q, at.UnixMilli(), func(n int) {
				so.Done = n
				report(so)
			})
			so.Done = n
			return so, err
		})
	if err == nil {
		c.Log.Info("retry of dead events started from the console", "by", by, "events", eligible)
	}
	return err
}

// notRetried counts events of a status that a retry leaves as they are.
type notRetried struct {
	Count int
	Why   string
}

// planRetry counts what a retry of the selected events would do.
func (c *Console) planRetry(ctx context.Context, q store.EventQuery) (eligible int, not []notRetried, err error) {
	counted, err := c.Store.CountEvents(ctx, q)
	for _, status := range ledger.EventStatuses {
		if why := ledger.WhyNotRetried[status]; why != "" && counted[status] > 0 {
			not = append(not, notRetried{counted[status], why})
		}
	}
	return counted[ledger.EventDead], not, err
}

// eventFilters are the fields that select events, on the page and in its forms.
var eventFilters = []string{"status", "type", "subscription", "since"}

type retryPage struct {
	Filter   []field // of the selected events
	Eligible int
	Not      []notRetried
	Back     string

	Run   progress[eventRetry]
	Error string
}

// retryEvents shows what a retry would do, and how far the one in progress is.
func (c *Console) retryEvents(g *gin.Context) {
	if c.forbidden(g, access.Operate) {
		return
	}
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	values := g.Request.URL.Query()
	now := c.retrying.get()
	p := retryPage{Back: withQuery("/events", values), Run: now}
	if now.Err != nil {
		p.Error = "Not all were retried: " + now.Err.Error()
	}
	for _, name := range eventFilters {
		if value := values.Get(name); value != "" {
			p.Filter = append(p.Filter, field{Name: name, Value: value})
		}
	}
	var err error
	if p.Eligible, p.Not, err = c.planRetry(ctx, eventQuery(values)); err != nil {
		c.fail(g, err)
		return
	}
	c.show(g, http.StatusOK, "retry", "Retry events", p)
}

func (c *Console) postRetryEvents(g *gin.Context) {
	if c.forbidden(g, access.Operate) || !c.form(g) {
		return
	}
	q := eventQuery(g.Request.PostForm)
	eligible, _, err := c.planRetry(g.Request.Context(), q)
	if err != nil {
		c.fail(g, err)
		return
	}
	if err := c.startRetry(actor(g.Request.Context()), q, eligible); err != nil {
		c.message(g, http.StatusConflict, "Not started", sentence(err.Error()), "/events/retry")
		return
	}
	g.Redirect(http.StatusSeeOther, withQuery("/events/retry", formFilter(g.Request.PostForm)))
}

// formFilter is the filter of a form as a query.
func formFilter(form url.Values) url.Values {
	filter := url.Values{}
	for _, name := range eventFilters {
		if value := form.Get(name); value != "" {
			filter.Set(name, value)
		}
	}
	return filter
}

func (c *Console) postRetryEvent(g *gin.Context) {
	if c.forbidden(g, access.Operate) {
		return
	}
	q := store.EventQuery{ID: g.Param("id")}
	n, err := c.Store.RetryEvents(g.Request.Context(), q, c.Now().UnixMilli(), nil)
	if err != nil {
		c.fail(g, err)
		return
	}
	g.Redirect(http.StatusSeeOther, withQuery("/events", nil, "retried", strconv.Itoa(n)))
}
