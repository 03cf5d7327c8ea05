package console

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/cancelapp/explain"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/console/access"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

const apiPath = "/api/v1"

// addAPI adds the JSON API. Its description is served at /api/v1/openapi.json.
func (c *Console) addAPI(engine *gin.Engine) {
	config := huma.DefaultConfig("termed", "1")
	config.OpenAPIPath = apiPath + "/openapi"
	config.DocsPath = ""
	config.SchemasPath = ""
	config.CreateHooks = nil // no $schema links in the answers
	config.Info.Description = "Termed subscriptions: what is counted, why, and what agents and operators do about it. " +
		"Send a token of console.tokens as Authorization: Bearer, or the session of a signed-in browser."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}
	api := humagin.New(engine, config)
	c.addSubscriptionReads(api)
	c.addInboxReads(api)
	c.addServiceReads(api)
	c.addActions(api)
	c.addAdjustments(api)
	c.addOperations(api)
}

// output is an answer with a body.
type output[T any] struct{ Body T }

func answer[T any](body T) *output[T] { return &output[T]{body} }

// list is a part of a list.
type list[T any] struct {
	Items    []T    `json:"items"`
	Next     string `json:"next,omitempty" doc:"the cursor of the next part"`
	Previous string `json:"previous,omitempty" doc:"the cursor of the part before"`
}

// ListInput is what every list takes.
type ListInput struct {
	Cursor string `query:"cursor" doc:"next or previous of an earlier answer"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

// operation is one path of the API.
func operation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{
		OperationID: id,
		Method:      method,
		Path:        apiPath + path,
		Summary:     summary,
		Description: description,
		Errors: []int{
			http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity,
		},
	}
}

// apiError is an error in words for whoever calls the API.
func (c *Console) apiError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ledger.ErrUnknown):
		return huma.Error404NotFound("no such subscription is enrolled in a term")
	case errors.Is(err, store.ErrCursor):
		return huma.Error422UnprocessableEntity("the cursor is not one of this list")
	case errors.Is(err, counter.ErrRefused):
		return huma.Error409Conflict(reasonOf(err))
	case errors.Is(err, agent.ErrBusy):
		return huma.Error409Conflict(agent.ErrBusy.Error())
	case errors.Is(err, ledger.ErrActionExists):
		return huma.Error409Conflict(ledger.ErrActionExists.Error())
	case errors.Is(err, reconcile.ErrReconciling), errors.Is(err, errRetrying):
		return huma.Error409Conflict(err.Error())
	}
	if _, ok := errors.AsType[*ordergroove.Error](err); ok || cancelapp.IsOutage(err) {
		return huma.Error502BadGateway(explainError(err) + "; nothing was sent")
	}
	c.Log.Error("store error", "error", err)
	return huma.Error500InternalServerError("the database could not be read; the service's log says why")
}

// allow refuses what the role does not include.
func (c *Console) allow(ctx context.Context, action access.Action) error {
	// safeguard: api-role
	if c.Access.MayDo(ctx, action) {
		return nil
	}
	return huma.Error403Forbidden("your role does not include this, or the action is not activated in termed.yaml: " +
		string(action))
}

// shownCustomer is the customer of a subscription, where the caller may see it.
func (c *Console) shownCustomer(ctx context.Context, s ledger.Subscription) string {
	if c.Access.MayDo(ctx, access.SeeCustomers) {
		return s.Customer
	}
	return ""
}

type subscriptionsInput struct {
	ListInput
	Query            string `query:"q" doc:"a subscription's ID or its beginning, an order, a customer or a SKU"`
	State            State  `query:"state"`
	Term             string `query:"term"`
	SKU              string `query:"sku"`
	Customer         string `query:"customer"`
	Order            string `query:"order"`
	LastShipmentNext bool   `query:"last_shipment_next"`
	Withheld         bool   `query:"withheld" doc:"a change is held back: observe mode, a pause, no approval"`
}

type subscriptionInput struct {
	ID     string `path:"id"`
	Remote bool   `query:"remote" doc:"also ask Ordergroove, for the next order and what the next sync would do"`
}

type eventsInput struct {
	ListInput
	Status       string `query:"status" enum:"pending,done,ignored,dead,quarantined"`
	Type         string `query:"type" doc:"for example order.success"`
	Subscription string `query:"subscription"`
	Since        int64  `query:"since" doc:"received since, UTC unix milliseconds"`
}

type eventInput struct {
	Created int64  `path:"created" doc:"UTC unix milliseconds"`
	ID      string `path:"id"`
	Payload bool   `query:"payload" doc:"with the payload, which names the customer; only for operators"`
}

type messagesInput struct {
	Status string `query:"status" enum:"pending,delivered,dead"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

func (c *Console) addSubscriptionReads(api huma.API) {
	huma.Register(api, operation("list-subscriptions", http.MethodGet, "/subscriptions", "List subscriptions",
		"Those first recorded last first."),
		func(ctx context.Context, in *subscriptionsInput) (*output[list[Subscription]], error) {
			if in.Customer != "" {
				if err := c.allow(ctx, access.SeeCustomers); err != nil {
					return nil, err
				}
			}
			page, err := c.Store.List(ctx, store.Query{
				State:            counter.State(in.State),
				Term:             in.Term,
				SKU:              in.SKU,
				Customer:         in.Customer,
				Order:            in.Order,
				LastShipmentNext: in.LastShipmentNext,
				Withheld:         in.Withheld,
				Search:           strings.TrimSpace(in.Query),
			}, in.Cursor, in.Limit)
			if err != nil {
				return nil, c.apiError(err)
			}
			all := list[Subscription]{Items: []Subscription{}, Next: page.Next, Previous: page.Previous}
			for _, s := range page.Rows {
				all.Items = append(all.Items, subscriptionRecord(s, c.shownCustomer(ctx, s)))
			}
			return answer(all), nil
		})
	huma.Register(api, operation("get-subscription", http.MethodGet, "/subscriptions/{id}", "Show one subscription",
		"Its enrollments, shipments, journal and actions."),
		func(ctx context.Context, in *subscriptionInput) (*output[SubscriptionDetail], error) {
			detail, err := c.detail(ctx, in.ID, in.Remote)
			return answer(detail), c.apiError(err)
		})
}

func (c *Console) addInboxReads(api huma.API) {
	huma.Register(api, operation("list-events", http.MethodGet, "/events", "List events", "Those received last first."),
		func(ctx context.Context, in *eventsInput) (*output[list[EventRecord]], error) {
			page, err := c.Store.ListEvents(ctx, store.EventQuery{
				Status:       ledger.EventStatus(in.Status),
				Type:         in.Type,
				Subscription: in.Subscription,
				Since:        in.Since,
			}, in.Cursor, in.Limit)
			if err != nil {
				return nil, c.apiError(err)
			}
			all := list[EventRecord]{Items: []EventRecord{}, Next: page.Next, Previous: page.Previous}
			for _, e := range page.Rows {
				all.Items = append(all.Items, eventRecord(e))
			}
			return answer(all), nil
		})
	huma.Register(api, operation("get-event", http.MethodGet, "/events/{created}/{id}", "Show one event", ""),
		func(ctx context.Context, in *eventInput) (*output[EventDetail], error) {
			if in.Payload {
				if err := c.allow(ctx, access.SeePayloads); err != nil {
					return nil, err
				}
			}
			e, found, err := c.Store.Event(ctx, in.Created, in.ID)
			if err == nil && !found {
				return nil, huma.Error404NotFound("no such event; settled ones are kept for keep_events")
			}
			if err != nil {
				return nil, c.apiError(err)
			}
			body, subscriptions, err := c.Store.EventBody(ctx, e)
			if err != nil {
				return nil, c.apiError(err)
			}
			d := EventDetail{EventRecord: eventRecord(e), Subscriptions: append([]string{}, subscriptions...)}
			if in.Payload {
				d.Payload = string(body)
			}
			return answer(d), nil
		})
	huma.Register(api, operation("list-notifications", http.MethodGet, "/notifications", "List outgoing notifications",
		"The newest first."),
		func(ctx context.Context, in *messagesInput) (*output[list[MessageRecord]], error) {
			found, err := c.Store.Messages(ctx, ledger.MessageStatus(in.Status), in.Limit)
			if err != nil {
				return nil, c.apiError(err)
			}
			all := list[MessageRecord]{Items: []MessageRecord{}}
			for _, m := range found {
				all.Items = append(all.Items, messageRecord(m))
			}
			return answer(all), nil
		})
}

func (c *Console) addServiceReads(api huma.API) {
	huma.Register(api, operation("list-terms", http.MethodGet, "/terms", "List the terms, with counts",
		"The counts are some seconds old."),
		func(context.Context, *struct{}) (*output[list[TermRecord]], error) {
			return answer(list[TermRecord]{Items: c.termRecords()}), nil
		})
	huma.Register(api, operation("get-health", http.MethodGet, "/health", "Show whether the service can work", ""),
		func(ctx context.Context, _ *struct{}) (*output[HealthRecord], error) {
			return answer(c.healthRecord(ctx)), nil
		})
	huma.Register(api, operation("list-cancel-reasons", http.MethodGet, "/cancel-reasons",
		"List the cancel reasons to choose from", "The shop's own, or Ordergroove's where those cannot be read."),
		func(ctx context.Context, _ *struct{}) (*output[list[ReasonRecord]], error) {
			all := list[ReasonRecord]{Items: []ReasonRecord{}}
			for _, r := range c.Reasons(ctx) {
				all.Items = append(all.Items, ReasonRecord{r.Code, r.Text})
			}
			return answer(all), nil
		})
}

// ReasonRecord is a cancel reason.
type ReasonRecord struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

func (c *Console) detail(ctx context.Context, id string, remote bool) (SubscriptionDetail, error) {
	sub, err := c.Store.Subscription(ctx, id)
	if err != nil {
		return SubscriptionDetail{}, err
	}
	e, err := explain.Read(ctx, c.Store, sub)
	if err != nil {
		return SubscriptionDetail{}, err
	}
	actions, err := c.Store.Actions(ctx, id, rowsAPage)
	if err != nil {
		return SubscriptionDetail{}, err
	}
	d := detailRecord(e, c.shownCustomer(ctx, sub), actions)
	if remote {
		asking, cancel := context.WithTimeout(ordergroove.WithPriority(ctx, ordergroove.Urgent), askTimeout)
		defer cancel()
		p := c.readRemote(asking, sub)
		d.Remote = &Remote{
			Error:       p.Error,
			Live:        p.Live,
			Counter:     p.Counter,
			NextOrder:   p.Order,
			NextChanges: p.Changes,
		}
		if !p.Place.IsZero() {
			d.Remote.NextPlaced = &p.Place
		}
	}
	return d, nil
}

func (c *Console) termRecords() []TermRecord {
	f := c.counts.get()
	all := []TermRecord{}
	configured := map[string]counter.Term{}
	for _, t := range c.App.Rules().Terms.All() {
		configured[t.Name] = t
	}
	for _, name := range c.termNames(f) {
		t, there := configured[name]
		r := TermRecord{
			Name:          name,
			SKUs:          append([]string{}, t.SKUs...),
			Removed:       !there,
			Sentences:     []string{},
			Subscriptions: f.in(name),
			Running:       f.in(name, running...),
			ByShipment:    f.byShipment(name),
		}
		for _, sku := range t.SKUs {
			r.Sentences = append(r.Sentences, t.Sentence(sku))
		}
		if there {
			for _, rule := range t.Rules() {
				r.Sentences = append(r.Sentences, rule.Sentence)
			}
		}
		all = append(all, r)
	}
	return all
}

func (c *Console) healthRecord(ctx context.Context) HealthRecord {
	h := HealthRecord{
		Ready:      true,
		Checks:     map[string]string{},
		Warnings:   map[string]string{},
		Observe:    c.App.Rules().Observe,
		Unapproved: []UnapprovedRecord{},
	}
	for _, check := range c.Checks {
		h.Checks[check.Name] = "ok"
		if err := check.Test(ctx); err != nil {
			h.Checks[check.Name], h.Ready = err.Error(), false
		}
	}
	if c.Warnings != nil {
		h.Warnings = c.Warnings(ctx)
	}
	brake := c.App.LatestBrake()
	h.Throttled = brake.Throttled
	if p := brake.Pause; p.Since != 0 {
		h.Pause = &PauseRecord{at(p.Since), p.Actor, p.Reason}
	}
	for _, t := range brake.Terms {
		h.Unapproved = append(h.Unapproved, UnapprovedRecord{t.Term, t.Complete, t.Running})
	}
	return h
}

// ActionInput is what every action takes.
type ActionInput struct {
	ID  string `path:"id"`
	Key string `header:"Idempotency-Key" maxLength:"200" doc:"a request with the same key again is the same action"`
}

type cancelInput struct {
	ActionInput
	Body struct {
		ReasonCode string `json:"reason_code,omitempty" maxLength:"20" pattern:"^[0-9]*$" doc:"one of /cancel-reasons"`
		Details    string `json:"details,omitempty" maxLength:"500"`
	}
}

type skipInput struct {
	ActionInput
	Body struct {
		Order string `json:"order,omitempty" doc:"the upcoming order that the person saw; another is not skipped"`
	}
}

// addActions adds the two actions of a service agent.
func (c *Console) addActions(api huma.API) {
	const within15 = " It is done within 15 seconds; where no answer came by then, the status is unknown, nothing more " +
		"is sent, and the action of the same key says later what became of it."
	act := func(ctx context.Context, in ActionInput, kind ledger.ActionKind, reason, order string,
	) (*output[ActionRecord], error) {
		if err := c.allow(ctx, permissionOf[kind]); err != nil {
			return nil, err
		}
		done, err := c.Agent.Do(context.WithoutCancel(ctx), agent.Request{
			Key:          in.Key,
			Subscription: in.ID,
			Kind:         kind,
			Actor:        actor(ctx),
			Reason:       reason,
			Order:        order,
		})
		return answer(actionRecord(done)), c.apiError(err)
	}
	cancel := operation("cancel-subscription", http.MethodPost, "/subscriptions/{id}/cancel", "Cancel a subscription",
		"Cancels it at Ordergroove now, and any later shipment with it. Only one that is active there."+within15)
	cancel.Errors = append(cancel.Errors, http.StatusConflict, http.StatusBadGateway)
	huma.Register(api, cancel, func(ctx context.Context, in *cancelInput) (*output[ActionRecord], error) {
		return act(ctx, in.ActionInput, ledger.ActionCancel, reasonText(in.Body.ReasonCode, in.Body.Details), "")
	})
	skip := operation("skip-next-order", http.MethodPost, "/subscriptions/{id}/skip", "Skip the next order",
		"Takes the subscription's items off its next order; the counter does not change."+within15)
	skip.Errors = append(skip.Errors, http.StatusConflict, http.StatusBadGateway)
	huma.Register(api, skip, func(ctx context.Context, in *skipInput) (*output[ActionRecord], error) {
		return act(ctx, in.ActionInput, ledger.ActionSkip, "", in.Body.Order)
	})
}
