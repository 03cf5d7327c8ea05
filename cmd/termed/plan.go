package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/service"
	"github.com/termed/termed/store"
)

func planCommand(env environment) *cobra.Command {
	var o sessionOptions
	var verbose, asJSON bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what an edited configuration would change for running subscriptions",
		Long: `Shows what an edited configuration would change, before a service reads it:

SKUs that are not in force yet: plan asks Ordergroove for their subscriptions. Those that nobody counted wait for
termed approve before their first end; plan counts those that would end at once, and later.

Lengths: a running subscription keeps the length that its term had when it started. plan counts, term by term,
those that have another length than the configuration says; termed apply gives them the new length.

What is held back: what the switch from mode: observe to mode: live, or the end of a pause, would change.

Everything else (what happens at the end, reasons, names, keys) applies to all subscriptions as soon as a service
has read it. The API key needs Bulk Operations if there are new SKUs.

Exit code: 0 nothing to do; 3 something to do; 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSession(cmd.Context(), env, o, func(s session) error {
				p, err := s.plan(cmd.Context())
				if err != nil {
					return err
				}
				progress := progressOn(env.stderr)
				p.newSKUs, p.failed = s.planNewSKUs(cmd.Context(), progress)
				progress("")
				if asJSON {
					err = printJSON(env.stdout, p.json())
				} else {
					p.print(env.stdout, verbose)
				}
				return errors.Join(err, p.exit())
			})
		},
	}
	configFlag(cmd, &o.configPath)
	o.flags(cmd)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print a line for each subscription")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// plan is what a configuration would change.
type plan struct {
	terms   []counter.Term
	changes []lengthChange
	removed map[string]int // running subscriptions by a term that no longer exists

	newSKUs  []newSKU
	failed   error // why the subscriptions of new SKUs are not known
	brake    ledger.Brake
	withheld []counter.Subscription // of which a change is held back
	observe  bool                   // by the configuration
}

func (p plan) exit() error {
	switch {
	case p.failed != nil:
		return exit{exitError, ""}
	case len(p.changes)+len(p.withheld) > 0 || slices.ContainsFunc(p.newSKUs, newSKU.changes):
		return exit{exitPending, ""}
	}
	return nil
}

// lengthChange is one subscription whose term has another length in the configuration.
type lengthChange struct {
	term          counter.Term
	before, after counter.Subscription
}

func (s session) plan(ctx context.Context) (plan, error) {
	p := plan{terms: service.Terms(s.config), removed: map[string]int{}, observe: s.config.Mode == "observe"}
	err := s.store.Each(ctx, store.Query{}, func(sub ledger.Subscription) error {
		p.add(s.terms, sub)
		return nil
	})
	if err != nil {
		return plan{}, err
	}
	if p.brake, err = s.store.Brake(ctx); err != nil {
		return plan{}, err
	}
	slices.Reverse(p.changes) // those first recorded first
	slices.Reverse(p.withheld)
	slices.SortStableFunc(p.changes, func(a, b lengthChange) int { return cmp.Compare(a.term.Name, b.term.Name) })
	return p, nil
}

func (p *plan) add(terms counter.Terms, sub ledger.Subscription) {
	if sub.Permission.Withheld != "" {
		p.withheld = append(p.withheld, sub.Subscription)
	}
	term, ok := terms.Of(sub.SKU)
	running := sub.State == counter.Active || sub.State == counter.Completing || sub.State == counter.Attention
	if !ok && running {
		p.removed[sub.Term]++
	}
	if !ok || sub.IsNew() { // a new one takes its length at its first sync
		return
	}
	after, err := counter.ApplyTerm(sub.Subscription, term)
	if err == nil && after.OrdersDue != sub.OrdersDue {
		p.changes = append(p.changes, lengthChange{term, sub.Subscription, after})
	}
}

func (p plan) print(out io.Writer, verbose bool) {
	p.printNewSKUs(out)
	p.printHeldBack(out, verbose)
	for _, term := range slices.Sorted(maps.Keys(p.removed)) {
		fmt.Fprintf(out, "%s: the term no longer exists; its running subscriptions (%d) keep their length\n",
			term, p.removed[term])
	}
	if len(p.changes) == 0 {
		fmt.Fprintln(out, "lengths: nothing to do, every running subscription has the length of its term")
		return
	}
	t := newTable("term", "shipments", "subscriptions", "complete at once")
	for _, g := range p.groups() {
		t.AppendRow(table.Row{g.term, fmt.Sprintf("%d → %d", g.before, g.after), g.all, g.complete})
	}
	fmt.Fprintln(out, t.Render())
	if verbose {
		for _, c := range p.changes {
			fmt.Fprintln(out, c.sentence())
		}
	}
	fmt.Fprintln(out, "nothing was changed; to give them the new length, run: termed apply --yes")
}

func (c lengthChange) sentence() string {
	then := fmt.Sprintf("%d remaining", c.after.Remaining())
	if c.after.Remaining() == 0 {
		then = "complete at once"
	}
	return fmt.Sprintf("%s  %s  %s → %s, %s", c.before.ID, c.term.Name, c.before.Progress(), c.after.Progress(), then)
}

func (p plan) json() planJSON {
	plan := planJSON{
		Changes:      []lengthChangeJSON{},
		RemovedTerms: []removedTermJSON{},
		NewSKUs:      []newSKUJSON{},
		Unapproved:   []unapprovedJSON{},
		Withheld:     []termJSON{},
	}
	if p.failed != nil {
		plan.Failed = true
		plan.Error = p.failed.Error()
	}
	for _, n := range p.newSKUs {
		plan.NewSKUs = append(plan.NewSKUs, n.newSKUJSON)
	}
	for _, t := range p.brake.Terms {
		plan.Unapproved = append(plan.Unapproved, unapprovedJSON{t.Term, t.Complete, t.Running})
	}
	for _, sub := range p.withheld {
		plan.Withheld = append(plan.Withheld, termOf(sub))
	}
	for _, c := range p.changes {
		plan.Changes = append(plan.Changes, lengthChangeJSON{termOf(c.before), c.after.ShipmentsTotal(), c.after.Remaining()})
	}
	for _, term := range slices.Sorted(maps.Keys(p.removed)) {
		plan.RemovedTerms = append(plan.RemovedTerms, removedTermJSON{term, p.removed[term]})
	}
	return plan
}

// group counts the changes of one term from one length to another.
type group struct {
	term          string
	before, after int
	all, complete int
}

func (p plan) groups() []group {
	var groups []group
	for _, c := range p.changes {
		g := group{term: c.term.Name, before: c.before.ShipmentsTotal(), after: c.after.ShipmentsTotal()}
		i := slices.IndexFunc(groups, func(o group) bool {
			return o.term == g.term && o.before == g.before && o.after == g.after
		})
		if i < 0 {
			i = len(groups)
			groups = append(groups, g)
		}
		groups[i].all++
		if c.after.Remaining() == 0 {
			groups[i].complete++
		}
	}
	slices.SortFunc(groups, func(a, b group) int {
		return cmp.Or(strings.Compare(a.term, b.term), cmp.Compare(a.before, b.before), cmp.Compare(a.after, b.after))
	})
	return groups
}
