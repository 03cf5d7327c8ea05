package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
)

func reconcileCommand(env environment) *cobra.Command {
	var o besideOptions
	var scope cancelapp.Scope
	var verbose, asJSON bool
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare every termed subscription with Ordergroove, and repair what differs",
		Long: `Lists the live subscriptions of every termed SKU at Ordergroove and compares them with the ledger:
subscriptions that were never announced, orders that were never announced, counters that differ, complete
ones that are still live, and those that were cancelled or swapped without our hearing of it. What is found
becomes facts, and is brought to its level as if a webhook had told of it.

It works beside a running service or without one, and goes on where it was interrupted. The API key needs
Bulk Operations.

Exit code: 0 nothing to do, or all repaired; 3 something to do (--dry-run); 1 trouble.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if scope.Since != "" {
				if _, err := time.Parse(time.DateOnly, scope.Since); err != nil {
					return exit{2, fmt.Sprintf("--since is %q; write a date as 2026-11-18", scope.Since)}
				}
			}
			o.lookOnly = scope.DryRun
			return withApp(cmd.Context(), env, o, func(b beside) error {
				r, err := b.reconcile(cmd.Context(), scope, progressOn(env.stderr))
				if r == nil {
					return err
				}
				if asJSON {
					return errors.Join(r.json(env.stdout), r.exit(err))
				}
				r.print(env.stdout, verbose)
				return r.exit(err)
			})
		},
	}
	configFlag(cmd, &o.path)
	f := cmd.Flags()
	f.BoolVar(&scope.DryRun, "dry-run", false, "find, and change nothing")
	f.StringSliceVar(&scope.SKUs, "sku", nil, "only of these SKUs")
	f.StringVar(&scope.Since, "since", "", "only what was updated since this date (2026-11-18)")
	f.BoolVar(&scope.Recount, "recount", false, "ask for the placed orders of each, whatever its upcoming order says")
	f.BoolVarP(&verbose, "verbose", "v", false, "a line for each subscription that was found")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.IntVar(&o.perMinute, "requests-per-minute", besidePerMinute, "API calls a minute; the default leaves a running service its own")
	f.StringVar(&o.logLevel, "log-level", "error", "debug, info, warn or error")
	return cmd
}

// reconciled is what a run of the command did.
type reconciled struct {
	cancelapp.Report
	scope     cancelapp.Scope
	calls     int64
	took      time.Duration
	after     map[string]counter.Known // what was found, by subscription, as it is now
	attention int                      // subscriptions that need a person
}

// reconcile compares and, but for a dry run, waits until what was found is at its level. The report is nil where nothing was
// compared.
func (b beside) reconcile(ctx context.Context, scope cancelapp.Scope, tell func(string)) (*reconciled, error) {
	start := time.Now()
	report, err := b.inTurn(ctx, scope, tell)
	if err != nil && report.Took == 0 {
		return nil, err
	}
	r := &reconciled{Report: report, scope: scope, after: map[string]counter.Known{}}
	if !scope.DryRun && len(report.Findings) > 0 && ctx.Err() == nil {
		ids := make([]string, len(report.Findings))
		for i, f := range report.Findings {
			ids[i] = f.Subscription
		}
		known, failed := b.app.Repair(ctx, ids, func(left int) {
			tell(fmt.Sprintf("found %d, %d of them still to repair", len(ids), left))
		})
		for _, k := range known {
			r.after[k.Subscription] = k
		}
		err = errors.Join(err, failed)
	}
	tell("")
	waiting, failed := b.store.Subscriptions(context.WithoutCancel(ctx), counter.Attention)
	r.attention, r.calls, r.took = len(waiting), b.client.Sent(), time.Since(start)
	return r, errors.Join(err, failed)
}

// inTurn waits until nobody else compares, for a while, and then does.
func (b beside) inTurn(ctx context.Context, scope cancelapp.Scope, tell func(string)) (cancelapp.Report, error) {
	for until := time.Now().Add(othersMayTake); ; {
		report, err := b.app.Reconcile(ctx, scope, func(r cancelapp.Report) {
			tell(fmt.Sprintf("compared %d, found %d", r.Listed, len(r.Findings)))
		})
		if !errors.Is(err, cancelapp.ErrReconciling) || time.Now().After(until) {
			return report, err
		}
		tell("another reconciliation is under way; waiting for it")
		select {
		case <-ctx.Done():
			return report, err
		case <-time.After(time.Second):
		}
	}
}

// othersMayTake is how long another reconciliation is waited for; one that was killed holds its turn for less.
const othersMayTake = 5 * time.Minute

// repaired says whether a finding is one no more.
func (r *reconciled) repaired(f cancelapp.Finding) bool {
	page, known := r.after[f.Subscription]
	return known && page.Next == 0 && page.State != counter.Attention
}

// exit is nil, or the exit code with a sentence.
func (r *reconciled) exit(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return exit{1, "termed: interrupted; run it again and it goes on where it stopped"}
	case err != nil && !r.scope.DryRun:
		return fmt.Errorf("%w; run it again and it goes on where it stopped", err)
	case err != nil:
		return err
	case r.Unreadable > 0:
		return exit{1, fmt.Sprintf("termed: %d entries of Ordergroove's lists could not be read", r.Unreadable)}
	case r.scope.DryRun && len(r.Findings) > 0:
		return exit{3, ""}
	case r.scope.DryRun:
		return nil
	}
	for _, f := range r.Findings {
		if !r.repaired(f) {
			return exit{1, ""}
		}
	}
	return nil
}

func (r *reconciled) print(out io.Writer, verbose bool) {
	what := "everything"
	if name := r.scope.String(); name != "all" {
		what = "what was " + name
		if r.scope.Since == "" {
			what = name
		}
	}
	resumed := ""
	if r.Resumed {
		resumed = ", from where it was interrupted"
	}
	fmt.Fprintf(out, "compared %s with Ordergroove%s: %s, %s, %.1f s\n", what, resumed,
		plural(r.Listed, "subscription"), plural(int(r.calls), "API call"), r.took.Seconds())
	if verbose {
		for _, f := range r.Findings {
			fmt.Fprintf(out, "%s  %s  %s: %s → %s\n", f.Subscription, f.SKU, f.Kind, f.Why, r.outcome(f))
		}
	}
	switch {
	case len(r.Findings) == 0:
		fmt.Fprintln(out, "there is nothing to do")
	case r.scope.DryRun:
		fmt.Fprintln(out, r.table("to do").Render())
		fmt.Fprintln(out, "this was a dry run: nothing was changed")
	default:
		fmt.Fprintln(out, r.table("repaired", "not yet").Render())
	}
	if r.attention > 0 {
		fmt.Fprintf(out, "%d of all need a person: termed subscriptions list --state attention\n", r.attention)
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// table counts the findings by kind, the worst first.
func (r *reconciled) table(columns ...any) table.Writer {
	t := newTable(append([]any{"found"}, columns...)...)
	for _, kind := range cancelapp.Kinds {
		all, done := 0, 0
		for _, f := range r.Findings {
			if f.Kind == kind {
				all++
			}
			if f.Kind == kind && r.repaired(f) {
				done++
			}
		}
		switch {
		case all == 0:
		case r.scope.DryRun:
			t.AppendRow(table.Row{kind, all})
		default:
			t.AppendRow(table.Row{kind, done, all - done})
		}
	}
	return t
}

// outcome says what became of a finding, or would.
func (r *reconciled) outcome(f cancelapp.Finding) string {
	page, words := f.After, cancelapp.Words(f.Would)
	if !r.scope.DryRun {
		page, words = r.after[f.Subscription].Ledger, ""
	}
	text := fmt.Sprintf("%s, %s", page.State, page.Show())
	if words != "" {
		text = words + "; " + text
	}
	if page.Reason != "" {
		text += " (" + page.Reason + ")"
	}
	if !r.scope.DryRun && !r.repaired(f) && page.State != counter.Attention {
		text += " (not repaired yet; the service goes on trying)"
	}
	return text
}

func (r *reconciled) json(out io.Writer) error {
	type row struct {
		Subscription string         `json:"subscription"`
		SKU          string         `json:"sku"`
		Kind         cancelapp.Kind `json:"kind"`
		Why          string         `json:"why"`
		Outcome      string         `json:"outcome"`
		State        counter.State  `json:"state"`
		Repaired     bool           `json:"repaired"`
	}
	rows := []row{}
	for _, f := range r.Findings {
		state := f.After.State
		if !r.scope.DryRun {
			state = r.after[f.Subscription].State
		}
		rows = append(rows, row{f.Subscription, f.SKU, f.Kind, f.Why, r.outcome(f), state, r.repaired(f)})
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{
		"scope": r.scope.String(), "dry_run": r.scope.DryRun, "compared": r.Listed, "asked_for_orders": r.Asked, "unreadable": r.Unreadable,
		"resumed": r.Resumed, "api_calls": r.calls, "seconds": r.took.Seconds(), "need_a_person": r.attention, "found": rows,
	})
}

// progressOn tells, on a terminal, how far the work is, on one line; "" clears it. It tells at most ten times a second.
func progressOn(out io.Writer) func(string) {
	if !isTerminal(out) {
		return func(string) {}
	}
	last := time.Time{}
	return func(text string) {
		if text != "" && time.Since(last) < 100*time.Millisecond {
			return
		}
		last = time.Now()
		fmt.Fprintf(out, "\r\x1b[K%s", text)
	}
}
