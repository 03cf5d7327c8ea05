package console

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/cancelapp/explain"
	"github.com/termed/termed/console/access"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

type adjustInput struct {
	ActionInput
	RawBody []byte
}

type adjustmentInput struct {
	ID         string `path:"id"`
	Adjustment string `path:"adjustment"`
}

type adjustmentsInput struct {
	ListInput
	Status       string `query:"status" enum:"pending,applied,missed,failed,attention,canceled"`
	Type         string `query:"type" doc:"of the action, for example SKIP_ORDER"`
	Subscription string `query:"subscription"`
}

// addAdjustments adds what changes single orders of a term before they ship.
func (c *Console) addAdjustments(api huma.API) {
	create := operation("create-adjustment", http.MethodPost, "/subscriptions/{id}/adjustments", "Adjust one order",
		"Records what is to be done to one order before it ships, and does it as soon as Ordergroove has made that order. "+
			"docs/adjustments.md has a sample of each action.")
	create.Errors = append(create.Errors, http.StatusConflict, http.StatusBadGateway)
	create.DefaultStatus = http.StatusCreated
	create.RequestBody = &huma.RequestBody{
		Required: true,
		Content:  map[string]*huma.MediaType{"application/json": {Schema: adjustmentSchema(api)}},
	}
	huma.Register(api, create, func(ctx context.Context, in *adjustInput) (*output[explain.Adjustment], error) {
		if err := c.allow(ctx, access.Adjust); err != nil {
			return nil, err
		}
		spec, err := schedule.Parse(in.RawBody)
		if err != nil {
			return nil, c.adjustError(err)
		}
		a, err := c.Agent.Adjust(context.WithoutCancel(ctx), agent.AdjustmentRequest{
			Key: in.Key, Subscription: in.ID, Spec: spec, Actor: actor(ctx),
		})
		return answer(c.adjustment(ctx, a)), c.adjustError(err)
	})
	remove := operation("cancel-adjustment", http.MethodDelete, "/subscriptions/{id}/adjustments/{adjustment}",
		"Take an adjustment back", "Only while it is pending: one that was applied is not undone.")
	remove.Errors = append(remove.Errors, http.StatusConflict)
	huma.Register(api, remove, func(ctx context.Context, in *adjustmentInput) (*output[explain.Adjustment], error) {
		if err := c.allow(ctx, access.Adjust); err != nil {
			return nil, err
		}
		a, err := c.Agent.CancelAdjustment(context.WithoutCancel(ctx), in.ID, in.Adjustment, actor(ctx))
		return answer(c.adjustment(ctx, a)), c.adjustError(err)
	})
	c.addAdjustmentReads(api)
}

func (c *Console) addAdjustmentReads(api huma.API) {
	huma.Register(api, operation("list-subscription-adjustments", http.MethodGet, "/subscriptions/{id}/adjustments",
		"List the adjustments of a subscription", "The newest first."),
		func(ctx context.Context, in *struct {
			ListInput
			ID string `path:"id"`
		}) (*output[list[explain.Adjustment]], error) {
			if _, err := c.Store.Subscription(ctx, in.ID); err != nil {
				return nil, c.apiError(err)
			}
			return c.listAdjustments(ctx, store.AdjustmentQuery{Subscription: in.ID}, in.ListInput)
		})
	huma.Register(api, operation("list-adjustments", http.MethodGet, "/adjustments", "List adjustments",
		"Of all subscriptions, the newest first."),
		func(ctx context.Context, in *adjustmentsInput) (*output[list[explain.Adjustment]], error) {
			return c.listAdjustments(ctx, store.AdjustmentQuery{
				Subscription: in.Subscription, Status: ledger.AdjustmentStatus(in.Status), Type: in.Type,
			}, in.ListInput)
		})
	forecast := operation("forecast", http.MethodGet, "/subscriptions/{id}/forecast", "Show the orders to come",
		"Asks Ordergroove for the next order; the dates of those after it follow from the frequency as it is now.")
	forecast.Errors = append(forecast.Errors, http.StatusConflict, http.StatusBadGateway)
	huma.Register(api, forecast,
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
		}) (*output[list[explain.Expected]], error) {
			sub, err := c.Store.Subscription(ctx, in.ID)
			if err != nil {
				return nil, c.apiError(err)
			}
			expected, err := c.Agent.Forecast(ctx, sub.Subscription)
			return answer(list[explain.Expected]{Items: explain.ExpectedOf(expected)}), c.adjustError(err)
		})
}

// adjustmentSchema describes the body for readers; the whole of it is checked by schedule.Schema.
func adjustmentSchema(api huma.API) *huma.Schema {
	registry := api.OpenAPI().Components.Schemas
	text := &huma.Schema{Type: huma.TypeString, Description: "apply: change an order that carries others, too"}
	return &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"matcher":       huma.SchemaFromType(registry, reflect.TypeFor[explain.Matcher]()),
			"action":        huma.SchemaFromType(registry, reflect.TypeFor[explain.Action]()),
			"shared_orders": text,
		},
		Required: []string{"matcher", "action"},
	}
}

// adjustment shows an adjustment to whoever asks.
func (c *Console) adjustment(ctx context.Context, a ledger.Adjustment) explain.Adjustment {
	return explain.AdjustmentOf(a, c.Access.MayDo(ctx, access.SeeCustomers))
}

func (c *Console) listAdjustments(
	ctx context.Context, q store.AdjustmentQuery, in ListInput,
) (*output[list[explain.Adjustment]], error) {
	if in.Cursor != "" {
		created, id, _ := strings.Cut(in.Cursor, ".")
		at, err := strconv.ParseInt(created, 10, 64)
		if err != nil || id == "" {
			return nil, c.apiError(store.ErrCursor)
		}
		q.Before = store.AdjustmentMark{Created: at, ID: id}
	}
	q.Limit = in.Limit + 1
	found, err := c.Store.Adjustments(ctx, q)
	if err != nil {
		return nil, c.apiError(err)
	}
	all := list[explain.Adjustment]{Items: []explain.Adjustment{}}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		last := found[in.Limit-1]
		all.Next = strconv.FormatInt(last.Created, 10) + "." + last.ID
	}
	for _, a := range found {
		all.Items = append(all.Items, c.adjustment(ctx, a))
	}
	return answer(all), nil
}

// adjustError is an error in words for whoever calls the API: what is wrong with the body has the path of its field.
func (c *Console) adjustError(err error) error {
	problems, ok := errors.AsType[schedule.FieldErrors](err)
	switch {
	case ok:
		var details []error
		for _, p := range problems {
			location := "body"
			if p.Path != "" {
				location += "." + p.Path
			}
			details = append(details, &huma.ErrorDetail{Message: p.Message, Location: location})
		}
		return huma.Error422UnprocessableEntity("validation failed", details...)
	case errors.Is(err, ledger.ErrUnknownAdjustment):
		return huma.Error404NotFound("the subscription has no such adjustment")
	case errors.Is(err, ledger.ErrAdjustmentExists), cancelapp.IsUnsettled(err):
		return huma.Error409Conflict(err.Error())
	}
	return c.apiError(err)
}
