package console

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/console/access"
	"github.com/termed/termed/store"
)

// customerCard is one subscription on its customer's page.
type customerCard struct {
	subscriptionRow
	Actions        []actionForm
	Last, LastKind string
}

func (c *Console) customer(g *gin.Context) {
	if c.forbidden(g, access.SeeCustomers) {
		return
	}
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	customer := g.Param("customer")
	found, err := c.Store.List(ctx, store.Query{Customer: customer}, "", rowsAPage)
	if err != nil {
		c.fail(g, err)
		return
	}
	p := struct {
		Customer string
		Cards    []customerCard
	}{Customer: customer}
	for _, s := range found.Rows {
		card := customerCard{
			subscriptionRow: rowOf(s),
			Actions:         c.actionForms(g, ctx, s, "/customers/"+url.PathEscape(customer)),
		}
		latest, err := c.Store.Actions(ctx, s.ID, 1)
		if err != nil {
			c.fail(g, err)
			return
		}
		if len(latest) > 0 {
			b := actionBanner(latest[0])
			card.Last, card.LastKind = b.Text+" ("+latest[0].Actor+", "+when(at(latest[0].Created), c.Now())+")", b.Kind
		}
		p.Cards = append(p.Cards, card)
	}
	c.show(g, http.StatusOK, "customer", "Customer", p, c.flash(g, ctx)...)
}
