package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/agent"
)

func applyCommand(env environment) *cobra.Command {
	e := &bulkEdit{reason: "the configuration was applied"}
	cmd := &cobra.Command{
		Use:   "apply [--term TERM] [--ids FILE]",
		Short: "Give running subscriptions the length that their term has in the configuration",
		Long: `Gives running subscriptions the length that their term has in the configuration; termed plan shows
which, and what follows. Shipments that were added to or taken from a single subscription stay so.

This is a dry run unless you add --yes.

Exit code: 0 done, or nothing to do; 3 something would change (dry run); 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSession(cmd.Context(), env, e.sessionOptions, func(s session) error {
				return s.apply(cmd.Context(), env, e)
			})
		},
	}
	configFlag(cmd, &e.configPath)
	e.flags(cmd, env)
	return cmd
}

// apply edits the subscriptions of the plan, or those of them that the flags select.
func (s session) apply(ctx context.Context, env environment, e *bulkEdit) error {
	p, err := s.plan(ctx)
	if err != nil {
		return err
	}
	var terms []string
	for _, term := range p.terms {
		terms = append(terms, term.Name)
	}
	if err := checkName("term", e.term, terms); err != nil {
		return err
	}
	selected := map[string]bool{}
	if e.file != "" {
		ids, err := readIDs(e.file, env.stdin)
		if err != nil {
			return err
		}
		for _, id := range ids {
			selected[id] = true
		}
	}
	var ids []string
	for _, c := range p.changes {
		inTerm := e.term == "" || e.term == c.term.Name
		inFile := e.file == "" || selected[c.before.ID]
		if inTerm && inFile {
			ids = append(ids, c.before.ID)
		}
	}
	if len(ids) == 0 && !e.asJSON {
		fmt.Fprintln(env.stdout, "nothing to do")
		return nil
	}
	e.Edit = agent.ApplyTerm(s.terms)
	return e.do(ctx, s, env, ids)
}
