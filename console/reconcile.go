package console

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/console/access"
)

// maxFindings bounds the findings on the page.
const maxFindings = 500

// startReconciliation begins to compare everything, unless that is in progress.
func (c *Console) startReconciliation(by string) error {
	err := c.reconciling.start(by, c.Now(), reconcile.ErrReconciling,
		func(ctx context.Context, report func(reconcile.Report)) (reconcile.Report, error) {
			return c.Reconciler.Reconcile(ctx, reconcile.Scope{}, report)
		})
	if err == nil {
		c.Log.Info("reconciliation started from the console", "by", by)
	}
	return err
}

// reconciliationText says in a sentence how far a run is, or what it found.
func reconciliationText(run progress[reconcile.Report]) string {
	if run.Began.IsZero() {
		return ""
	}
	text := fmt.Sprintf("%s compared, %s", plural(run.Report.Listed, "subscription"),
		plural(len(run.Report.Findings), "finding"))
	if run.Active {
		return text + " so far. Started by " + run.By + "."
	}
	return text + fmt.Sprintf(", in %s. Started by %s.", run.Report.Took.Round(time.Millisecond), run.By)
}

type finding struct{ Subscription, SKU, What, Result string }

type reconcilePage struct {
	May, Running bool
	Text, Error  string
	Findings     []finding
	All, Recent  time.Time
}

func (c *Console) reconcile(g *gin.Context) {
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	last, err := c.Store.LastReconciled(ctx)
	if err != nil {
		c.fail(g, err)
		return
	}
	now := c.reconciling.get()
	p := reconcilePage{
		May:     c.may(g, access.Operate),
		Running: now.Active,
		Text:    reconciliationText(now),
		All:     at(last.All),
		Recent:  at(last.Recent),
	}
	if now.Err != nil {
		p.Error = "Not everything could be compared: " + now.Err.Error()
	}
	for _, f := range now.Report.Findings[:min(maxFindings, len(now.Report.Findings))] {
		p.Findings = append(p.Findings, finding{f.Subscription, f.SKU, f.Why, string(f.Kind)})
	}
	c.show(g, http.StatusOK, "reconcile", "Reconcile", p)
}

func (c *Console) postReconcile(g *gin.Context) {
	if c.forbidden(g, access.Operate) {
		return
	}
	if err := c.startReconciliation(actor(g.Request.Context())); err != nil {
		c.message(g, http.StatusConflict, "Not started", sentence(err.Error()), "/reconcile")
		return
	}
	g.Redirect(http.StatusSeeOther, "/reconcile")
}
