package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

const (
	// turnWait is how long the command waits for another reconciliation. One that was killed blocks others for less.
	turnWait     = 5 * time.Minute
	turnInterval = time.Second
)

func reconcileCommand(env environment) *cobra.Command {
	var o sessionOptions
	var scope reconcile.Scope
	var verbose, asJSON bool
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare all subscriptions with Ordergroove, and repair what differs",
		Long: `Lists the live subscriptions of every SKU that a term lists, and compares them with the database: it finds
subscriptions and orders that no webhook announced, counters that differ, complete subscriptions that are
still live, and subscriptions that were canceled or swapped without a webhook. It records what it finds,
and syncs those subscriptions as if webhooks had announced it. What waits for an approval, the throttle, or
the end of a pause or of observe mode is held back.

It works with or without a running service, and continues where it was interrupted. The API key needs
Bulk Operations.

Exit code: 0 nothing to do, or everything is repaired or held back; 3 something to do (dry run); 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := time.Parse(time.DateOnly, scope.Since); scope.Since != "" && err != nil {
				return exit{exitUsage, fmt.Sprintf("--since is %q; write a date, for example 2026-11-18", scope.Since)}
			}
			o.missing = createMissing
			if scope.DryRun {
				o.missing = replaceMissing
			}
			return withSession(cmd.Context(), env, o, func(s session) error {
				if err := s.checkSKUs(cmd.Context(), scope.SKUs); err != nil {
					return err
				}
				if s.app.LatestBrake().Pause.Restored && scope.Since == "" && len(scope.SKUs) == 0 {
					scope.Recount = true // it is needed, and ends the pause
				}
				r := s.reconcile(cmd.Context(), scope, progressOn(env.stderr))
				if asJSON {
					return errors.Join(printJSON(env.stdout, r.json()), r.exit())
				}
				r.print(env.stdout, verbose)
				return r.exit()
			})
		},
	}
	configFlag(cmd, &o.configPath)
	o.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&scope.DryRun, "dry-run", false, "show what would change, and change nothing")
	f.StringSliceVar(&scope.SKUs, "sku", nil, "only subscriptions of these SKUs")
	f.StringVar(&scope.Since, "since", "", "only subscriptions updated since this date (2026-11-18)")
	f.BoolVar(&scope.Recount, "recount", false,
		"request the placed orders of every subscription, whatever its upcoming order says")
	f.BoolVarP(&verbose, "verbose", "v", false, "print a line for each subscription that differs")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// reconciliation is one run of the command.
type reconciliation struct {
	reconcile.Report
	scope     reconcile.Scope
	calls     int64
	took      time.Duration
	after     map[string]ledger.Subscription // what was found, by subscription, as it is now
	attention int                            // subscriptions that need attention
	err       error                          // why not everything was compared or repaired
}

// checkSKUs refuses a SKU that no term lists and no subscription has: nothing would be compared, and that would read as
// if everything were right.
func (s session) checkSKUs(ctx context.Context, skus []string) error {
	known := s.terms.SKUs()
	running, err := s.store.Running(ctx)
	if err != nil {
		return err
	}
	for sku := range running {
		known = append(known, sku)
	}
	for _, sku := range skus {
		if err := checkName("SKU", sku, known); err != nil {
			return err
		}
	}
	return nil
}

// reconcile compares and, except in a dry run, waits until what was found is repaired.
func (s session) reconcile(ctx context.Context, scope reconcile.Scope, progress func(string)) *reconciliation {
	start := time.Now()
	report, err := s.reconcileInTurn(ctx, scope, progress)
	r := &reconciliation{Report: report, scope: scope, after: map[string]ledger.Subscription{}}
	if !scope.DryRun && len(report.Findings) > 0 && ctx.Err() == nil {
		err = errors.Join(err, s.repair(ctx, r, progress))
	}
	progress("")
	waiting, failed := s.store.Subscriptions(context.WithoutCancel(ctx), counter.Attention)
	r.attention = len(waiting)
	r.calls, r.took = s.client.Requests(), time.Since(start)
	r.err = errors.Join(err, failed)
	return r
}

// reconcileInTurn compares, after waiting a while for another reconciliation to end.
func (s session) reconcileInTurn(
	ctx context.Context, scope reconcile.Scope, progress func(string),
) (reconcile.Report, error) {
	until := time.Now().Add(turnWait)
	pace := newPace(s.toCompare(ctx, scope))
	for {
		report, err := s.reconciler.Reconcile(ctx, scope, func(r reconcile.Report) {
			progress(fmt.Sprintf("compared %s; found %d", pace.after(r.Listed, time.Now()), len(r.Findings)))
		})
		if !errors.Is(err, reconcile.ErrReconciling) || time.Now().After(until) {
			return report, err
		}
		progress("waiting for another reconciliation to end")
		select {
		case <-ctx.Done():
			return report, err
		case <-time.After(turnInterval):
		}
	}
}

// toCompare is how many subscriptions a reconciliation will probably list; 0: nobody knows.
func (s session) toCompare(ctx context.Context, scope reconcile.Scope) int {
	running, err := s.store.Running(ctx)
	if err != nil || scope.Since != "" {
		return 0
	}
	n := 0
	for sku, live := range running {
		if len(scope.SKUs) == 0 || slices.Contains(scope.SKUs, sku) {
			n += live
		}
	}
	return n
}

// repair syncs what was found.
func (s session) repair(ctx context.Context, r *reconciliation, progress func(string)) error {
	ids := make([]string, len(r.Findings))
	for i, f := range r.Findings {
		ids[i] = f.Subscription
	}
	pace := newPace(len(ids))
	known, err := s.reconciler.Repair(ctx, ids, func(left int) {
		progress("repaired " + pace.after(len(ids)-left, time.Now()))
	})
	for _, k := range known {
		r.after[k.ID] = k
	}
	return err
}

// repaired says whether what was found is repaired by now.
func (r *reconciliation) repaired(f reconcile.Finding) bool {
	now, known := r.after[f.Subscription]
	return known && now.Due == 0 && now.State != counter.Attention && now.Permission.Withheld == ""
}

// heldBack says whether what was found is recorded, and its repair waits for an approval, the throttle, the end of a
// pause or of observe mode.
func (r *reconciliation) heldBack(f reconcile.Finding) bool {
	now, known := r.after[f.Subscription]
	if r.scope.DryRun {
		return f.After.Permission.Withheld != ""
	}
	return known && now.Permission.Withheld != ""
}

// exit returns nil, or an error with the exit code.
func (r *reconciliation) exit() error {
	switch failure := r.failure(); {
	case failure != "" && r.err != nil && !r.scope.DryRun:
		return exit{exitError, "termed: " + failure + "; run the command again to continue where it stopped"}
	case failure != "":
		return exit{exitError, "termed: " + failure}
	case r.scope.DryRun && len(r.Findings) > 0:
		return exit{exitPending, ""}
	case r.scope.DryRun:
		return nil
	}
	if slices.ContainsFunc(r.Findings, func(f reconcile.Finding) bool { return !r.repaired(f) && !r.heldBack(f) }) {
		return exit{exitError, ""}
	}
	return nil
}

// failure says why not everything was compared or repaired; "" if it was.
func (r *reconciliation) failure() string {
	switch {
	case errors.Is(r.err, context.Canceled):
		return "interrupted"
	case r.err != nil:
		return r.err.Error()
	case r.Unreadable > 0:
		return fmt.Sprintf("%d entries of Ordergroove's lists could not be read", r.Unreadable)
	}
	return ""
}

func (r *reconciliation) print(out io.Writer, verbose bool) {
	resumed := ""
	if r.Resumed {
		resumed = ", from where the last one was interrupted"
	}
	lead := "reconciled " + scopeText(r.scope)
	// safeguard: failed-reconcile
	if r.failure() != "" {
		fmt.Fprintf(out, "FAILED: %s\n", r.failure())
		lead = "incomplete: compared a part of " + scopeText(r.scope)
	}
	fmt.Fprintf(out, "%s with Ordergroove%s: %s, %s, %.1f s\n", lead, resumed,
		plural(r.Listed, "subscription"), plural(int(r.calls), "API call"), r.took.Seconds())
	if verbose {
		for _, f := range r.Findings {
			fmt.Fprintf(out, "%s  %s  %s: %s → %s\n", f.Subscription, f.SKU, f.Kind, f.Why, r.result(f))
		}
	}
	switch {
	case len(r.Findings) == 0 && r.failure() != "":
		fmt.Fprintln(out, "nothing was found before the failure; the rest is unknown")
	case len(r.Findings) == 0:
		fmt.Fprintln(out, "nothing to do")
	case r.scope.DryRun:
		fmt.Fprintln(out, r.table("to do").Render())
		fmt.Fprintln(out, "dry run: nothing was changed")
	case r.countHeldBack() > 0:
		fmt.Fprintln(out, r.table("repaired", "not yet", "held back").Render())
	default:
		fmt.Fprintln(out, r.table("repaired", "not yet").Render())
	}
	switch n := r.countHeldBack(); {
	case n > 0 && r.scope.DryRun:
		fmt.Fprintf(out, "changes of %s would be held back\n", plural(n, "subscription"))
	case n > 0:
		fmt.Fprintf(out, "changes of %s are held back; see termed plan\n", plural(n, "subscription"))
	}
	switch {
	case r.attention == 1:
		fmt.Fprintln(out, "1 subscription needs attention; see termed subscriptions list --state attention")
	case r.attention > 1:
		fmt.Fprintf(out, "%d subscriptions need attention; see termed subscriptions list --state attention\n", r.attention)
	}
}

func (r *reconciliation) countHeldBack() int {
	n := 0
	for _, f := range r.Findings {
		if r.heldBack(f) {
			n++
		}
	}
	return n
}

// scopeText says in words which subscriptions were compared.
func scopeText(scope reconcile.Scope) string {
	text := "all subscriptions"
	if scope.Since != "" {
		text = "subscriptions updated since " + scope.Since
	}
	if len(scope.SKUs) > 0 {
		text += " of " + strings.Join(slices.Sorted(slices.Values(scope.SKUs)), ", ")
	}
	return text
}

// table counts the findings by kind, the worst first.
func (r *reconciliation) table(columns ...any) table.Writer {
	t := newTable(append([]any{"found"}, columns...)...)
	for _, kind := range reconcile.Kinds {
		all, repaired := 0, 0
		held := 0
		for _, f := range r.Findings {
			if f.Kind != kind {
				continue
			}
			all++
			switch {
			case r.repaired(f):
				repaired++
			case r.heldBack(f):
				held++
			}
		}
		switch {
		case all == 0:
		case r.scope.DryRun:
			t.AppendRow(table.Row{kind, all})
		case len(columns) > 2:
			t.AppendRow(table.Row{kind, repaired, all - repaired - held, held})
		default:
			t.AppendRow(table.Row{kind, repaired, all - repaired})
		}
	}
	return t
}

// result says what became of a finding or, in a dry run, what would.
func (r *reconciliation) result(f reconcile.Finding) string {
	now, words := f.After, reconcile.Words(f.Would)
	if !r.scope.DryRun {
		now, words = r.after[f.Subscription].Subscription, ""
	}
	text := fmt.Sprintf("%s, %s", stateText(now.State), now.Progress())
	if words != "" {
		text = words + "; " + text
	}
	if now.Reason != "" {
		text += " (" + now.Reason + ")"
	}
	if !r.scope.DryRun && !r.repaired(f) && !r.heldBack(f) && now.State != counter.Attention {
		text += " (not repaired yet; the service will retry)"
	}
	return text
}

func (r *reconciliation) json() reconciliationJSON {
	found := []findingJSON{}
	for _, f := range r.Findings {
		state := f.After.State
		if !r.scope.DryRun {
			state = r.after[f.Subscription].State
		}
		found = append(found, findingJSON{
			Subscription: f.Subscription,
			SKU:          f.SKU,
			Kind:         string(f.Kind),
			Reason:       f.Why,
			Result:       r.result(f),
			State:        state,
			Repaired:     r.repaired(f),
			HeldBack:     r.heldBack(f),
		})
	}
	return reconciliationJSON{
		Failed:         r.failure() != "",
		Error:          r.failure(),
		Scope:          r.scope.String(),
		DryRun:         r.scope.DryRun,
		Resumed:        r.Resumed,
		Compared:       r.Listed,
		AskedForOrders: r.Asked,
		Unreadable:     r.Unreadable,
		APICalls:       r.calls,
		Seconds:        r.took.Seconds(),
		NeedAttention:  r.attention,
		Found:          found,
	}
}
