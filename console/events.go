package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/console/access"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

type eventsPage struct {
	Statuses, Types []option
	Since           string
	Subscription    string
	Filtered        bool
	Rows            []eventRow
	Retry           string // where the dead ones among them can be retried; "": they cannot
	Here            string // where the list refreshes itself from
	Previous, Next  string
}

type eventRow struct {
	Created  int64
	ID, Type string
	Received time.Time
	State    chip
	Attempts int
	Note     string
}

func (c *Console) events(g *gin.Context) {
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	values := g.Request.URL.Query()
	q := eventQuery(values)
	found, err := c.Store.ListEvents(ctx, q, values.Get("cursor"), rowsAPage)
	if err != nil {
		c.fail(g, err)
		return
	}
	p := eventsPage{
		Since:        values.Get("since"),
		Subscription: q.Subscription,
		Filtered:     q != store.EventQuery{},
		Here:         withQuery("/events", values),
	}
	for _, e := range found.Rows {
		p.Rows = append(p.Rows, eventRowOf(e))
	}
	if found.Previous != "" {
		p.Previous = withQuery("/events", values, "cursor", found.Previous)
	}
	if found.Next != "" {
		p.Next = withQuery("/events", values, "cursor", found.Next)
	}
	for _, s := range ledger.EventStatuses {
		p.Statuses = append(p.Statuses, option{string(s), string(s), q.Status == s})
	}
	for _, t := range ordergroove.EventTypes() {
		p.Types = append(p.Types, option{t, t, q.Type == t})
	}
	if q.Status == ledger.EventDead && len(p.Rows) > 0 && c.may(g, access.Operate) {
		p.Retry = withQuery("/events/retry", values, "cursor", "")
	}
	c.show(g, http.StatusOK, "events", "Events", p, c.flash(g, ctx)...)
}

// eventQuery reads the filter of the page and of its forms.
func eventQuery(values url.Values) store.EventQuery {
	q := store.EventQuery{
		Status:       ledger.EventStatus(values.Get("status")),
		Type:         values.Get("type"),
		Subscription: strings.TrimSpace(values.Get("subscription")),
	}
	if day, err := time.Parse(time.DateOnly, values.Get("since")); err == nil {
		q.Since = day.UnixMilli()
	}
	return q
}

func eventRowOf(e store.Event) eventRow {
	return eventRow{
		Created:  e.Created,
		ID:       e.ID,
		Type:     cmp.Or(e.Type, "unreadable"),
		Received: at(e.Received),
		State:    eventChip(e.Status),
		Attempts: e.Attempts,
		Note:     cmp.Or(e.LastError, e.Reason),
	}
}

type eventPage struct {
	eventRow
	Happened      time.Time
	Verification  string
	Next          time.Time
	Subscriptions []string
	Retry         bool
	ShowPayload   bool
	Payload       string
}

func (c *Console) event(g *gin.Context) {
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	created, err := strconv.ParseInt(g.Param("created"), 10, 64)
	if err != nil {
		c.message(g, http.StatusNotFound, "Not found", "There is no such event.", "/events")
		return
	}
	e, found, err := c.Store.Event(ctx, created, g.Param("id"))
	if err != nil {
		c.fail(g, err)
		return
	}
	if !found {
		c.message(g, http.StatusNotFound, "Not found",
			"There is no such event; settled ones are kept for keep_events.", "/events")
		return
	}
	body, subscriptions, err := c.Store.EventBody(ctx, e)
	if err != nil {
		c.fail(g, err)
		return
	}
	p := eventPage{
		eventRow:      eventRowOf(e),
		Happened:      at(e.Created),
		Verification:  "the signature was verified with a key of termed.yaml; other deliveries are not kept",
		Subscriptions: subscriptions,
		Retry:         e.Status == ledger.EventDead && c.may(g, access.Operate),
		// safeguard: payload-role
		ShowPayload: c.may(g, access.SeePayloads),
	}
	if e.Due.Valid {
		p.Next = at(e.Due.Int64)
	}
	if p.ShowPayload && g.Query("payload") == "true" {
		p.Payload = pretty(body)
	}
	c.show(g, http.StatusOK, "event", p.Type, p)
}

// pretty indents JSON, and leaves anything else as it is.
func pretty(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return string(body)
	}
	return out.String()
}
