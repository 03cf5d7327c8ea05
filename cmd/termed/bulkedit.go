package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// bulkEdit is one change that an operator makes to one or many subscriptions.
type bulkEdit struct {
	sessionOptions
	id     string // one subscription,
	term   string // or all of a term,
	file   string // or those that a file lists,
	all    bool   // or all that it is for
	dryRun bool
	yes    bool
	asJSON bool
	by     string
	reason string

	confirm bool                            // one subscription needs --yes, too
	needs   func(counter.Subscription) bool // which it is for; default all that are running

	agent.Edit
	// inSession prepares an edit that depends on the configuration; default nothing.
	inSession func(session)
}

// flags adds the flags that every edit has.
func (e *bulkEdit) flags(cmd *cobra.Command, env environment) {
	e.sessionOptions.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&e.term, "term", "", "the subscriptions of this term")
	f.StringVar(&e.file, "ids", "", "the subscriptions in this file, one ID a line; - is standard input")
	f.BoolVar(&e.yes, "yes", false, "apply the change to several subscriptions; without it this is a dry run")
	f.BoolVar(&e.dryRun, "dry-run", false, "show what would change, and change nothing")
	f.StringVar(&e.by, "by", operator(env), "who makes the change, for the journal")
	f.StringVar(&e.reason, "reason", e.reason, "why, for the journal")
	jsonFlag(cmd, &e.asJSON)
}

// operator is the name of the user, as far as the environment tells.
func operator(env environment) string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME", "USERNAME"} {
		if who, ok := env.lookup(name); ok && who != "" {
			return who
		}
	}
	return "operator"
}

// isDryRun says whether nothing is to be changed: several subscriptions are only changed with --yes.
func (e *bulkEdit) isDryRun() bool {
	return e.dryRun || (e.id == "" || e.confirm) && !e.yes
}

// run checks the flags, finds the subscriptions and edits them.
func (e *bulkEdit) run(ctx context.Context, env environment, args []string) error {
	if len(args) == 1 {
		e.id = args[0]
	}
	given := 0
	for _, selector := range []string{e.id, e.term, e.file} {
		if selector != "" {
			given++
		}
	}
	if e.all {
		given++
	}
	if given != 1 {
		choices := "name one subscription, or use --term TERM or --ids FILE"
		if e.confirm {
			choices = "name one subscription, or use --term TERM, --ids FILE or --all"
		}
		return exit{exitUsage, choices}
	}
	if e.reason == "" {
		return exit{exitUsage, "missing --reason TEXT; the journal records it"}
	}
	return withSession(ctx, env, e.sessionOptions, func(s session) error {
		if e.inSession != nil {
			e.inSession(s)
		}
		ids, err := e.ids(ctx, s, env.stdin)
		if err != nil {
			return err
		}
		return e.do(ctx, s, env, ids)
	})
}

func (e *bulkEdit) ids(ctx context.Context, s session, stdin io.Reader) ([]string, error) {
	switch {
	case e.id != "":
		id, err := resolve(ctx, s.store, e.id)
		return []string{id}, err
	case e.file != "":
		return readIDs(e.file, stdin)
	}
	var all int
	var chosen []ledger.Subscription
	err := s.store.Each(ctx, store.Query{Term: e.term}, func(sub ledger.Subscription) error {
		all++
		if e.isFor(sub.Subscription) {
			chosen = append(chosen, sub)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(chosen) // those first recorded first
	slices.SortStableFunc(chosen, bySoonestOrder)
	var ids []string
	for _, sub := range chosen {
		ids = append(ids, sub.ID)
	}
	if all == 0 {
		if err := checkFilter(ctx, s.store, s.config, store.Filter{Term: e.term}); err != nil {
			return nil, err
		}
	}
	if len(ids) == 0 && !e.confirm {
		return nil, exit{exitError, fmt.Sprintf(
			"the term %q has no subscriptions to change; `termed subscriptions list` shows all", e.term)}
	}
	return ids, nil
}

// isFor says whether the edit is for a subscription that was not named.
func (e *bulkEdit) isFor(sub counter.Subscription) bool {
	if e.needs != nil {
		return e.needs(sub)
	}
	return sub.State != counter.Released && sub.State != counter.Completed
}

// bySoonestOrder sorts those first whose next order is placed first; where none is known, they come last.
func bySoonestOrder(a, b ledger.Subscription) int {
	place := func(s ledger.Subscription) int64 {
		if s.PendingExtraPlace == 0 {
			return math.MaxInt64
		}
		return s.PendingExtraPlace
	}
	return cmp.Compare(place(a), place(b))
}

// readIDs reads a file of IDs, one a line. The rest of a line is a note, and lines that begin with # are comments.
func readIDs(path string, stdin io.Reader) ([]string, error) {
	from := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	var ids []string
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			ids = append(ids, words[0])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(ids) == 0 {
		return nil, exit{exitUsage, path + " contains no IDs; write one a line"}
	}
	return ids, nil
}

// edit is what became of one subscription.
type edit struct {
	id            string
	before, after counter.Subscription
	err           error
}

func (e edit) changes() bool {
	return e.err == nil && counter.Changed(e.before.Enrollment, e.after.Enrollment)
}

// do edits the subscriptions one by one, waits until those that changed are in sync with Ordergroove, and reports on
// each.
func (e *bulkEdit) do(ctx context.Context, s session, env environment, ids []string) error {
	progress, pace := progressOn(env.stderr), newPace(len(ids))
	edits := make([]edit, 0, len(ids))
	var changed []string
	for i, id := range ids {
		progress(pace.after(i+1, time.Now()))
		one := e.edit(ctx, s.store, id)
		if one.err != nil && ctx.Err() != nil {
			return exit{exitError, fmt.Sprintf(
				"termed: interrupted after %d of %d; run the command again to continue", i, len(ids))}
		}
		edits = append(edits, one)
		if one.changes() {
			changed = append(changed, id)
		}
	}
	synced := map[string]ledger.Subscription{}
	if !e.isDryRun() && len(changed) > 0 {
		syncing := newPace(len(changed))
		known, err := s.reconciler.Repair(ctx, changed, func(left int) {
			progress("synced " + syncing.after(len(changed)-left, time.Now()))
		})
		if err != nil {
			return err
		}
		for _, k := range known {
			synced[k.ID] = k
		}
	}
	progress("")
	return e.report(env.stdout, edits, len(changed), synced)
}

// edit changes one subscription, or finds out what that would change. It waits for a sync in progress.
func (e *bulkEdit) edit(ctx context.Context, s *store.Store, id string) edit {
	if e.isDryRun() {
		sub, err := s.Subscription(ctx, id)
		one := edit{id: id, before: sub.Subscription, err: err}
		if err == nil {
			one.after, one.err = e.Change(sub.Subscription)
		}
		return one
	}
	before, after, err := e.Do(ctx, s, id, e.by, e.reason)
	if errors.Is(err, counter.ErrRefused) {
		sub, failed := s.Subscription(ctx, id) // to show what it is that cannot be changed
		return edit{id: id, before: sub.Subscription, err: errors.Join(err, failed)}
	}
	return edit{id, before, after, err}
}

// report prints what became of each edit, and returns the exit code.
func (e *bulkEdit) report(out io.Writer, edits []edit, changed int, synced map[string]ledger.Subscription) error {
	failed, waiting := 0, 0
	lines := make([]editJSON, len(edits))
	for i, one := range edits {
		lines[i] = e.line(one, synced)
		switch {
		case one.err != nil:
			failed++
		case !lines[i].Done:
			waiting++
		}
	}
	if e.asJSON {
		result := bulkEditJSON{DryRun: e.isDryRun(), Changed: changed, Subscriptions: lines}
		if err := printJSON(out, result); err != nil {
			return err
		}
	} else {
		e.print(out, edits, lines)
		e.printSum(out, edits, changed, waiting)
	}
	switch {
	case failed > 0 || waiting > 0:
		return exit{exitError, ""}
	case e.isDryRun() && changed > 0:
		return exit{exitPending, ""}
	}
	return nil
}

func (e *bulkEdit) line(one edit, synced map[string]ledger.Subscription) editJSON {
	line := editJSON{termJSON: termJSON{Subscription: one.id}, What: e.What}
	if one.before.ID != "" {
		line.termJSON = termOf(one.before)
	}
	if one.err == nil {
		line.Before = e.Show(one.before)
		line.After = e.Show(one.after)
	}
	line.Result, line.Done = e.result(one, synced)
	return line
}

func (e *bulkEdit) print(out io.Writer, edits []edit, lines []editJSON) {
	if len(edits) == 0 {
		return
	}
	t := newTable("subscription", "term", "shipments made", e.What, "result")
	for i, line := range lines {
		shipments, change := "", ""
		if edits[i].before.ID != "" {
			shipments = edits[i].before.Progress()
		}
		if edits[i].err == nil {
			change = line.Before + " → " + line.After
		}
		t.AppendRow(table.Row{line.Subscription, line.Term, shipments, change, line.Result})
	}
	fmt.Fprintln(out, t.Render())
}

func (e *bulkEdit) printSum(out io.Writer, edits []edit, changed, waiting int) {
	all := len(edits)
	if e.isDryRun() && e.What == "approval" {
		for _, line := range approvalSum(edits) {
			fmt.Fprintln(out, line)
		}
	}
	switch {
	case e.isDryRun() && changed > 0:
		fmt.Fprintf(out, "dry run: nothing was changed, %d of %d would be; to apply: %s\n", changed, all, e.hint())
	case e.isDryRun():
		fmt.Fprintln(out, "nothing to do")
	default:
		fmt.Fprintf(out, "%d of %d changed\n", changed, all)
	}
	if waiting > 0 {
		fmt.Fprintf(out, "%s not in sync yet; the service will retry\n", plural(waiting, "subscription"))
	}
}

// hint says which flags turn this dry run into the real one.
func (e *bulkEdit) hint() string {
	switch {
	case e.dryRun && (e.id != "" || e.yes):
		return "without --dry-run"
	case e.dryRun:
		return "--yes instead of --dry-run"
	}
	return "--yes"
}

// result says what became of an edit, and whether nothing is left to do for it.
func (e *bulkEdit) result(one edit, synced map[string]ledger.Subscription) (string, bool) {
	now, known := synced[one.id]
	switch {
	case errors.Is(one.err, ledger.ErrUnknown):
		return "not enrolled", false
	case one.err != nil:
		text := one.err.Error()
		if _, why, ok := strings.Cut(text, counter.ErrRefused.Error()+": "); ok {
			text = "refused: " + why
		}
		return text, false
	case !one.changes():
		return "no change", true
	case !known && one.after.IsReleasing():
		return "released", true
	case !known && one.before.ClosedAs == counter.ClosedReleased:
		return "enrolled again, and recounted", true
	case !known && one.after.Remaining() == 0:
		return "complete at once", true
	case !known:
		return fmt.Sprintf("%d remaining", one.after.Remaining()), true
	}
	text := stateText(now.State)
	if now.State != counter.Released {
		text += ", " + now.Progress()
	}
	if now.Reason != "" && now.State != counter.Released {
		text += ": " + now.Reason
	}
	return text, now.Due == 0 && now.State != counter.Attention
}
