package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/cancelapp/explain"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

func explainCommand(env environment) *cobra.Command {
	var o sessionOptions
	var verify, asJSON bool
	cmd := &cobra.Command{
		Use:   "explain ID",
		Short: "Show how a subscription's counter comes about, and what comes next",
		Long: `ID is the ID of a subscription, or the beginning of it if no other ID begins the same way.

Shows every enrollment that the subscription has had; which shipments belong to which, each with its order,
date and source; who changed what, with the value before and after; what the next sync would do, and why;
and how a subscription that needs attention is put right. --verify recounts from Ordergroove's order
history and names the orders behind any difference.
Nothing is changed.

Exit code: 0 success, with --verify only if both agree; 3 they differ; 1 error; 2 usage.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withSession(cmd.Context(), env, o, func(s session) error {
				e, err := s.explain(cmd.Context(), args[0], verify)
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(env.stdout, e.json())
				} else {
					e.print(env.stdout)
				}
				return errors.Join(err, e.exit())
			})
		},
	}
	configFlag(cmd, &o.configPath)
	o.flags(cmd)
	cmd.Flags().BoolVar(&verify, "verify", false, "recount from Ordergroove's history of placed orders")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// explanation is one that is printed.
type explanation struct {
	explain.Explanation
	Expected []explain.Expected // the orders to come, as far as they are known
}

func (s session) explain(ctx context.Context, id string, verify bool) (explanation, error) {
	var e explanation
	sub, err := find(ctx, s.store, id)
	if errors.Is(err, ledger.ErrUnknown) {
		return e, fmt.Errorf("%s is not enrolled: no webhook has announced it, or no term lists its SKU; "+
			"`termed reconcile` finds subscriptions that were not announced", id)
	}
	if err != nil {
		return e, err
	}
	if e.Explanation, err = explain.Read(ctx, s.store, sub); err != nil {
		return e, err
	}
	e.Ask(ctx, s.app)
	if expected, err := agent.New(s.app, s.store, agent.Options{}).Forecast(ctx, sub.Subscription); err == nil {
		e.Expected = explain.ExpectedOf(expected)
	}
	if verify {
		found, err := s.app.Verify(ctx, e.Sub.Subscription, e.Shipments)
		if err != nil {
			return e, err
		}
		e.Verified = &found
	}
	return e, nil
}

// find returns the subscription with an ID, or the only one whose ID begins so; else ledger.ErrUnknown.
func find(ctx context.Context, s *store.Store, id string) (ledger.Subscription, error) {
	sub, err := s.Subscription(ctx, id)
	if !errors.Is(err, ledger.ErrUnknown) || id == "" {
		return sub, err
	}
	found, failed := s.Find(ctx, store.Filter{IDPrefix: id}, listLimit)
	switch {
	case failed != nil:
		return sub, failed
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return sub, exit{exitUsage, fmt.Sprintf("termed: the IDs of %d subscriptions begin with %s; "+
			"see termed subscriptions list --id %s", len(found), id, id)}
	}
	return sub, err
}

// resolve returns the ID that a person meant by its beginning. One that is not enrolled stays as it is: what is done
// with it says so.
func resolve(ctx context.Context, s *store.Store, id string) (string, error) {
	sub, err := find(ctx, s, id)
	if errors.Is(err, ledger.ErrUnknown) {
		return id, nil
	}
	return sub.ID, err
}

func (e explanation) exit() error {
	if e.Verified != nil && !e.Verified.Agrees() {
		return exit{exitPending, ""}
	}
	return nil
}

func (e explanation) print(out io.Writer) {
	fmt.Fprintln(out, e.headline())
	if !e.Sub.Prepaid && e.Sub.State != counter.Released {
		fmt.Fprintln(out, e.sum())
	}
	enrollments := newTable("enrollment", "term", "opened", "by", "shipments made", "closed")
	for i := range e.Enrollments {
		enrollments.AppendRow(e.enrollmentRow(i))
	}
	fmt.Fprintln(out, enrollments.Render())
	shipments := newTable("enrollment", "shipment", "order", "placed", "source")
	for _, row := range e.shipmentRows() {
		shipments.AppendRow(row)
	}
	fmt.Fprintln(out, shipments.Render())
	journal := newTable("when", "who", "what", "before", "after", "reason")
	for _, entry := range e.Journal {
		journal.AppendRow(table.Row{
			stamp(entry.At),
			entry.Actor,
			entry.What,
			entry.Before,
			entry.After,
			entry.Reason,
		})
	}
	fmt.Fprintln(out, journal.Render())
	for i, line := range e.NextSync() {
		lead := "next sync: "
		if i > 0 {
			lead = "then: "
		}
		fmt.Fprintln(out, lead+line)
	}
	for _, expected := range e.Expected {
		fmt.Fprintln(out, "to come: "+expected.Text())
	}
	if e.Sub.Due != 0 {
		fmt.Fprintln(out, e.nextAttempt())
	}
	if text := e.Resolve(); text != "" {
		fmt.Fprintln(out, "to resolve it: "+text)
	}
	for _, line := range e.verification() {
		fmt.Fprintln(out, line)
	}
}

// headline says in one sentence where the subscription is in its term.
func (e explanation) headline() string {
	text := fmt.Sprintf("%s: %s (%s), %s", e.Sub.ID, e.Sub.Term, e.Sub.SKU, stateText(e.Sub.State))
	if e.Sub.Prepaid {
		text += ": prepaid, Ordergroove counts and ends it"
	} else {
		text += ": " + e.Sub.Progress()
	}
	return text + explain.Because(e.Sub.Reason)
}

// sum is how the counter is calculated.
func (e explanation) sum() string {
	adjusted := ""
	if e.Sub.Adjustment != 0 {
		adjusted = fmt.Sprintf(" %+d adjusted", e.Sub.Adjustment)
	}
	return fmt.Sprintf("counter %d: %d recurring orders due%s - %d placed",
		e.Sub.Remaining(), e.Sub.OrdersDue, adjusted, e.Sub.Placed.Orders)
}

// enrollmentRow says how the i-th enrollment was opened, how far it came, and how it was closed.
func (e explanation) enrollmentRow(i int) table.Row {
	enrollment := e.Enrollments[i]
	progress := counter.Subscription{Prepaid: e.Sub.Prepaid, Enrollment: enrollment}.Progress()
	closed := ""
	if enrollment.ClosedAt != 0 {
		closed = string(enrollment.ClosedAs) + " " + stamp(enrollment.ClosedAt)
	}
	return table.Row{enrollment.Number, enrollment.Term, stamp(e.Opened(i)), enrollment.OpenedBy, progress, closed}
}

// shipmentRows are the shipments with their number in the enrollment, order, time and source.
func (e explanation) shipmentRows() []table.Row {
	var rows []table.Row
	for _, s := range e.Numbered() {
		source := "event " + s.Source
		switch s.Source {
		case explain.CheckoutSource:
			source = "shipped by the checkout order (not an Ordergroove order)"
		case counter.Reconciled:
			source = "found by reconcile at this time"
		}
		if s.Enrollment == 0 {
			rows = append(rows, table.Row{"", "", s.Order, stamp(s.At), "not counted: " + s.Excluded})
			continue
		}
		rows = append(rows, table.Row{s.Enrollment, s.Number, s.Order, stamp(s.At), source})
	}
	return rows
}

// nextAttempt says when the next sync is due, and what went wrong so far.
func (e explanation) nextAttempt() string {
	text := "next attempt " + stamp(e.Sub.Due)
	if e.Sub.Attempts > 0 {
		text += fmt.Sprintf(" (%d failed so far; last error: %s)", e.Sub.Attempts, e.Sub.Error)
	}
	return text
}

// verification says what recounting from Ordergroove's history found.
func (e explanation) verification() []string {
	if e.Verified == nil {
		return nil
	}
	v := *e.Verified
	verdict := "they agree"
	if !v.Agrees() {
		verdict = "they DIFFER; `termed reconcile` repairs it"
	}
	lines := []string{fmt.Sprintf("orders placed: %d at Ordergroove, %d recorded by termed: %s",
		v.Placed, len(e.Shipments), verdict)}
	for _, s := range v.Missing {
		lines = append(lines, fmt.Sprintf("  order %s (%s) was placed, and termed has not recorded it", s.Order, s.SKU))
	}
	for _, s := range v.Unknown {
		lines = append(lines, fmt.Sprintf("  order %s is recorded by termed, and Ordergroove has not placed it", s.Order))
	}
	for _, s := range v.Excluded {
		lines = append(lines, fmt.Sprintf(
			"  order %s (%s) does not count: %s", s.Order, s.SKU, s.Excluded))
	}
	return lines
}

func (e explanation) json() explanationJSON {
	all := explanationJSON{
		subscriptionJSON: subscriptionOf(e.Sub),
		Enrollments:      e.enrollmentsJSON(),
		Shipments:        e.shipmentsJSON(),
		Journal:          []entryJSON{},
		NextChanges:      e.NextSync(),
		Expected:         append([]explain.Expected{}, e.Expected...),
		Resolve:          e.Resolve(),
	}
	for _, entry := range e.Journal {
		all.Journal = append(all.Journal, entryOf(entry))
	}
	if v := e.Verified; v != nil {
		all.Verified = &verificationJSON{
			Agrees:       v.Agrees(),
			OrdersPlaced: v.Placed,
			Missing:      orders(v.Missing),
			Unknown:      orders(v.Unknown),
			Excluded:     orders(v.Excluded),
		}
	}
	return all
}

func (e explanation) enrollmentsJSON() []enrollmentJSON {
	all := []enrollmentJSON{}
	for i, enrollment := range e.Enrollments {
		all = append(all, enrollmentJSON{
			Enrollment:        enrollment.Number,
			Term:              enrollment.Term,
			SKU:               enrollment.SKU,
			State:             enrollment.State,
			Reason:            enrollment.Reason,
			Opened:            timestamp(e.Opened(i)),
			OpenedBy:          enrollment.OpenedBy,
			CheckoutShipments: enrollment.CheckoutShipments,
			OrdersDue:         enrollment.OrdersDue,
			Adjustment:        enrollment.Adjustment,
			ShipmentsMade:     enrollment.ShipmentsMade(),
			ShipmentsTotal:    enrollment.ShipmentsTotal(),
			Remaining:         enrollment.Remaining(),
			Closed:            timestamp(enrollment.ClosedAt),
			ClosedAs:          enrollment.ClosedAs,
		})
	}
	return all
}

func (e explanation) shipmentsJSON() []shipmentJSON {
	all := []shipmentJSON{}
	for _, s := range e.Numbered() {
		all = append(all, shipmentJSON{
			Enrollment: s.Enrollment,
			Shipment:   s.Number,
			Order:      s.Order,
			SKU:        s.SKU,
			Placed:     timestamp(s.At),
			Source:     s.Source,
			Excluded:   s.Excluded,
		})
	}
	return all
}

func orders(shipments []counter.Shipment) []string {
	all := make([]string, len(shipments))
	for i, s := range shipments {
		all[i] = s.Order
	}
	return all
}
