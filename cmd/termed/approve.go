package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/counter"
)

func approveCommand(env environment) *cobra.Command {
	e := &bulkEdit{
		Edit:    agent.Approve(),
		needs:   counter.NeedsApproval,
		reason:  "approved",
		confirm: true,
	}
	var path string
	var release bool
	cmd := &cobra.Command{
		Use:   "approve ID | --term TERM | --ids FILE | --all  [--release] --yes",
		Short: "Let subscriptions be ended that ran before their SKU was listed, or that the throttle holds back",
		Long: `A subscription that ran before its SKU was listed in termed.yaml, and that nobody counted, is written and
ended only once it is approved; so is one whose end observe mode held back. Until then its orders are counted.
An end that nobody saw coming waits for the throttle (brake in termed.yaml), unless it is approved.

approve lets them be written and ended: those that are complete are hidden and canceled at once, which cannot
be undone. With --release they are left alone for good instead: termed stops counting them.

This is a dry run unless you add --yes. Those whose next order is placed first come first.

Exit code: 0 done, or nothing to do; 3 something would change (dry run); 1 error, or a change was refused; 2 usage.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.configPath = path
			if release {
				e.Edit = agent.Release()
			}
			return e.run(cmd.Context(), env, args)
		},
	}
	configFlag(cmd, &path)
	e.flags(cmd, env)
	cmd.Flags().BoolVar(&e.all, "all", false, "all subscriptions that need approval")
	cmd.Flags().BoolVar(&release, "release", false, "leave them alone for good: termed stops counting them")
	return cmd
}

// approvalSum says in a sentence for each term what the approval ends now, and later.
func approvalSum(edits []edit) []string {
	type sum struct{ now, later int }
	sums := map[string]sum{}
	for _, one := range edits {
		if !one.changes() {
			continue
		}
		s := sums[one.before.Term]
		if one.after.Remaining() == 0 {
			s.now++
		} else {
			s.later++
		}
		sums[one.before.Term] = s
	}
	var lines []string
	for _, term := range sortedKeys(sums) {
		lines = append(lines, fmt.Sprintf("%s: %d would end now, %d later", term, sums[term].now, sums[term].later))
	}
	return lines
}
