package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

func planCommand(env environment) *cobra.Command {
	o := besideOptions{perMinute: besidePerMinute, logLevel: "error", lookOnly: true}
	var verbose bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say what an edited configuration would do to subscriptions that are under way",
		Long: `A subscription keeps the length that its term had when it started. plan says, term by term, whose length is
another in the configuration: how many, from what to what, and who would be complete at once. termed apply gives it to them.
What happens at the end, reasons, names and members are the configuration's for all, as soon as a service has read it.

Exit code: 0 nothing to do; 3 something to do; 1 trouble.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withApp(cmd.Context(), env, o, func(b beside) error {
				p, err := b.plan(cmd.Context())
				if err != nil {
					return err
				}
				p.print(env.stdout, verbose)
				if len(p.changes) > 0 {
					return exit{3, ""}
				}
				return nil
			})
		},
	}
	configFlag(cmd, &o.path)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "a line for each subscription")
	return cmd
}

func applyCommand(env environment) *cobra.Command {
	w := &wish{what: "length", show: length, reason: "the configuration was applied"}
	var path, term string
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Give subscriptions that are under way the length that their term has in the configuration",
		Long: `Gives running subscriptions the length that their term has in the configuration; termed plan says which, and
what comes of it. What was added to one, or taken from it, on its own account stays.

Exit code: 0 done, or nothing to do; 3 something would be done (--dry-run); 1 trouble.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w.path, w.lookOnly = path, w.dryRun
			return withApp(cmd.Context(), env, w.besideOptions, func(b beside) error {
				p, err := b.plan(cmd.Context())
				if err != nil {
					return err
				}
				if term != "" && !slices.ContainsFunc(p.terms, func(t counter.Term) bool { return t.Name == term }) {
					return exit{2, fmt.Sprintf("no term is called %q", term)}
				}
				only := map[string]bool{}
				if w.list != "" {
					ids, err := readIDs(w.list, env.stdin)
					if err != nil {
						return err
					}
					for _, id := range ids {
						only[id] = true
					}
				}
				var ids []string
				for _, c := range p.changes {
					if (term == "" || c.term.Name == term) && (w.list == "" || only[c.page.Subscription]) {
						ids = append(ids, c.page.Subscription)
					}
				}
				if len(ids) == 0 {
					fmt.Fprintln(env.stdout, "there is nothing to do")
					return nil
				}
				w.change = func(l counter.Ledger) (counter.Ledger, error) {
					term, ok := b.terms.Of(l.SKU)
					if !ok {
						return l, fmt.Errorf("%w: its product belongs to no term", counter.ErrRefused)
					}
					return counter.Apply(l, term)
				}
				return w.do(cmd.Context(), b, env, ids)
			})
		},
	}
	configFlag(cmd, &path)
	w.flags(cmd, env)
	cmd.Flags().StringVar(&term, "term", "", "only those of this term")
	return cmd
}

// plan is what a configuration would change.
type plan struct {
	terms   []counter.Term
	changes []planned
	left    map[string]int // subscriptions under way of a term that is none any more
}

// planned is one subscription whose term is of another length by now.
type planned struct {
	page, after counter.Ledger
	term        counter.Term
}

func (b beside) plan(ctx context.Context) (plan, error) {
	pages, err := b.store.Subscriptions(ctx, "")
	if err != nil {
		return plan{}, err
	}
	p := plan{terms: termsOf(b.config), left: map[string]int{}}
	for _, page := range pages {
		p.add(b.terms, page)
	}
	slices.SortStableFunc(p.changes, func(a, b planned) int { return cmp.Compare(a.term.Name, b.term.Name) })
	return p, nil
}

func (p *plan) add(terms counter.Terms, page store.Subscription) {
	term, ok := terms.Of(page.SKU)
	under := page.State == counter.Active || page.State == counter.Completing || page.State == counter.Attention
	if !ok && under {
		p.left[page.Term]++
	}
	if !ok || page.Fresh() { // what is fresh takes its length at the first look
		return
	}
	after, err := counter.Apply(page.Ledger, term)
	if err == nil && after.Due != page.Due {
		p.changes = append(p.changes, planned{page.Ledger, after, term})
	}
}

func (p plan) print(out io.Writer, verbose bool) {
	for _, name := range sortedKeys(p.left) {
		fmt.Fprintf(out, "%s: no term is called so any more; %s keep what they started with\n", name, plural(p.left[name], "subscription"))
	}
	if len(p.changes) == 0 {
		fmt.Fprintln(out, "there is nothing to do: what is under way is as long as its term")
		return
	}
	t := newTable("term", "shipments in all", "subscriptions", "complete at once")
	for _, g := range p.groups() {
		t.AppendRow(table.Row{g.term, fmt.Sprintf("%d → %d", g.before, g.after), g.all, g.complete})
	}
	fmt.Fprintln(out, t.Render())
	if verbose {
		for _, c := range p.changes {
			then := fmt.Sprintf("the last is its %s, with %d to go", ordinal(c.after.Length()), c.after.Remaining())
			if c.after.Remaining() == 0 {
				then = "complete at once"
			}
			fmt.Fprintf(out, "%s  %s  %d made of %d → of %d: %s\n", c.page.Subscription, c.term.Name, c.page.Boxes(), c.page.Length(), c.after.Length(), then)
		}
	}
	fmt.Fprintln(out, "nothing was changed; they keep what they started with unless you run: termed apply")
}

type group struct {
	term          string
	before, after int
	all, complete int
}

// groups counts the changes that are alike.
func (p plan) groups() []group {
	var groups []group
	for _, c := range p.changes {
		g := group{term: c.term.Name, before: c.page.Length(), after: c.after.Length()}
		i := slices.IndexFunc(groups, func(o group) bool { return o.term == g.term && o.before == g.before && o.after == g.after })
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

func ordinal(n int) string {
	ending := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			ending = "st"
		case 2:
			ending = "nd"
		case 3:
			ending = "rd"
		}
	}
	return fmt.Sprint(n, ending)
}

func sortedKeys(counts map[string]int) []string {
	var keys []string
	for key := range counts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
