package cancelapp

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// misfit says why an adjustment cannot be applied to its order: no later attempt can change that.
type misfit struct{ reason string }

func (m *misfit) Error() string { return m.reason }

func misfitf(format string, args ...any) error { return &misfit{fmt.Sprintf(format, args...)} }

// planner works out the calls that an adjustment consists of, for the order that it is for.
type planner struct {
	settings     schedule.Settings
	subscription string
	spec         schedule.Spec
	upcoming     Upcoming
	frequency    ordergroove.Frequency
	now          time.Time
}

// CheckFit says why an adjustment does not fit an order, before it is applied to it.
func CheckFit(
	settings schedule.Settings, remote ordergroove.Subscription, spec schedule.Spec, u Upcoming, now time.Time,
) error {
	p := planner{settings, remote.ID, spec, u, remote.Frequency, now}
	_, err := p.calls()
	return err
}

// calls returns the calls, in their order; a *misfit says why there are none.
func (p planner) calls() ([]ledger.AdjustmentCall, error) {
	var changes []ordergroove.Change
	var after []ordergroove.Change
	var err error
	id := p.subscription
	order := p.upcoming.Order.ID
	switch p.spec.Action.Type {
	case schedule.SkipOrder:
		changes = []ordergroove.Change{ordergroove.SkipOrder(id, order)}
	case schedule.ChangeDate:
		changes, err = p.move()
	case schedule.UpdateShipping:
		changes, err = p.ship()
	case schedule.UpdatePaymentMethod:
		changes, err = p.pay()
	case schedule.UpdateProducts:
		changes, after, err = p.products()
	case schedule.ApplyDiscount:
		changes, err = p.discount()
	default:
		err = misfitf("unknown action %q", p.spec.Action.Type)
	}
	if err != nil {
		return nil, err
	}
	calls := make([]ledger.AdjustmentCall, 0, len(changes)+len(after))
	for i, change := range append(changes, after...) {
		body, err := json.Marshal(change.Body)
		if err != nil {
			return nil, err
		}
		calls = append(calls, ledger.AdjustmentCall{
			Operation: string(change.Operation),
			Object:    change.Object,
			Body:      body,
			After:     i >= len(changes),
		})
	}
	return calls, nil
}

// whole refuses what would change an order as a whole that carries other subscriptions too, unless that is wanted.
func (p planner) whole() error {
	others := p.upcoming.Others(p.subscription)
	// safeguard: shared-orders
	if len(others) == 0 || p.spec.MayChangeShared() {
		return nil
	}
	return misfitf("order %s also carries %s; write shared_orders: apply to change it for all of them",
		p.upcoming.Order.ID, strings.Join(others, ", "))
}

func (p planner) move() ([]ordergroove.Change, error) {
	if err := p.whole(); err != nil {
		return nil, err
	}
	input, err := schedule.Decode[schedule.Move](p.spec.Action)
	if err != nil {
		return nil, err
	}
	to, isDate, err := p.settings.Moment(input.NewDate)
	if err != nil {
		return nil, misfitf("%s", err)
	}
	now := p.upcoming.Order.Place
	original := time.UnixMilli(p.upcoming.Known.Original).UTC()
	if isDate { // at the time of day that the order has
		to = to.Add(now.Sub(now.Truncate(24 * time.Hour)))
	}
	if err := p.isInReach(to, original); err != nil {
		return nil, err
	}
	return []ordergroove.Change{ordergroove.ChangePlaceDate(p.subscription, p.upcoming.Order.ID, to.UTC())}, nil
}

// isInReach refuses a date that is over, or more than one billing cycle away from the original one.
func (p planner) isInReach(to, original time.Time) error {
	switch {
	case p.settings.DateOf(to) < p.settings.Today(p.now):
		return misfitf("%s is in the past", p.settings.DateOf(to))
	case p.frequency == ordergroove.Frequency{} || original.IsZero():
		return nil
	case to.After(p.frequency.After(original)), p.frequency.After(to).Before(original):
		return misfitf("%s is more than one billing cycle away from %s",
			p.settings.DateOf(to), p.settings.DateOf(original))
	}
	return nil
}

func (p planner) ship() ([]ordergroove.Change, error) {
	if err := p.whole(); err != nil {
		return nil, err
	}
	input, err := schedule.Decode[schedule.Ship](p.spec.Action)
	if err != nil {
		return nil, err
	}
	a := input.Address
	fields := map[string]string{
		"customer":            p.upcoming.Order.Customer,
		"address_type":        "shipping_address",
		"first_name":          a.FirstName,
		"last_name":           a.LastName,
		"address":             a.Address1,
		"city":                a.City,
		"state_province_code": a.ProvinceCode,
		"zip_postal_code":     a.Zip,
		"country_code":        a.CountryCode,
		"phone":               a.Phone,
	}
	if a.Address2 != "" {
		fields["address2"] = a.Address2
	}
	if a.Company != "" {
		fields["company_name"] = a.Company
	}
	return []ordergroove.Change{
		ordergroove.CreateAddress(p.subscription, fields),
		ordergroove.ChangeShipping(p.subscription, p.upcoming.Order.ID, ""), // filled in once there is an address
	}, nil
}

func (p planner) pay() ([]ordergroove.Change, error) {
	if err := p.whole(); err != nil {
		return nil, err
	}
	input, err := schedule.Decode[schedule.Pay](p.spec.Action)
	if err != nil {
		return nil, err
	}
	return []ordergroove.Change{
		ordergroove.ChangePayment(p.subscription, p.upcoming.Order.ID, input.Method),
	}, nil
}

// products changes items of the order. What it changes about the subscription for the sake of this one order is set
// back after it.
func (p planner) products() (changes, after []ordergroove.Change, err error) {
	input, err := schedule.Decode[schedule.Products](p.spec.Action)
	if err != nil {
		return nil, nil, err
	}
	for _, line := range input.Lines {
		items, err := p.lineItems(line)
		if err != nil {
			return nil, nil, err
		}
		for _, item := range items {
			if line.Product != "" && line.Product != item.Product {
				changes = append(changes, ordergroove.ChangeItemProduct(p.subscription, item.ID, line.Product))
			}
			if line.Quantity != 0 && line.Quantity != item.Quantity {
				changes = append(changes, ordergroove.ChangeItemQuantity(p.subscription, item.ID, line.Quantity))
			}
		}
		more, back, err := p.ownLine(line)
		if err != nil {
			return nil, nil, err
		}
		changes = append(changes, more...)
		after = append(after, back...)
	}
	return changes, after, nil
}

// lineItems are the items of the order that a line names.
func (p planner) lineItems(line schedule.Line) ([]ordergroove.Item, error) {
	if line.ID == "" || line.ID == p.subscription {
		items := p.upcoming.Own(p.subscription)
		if len(items) == 0 {
			return nil, misfitf("order %s has no item of the subscription", p.upcoming.Order.ID)
		}
		return items, nil
	}
	var items []ordergroove.Item
	for _, item := range p.upcoming.Items {
		if item.ID == line.ID || item.Subscription == line.ID {
			items = append(items, item)
		}
	}
	switch {
	case len(items) == 0:
		return nil, misfitf("line %s is not on order %s", line.ID, p.upcoming.Order.ID)
	case items[0].Subscription == p.subscription || p.spec.MayChangeShared():
		return items, nil
	}
	return nil, misfitf("line %s is not of this subscription; write shared_orders: apply to change it", line.ID)
}

// ownLine is what a line changes about the subscription itself.
func (p planner) ownLine(line schedule.Line) (changes, after []ordergroove.Change, err error) {
	if line.Interval == nil && line.NextBillingDate == "" {
		return nil, nil, nil
	}
	if line.ID != "" && line.ID != p.subscription {
		return nil, nil, misfitf("interval and nextBillingDate are the subscription's own: its line is %s", p.subscription)
	}
	if line.Interval != nil {
		wanted := ordergroove.Frequency{Every: line.Interval.Count, Period: periods[line.Interval.Unit]}
		if p.frequency == (ordergroove.Frequency{}) {
			return nil, nil, misfitf("the subscription's present frequency is not known, so it could not be set back")
		}
		if wanted != p.frequency {
			changes = append(changes, ordergroove.ChangeFrequency(p.subscription, wanted))
			after = append(after, ordergroove.ChangeFrequency(p.subscription, p.frequency))
		}
	}
	if line.NextBillingDate == "" {
		return changes, after, nil
	}
	if err := p.whole(); err != nil {
		return nil, nil, err
	}
	date, err := p.settings.DateIn(line.NextBillingDate)
	if err != nil {
		return nil, nil, misfitf("%s", err)
	}
	to, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return nil, nil, misfitf("%s", err)
	}
	if date < p.settings.Today(p.now) {
		return nil, nil, misfitf("%s is in the past", date)
	}
	return append(changes, ordergroove.ChangeNextOrderDate(p.subscription, to)), after, nil
}

// periods are the contract's codes of every_period.
var periods = map[string]int{"DAY": 1, "WEEK": 2, "MONTH": 3, "YEAR": 4}

func (p planner) discount() ([]ordergroove.Change, error) {
	input, err := schedule.Decode[schedule.Discount](p.spec.Action)
	if err != nil {
		return nil, err
	}
	percent, value, err := input.Gives(p.settings, p.now)
	if err != nil {
		return nil, misfitf("%s", err)
	}
	incentive := ordergroove.Incentive{
		Merchant: p.upcoming.Order.Merchant,
		Customer: p.upcoming.Order.Customer,
		Name:     input.Code,
		Percent:  percent,
		Value:    value,
	}
	if input.Source == "code" {
		incentive.Code = input.Code
	}
	if input.IsShipping() {
		if err := p.whole(); err != nil {
			return nil, err
		}
		incentive.Order = p.upcoming.Order.ID
		incentive.Target = "order"
		incentive.Field = "shipping_total"
		return []ordergroove.Change{ordergroove.CreateIncentive(p.subscription, incentive)}, nil
	}
	var changes []ordergroove.Change
	for _, item := range p.upcoming.Own(p.subscription) {
		if !input.Covers(item.Product) {
			continue
		}
		incentive.Item = item.ID
		incentive.Target = "item"
		incentive.Field = "total_price"
		changes = append(changes, ordergroove.CreateIncentive(p.subscription, incentive))
	}
	if len(changes) == 0 {
		return nil, misfitf("order %s has no item that the discount is for", p.upcoming.Order.ID)
	}
	return changes, nil
}
