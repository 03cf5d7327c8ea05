package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// AdjustmentRequest is a schedule adjustment that a person asks for.
type AdjustmentRequest struct {
	Key          string // the idempotency key; "": this request is one of its own
	Subscription string
	Spec         schedule.Spec
	Actor        string
	DryRun       bool // check it, and say to which order it would be applied now; record nothing
}

// Adjust records an adjustment, which is applied as soon as its order has come. An error says that it was not recorded:
// schedule.FieldErrors, counter.ErrRefused, ErrBusy, ledger.ErrUnknown, ledger.ErrAdjustmentExists, or Ordergroove's
// error of reading the subscription.
func (a *Agent) Adjust(ctx context.Context, r AdjustmentRequest) (ledger.Adjustment, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	ctx = ordergroove.WithPriority(ctx, ordergroove.Urgent)
	if err := r.Spec.Check(a.app.Rules().Schedule, a.o.Now()); err != nil {
		return ledger.Adjustment{}, err
	}
	if r.Key != "" {
		known, err := a.store.AdjustmentByKey(ctx, r.Subscription, r.Key)
		if !errors.Is(err, ledger.ErrUnknownAdjustment) {
			return isSameAdjustment(known, r, err)
		}
	}
	lease, err := a.claim(ctx, r.Subscription)
	if err != nil {
		return ledger.Adjustment{}, err
	}
	t := a.task(lease, ledger.Action{Actor: r.Actor})
	adjustment, err := t.adjust(ctx, r)
	if finish := t.finish(ctx); finish != nil {
		a.o.Log.Error("store error", "error", finish) // the lease expires, and it is due again
	}
	return adjustment, err
}

// isSameAdjustment answers the adjustment that was recorded for a request's key.
func isSameAdjustment(known ledger.Adjustment, r AdjustmentRequest, err error) (ledger.Adjustment, error) {
	same := known.Spec.Action.Type == r.Spec.Action.Type && known.Spec.Matcher.String() == r.Spec.Matcher.String()
	if err == nil && !same {
		return ledger.Adjustment{}, ledger.ErrAdjustmentExists
	}
	return known, err
}

// adjust checks an adjustment against the subscription as it is now, and records it.
func (t *task) adjust(ctx context.Context, r AdjustmentRequest) (ledger.Adjustment, error) {
	if r.Key != "" { // it may have been recorded while this one waited
		known, err := t.store.AdjustmentByKey(ctx, r.Subscription, r.Key)
		if !errors.Is(err, ledger.ErrUnknownAdjustment) {
			return isSameAdjustment(known, r, err)
		}
	}
	remote, err := t.app.API().Subscription(ctx, t.sub.ID)
	if err != nil {
		return ledger.Adjustment{}, err
	}
	if err := t.mayAdjust(remote, r.Spec); err != nil {
		return ledger.Adjustment{}, err
	}
	u, err := t.app.Upcoming(ctx, t.sub)
	if cancelapp.IsUnsettled(err) {
		return ledger.Adjustment{}, refused("%s; try again in a few minutes", err)
	}
	if err != nil {
		return ledger.Adjustment{}, err
	}
	spec, slot, err := t.fit(ctx, remote, r.Spec, u)
	if err != nil {
		return ledger.Adjustment{}, err
	}
	adjustment := ledger.Adjustment{
		ID:           strings.ToLower(rand.Text()),
		Subscription: t.sub.ID,
		Key:          r.Key,
		Spec:         spec,
		Slot:         slot,
		Actor:        r.Actor,
		Status:       ledger.AdjustmentPending,
		Created:      t.now(),
		Updated:      t.now(),
	}
	if spec.Matcher.Shipment != 0 {
		adjustment.Enrollment = t.sub.Number
	}
	if r.DryRun {
		if v, _ := spec.Matcher.Match(slot, u.Position); v == schedule.Match {
			adjustment.Order = u.Order.ID
		}
		return adjustment, nil
	}
	return adjustment, t.saveAdjustment(ctx, adjustment, "adjustment created", u)
}

// mayAdjust refuses an adjustment of a subscription whose orders will not come, or are not counted by us.
func (t *task) mayAdjust(remote ordergroove.Subscription, spec schedule.Spec) error {
	byShipment := spec.Matcher.Shipment
	switch {
	case !remote.Live:
		return refused("the subscription is not active at Ordergroove")
	case t.sub.State != counter.Active:
		return refused("its enrollment is %s: it has no order to adjust", t.sub.State)
	case byShipment != 0 && remote.Prepaid != nil:
		return schedule.FieldErrors{{Path: "matcher.shipment",
			Message: "a prepaid subscription is counted by Ordergroove; use cycle"}}
	case byShipment != 0 && byShipment <= t.sub.ShipmentsMade():
		return schedule.FieldErrors{{Path: "matcher.shipment",
			Message: fmt.Sprintf("shipment %d was made already: %s", byShipment, t.sub.Progress())}}
	case byShipment > t.sub.ShipmentsTotal():
		return schedule.FieldErrors{{Path: "matcher.shipment",
			Message: fmt.Sprintf("the term has %d shipments", t.sub.ShipmentsTotal())}}
	}
	return nil
}

// fit fixes the matcher to its place in the schedule, and refuses what can be seen now not to fit.
func (t *task) fit(
	ctx context.Context, remote ordergroove.Subscription, spec schedule.Spec, u cancelapp.Upcoming,
) (schedule.Spec, int, error) {
	slot := u.Known.Slot
	if spec.Matcher.Cycle != nil {
		slot += *spec.Matcher.Cycle
	}
	if !u.Exists() {
		return spec, 0, refused("it has no upcoming order at the moment; try again when Ordergroove has made the next one")
	}
	spec, err := t.completeAddress(ctx, spec, u.Order.Shipping)
	if err != nil {
		return spec, 0, err
	}
	switch verdict, reason := spec.Matcher.Match(slot, u.Position); verdict {
	case schedule.Passed:
		return spec, 0, schedule.FieldErrors{{Path: "matcher", Message: reason}}
	case schedule.Match:
		if err := cancelapp.CheckFit(t.app.Rules().Schedule, remote, spec, u, t.o.Now()); err != nil {
			return spec, 0, refused("%s", err)
		}
	}
	return spec, slot, nil
}

// required are the fields of an address that Ordergroove requires besides those that an adjustment must have (contract,
// section 2), by their name in an adjustment.
var required = []struct {
	name  string
	field func(*schedule.Address) *string
}{
	{"firstName", func(a *schedule.Address) *string { return &a.FirstName }},
	{"lastName", func(a *schedule.Address) *string { return &a.LastName }},
	{"city", func(a *schedule.Address) *string { return &a.City }},
	{"provinceCode", func(a *schedule.Address) *string { return &a.ProvinceCode }},
	{"zip", func(a *schedule.Address) *string { return &a.Zip }},
	{"phone", func(a *schedule.Address) *string { return &a.Phone }},
}

// completeAddress fills in what Ordergroove requires from the order's present address. Ordergroove does not let us read
// one; a webhook may have brought it.
func (t *task) completeAddress(ctx context.Context, spec schedule.Spec, present string) (schedule.Spec, error) {
	if spec.Action.Type != schedule.UpdateShipping {
		return spec, nil
	}
	input, err := schedule.Decode[schedule.Ship](spec.Action)
	if err != nil {
		return spec, err
	}
	isMissing := func() bool {
		for _, r := range required {
			if *r.field(&input.Address) == "" {
				return true
			}
		}
		return false
	}
	if isMissing() {
		known, err := t.presentAddress(ctx, present)
		if err != nil {
			return spec, err
		}
		for _, r := range required {
			if field := r.field(&input.Address); *field == "" {
				*field = *r.field(&known)
			}
		}
	}
	var missing schedule.FieldErrors
	for _, r := range required {
		if *r.field(&input.Address) == "" {
			missing = append(missing, schedule.FieldError{Path: "action.input.address." + r.name,
				Message: "required by Ordergroove, and no webhook carried the order's present address"})
		}
	}
	if len(missing) > 0 {
		return spec, missing
	}
	spec.Action, err = schedule.NewAction(schedule.UpdateShipping, input)
	return spec, err
}

// presentAddress looks for an address in the webhooks that are kept, the latest first.
func (t *task) presentAddress(ctx context.Context, id string) (schedule.Address, error) {
	if id == "" {
		return schedule.Address{}, nil
	}
	bodies, err := t.store.BodiesOf(ctx, t.sub.ID)
	if err != nil {
		return schedule.Address{}, err
	}
	for _, body := range bodies {
		envelope, err := ordergroove.ParseEnvelope(body)
		if err != nil {
			continue // its body may have been removed
		}
		if a, ok := envelope.SnapshotAddress(id); ok {
			return schedule.Address{
				FirstName:    a.FirstName,
				LastName:     a.LastName,
				City:         a.City,
				ProvinceCode: a.State,
				Zip:          a.Zip,
				Phone:        a.Phone,
			}, nil
		}
	}
	return schedule.Address{}, nil
}

// CancelAdjustment takes an adjustment back that was not applied. One that was says so, and is not undone.
func (a *Agent) CancelAdjustment(ctx context.Context, subscription, id, actor string) (ledger.Adjustment, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if _, err := a.store.Adjustment(ctx, subscription, id); err != nil {
		return ledger.Adjustment{}, err
	}
	lease, err := a.claim(ctx, subscription)
	if err != nil {
		return ledger.Adjustment{}, err
	}
	t := a.task(lease, ledger.Action{Actor: actor})
	adjustment, err := t.cancelAdjustment(ctx, id)
	if finish := t.finish(ctx); finish != nil {
		a.o.Log.Error("store error", "error", finish)
	}
	return adjustment, err
}

func (t *task) cancelAdjustment(ctx context.Context, id string) (ledger.Adjustment, error) {
	adjustment, err := t.store.Adjustment(ctx, t.sub.ID, id) // as it is now that nobody works on it
	switch {
	case err != nil, adjustment.Status == ledger.AdjustmentCanceled:
		return adjustment, err
	case adjustment.Status == ledger.AdjustmentApplied:
		return adjustment, refused("it was applied to order %s, and is not undone: make another adjustment", adjustment.Order)
	case adjustment.Status != ledger.AdjustmentPending:
		return adjustment, refused("it is %s: %s", adjustment.Status, adjustment.Reason)
	case slices.ContainsFunc(adjustment.Calls, wasMade):
		return adjustment, refused("it is being applied to order %s", adjustment.Order)
	}
	adjustment.Status = ledger.AdjustmentCanceled
	adjustment.Reason = "taken back by " + t.action.Actor
	adjustment.Spec = adjustment.Spec.WithoutAddress()
	adjustment.Calls = nil
	adjustment.Updated = t.now()
	return adjustment, t.saveAdjustment(ctx, adjustment, "adjustment canceled", cancelapp.Upcoming{})
}

func wasMade(c ledger.AdjustmentCall) bool { return c.Status != ledger.CallPlanned }

func (t *task) saveAdjustment(ctx context.Context, a ledger.Adjustment, what string, u cancelapp.Upcoming) error {
	step := ledger.Step{
		Enrollment: t.sub.Enrollment,
		Adjustment: &a,
		Journal: []ledger.JournalEntry{{
			Subscription: t.sub.ID,
			At:           t.now(),
			Actor:        t.action.Actor,
			What:         what,
			Before:       a.Spec.Matcher.String(),
			After:        a.Spec.Action.String(),
		}},
	}
	if u.Exists() {
		step.Schedule = &u.Known
	}
	after, err := t.store.Record(ctx, t.lease, step)
	if err == nil {
		t.sub.Enrollment = after.Enrollment
	}
	return err
}

// Forecast asks for a subscription's upcoming order and says which shipments are still to come, with what will be done
// to each. IsUnsettled: which shipment comes next is not known yet.
func (a *Agent) Forecast(ctx context.Context, sub counter.Subscription) ([]schedule.Expected, error) {
	remote, err := a.app.API().Subscription(ctx, sub.ID)
	if err != nil {
		return nil, err
	}
	if !remote.Live || sub.Remaining() == 0 || remote.Prepaid != nil {
		return nil, nil
	}
	u, err := a.app.Upcoming(ctx, sub)
	if err != nil || !u.Exists() {
		return nil, err
	}
	open, err := a.store.OpenAdjustments(ctx, sub.ID)
	if err != nil {
		return nil, err
	}
	done, err := a.store.AdjustmentsOf(ctx, sub.ID, u.Order.ID)
	if err != nil {
		return nil, err
	}
	rules := a.app.Rules()
	f := schedule.Forecast{
		Settings: rules.Schedule,
		Next:     u.Position,
		Order:    u.Order.ID,
		Place:    u.Order.Place,
		SKU:      remote.Product,
		Total:    sub.ShipmentsTotal(),
		After:    remote.Frequency.After,
	}
	for _, item := range u.Own(sub.ID) {
		f.NextSKU = item.Product
	}
	for _, adjustment := range done {
		unsure := adjustment.Status == ledger.AdjustmentAttention
		f.Applied = append(f.Applied, schedule.Applied{Action: adjustment.Spec.Action, Unsure: unsure})
	}
	for _, adjustment := range open {
		f.Planned = append(f.Planned, schedule.Planned{ID: adjustment.ID, Spec: adjustment.Spec, Slot: adjustment.Slot})
	}
	for _, spec := range rules.Schedule.ByTerm[rules.Terms.For(sub.Enrollment, remote.Product).Name] {
		if spec.Matcher.Shipment > u.Position.Shipment {
			f.Planned = append(f.Planned, schedule.Planned{Spec: spec})
		}
	}
	return f.Shipments(), nil
}
