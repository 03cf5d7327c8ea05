package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
)

// newSKU is a SKU of the configuration that is not in force yet.
type newSKU struct {
	newSKUJSON
}

func (n newSKU) changes() bool { return n.EndNow+n.Later+n.Counted > 0 }

// planNewSKUs asks Ordergroove for the subscriptions of the SKUs that are not in force yet, and for their orders.
func (s session) planNewSKUs(ctx context.Context, progress func(string)) ([]newSKU, error) {
	var skus []string
	for _, sku := range s.terms.SKUs() {
		if _, listed := s.listed[sku]; !listed {
			skus = append(skus, sku)
		}
	}
	if len(skus) == 0 {
		return nil, nil
	}
	report, err := s.reconciler.Reconcile(ctx, reconcile.Scope{SKUs: skus, DryRun: true}, func(r reconcile.Report) {
		progress(fmt.Sprintf("new SKUs: %d subscriptions read", r.Listed))
	})
	all := make([]newSKU, len(skus))
	for i, sku := range skus {
		term, _ := s.terms.Of(sku)
		all[i].Term = term.Name
		all[i].SKU = sku
		for _, f := range report.Findings {
			if f.SKU == sku {
				all[i].add(f.After)
			}
		}
	}
	return all, err
}

// add counts a subscription by what a sync would make of it.
func (n *newSKU) add(after counter.Subscription) {
	switch {
	case after.State == counter.AwaitingApproval:
		n.EndNow++
	case after.Permission.Approval == counter.ApprovalNeeded:
		n.Later++
	case after.State == counter.Released: // nothing is written to it
	default:
		n.Counted++
		if after.Remaining() == 0 {
			n.AtOnce++
		}
	}
}

func (p plan) printNewSKUs(out io.Writer) {
	if p.failed != nil {
		fmt.Fprintf(out, "FAILED: Ordergroove could not be asked for the subscriptions of the new SKUs: %v\n", p.failed)
	}
	if len(p.newSKUs) == 0 {
		return
	}
	note := ""
	if p.failed != nil {
		note = " (incomplete)"
	}
	for _, n := range p.newSKUs {
		fmt.Fprintf(out, "new SKU %s of %s%s: %d would end now, %d later", n.SKU, n.Term, note, n.EndNow, n.Later)
		if n.EndNow+n.Later > 0 {
			fmt.Fprint(out, ", once you approve them (termed approve)")
		}
		if n.Counted > 0 {
			fmt.Fprintf(out, "; %d have a counter and continue with it, %d of them are complete", n.Counted, n.AtOnce)
		}
		fmt.Fprintln(out)
	}
}

// printHeldBack says what is held back, by what holds it back.
func (p plan) printHeldBack(out io.Writer, verbose bool) {
	for _, t := range p.brake.Terms {
		fmt.Fprintf(out, "%s needs approval: %d would end now, %d later; see termed approve --term\n",
			t.Term, t.Complete, t.Running)
	}
	if p.brake.Throttled > 0 {
		fmt.Fprintf(out, "the throttle holds back %s; see termed approve --all\n", plural(p.brake.Throttled, "end"))
	}
	if p.brake.Pause.Since != 0 {
		fmt.Fprintf(out, "all changes are paused %s\n", pauseText(p.brake.Pause))
	}
	switch live := p.live(); {
	case len(live) > 0:
		t := newTable("term", "change", "subscriptions")
		for _, row := range live {
			t.AppendRow(row)
		}
		fmt.Fprintf(out, "mode: live, without a pause, would change at once:\n%s\n", t.Render())
	case p.observe:
		fmt.Fprintln(out, "mode: live would change nothing at once")
	}
	if verbose {
		for _, sub := range p.withheld {
			fmt.Fprintf(out, "%s  %s  %s, %s: %s\n", sub.ID, sub.Term, sub.Progress(), sub.Permission.Withheld, sub.Reason)
		}
	}
}

// live counts, by term and change, what is held back by observe mode or a pause alone.
func (p plan) live() []table.Row {
	counts := map[[2]string]int{}
	for _, sub := range p.withheld {
		if sub.Permission.Approval != counter.ApprovalNeeded && sub.State != counter.Throttled {
			counts[[2]string{sub.Term, sub.Permission.Withheld}]++
		}
	}
	var rows []table.Row
	for key, n := range counts {
		rows = append(rows, table.Row{key[0], key[1], n})
	}
	slices.SortFunc(rows, func(a, b table.Row) int { return strings.Compare(fmt.Sprint(a...), fmt.Sprint(b...)) })
	return rows
}
