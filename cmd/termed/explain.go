package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

func explainCommand(env environment) *cobra.Command {
	o := besideOptions{perMinute: besidePerMinute, logLevel: "error", lookOnly: true}
	var verify, asJSON bool
	cmd := &cobra.Command{
		Use:   "explain SUBSCRIPTION",
		Short: "Say why a subscription stands where it does, and what comes next",
		Long: `Says which boxes are counted, with order, date and how we know of each; who changed what, before and
after; and what the next look at it would do, and why. --verify counts anew from Ordergroove's history and
names the orders behind any difference. Nothing is changed.

Exit code: 0, with --verify only where both agree; 3 they differ; 1 trouble.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withApp(cmd.Context(), env, o, func(b beside) error {
				e, err := b.explain(cmd.Context(), args[0], verify)
				if err != nil {
					return err
				}
				if asJSON {
					err = e.json(env.stdout)
				} else {
					e.print(env.stdout)
				}
				return errors.Join(err, e.exit())
			})
		},
	}
	configFlag(cmd, &o.path)
	cmd.Flags().BoolVar(&verify, "verify", false, "compare with Ordergroove's history of placed orders")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// explanation is all that is known of one subscription.
type explanation struct {
	page      store.Subscription
	shipments []counter.Shipment
	journal   []counter.Entry
	next      cancelapp.Rehearsal
	unasked   error // why the next look could not be gone through
	verified  *cancelapp.Difference
}

func (b beside) explain(ctx context.Context, id string, verify bool) (e explanation, err error) {
	if e.page, err = b.store.Subscription(ctx, id); errors.Is(err, store.ErrUnknown) {
		return e, fmt.Errorf("%s is not in the ledger: nothing has told of it, or its SKU belongs to no term; `termed reconcile` finds those of termed SKUs", id)
	}
	if err != nil {
		return e, err
	}
	if e.shipments, err = b.store.Shipments(ctx, id); err != nil {
		return e, err
	}
	if e.journal, err = b.store.Journal(ctx, id); err != nil {
		return e, err
	}
	e.next, e.unasked = b.app.Rehearse(ctx, e.page.Ledger, e.shipments, nil)
	if verify {
		found, err := b.app.Verify(ctx, e.page.Ledger, e.shipments)
		if err != nil {
			return e, err
		}
		e.verified = &found
	}
	return e, nil
}

func (e explanation) exit() error {
	if e.verified != nil && !e.verified.Agrees() {
		return exit{3, ""}
	}
	return nil
}

// standing is where it stands, in one sentence.
func (e explanation) standing() string {
	p := e.page
	text := fmt.Sprintf("%s: %s (%s), %s", p.Subscription, p.Term, p.SKU, p.State)
	if p.Prepaid {
		text += ": prepaid, so Ordergroove counts it and ends it"
	} else {
		text += ": " + p.Show()
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// sum is how the counter comes about.
func (e explanation) sum() string {
	p := e.page
	adjusted := ""
	if p.Adjustment != 0 {
		adjusted = fmt.Sprintf(" %+d adjusted", p.Adjustment)
	}
	return fmt.Sprintf("the counter is %d: %d recurring orders due%s - %d placed", p.Remaining(), p.Due, adjusted, p.Made)
}

// boxes are the shipments as rows: number, order, when, and how we know.
func (e explanation) boxes() (rows [][4]string) {
	if e.page.Past == 0 {
		for n := range e.page.AtCheckout {
			rows = append(rows, [4]string{fmt.Sprint(n + 1), "", "", "the checkout's own order, which is none of Ordergroove's"})
		}
	}
	for i, s := range e.shipments {
		how := "announced by event " + s.Source
		if s.Source == counter.Reconciled {
			how = "found by asking Ordergroove, at this time"
		}
		box := fmt.Sprint(e.page.AtCheckout + i + 1 - e.page.Past)
		if i < e.page.Past {
			box, how = "", how+"; of an earlier term"
		}
		rows = append(rows, [4]string{box, s.Order, stamp(s.At), how})
	}
	return rows
}

// look says what the next look would do, and why.
func (e explanation) look() []string {
	if e.unasked != nil {
		return []string{"cannot be told: " + e.unasked.Error()}
	}
	var lines []string
	for _, entry := range e.next.Entries {
		words := cancelapp.Words([]counter.Entry{entry})
		if words == "" {
			words = entry.What
		}
		lines = append(lines, words+because(entry.Reason))
	}
	if len(lines) == 0 {
		return []string{"nothing: " + string(e.next.Page.State) + ", and all at Ordergroove is as it must be"}
	}
	return lines
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func (e explanation) print(out io.Writer) {
	fmt.Fprintln(out, e.standing())
	fmt.Fprintf(out, "enrolled %s by %s\n", stamp(e.page.EnrolledAt), e.page.EnrolledBy)
	if !e.page.Prepaid {
		fmt.Fprintln(out, e.sum())
	}
	boxes := newTable("box", "order", "placed", "how we know")
	for _, row := range e.boxes() {
		boxes.AppendRow(table.Row{row[0], row[1], row[2], row[3]})
	}
	fmt.Fprintln(out, boxes.Render())
	journal := newTable("when", "who", "what", "before", "after", "why")
	for _, entry := range e.journal {
		journal.AppendRow(table.Row{stamp(entry.At), entry.Actor, entry.What, entry.Before, entry.After, entry.Reason})
	}
	fmt.Fprintln(out, journal.Render())
	for i, line := range e.look() {
		lead := "the next look would do: "
		if i > 0 {
			lead = "then: "
		}
		fmt.Fprintln(out, lead+line)
	}
	if e.page.Next != 0 {
		fmt.Fprintf(out, "it is due %s, after %d in vain %s\n", stamp(e.page.Next), e.page.Attempts, e.page.Error)
	}
	for _, line := range e.verification() {
		fmt.Fprintln(out, line)
	}
}

// verification says what a comparison with Ordergroove's history came to.
func (e explanation) verification() []string {
	if e.verified == nil {
		return nil
	}
	v := *e.verified
	lines := []string{fmt.Sprintf("Ordergroove has %d placed orders of it, the ledger %d: they agree", v.Placed, len(e.shipments))}
	if !v.Agrees() {
		lines[0] = fmt.Sprintf("Ordergroove has %d placed orders of it, the ledger %d: they DIFFER; `termed reconcile` repairs it", v.Placed, len(e.shipments))
	}
	for _, s := range v.Missing {
		lines = append(lines, fmt.Sprintf("  order %s (%s) was placed, and is not in the ledger", s.Order, s.SKU))
	}
	for _, s := range v.Unknown {
		lines = append(lines, fmt.Sprintf("  order %s is in the ledger, and Ordergroove does not have it as placed", s.Order))
	}
	for _, s := range v.Before {
		lines = append(lines, fmt.Sprintf("  order %s (%s) was placed before its product was termed, and does not count", s.Order, s.SKU))
	}
	return lines
}

func (e explanation) json(out io.Writer) error {
	boxes := []map[string]any{}
	for _, s := range e.shipments {
		boxes = append(boxes, map[string]any{"order": s.Order, "sku": s.SKU, "at": when(s.At), "source": s.Source})
	}
	journal := []map[string]any{}
	for _, j := range e.journal {
		journal = append(journal, map[string]any{"at": when(j.At), "actor": j.Actor, "what": j.What, "before": j.Before, "after": j.After, "reason": j.Reason})
	}
	all := map[string]any{
		"subscription": e.page.Subscription, "sku": e.page.SKU, "term": e.page.Term, "state": e.page.State, "reason": e.page.Reason,
		"prepaid": e.page.Prepaid, "made": e.page.Made, "total": e.page.Total(), "counter": e.page.Remaining(), "at_checkout": e.page.AtCheckout, "earlier_terms": e.page.Past,
		"adjustment": e.page.Adjustment, "shipments": boxes, "journal": journal, "next_look": e.look(),
	}
	if v := e.verified; v != nil {
		orders := func(shipments []counter.Shipment) []string {
			all := make([]string, len(shipments))
			for i, s := range shipments {
				all[i] = s.Order
			}
			return all
		}
		all["verified"] = map[string]any{
			"agrees": v.Agrees(), "placed": v.Placed,
			"missing":     orders(v.Missing),
			"unknown":     orders(v.Unknown),
			"before_swap": orders(v.Before),
		}
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}
