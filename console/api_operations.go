package console

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/console/access"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

type editInput struct {
	ID   string `path:"id"`
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"for the journal"`
	}
}

type lengthInput struct {
	ID   string `path:"id"`
	Body struct {
		Shipments int    `json:"shipments" minimum:"1" maximum:"1000" doc:"in all, the checkout's included"`
		Reason    string `json:"reason" minLength:"1" maxLength:"500" doc:"for the journal"`
	}
}

type pauseInput struct {
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"for the journal"`
	}
}

// addOperations adds what operators do.
func (c *Console) addOperations(api huma.API) {
	edit := func(ctx context.Context, id string, e agent.Edit, reason string) (*output[SubscriptionDetail], error) {
		if err := c.allow(ctx, access.Operate); err != nil {
			return nil, err
		}
		if _, _, err := e.Do(ctx, c.Store, id, actor(ctx), reason); err != nil {
			return nil, c.apiError(err)
		}
		detail, err := c.detail(ctx, id, false)
		return answer(detail), c.apiError(err)
	}
	register := func(name, summary, description string, of func() agent.Edit) {
		op := operation(name+"-subscription", http.MethodPost, "/subscriptions/{id}/"+name, summary, description)
		op.Errors = append(op.Errors, http.StatusConflict)
		huma.Register(api, op, func(ctx context.Context, in *editInput) (*output[SubscriptionDetail], error) {
			return edit(ctx, in.ID, of(), in.Body.Reason)
		})
	}
	register("approve", "Approve a subscription", "Lets one that waits for an approval be written and ended.",
		agent.Approve)
	register("release", "Release a subscription", "Takes it out of its term: it renews until somebody cancels it.",
		agent.Release)
	register("enroll", "Enroll a released subscription again", "Takes a release back; what was placed meanwhile counts.",
		func() agent.Edit { return agent.Enroll(c.App.Rules().Terms) })
	length := operation("set-length", http.MethodPost, "/subscriptions/{id}/length", "Set the length of a subscription",
		"Not less than the shipments already made; equal to them, the term is complete, and ends now.")
	length.Errors = append(length.Errors, http.StatusConflict)
	huma.Register(api, length, func(ctx context.Context, in *lengthInput) (*output[SubscriptionDetail], error) {
		return edit(ctx, in.ID, agent.SetLength(in.Body.Shipments), in.Body.Reason)
	})
	c.addRetries(api)
	c.addPause(api)
	c.addReconciliation(api)
}

type retryInput struct {
	ID string `path:"id"`
}

type retryEventsInput struct {
	Body struct {
		Type         string `json:"type,omitempty" doc:"for example order.success"`
		Subscription string `json:"subscription,omitempty"`
		Since        int64  `json:"since,omitempty" doc:"received since, UTC unix milliseconds"`
		DryRun       bool   `json:"dry_run,omitempty" doc:"only say what would be done"`
	}
}

// Retried says how many were made due.
type Retried struct {
	Retried int64 `json:"retried"`
}

// RetryRecord says what a retry of many events would do, and how far the one is that was started here last.
type RetryRecord struct {
	Eligible    int                 `json:"eligible" doc:"dead events that match"`
	NotEligible []NotEligibleRecord `json:"not_eligible"`
	Running     bool                `json:"running"`
	By          string              `json:"by,omitempty"`
	Began       *time.Time          `json:"began,omitempty"`
	Retried     int                 `json:"retried" doc:"of those that were eligible when it began"`
	Of          int                 `json:"of"`
	Error       string              `json:"error,omitempty" doc:"why not all were retried"`
}

// NotEligibleRecord counts events that a retry leaves as they are.
type NotEligibleRecord struct {
	Count int    `json:"count"`
	Why   string `json:"why"`
}

func (c *Console) retryRecord(eligible int, not []notRetried) RetryRecord {
	run := c.retrying.get()
	r := RetryRecord{
		Eligible:    eligible,
		NotEligible: []NotEligibleRecord{},
		Running:     run.Active,
		By:          run.By,
		Retried:     run.Report.Done,
		Of:          run.Report.All,
	}
	for _, n := range not {
		r.NotEligible = append(r.NotEligible, NotEligibleRecord(n))
	}
	if !run.Began.IsZero() {
		r.Began = &run.Began
	}
	if run.Err != nil {
		r.Error = run.Err.Error()
	}
	return r
}

func (c *Console) addRetries(api huma.API) {
	huma.Register(api, operation("retry-subscription", http.MethodPost, "/subscriptions/{id}/retry",
		"Sync a subscription now", ""),
		func(ctx context.Context, in *retryInput) (*output[Retried], error) {
			if err := c.allow(ctx, access.Operate); err != nil {
				return nil, err
			}
			if _, err := c.Store.Subscription(ctx, in.ID); err != nil {
				return nil, c.apiError(err)
			}
			n, err := c.Store.RetrySubscriptions(ctx, in.ID, c.Now().UnixMilli())
			return answer(Retried{n}), c.apiError(err)
		})
	huma.Register(api, operation("retry-event", http.MethodPost, "/events/{id}/retry", "Retry a dead event", ""),
		func(ctx context.Context, in *retryInput) (*output[Retried], error) {
			if err := c.allow(ctx, access.Operate); err != nil {
				return nil, err
			}
			n, err := c.Store.RetryEvents(ctx, store.EventQuery{ID: in.ID}, c.Now().UnixMilli(), nil)
			return answer(Retried{int64(n)}), c.apiError(err)
		})
	many := operation("retry-dead-events", http.MethodPost, "/events/retry", "Retry the dead events that match",
		"It runs in the background; get-event-retry shows its progress. A dry run says what it would do, and why not all.")
	many.Errors = append(many.Errors, http.StatusConflict)
	many.DefaultStatus = http.StatusAccepted
	huma.Register(api, many, func(ctx context.Context, in *retryEventsInput) (*output[RetryRecord], error) {
		if err := c.allow(ctx, access.Operate); err != nil {
			return nil, err
		}
		q := store.EventQuery{Type: in.Body.Type, Subscription: in.Body.Subscription, Since: in.Body.Since}
		eligible, not, err := c.planRetry(ctx, q)
		if err == nil && !in.Body.DryRun {
			err = c.startRetry(actor(ctx), q, eligible)
		}
		return answer(c.retryRecord(eligible, not)), c.apiError(err)
	})
	huma.Register(api, operation("get-event-retry", http.MethodGet, "/events/retry",
		"Show the retry of events that was started here last", ""),
		func(ctx context.Context, _ *struct{}) (*output[RetryRecord], error) {
			eligible, not, err := c.planRetry(ctx, store.EventQuery{Status: ledger.EventDead})
			return answer(c.retryRecord(eligible, not)), c.apiError(err)
		})
}

func (c *Console) addPause(api huma.API) {
	set := func(ctx context.Context, reason string, do func(ledger.Pause) error) (*output[HealthRecord], error) {
		if err := c.allow(ctx, access.Operate); err != nil {
			return nil, err
		}
		err := do(ledger.Pause{Since: c.Now().UnixMilli(), Actor: actor(ctx), Reason: reason})
		if err == nil {
			_, err = c.App.ReadBrake(ctx)
		}
		return answer(c.healthRecord(ctx)), c.apiError(err)
	}
	huma.Register(api, operation("pause-changes", http.MethodPost, "/pause", "Pause all changes at Ordergroove", ""),
		func(ctx context.Context, in *pauseInput) (*output[HealthRecord], error) {
			return set(ctx, in.Body.Reason, func(p ledger.Pause) error {
				_, err := c.Store.Pause(ctx, p)
				return err
			})
		})
	huma.Register(api, operation("resume-changes", http.MethodPost, "/resume", "End a pause", ""),
		func(ctx context.Context, _ *struct{}) (*output[HealthRecord], error) {
			return set(ctx, "resumed", func(p ledger.Pause) error {
				_, err := c.Store.Resume(ctx, p)
				return err
			})
		})
}

func (c *Console) addReconciliation(api huma.API) {
	show := func(ctx context.Context) (*output[ReconciliationRecord], error) {
		last, err := c.Store.LastReconciled(ctx)
		if err != nil {
			return nil, c.apiError(err)
		}
		now := c.reconciling.get()
		r := ReconciliationRecord{
			Running:  now.Active,
			By:       now.By,
			Compared: now.Report.Listed,
			Findings: []FindingRecord{},
			All:      timeRecord(last.All),
			Recent:   timeRecord(last.Recent),
		}
		if !now.Began.IsZero() {
			r.Began = &now.Began
		}
		if now.Err != nil {
			r.Error = now.Err.Error()
		}
		for _, f := range now.Report.Findings[:min(maxFindings, len(now.Report.Findings))] {
			r.Findings = append(r.Findings, FindingRecord{f.Subscription, f.SKU, string(f.Kind), f.Why})
		}
		return answer(r), nil
	}
	huma.Register(api, operation("get-reconciliation", http.MethodGet, "/reconciliation",
		"Show the reconciliation that was started here last", ""),
		func(ctx context.Context, _ *struct{}) (*output[ReconciliationRecord], error) { return show(ctx) })
	start := operation("start-reconciliation", http.MethodPost, "/reconciliation",
		"Compare everything with Ordergroove now", "It runs in the background; get-reconciliation shows its progress.")
	start.Errors = append(start.Errors, http.StatusConflict)
	start.DefaultStatus = http.StatusAccepted
	huma.Register(api, start, func(ctx context.Context, _ *struct{}) (*output[ReconciliationRecord], error) {
		if err := c.allow(ctx, access.Operate); err != nil {
			return nil, err
		}
		if err := c.startReconciliation(actor(ctx)); err != nil {
			return nil, c.apiError(err)
		}
		return show(ctx)
	})
}
