package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/cancelapp/explain"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

func adjustmentsCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "adjustments",
		Short: "Change one order of a term before it ships: create, list and cancel schedule adjustments",
	}
	groupConfigFlag(cmd, &path)
	cmd.AddCommand(
		adjustmentsCreateCommand(env, &path),
		adjustmentsListCommand(env, &path),
		adjustmentsCancelCommand(env, &path),
	)
	return cmd
}

// newAdjustment is an adjustment that is asked for from the command line.
type newAdjustment struct {
	sessionOptions
	cycle        int
	shipment     int
	date         string
	action       string
	input        string
	sharedOrders bool
	by, key      string
	yes, asJSON  bool
}

func adjustmentsCreateCommand(env environment, path *string) *cobra.Command {
	n := &newAdjustment{}
	cmd := &cobra.Command{
		Use:   "create ID",
		Short: "Change one order of a subscription before it ships",
		Long: `Says which order of a subscription is meant, and what is to be done to it. It is done as soon as
Ordergroove has made that order. docs/adjustments.md has a sample of each action.

This is a dry run unless you add --yes.

Exit code: 0 recorded; 3 it would be recorded (dry run); 1 it was refused; 2 usage.`,
		Example: `  termed adjustments create ID --shipment 2 --action UPDATE_PRODUCTS \
    --input '{"lines":[{"lineId":"ID","variantId":"MINT"}]}'
  termed adjustments create ID --cycle 0 --action SKIP_ORDER --input '{"reason":"on holiday"}'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.configPath = *path
			spec, err := n.spec(cmd.Flags().Changed("cycle"))
			if err != nil {
				return exit{exitUsage, fmt.Sprintf("termed: %s", err)}
			}
			return withSession(cmd.Context(), env, n.sessionOptions, func(s session) error {
				id, err := enrolledID(cmd.Context(), s.store, args[0])
				if err != nil {
					return err
				}
				return n.create(cmd.Context(), env, s, id, spec)
			})
		},
	}
	n.flags(cmd)
	f := cmd.Flags()
	f.IntVar(&n.cycle, "cycle", 0, "the order: 0 is the next one to come, 1 the one after it, skipped ones included")
	f.IntVar(&n.shipment, "shipment", 0, "the order that will be this shipment of the term")
	f.StringVar(&n.date, "date", "", "the order of this date, YYYY-MM-DD; with --cycle both must hold")
	f.StringVar(&n.action, "action", "", "what is done to it, for example SKIP_ORDER")
	f.StringVar(&n.input, "input", "{}", "the input of the action, as JSON")
	f.BoolVar(&n.sharedOrders, "shared-orders", false, "also change an order that carries other subscriptions")
	f.BoolVar(&n.yes, "yes", false, "record it; without it this is a dry run")
	f.StringVar(&n.by, "by", operator(env), "who does it, for the journal")
	f.StringVar(&n.key, "key", "", "idempotency key: the same command with the same key again is the same adjustment")
	jsonFlag(cmd, &n.asJSON)
	return cmd
}

// spec is what the flags ask for, checked by the same schema as the API's.
func (n *newAdjustment) spec(byCycle bool) (schedule.Spec, error) {
	matcher := map[string]any{"type": schedule.Cycle}
	switch {
	case byCycle && n.date != "":
		matcher["type"] = schedule.CycleAndDate
	case n.date != "":
		matcher["type"] = schedule.Date
	case !byCycle && n.shipment == 0:
		return schedule.Spec{}, errors.New("which order? Write --cycle, --shipment or --date")
	}
	if byCycle {
		matcher["cycle"] = n.cycle
	}
	if n.shipment != 0 {
		matcher["shipment"] = n.shipment
	}
	if n.date != "" {
		matcher["date"] = n.date
	}
	if !json.Valid([]byte(n.input)) {
		return schedule.Spec{}, errors.New("--input is not JSON")
	}
	wanted := map[string]any{
		"matcher": matcher,
		"action":  map[string]any{"type": n.action, "input": json.RawMessage(n.input)},
	}
	if n.sharedOrders {
		wanted["shared_orders"] = "apply"
	}
	raw, err := json.Marshal(wanted)
	if err != nil {
		return schedule.Spec{}, err
	}
	return schedule.Parse(raw)
}

func (n *newAdjustment) create(ctx context.Context, env environment, s session, id string, spec schedule.Spec) error {
	a, err := agent.New(s.app, s.store, agent.Options{}).Adjust(ctx, agent.AdjustmentRequest{
		Key:          n.key,
		Subscription: id,
		Spec:         spec,
		Actor:        n.by,
		DryRun:       !n.yes,
	})
	if err := adjustmentError(id, err); err != nil {
		return err
	}
	if n.asJSON && n.yes {
		return printJSON(env.stdout, explain.AdjustmentOf(a, true))
	}
	order := "its order has not come yet"
	if a.Order != "" {
		order = "order " + a.Order
	}
	fmt.Fprintf(env.stdout, "%s: %s (%s): %s\n", id, spec.Matcher, order, spec.Action.String())
	if !n.yes {
		fmt.Fprintln(env.stdout, "nothing was recorded: add --yes to do it")
		return exit{exitPending, ""}
	}
	fmt.Fprintf(env.stdout, "recorded as %s; see termed adjustments list %s\n", a.ID, id)
	return nil
}

// adjustmentError is an error about an adjustment as the command line says it.
func adjustmentError(id string, err error) error {
	if _, invalid := errors.AsType[schedule.FieldErrors](err); invalid || errors.Is(err, counter.ErrRefused) ||
		errors.Is(err, agent.ErrBusy) || errors.Is(err, ledger.ErrUnknownAdjustment) ||
		errors.Is(err, ledger.ErrAdjustmentExists) {
		return exit{exitError, fmt.Sprintf("termed: %s: %s", id, strings.TrimPrefix(err.Error(), "refused: "))}
	}
	return err
}

func adjustmentsListCommand(env environment, path *string) *cobra.Command {
	var q store.AdjustmentQuery
	var status string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [ID]",
		Short: "List schedule adjustments, the newest first",
		Long: `Lists the adjustments of a subscription, or of all. --limit says how many at most; a list that was cut
says so.

Exit code: 0 success; 1 error; 2 usage.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Status = ledger.AdjustmentStatus(status)
			if !isStatus(q.Status) {
				return exit{exitUsage, fmt.Sprintf("termed: unknown status %q; write one of %v", status, ledger.AdjustmentStatuses)}
			}
			return withStore(cmd.Context(), *path, env, store.LookOnly, func(s *store.Store) error {
				if len(args) > 0 {
					id, err := enrolledID(cmd.Context(), s, args[0])
					if err != nil {
						return err
					}
					q.Subscription = id
				}
				return listAdjustments(cmd.Context(), env, s, q, asJSON)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&status, "status", "", "only those in this status, for example pending")
	f.StringVar(&q.Type, "type", "", "only those with this action, for example SKIP_ORDER")
	f.IntVar(&q.Limit, "limit", 100, "the number to show at most")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func isStatus(wanted ledger.AdjustmentStatus) bool {
	for _, s := range ledger.AdjustmentStatuses {
		if wanted == "" || wanted == s {
			return true
		}
	}
	return false
}

func listAdjustments(ctx context.Context, env environment, s *store.Store, q store.AdjustmentQuery, asJSON bool) error {
	limit := q.Limit
	q.Limit++
	found, err := s.Adjustments(ctx, q)
	if err != nil {
		return err
	}
	cut := len(found) > limit
	found = found[:min(limit, len(found))]
	if asJSON {
		all := []explain.Adjustment{}
		for _, a := range found {
			all = append(all, explain.AdjustmentOf(a, true))
		}
		return printJSON(env.stdout, all)
	}
	t := newTable("id", "subscription", "order", "what", "status", "applied to", "reason", "by", "created")
	for _, a := range found {
		t.AppendRow(table.Row{
			a.ID,
			a.Subscription,
			a.Spec.Matcher.String(),
			a.Spec.Action.String(),
			a.Status,
			a.Order,
			a.Reason,
			a.Actor,
			stamp(a.Created),
		})
	}
	printList(env, t, "adjustments")
	if cut {
		fmt.Fprintf(env.stderr, "only the newest %d are shown; see --limit\n", limit)
	}
	return nil
}

func adjustmentsCancelCommand(env environment, path *string) *cobra.Command {
	var o sessionOptions
	var by string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cancel ID ADJUSTMENT",
		Short: "Take a pending adjustment back",
		Long: `Takes an adjustment back that was not applied yet. One that was applied is not undone: make another.

Exit code: 0 taken back; 1 it was refused; 2 usage.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.configPath = *path
			return withSession(cmd.Context(), env, o, func(s session) error {
				id, err := enrolledID(cmd.Context(), s.store, args[0])
				if err != nil {
					return err
				}
				a, err := agent.New(s.app, s.store, agent.Options{}).CancelAdjustment(cmd.Context(), id, args[1], by)
				if err := adjustmentError(id, err); err != nil {
					return err
				}
				if asJSON {
					return printJSON(env.stdout, explain.AdjustmentOf(a, true))
				}
				fmt.Fprintf(env.stdout, "%s: adjustment %s is canceled\n", id, a.ID)
				return nil
			})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&by, "by", operator(env), "who does it, for the journal")
	jsonFlag(cmd, &asJSON)
	return cmd
}
