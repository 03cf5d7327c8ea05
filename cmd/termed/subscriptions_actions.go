package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// agentAction is one action that a person asks for from the command line, as an agent does at the console.
type agentAction struct {
	sessionOptions
	kind    ledger.ActionKind
	by      string
	code    int
	details string
	key     string
	yes     bool
	asJSON  bool
}

func cancelCommand(env environment, path *string) *cobra.Command {
	a := &agentAction{kind: ledger.ActionCancel}
	cmd := a.command(env, path, "Cancel a subscription at Ordergroove now, before its term is complete",
		`Cancels one subscription at Ordergroove now: no further order is placed. Only a subscription that is
active there can be canceled. Its enrollment ends as canceled by you, and the journal records it.

This is a dry run unless you add --yes.

Exit code: 0 done; 3 it would be canceled (dry run); 1 it was refused, or the outcome is unknown; 2 usage.`)
	cmd.Flags().IntVar(&a.code, "reason-code", 0, "Ordergroove's code of the cancel reason, for example 8: too expensive")
	cmd.Flags().StringVar(&a.details, "details", "", "details of the cancel reason")
	return cmd
}

func skipCommand(env environment, path *string) *cobra.Command {
	a := &agentAction{kind: ledger.ActionSkip}
	return a.command(env, path, "Skip the next order of a subscription",
		`Takes the items of one subscription off its next order. Ordergroove creates the order after it by the
subscription's frequency. The counter does not change: the term lasts as many shipments as before.

This is a dry run unless you add --yes.

Exit code: 0 done; 3 it would be skipped (dry run); 1 it was refused, or the outcome is unknown; 2 usage.`)
}

func (a *agentAction) command(env environment, path *string, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   string(a.kind) + " ID",
		Short: short,
		Long:  long,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.configPath = *path
			if a.code < 0 || a.code == 0 && a.details != "" {
				return exit{exitUsage, "--details needs --reason-code N; 1 is \"other\""}
			}
			return withSession(cmd.Context(), env, a.sessionOptions, func(s session) error {
				id, err := enrolledID(cmd.Context(), s.store, args[0])
				if err != nil {
					return err
				}
				if !a.yes {
					return a.preview(cmd.Context(), env, s, id)
				}
				return a.do(cmd.Context(), env, s, id)
			})
		},
	}
	a.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&a.yes, "yes", false, "do it; without it this is a dry run")
	f.StringVar(&a.by, "by", operator(env), "who does it, for the journal")
	f.StringVar(&a.key, "key", "", "idempotency key: the same command with the same key again is the same action")
	jsonFlag(cmd, &a.asJSON)
	return cmd
}

// reason is the cancel reason as Ordergroove takes it.
func (a *agentAction) reason() string {
	if a.code == 0 {
		return ""
	}
	return strconv.Itoa(a.code) + "|" + a.details
}

// preview says what would be done.
func (a *agentAction) preview(ctx context.Context, env environment, s session, id string) error {
	recorded, err := s.store.Subscription(ctx, id)
	if err != nil {
		return err
	}
	remote, err := s.app.API().Subscription(ctx, id)
	if err != nil {
		return err
	}
	if !remote.Live {
		return exit{exitError, fmt.Sprintf("termed: %s is not active at Ordergroove", id)}
	}
	orders, err := s.app.API().Orders(ctx, id, ordergroove.StatusUnsent)
	if err != nil {
		return err
	}
	order, place := cancelapp.NextOrder(orders)
	would := "it would be canceled at Ordergroove now"
	if a.kind == ledger.ActionSkip {
		would = "it would be taken off that order"
	}
	next := "no upcoming order"
	if order != "" {
		next = fmt.Sprintf("next order %s, %s", order, stamp(place))
	}
	fmt.Fprintf(env.stdout, "%s: %s shipments, %s; %s\nnothing was changed: add --yes to do it\n",
		id, recorded.Progress(), next, would)
	return exit{exitPending, ""}
}

func (a *agentAction) do(ctx context.Context, env environment, s session, id string) error {
	done, err := agent.New(s.app, s.store, agent.Options{}).Do(ctx, agent.Request{
		Key:          a.key,
		Subscription: id,
		Kind:         a.kind,
		Actor:        a.by,
		Reason:       a.reason(),
	})
	switch {
	case errors.Is(err, counter.ErrRefused), errors.Is(err, agent.ErrBusy):
		return exit{exitError, fmt.Sprintf("termed: %s: %s", id, strings.TrimPrefix(err.Error(), "refused: "))}
	case err != nil:
		return err
	}
	if a.asJSON {
		if err := printJSON(env.stdout, actionJSON(done)); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(env.stdout, actionText(done))
	}
	if done.Status != ledger.ActionDone {
		return exit{exitError, ""}
	}
	return nil
}

// actionText says in a sentence what became of an action.
func actionText(a ledger.Action) string {
	done := "canceled"
	if a.Kind == ledger.ActionSkip {
		done = "skipped order " + a.Order
	}
	switch a.Status {
	case ledger.ActionDone:
		return fmt.Sprintf("%s: %s", a.Subscription, done)
	case ledger.ActionFailed:
		return fmt.Sprintf("%s: not %s: %s", a.Subscription, done, a.Detail)
	}
	return fmt.Sprintf("%s: outcome unknown: Ordergroove did not answer within %s; nothing more is sent, and a running "+
		"service reads what became of it: see termed journal %s", a.Subscription, agent.Timeout.Round(time.Second),
		a.Subscription)
}
