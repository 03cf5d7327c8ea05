package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/explain"
	"github.com/termed/termed/console/access"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

type subscriptionPage struct {
	ID, Term, SKU, Customer string
	ShowCustomer            bool
	Headline                string
	Progress                steps
	State                   chip
	Reason, Resolve         string
	Remaining               string
	Live                    bool
	NextSync                time.Time
	LastError               string
	Attempts                int
	Timeline                []event
	Shipments               []shipmentRow
	Enrollments             []enrollmentRow
	Adjustments             []adjustmentRow
	Actions                 []actionForm
}

type shipmentRow struct {
	Number     int
	At         time.Time
	Order, SKU string
	Source     string
}

type enrollmentRow struct {
	Number                   int
	Term, OpenedBy, ClosedAs string
	Opened, Closed           time.Time
	Progress                 string
}

func (c *Console) subscription(g *gin.Context) {
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	sub, err := c.Store.Subscription(ctx, g.Param("id"))
	if err != nil {
		c.fail(g, err)
		return
	}
	e, err := explain.Read(ctx, c.Store, sub)
	if err != nil {
		c.fail(g, err)
		return
	}
	p := subscriptionPage{
		ID:           sub.ID,
		Term:         sub.Term,
		SKU:          sub.SKU,
		Customer:     c.customerOf(g, sub),
		ShowCustomer: c.may(g, access.SeeCustomers),
		Headline:     headline(sub.Subscription),
		Progress:     progressOf(sub.Subscription, true),
		State:        stateChip(sub.State),
		Reason:       sub.Reason,
		Resolve:      e.Resolve(),
		Remaining:    "not ours",
		Live:         sub.Live,
		NextSync:     at(sub.Due),
		LastError:    sub.Error,
		Attempts:     sub.Attempts,
		Timeline:     timeline(e.Journal),
		Actions:      c.actionForms(g, ctx, sub, ""),
	}
	if p.Adjustments, err = c.adjustmentRows(g, ctx, sub.ID); err != nil {
		c.fail(g, err)
		return
	}
	if !sub.Prepaid && sub.State != counter.Released {
		p.Remaining = strconv.Itoa(sub.Remaining())
	}
	for _, s := range e.Numbered() {
		p.Shipments = append(p.Shipments, shipmentRow{s.Number, at(s.At), s.Order, s.SKU, sourceText(s)})
	}
	for i, one := range e.Enrollments {
		p.Enrollments = append(p.Enrollments, enrollmentRow{
			Number:   one.Number,
			Term:     one.Term,
			OpenedBy: one.OpenedBy,
			ClosedAs: string(one.ClosedAs),
			Opened:   at(e.Opened(i)),
			Closed:   at(one.ClosedAt),
			Progress: counter.Subscription{Enrollment: one, Prepaid: sub.Prepaid}.Progress(),
		})
	}
	c.show(g, http.StatusOK, "subscription", p.Headline, p, c.flash(g, ctx)...)
}

func headline(s counter.Subscription) string {
	if s.Prepaid {
		return "Prepaid subscription"
	}
	return s.Progress() + " shipments"
}

func sourceText(s explain.Shipment) string {
	switch {
	case s.Enrollment == 0:
		return "not counted" + explain.Because(s.Excluded)
	case s.Source == explain.CheckoutSource:
		return "the checkout’s own order"
	case s.Source == counter.Reconciled:
		return "found at Ordergroove"
	}
	return "webhook"
}

// customerOf is the customer of a subscription, as much of it as the person may see.
func (c *Console) customerOf(g *gin.Context, s ledger.Subscription) string {
	if c.may(g, access.SeeCustomers) || s.Customer == "" {
		return s.Customer
	}
	return masked
}

const masked = "••••"

// remotePage is what Ordergroove says now, and what the next sync would do.
type remotePage struct {
	ID      string
	Read    bool
	Live    bool
	Order   string
	Place   time.Time
	Counter string
	Changes []string
	ToCome  []string
	Error   string
	At      time.Time
}

func (c *Console) remote(g *gin.Context) {
	ctx, cancel := within(g, askTimeout)
	defer cancel()
	ctx = ordergroove.WithPriority(ctx, ordergroove.Urgent)
	sub, err := c.Store.Subscription(ctx, g.Param("id"))
	if err != nil {
		c.fail(g, err)
		return
	}
	p := c.readRemote(ctx, sub)
	if g.GetHeader("HX-Request") == "" {
		c.show(g, http.StatusOK, "remote", "At Ordergroove", p)
		return
	}
	var out bytes.Buffer
	if err := c.pages["remote"].template.ExecuteTemplate(&out, "remote", p); err != nil {
		c.fail(g, err)
		return
	}
	g.Data(http.StatusOK, "text/html; charset=utf-8", out.Bytes())
}

func (c *Console) readRemote(ctx context.Context, sub ledger.Subscription) remotePage {
	p := remotePage{ID: sub.ID, At: c.Now()}
	remote, err := c.App.API().Subscription(ctx, sub.ID)
	if err == nil {
		p.Read, p.Live = true, remote.Live
		var keys map[string]json.RawMessage
		if json.Unmarshal(remote.ExtraData, &keys) == nil {
			p.Counter = string(keys[c.App.Rules().Terms.Keys().Counter])
		}
		var orders []ordergroove.Order
		orders, err = c.App.API().Orders(ctx, sub.ID, ordergroove.StatusUnsent)
		var place int64
		p.Order, place = cancelapp.NextOrder(orders)
		p.Place = at(place)
	}
	if err != nil {
		p.Error = explainError(err)
	}
	e := explain.Explanation{Sub: sub}
	e.Ask(ctx, c.App)
	p.Changes = e.NextSync()
	if e.NextError != nil {
		p.Changes = []string{"unknown, because Ordergroove could not be read"}
	}
	if expected, err := c.Agent.Forecast(ctx, sub.Subscription); err == nil {
		for _, e := range explain.ExpectedOf(expected) {
			p.ToCome = append(p.ToCome, e.Text())
		}
	}
	return p
}

// explainError is Ordergroove's own words where it said something, and no more of systems behind it than that they
// failed.
func explainError(err error) string {
	e, ok := errors.AsType[*ordergroove.Error](err)
	if ok && e.Detail != "" && e.Status < 500 {
		return e.Detail
	}
	return "Ordergroove could not be asked; try again in a moment"
}
