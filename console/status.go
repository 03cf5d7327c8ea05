package console

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/console/access"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

type termCard struct {
	Name                   string
	Removed                bool
	Subscriptions, Running int
	Sentences              []string
}

func (c *Console) terms(g *gin.Context) {
	f := c.counts.get()
	p := struct {
		Terms []termCard
		Every []string
	}{}
	configured := map[string]bool{}
	for _, t := range c.App.Rules().Terms.All() {
		configured[t.Name] = true
		card := termCard{Name: t.Name, Subscriptions: f.in(t.Name), Running: f.in(t.Name, running...)}
		for _, sku := range t.SKUs {
			card.Sentences = append(card.Sentences, t.Sentence(sku))
		}
		for _, rule := range t.Rules() {
			card.Sentences = append(card.Sentences, rule.Sentence)
		}
		p.Terms = append(p.Terms, card)
	}
	for _, name := range c.termNames(f) {
		if !configured[name] {
			p.Terms = append(p.Terms, termCard{Name: name, Removed: true, Subscriptions: f.in(name),
				Running: f.in(name, running...)})
		}
	}
	for _, rule := range counter.EveryTerm {
		p.Every = append(p.Every, rule.Sentence)
	}
	c.show(g, http.StatusOK, "terms", "Terms", p)
}

type healthPage struct {
	Ready            bool
	Checks, Warnings []condition
	Observe, Paused  bool
	PausedSince      time.Time
	PausedBy         string
	PausedReason     string
	Unapproved       []string
	May              bool
}

type condition struct{ Name, Error string }

func (c *Console) health(g *gin.Context) {
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	brake := c.App.LatestBrake()
	p := healthPage{
		Ready:        true,
		Observe:      c.App.Rules().Observe,
		Paused:       brake.Pause.Since != 0,
		PausedSince:  at(brake.Pause.Since),
		PausedBy:     brake.Pause.Actor,
		PausedReason: brake.Pause.Reason,
		May:          c.may(g, access.Operate),
	}
	for _, check := range c.Checks {
		one := condition{Name: check.Name}
		if err := check.Test(ctx); err != nil {
			one.Error = err.Error()
			p.Ready = false
		}
		p.Checks = append(p.Checks, one)
	}
	if c.Warnings != nil {
		warnings := c.Warnings(ctx)
		for _, name := range sortedKeys(warnings) {
			p.Warnings = append(p.Warnings, condition{name, warnings[name]})
		}
	}
	for _, t := range brake.Terms {
		p.Unapproved = append(p.Unapproved, fmt.Sprintf("%s: %d would end now, %d later; they wait for an approval.",
			t.Term, t.Complete, t.Running))
	}
	c.show(g, http.StatusOK, "health", "Health", p, c.flash(g, ctx)...)
}

func sortedKeys[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// observe shows of which subscriptions a change is held back: in observe mode, where termed and what stands differ.
func (c *Console) observe(g *gin.Context) {
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	values := g.Request.URL.Query()
	found, err := c.Store.List(ctx, store.Query{Withheld: true}, values.Get("cursor"), rowsAPage)
	if err != nil {
		c.fail(g, err)
		return
	}
	p := struct {
		Observe        bool
		Rows           []subscriptionRow
		Previous, Next string
	}{Observe: c.App.Rules().Observe}
	for _, s := range found.Rows {
		p.Rows = append(p.Rows, rowOf(s))
	}
	if found.Previous != "" {
		p.Previous = withQuery("/observe", values, "cursor", found.Previous)
	}
	if found.Next != "" {
		p.Next = withQuery("/observe", values, "cursor", found.Next)
	}
	c.show(g, http.StatusOK, "observe", "What termed would do", p)
}
