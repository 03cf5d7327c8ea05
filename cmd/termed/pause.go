package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

func pauseCommand(env environment) *cobra.Command {
	var path string
	var p ledger.Pause
	cmd := &cobra.Command{
		Use:   "pause --reason TEXT",
		Short: "Pause all changes at Ordergroove, of every service on the database",
		Long: `Pauses all changes at Ordergroove at once, for every service and command on the database, until termed resume;
a restart does not end it. Webhooks are received and orders are counted all the same, and the journal says what
would have been changed. A call that is being made when the pause begins is not taken back.

Exit code: 0 paused, also if it was before; 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.Reason == "" {
				return exit{exitUsage, "missing --reason TEXT; the journal records it"}
			}
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				p.Since = time.Now().UnixMilli()
				began, err := s.Pause(cmd.Context(), p)
				if err != nil {
					return err
				}
				if began {
					fmt.Fprintln(env.stdout, "all changes at Ordergroove are paused; to continue, run: termed resume")
					return nil
				}
				now, err := s.Brake(cmd.Context())
				if err == nil {
					fmt.Fprintf(env.stdout, "paused already, %s; to continue, run: termed resume\n", pauseText(now.Pause))
				}
				return err
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&p.Reason, "reason", "", "why, for the journal")
	cmd.Flags().StringVar(&p.Actor, "by", operator(env), "who pauses, for the journal")
	return cmd
}

func resumeCommand(env environment) *cobra.Command {
	var path string
	var p ledger.Pause
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End a pause: what was held back is changed now",
		Long: `Ends a pause of all changes at Ordergroove. What was held back is synced at once, with what is true by then.

Exit code: 0 changes continue, also if there was no pause; 1 error; 2 usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), path, env, store.Manual, func(s *store.Store) error {
				p.Since = time.Now().UnixMilli()
				was, err := s.Resume(cmd.Context(), p)
				switch {
				case err != nil:
					return err
				case was.Since == 0:
					fmt.Fprintln(env.stdout, "there is no pause")
				default:
					fmt.Fprintf(env.stdout, "changes at Ordergroove continue; the pause was %s\n", pauseText(was))
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&p.Reason, "reason", "resumed", "why, for the journal")
	cmd.Flags().StringVar(&p.Actor, "by", operator(env), "who resumes, for the journal")
	return cmd
}

func pauseText(p ledger.Pause) string {
	return fmt.Sprintf("since %s by %s: %s", stamp(p.Since), p.Actor, p.Reason)
}
