package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

// heldFor is how long a look that is under way is waited for; its lease is shorter.
const heldFor = 40 * time.Second

// wish is what an operator wants of some subscriptions.
type wish struct {
	besideOptions
	one    string // subscription
	allOf  string // term
	list   string // file of ids
	dryRun bool
	yes    bool
	by     string
	reason string

	what   string // for the journal
	change func(counter.Ledger) (counter.Ledger, error)
	show   func(counter.Ledger) string // what it changes, before and after
}

// flags are the same for every wish.
func (w *wish) flags(cmd *cobra.Command, env environment) {
	f := cmd.Flags()
	f.StringVar(&w.list, "ids", "", "those in this file, an id a line; - is the standard input")
	f.BoolVar(&w.dryRun, "dry-run", false, "say what would be, and change nothing")
	f.StringVar(&w.by, "by", operator(env), "who wants it, for the journal")
	f.IntVar(&w.perMinute, "requests-per-minute", besidePerMinute, "API calls a minute; the default leaves a running service its own")
	f.StringVar(&w.logLevel, "log-level", "error", "debug, info, warn or error")
}

// operator is who is at the keyboard.
func operator(env environment) string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME", "USERNAME"} {
		if who, ok := env.lookup(name); ok && who != "" {
			return who
		}
	}
	return "operator"
}

func setCommand(env environment, path *string) *cobra.Command {
	w := &wish{what: "length", show: length}
	var shipments int
	cmd := &cobra.Command{
		Use:   "set ID --shipments N --reason TEXT | --all-of TERM … | --ids FILE …",
		Short: "Make subscriptions last another number of shipments",
		Long: `Makes a subscription last N shipments in all, the checkout's included. Never fewer than were made: just as
many means that it is complete now, and is ended. Several at once (--all-of, --ids) are a dry run first; --yes does it.

Exit code: 0 done; 3 something would be done (a dry run); 1 trouble, or one was refused.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if shipments == 0 {
				return exit{2, "say how many: --shipments N"}
			}
			w.change = func(l counter.Ledger) (counter.Ledger, error) { return counter.Resize(l, shipments) }
			return w.run(cmd.Context(), env, *path, args)
		},
	}
	cmd.Flags().IntVar(&shipments, "shipments", 0, "shipments in all")
	w.chosen(cmd, env)
	return cmd
}

func releaseCommand(env environment, path *string) *cobra.Command {
	w := &wish{what: "release", change: counter.LetGo, show: func(l counter.Ledger) string {
		if l.Exempt != "" {
			return "to be released"
		}
		return string(l.State)
	}}
	cmd := &cobra.Command{
		Use:   "release ID --reason TEXT | --all-of TERM … | --ids FILE …",
		Short: "Take subscriptions out of their terms: they go on until somebody cancels them",
		Long: `Takes our members out of a subscription's extra_data, leaves everything else there as it is, and counts it no
more: nothing ends it. It stays so while its product belongs to the term. Several at once (--all-of, --ids) are a dry run
first; --yes does it.

Exit code: 0 done; 3 something would be done (a dry run); 1 trouble, or one was refused.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return w.run(cmd.Context(), env, *path, args) },
	}
	w.chosen(cmd, env)
	return cmd
}

// chosen are the flags of a wish about subscriptions that are named.
func (w *wish) chosen(cmd *cobra.Command, env environment) {
	w.flags(cmd, env)
	f := cmd.Flags()
	f.StringVar(&w.allOf, "all-of", "", "all of this term")
	f.BoolVar(&w.yes, "yes", false, "of several: do it")
	f.StringVar(&w.reason, "reason", "", "why, for the journal")
}

func length(l counter.Ledger) string { return fmt.Sprint(l.Length()) }

// run checks what was asked for and does it.
func (w *wish) run(ctx context.Context, env environment, path string, args []string) error {
	if len(args) == 1 {
		w.one = args[0]
	}
	given := 0
	for _, way := range []string{w.one, w.allOf, w.list} {
		if way != "" {
			given++
		}
	}
	if given != 1 {
		return exit{2, "name one subscription, or --all-of a term, or --ids in a file"}
	}
	if w.reason == "" {
		return exit{2, "say why: --reason TEXT; the journal keeps it"}
	}
	if w.one == "" && !w.yes {
		w.dryRun = true
	}
	w.path, w.lookOnly = path, w.dryRun
	return withApp(ctx, env, w.besideOptions, func(b beside) error {
		ids, err := w.ids(ctx, b.store, env.stdin)
		if err != nil {
			return err
		}
		return w.do(ctx, b, env, ids)
	})
}

// ids are the subscriptions that it is about.
func (w *wish) ids(ctx context.Context, s *store.Store, stdin io.Reader) ([]string, error) {
	switch {
	case w.one != "":
		return []string{w.one}, nil
	case w.list != "":
		return readIDs(w.list, stdin)
	}
	all, err := s.Subscriptions(ctx, "")
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, page := range all {
		if page.Term == w.allOf && page.State != counter.Released && page.State != counter.Completed {
			ids = append(ids, page.Subscription)
		}
	}
	if len(ids) == 0 {
		return nil, exit{1, fmt.Sprintf("no subscription is under the term %q", w.allOf)}
	}
	return ids, nil
}

// readIDs reads a file of ids: one a line, with room for notes after it and lines that begin with #.
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
		return nil, exit{2, path + " has no ids"}
	}
	return ids, nil
}

// amended is what became of a wish about one subscription.
type amended struct {
	id            string
	before, after counter.Ledger
	err           error
}

func (a amended) changes() bool { return a.err == nil && counter.Amended(a.before, a.after) }

// do goes through the subscriptions, waits until those that changed are at their level, and says what became of each.
func (w *wish) do(ctx context.Context, b beside, env environment, ids []string) error {
	tell := progressOn(env.stderr)
	all := make([]amended, 0, len(ids))
	var changed []string
	for i, id := range ids {
		tell(fmt.Sprintf("%d of %d", i+1, len(ids)))
		one := w.amend(ctx, b.store, id)
		if one.err != nil && ctx.Err() != nil {
			return exit{1, fmt.Sprintf("termed: interrupted after %d of %d; run it again, what is done is left as it is", i, len(ids))}
		}
		if all = append(all, one); one.changes() {
			changed = append(changed, id)
		}
	}
	now := map[string]counter.Known{}
	if !w.dryRun && len(changed) > 0 {
		known, err := b.app.Repair(ctx, changed, func(left int) { tell(fmt.Sprintf("changed %d, %d of them still on their way", len(changed), left)) })
		if err != nil {
			return err
		}
		for _, k := range known {
			now[k.Subscription] = k
		}
	}
	tell("")
	return w.report(env.stdout, all, len(changed), now)
}

func (w *wish) amend(ctx context.Context, s *store.Store, id string) amended {
	if w.dryRun {
		page, err := s.Subscription(ctx, id)
		one := amended{id: id, before: page.Ledger, err: err}
		if err == nil {
			one.after, one.err = w.change(page.Ledger)
		}
		return one
	}
	for until := time.Now().Add(heldFor); ; {
		before, after, err := s.Amend(ctx, store.Amendment{
			Subscription: id, At: time.Now().UnixMilli(), Change: w.change,
			Entry: func(before, after counter.Ledger) counter.Entry {
				return counter.Entry{Subscription: id, At: time.Now().UnixMilli(), Actor: w.by, What: w.what,
					Before: w.show(before), After: w.show(after), Reason: w.reason}
			},
		})
		if errors.Is(err, counter.ErrRefused) {
			page, failed := s.Subscription(ctx, id) // to show what it is that cannot be changed
			return amended{id: id, before: page.Ledger, err: errors.Join(err, failed)}
		}
		if !errors.Is(err, counter.ErrHeld) || time.Now().After(until) {
			return amended{id, before, after, err}
		}
		select {
		case <-ctx.Done():
			return amended{id: id, err: ctx.Err()}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (w *wish) report(out io.Writer, all []amended, changed int, now map[string]counter.Known) error {
	t := newTable("subscription", "term", "shipments made", w.what, "and then")
	failed, waiting := 0, 0
	for _, one := range all {
		shipments, what := one.before.Show(), ""
		if one.err == nil {
			what = w.show(one.before) + " → " + w.show(one.after)
		}
		then, ok := w.outcome(one, now)
		switch {
		case one.err != nil:
			failed++
			if one.before.Subscription == "" {
				shipments = ""
			}
		case !ok:
			waiting++
		}
		t.AppendRow(table.Row{one.id, one.before.Term, shipments, what, then})
	}
	fmt.Fprintln(out, t.Render())
	switch {
	case w.dryRun && changed > 0:
		hint := ""
		if w.one == "" {
			hint = "; to do it: --yes"
		}
		fmt.Fprintf(out, "this was a dry run: nothing was changed, %d of %d would be%s\n", changed, len(all), hint)
	case w.dryRun:
		fmt.Fprintln(out, "there is nothing to do")
	default:
		fmt.Fprintf(out, "%d of %d changed\n", changed, len(all))
	}
	if waiting > 0 {
		fmt.Fprintf(out, "%d not at their level yet; the service goes on trying\n", waiting)
	}
	switch {
	case failed > 0 || waiting > 0:
		return exit{1, ""}
	case w.dryRun && changed > 0:
		return exit{3, ""}
	}
	return nil
}

// outcome says what becomes of one, and whether it has come to it.
func (w *wish) outcome(one amended, now map[string]counter.Known) (string, bool) {
	page, known := now[one.id]
	switch {
	case errors.Is(one.err, store.ErrUnknown):
		return "not in the ledger", false
	case one.err != nil:
		text := one.err.Error()
		if _, why, ok := strings.Cut(text, counter.ErrRefused.Error()+": "); ok {
			text = "refused: " + why
		}
		return text, false
	case !one.changes():
		return "as it is already", true
	case !known && one.after.Exempt != "":
		return "released", true
	case !known && one.after.Remaining() == 0:
		return "complete at once", true
	case !known:
		return fmt.Sprintf("%d to go", one.after.Remaining()), true
	}
	text := string(page.State)
	if page.State != counter.Released {
		text += ", " + page.Show()
	}
	if page.Reason != "" && page.State != counter.Released {
		text += ": " + page.Reason
	}
	return text, page.Next == 0 && page.State != counter.Attention
}
