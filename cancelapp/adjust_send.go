package cancelapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// call makes the calls of an adjustment, one after the other. Each is recorded before it is made, so that a crash
// leaves no call that nobody knows of. One whose outcome is not known is repeated only where what is at Ordergroove can
// be read.
func (s *subscriptionSync) call(ctx context.Context, a *ledger.Adjustment, u Upcoming) error {
	for i := range a.Calls {
		c := &a.Calls[i]
		if c.Status == ledger.CallDone || c.After {
			continue
		}
		if c.Status == ledger.CallSent {
			is, readable := s.isInEffect(*c, u)
			switch {
			// safeguard: adjust-unreadable
			case !readable:
				return s.settleAdjustment(ctx, a, ledger.AdjustmentAttention, mayHaveBeenApplied(a.Order))
			case is:
				c.Status = ledger.CallDone
				continue
			}
		}
		if err := s.makeCall(ctx, a, i, &u); err != nil || a.Status != ledger.AdjustmentPending {
			return err
		}
	}
	return s.settleAdjustment(ctx, a, ledger.AdjustmentApplied, "")
}

// makeCall makes one call and says what its answer makes of it.
func (s *subscriptionSync) makeCall(ctx context.Context, a *ledger.Adjustment, i int, u *Upcoming) error {
	c := &a.Calls[i]
	repeated := c.Status == ledger.CallSent
	c.Status = ledger.CallSent
	c.At = s.now()
	if date := movesTo(*c); date != "" && !slices.Contains(u.Known.Moved, date) {
		u.Known.Moved = append(u.Known.Moved, date)
		if err := s.record(ctx, ledger.Step{Enrollment: s.sub.Enrollment, Schedule: &u.Known}); err != nil {
			return err
		}
	}
	// safeguard: adjust-recorded
	if err := s.saveAdjustment(ctx, a, ledger.Notify{}, nil); err != nil {
		return err
	}
	failpoint.Hit("adjustment-recorded")
	answer, err := s.api.Do(ctx, changeOf(s.sub.ID, *c))
	failpoint.Hit("adjustment-answered")
	switch {
	case err == nil:
		c.Status = ledger.CallDone
		return s.useAddress(ctx, a, i, answer.Created)
	case errors.Is(err, ordergroove.ErrNotSent), errors.Is(err, ordergroove.ErrBusy),
		errors.Is(err, ordergroove.ErrThrottled), errors.Is(err, ordergroove.ErrUnauthorized):
		if !repeated {
			c.Status = ledger.CallPlanned // it has had no effect
		}
		return errors.Join(s.saveAdjustment(ctx, a, ledger.Notify{}, nil), err)
	case errors.Is(err, ordergroove.ErrRejected), errors.Is(err, ordergroove.ErrNotFound):
		if repeated {
			return err // the one before may have had its effect, which is read next time
		}
		c.Status = ledger.CallPlanned // it has had no effect
		return s.settleAdjustment(ctx, a, ledger.AdjustmentFailed, refusalOf(a.Calls, i, err))
	}
	if _, readable := s.isInEffect(*c, Upcoming{}); readable {
		return err
	}
	return s.settleAdjustment(ctx, a, ledger.AdjustmentAttention, mayHaveBeenApplied(a.Order))
}

// movesTo is the date, in UTC, to which a call moves its order; "": it does not.
func movesTo(c ledger.AdjustmentCall) string {
	body := changeOf("", c).Body
	switch ordergroove.Operation(c.Operation) {
	case ordergroove.OpChangePlaceDate:
		date, _, _ := strings.Cut(body.Text("place"), " ")
		return date
	case ordergroove.OpChangeNextOrderDate:
		return body.Text("order_date")
	}
	return ""
}

// useAddress puts a created address into the call that sends the order there.
func (s *subscriptionSync) useAddress(ctx context.Context, a *ledger.Adjustment, i int, created string) error {
	if a.Calls[i].Operation != string(ordergroove.OpCreateAddress) {
		return s.saveAdjustment(ctx, a, ledger.Notify{}, nil)
	}
	if created == "" {
		return s.settleAdjustment(ctx, a, ledger.AdjustmentAttention,
			"an address was created, and Ordergroove did not say its id; the order was left as it is")
	}
	body, err := json.Marshal(ordergroove.ChangeShipping(s.sub.ID, a.Order, created).Body)
	if err != nil {
		return err
	}
	a.Calls[i+1].Body = body
	return s.saveAdjustment(ctx, a, ledger.Notify{}, nil)
}

// isInEffect says whether what a call was to do is so at Ordergroove, and whether that can be read at all.
func (s *subscriptionSync) isInEffect(c ledger.AdjustmentCall, u Upcoming) (is, readable bool) {
	body := changeOf(s.sub.ID, c).Body
	switch ordergroove.Operation(c.Operation) {
	case ordergroove.OpSkip:
		return u.Order.ID != c.Object, true
	case ordergroove.OpChangePlaceDate:
		return u.Order.Place.Format(time.DateTime) == body.Text("place"), true
	case ordergroove.OpChangeShipping:
		return u.Order.Shipping == body.Text("shipping_address"), true
	case ordergroove.OpChangePayment:
		return u.Order.Payment == body.Text("payment"), true
	case ordergroove.OpChangeItemProduct:
		return slices.ContainsFunc(u.Items, func(i ordergroove.Item) bool {
			return i.ID == c.Object && i.Product == body.Text("product")
		}), true
	case ordergroove.OpChangeItemQuantity:
		return slices.ContainsFunc(u.Items, func(i ordergroove.Item) bool {
			return i.ID == c.Object && fmt.Sprint(i.Quantity) == string(body["quantity"])
		}), true
	case ordergroove.OpChangeFrequency:
		return s.remote.Frequency == body.Frequency(), true
	case ordergroove.OpChangeNextOrderDate:
		return u.Order.Place.Format(time.DateOnly) == body.Text("order_date"), true
	}
	return false, false
}

func isSkip(c ledger.AdjustmentCall) bool { return c.Operation == string(ordergroove.OpSkip) }

// changeOf is a call as the client sends it.
func changeOf(subscription string, c ledger.AdjustmentCall) ordergroove.Change {
	change := ordergroove.Change{Operation: ordergroove.Operation(c.Operation), ID: subscription, Object: c.Object}
	_ = json.Unmarshal(c.Body, &change.Body) // what was recorded, or nothing once it is erased
	return change
}

func mayHaveBeenApplied(order string) string {
	return "it may have been applied: Ordergroove did not answer, and does not let us read it; check order " + order
}

// refusalOf is Ordergroove's own explanation, with what was done before.
func refusalOf(calls []ledger.AdjustmentCall, i int, err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*ordergroove.Error](err); ok && e.Detail != "" {
		text = e.Detail
	}
	if i > 0 {
		text += fmt.Sprintf(" (%d of %d changes were made before it)", i, len(calls))
	}
	return text
}
