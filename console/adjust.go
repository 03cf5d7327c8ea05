package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/console/access"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// adjustmentRow is a line of the adjustments of a subscription.
type adjustmentRow struct {
	Order, What, By, AppliedTo, Reason string
	Status                             chip
	At                                 time.Time
	Cancel                             string // where to send the form that takes it back; "": it cannot be
}

// shownAdjustments is how many of a subscription's adjustments its page shows.
const shownAdjustments = 50

func (c *Console) adjustmentRows(g *gin.Context, ctx context.Context, subscription string) ([]adjustmentRow, error) {
	all, err := c.Store.Adjustments(ctx, store.AdjustmentQuery{Subscription: subscription, Limit: shownAdjustments})
	if err != nil {
		return nil, err
	}
	var rows []adjustmentRow
	for _, a := range all {
		row := adjustmentRow{
			Order:     a.Spec.Matcher.String(),
			What:      a.Spec.Action.String(),
			By:        a.Actor,
			AppliedTo: a.Order,
			Reason:    a.Reason,
			Status:    adjustmentChip(a.Status),
			At:        at(a.Created),
		}
		if a.Status == ledger.AdjustmentPending && c.may(g, access.Adjust) {
			row.Cancel = "/subscriptions/" + url.PathEscape(subscription) + "/adjustments/" + url.PathEscape(a.ID) + "/cancel"
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func adjustmentChip(s ledger.AdjustmentStatus) chip {
	kinds := map[ledger.AdjustmentStatus]string{
		ledger.AdjustmentApplied:   "ok",
		ledger.AdjustmentMissed:    "warn",
		ledger.AdjustmentFailed:    "bad",
		ledger.AdjustmentAttention: "bad",
	}
	text := string(s)
	if s == ledger.AdjustmentAttention {
		text = "needs attention"
	}
	return chip{Kind: kinds[s], Text: text}
}

// offerAdjustments adds what an agent can do to one order of a term.
func (c *Console) offerAdjustments(s ledger.Subscription, add func(access.Action, bool, actionForm)) {
	fits := s.Live && s.State == counter.Active && !s.Prepaid
	which := field{
		Name:     "shipment",
		Label:    "Shipment",
		Type:     "number",
		Required: true,
		Min:      s.ShipmentsMade() + 1,
		Value:    strconv.Itoa(s.ShipmentsMade() + 1),
	}
	offer := func(name, what, kind string, fields ...field) {
		fields = append([]field{{Name: "type", Type: "hidden", Value: kind}, which}, fields...)
		add(access.Adjust, fits, actionForm{Name: name, What: what, Path: "adjustments", Fields: fields})
	}
	offer("Change product", "Gives one shipment another product or quantity. The order still counts.", "product",
		field{Name: "product", Label: "SKU", Type: "text"},
		field{Name: "quantity", Label: "Quantity", Type: "number", Min: 1})
	offer("Move an order", "Changes the date of one shipment’s order, by one billing cycle at most.", "date",
		field{Name: "date", Label: "New date", Type: "date", Required: true})
	offer("Give a discount", "Takes a part off the price of one shipment. It cannot be undone once it is applied.",
		"discount",
		field{
			Name:     "percentage",
			Label:    "Percent off",
			Type:     "number",
			Min:      1,
			Required: true,
		},
		field{Name: "title", Label: "Title, for the customer", Type: "text", Required: true})
	offer("Skip a later order", "Skips the order that would be this shipment. The term lasts as many as before.", "skip",
		reasonField)
	offer("Send elsewhere", "Sends one shipment to another address. The subscription keeps its own.", "address",
		field{Name: "firstName", Label: "First name", Type: "text"},
		field{Name: "lastName", Label: "Last name", Type: "text"},
		field{Name: "address1", Label: "Address", Type: "text", Required: true},
		field{Name: "address2", Label: "Address, second line", Type: "text"},
		field{Name: "city", Label: "City", Type: "text"},
		field{Name: "provinceCode", Label: "State or province", Type: "text"},
		field{Name: "zip", Label: "ZIP or postal code", Type: "text"},
		field{Name: "countryCode", Label: "Country, two letters", Type: "text", Required: true},
		field{Name: "phone", Label: "Phone", Type: "text"})
}

func (c *Console) postAdjustment(g *gin.Context) {
	if c.forbidden(g, access.Adjust) || !c.form(g) {
		return
	}
	id := g.Param("id")
	spec, err := adjustmentFrom(g.Request.PostForm, id)
	if err == nil {
		_, err = c.Agent.Adjust(context.WithoutCancel(g.Request.Context()), agent.AdjustmentRequest{
			Key:          g.PostForm("key"),
			Subscription: id,
			Spec:         spec,
			Actor:        actor(g.Request.Context()),
		})
	}
	c.adjusted(g, id, err)
}

func (c *Console) postCancelAdjustment(g *gin.Context) {
	if c.forbidden(g, access.Adjust) || !c.form(g) {
		return
	}
	ctx := g.Request.Context()
	_, err := c.Agent.CancelAdjustment(context.WithoutCancel(ctx), g.Param("id"), g.Param("adjustment"), actor(ctx))
	c.adjusted(g, g.Param("id"), err)
}

// adjusted goes back to the subscription, or says why nothing was recorded.
func (c *Console) adjusted(g *gin.Context, id string, err error) {
	_, invalid := errors.AsType[schedule.FieldErrors](err)
	switch {
	case err == nil:
		g.Redirect(http.StatusSeeOther, withQuery(c.back(g, id), nil, "saved", "adjustment"))
	case invalid, errors.Is(err, ledger.ErrAdjustmentExists), errors.Is(err, ledger.ErrUnknownAdjustment):
		c.message(g, http.StatusConflict, "Not done", sentence(err.Error()), c.back(g, id))
	default:
		c.refuse(g, id, err)
	}
}

// adjustmentFrom reads one of the forms as the API's body, which the schema checks.
func adjustmentFrom(form url.Values, subscription string) (schedule.Spec, error) {
	number := func(name string) json.RawMessage {
		if text := strings.TrimSpace(form.Get(name)); text != "" {
			if json.Valid([]byte(text)) {
				return json.RawMessage(text)
			}
			return json.RawMessage(strconv.Quote(text))
		}
		return nil
	}
	fields := func(names ...string) map[string]any {
		all := map[string]any{}
		for _, name := range names {
			if text := strings.TrimSpace(form.Get(name)); text != "" {
				all[name] = text
			}
		}
		return all
	}
	var action string
	var input map[string]any
	switch form.Get("type") {
	case "product":
		action = string(schedule.UpdateProducts)
		line := map[string]any{"lineId": subscription}
		if product := strings.TrimSpace(form.Get("product")); product != "" {
			line["variantId"] = product
		}
		if quantity := number("quantity"); quantity != nil {
			line["quantity"] = quantity
		}
		input = map[string]any{"lines": []any{line}}
	case "date":
		action = string(schedule.ChangeDate)
		input = map[string]any{"newDate": form.Get("date")}
	case "discount":
		action = string(schedule.ApplyDiscount)
		input = map[string]any{
			"discountSource": "manual",
			"discountCode":   form.Get("title"),
			"discountType":   "percentage",
			"value":          number("percentage"),
			"targetType":     "line_item",
			"targeting":      map[string]any{"type": "all"},
		}
	case "address":
		action = string(schedule.UpdateShipping)
		input = map[string]any{"address": fields("firstName", "lastName", "address1", "address2", "city", "provinceCode",
			"zip", "countryCode", "phone")}
	default:
		action = string(schedule.SkipOrder)
		input = fields("reason")
	}
	raw, err := json.Marshal(map[string]any{
		"matcher": map[string]any{"type": schedule.Cycle, "shipment": number("shipment")},
		"action":  map[string]any{"type": action, "input": input},
	})
	if err != nil {
		return schedule.Spec{}, err
	}
	return schedule.Parse(raw)
}
