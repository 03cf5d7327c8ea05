package counter

import "slices"

// Prepare returns the enrollment as it must be recorded before the plan's call is made: a counter about to be sent
// tells our own half-done write from somebody's edit, and a cancellation about to be requested tells one that took
// effect from a refused one. The time is now, UTC unix milliseconds.
func Prepare(term Term, e Enrollment, plan Plan, o Observed, at int64) Enrollment {
	if plan.Ends && e.Permission.AdmittedAt == 0 {
		e.Permission.AdmittedAt = at
	}
	switch plan.Do {
	case Write:
		if plan.Counter != nil {
			e = e.withSent(*plan.Counter)
		}
		e = e.withManagedKeys(term.Keys, plan.Set)
		if plan.Respells {
			e.RespelledAt = at
		}
	case Cancel:
		e.State = plan.State
		if e.CancelRequestedAt == 0 {
			e.CancelRequestedAt = max(1, e.Placed.LastAt, o.ReactivatedAt)
		}
	}
	return e
}

// Advance returns the enrollment as the plan leaves it once its call is answered. The time is now, UTC unix
// milliseconds. For OpenNext that is the next enrollment: Close returns the one that it follows.
func Advance(term Term, e Enrollment, plan Plan, o Observed, at int64) Enrollment {
	switch plan.Do {
	case Write:
		if plan.Counter != nil {
			e.CounterConfirmed = plan.Counter
		}
		e.ManagedKeys = without(e.ManagedKeys, plan.Unset)
	case Adopt:
		if e.IsNew() && e.Permission.Approval == ApprovalNeeded {
			e.Permission.Approval = "" // somebody counts it
		}
		e = e.withSent(*plan.Counter)
		e.CounterConfirmed = plan.Counter
		e.Adjustment = plan.Adjustment
	case SwitchTerm:
		e = e.WithLength(term)
		e.SKU = o.SKU
		e.Adjustment = 0
	case OpenNext:
		return next(term, e, plan, o, at)
	case Settle:
		return settle(term, e, plan, o, at)
	}
	return e
}

// Close returns the enrollment that OpenNext closes.
func Close(e Enrollment, plan Plan, at int64) Enrollment {
	if plan.Close == ClosedCompleted && e.Remaining() == 0 {
		e.State = Completed
	}
	if e.ClosedAt == 0 {
		e.ClosedAs = plan.Close
		e.ClosedAt = at
	}
	return e
}

const (
	// clockSkew is how far Ordergroove's clock may be behind ours.
	clockSkew = 15 * 60 * 1000
	// usualSkew is how far it usually is: what an order's product cannot tell apart is taken by the usual clock.
	usualSkew = 5 * 60 * 1000
)

// next opens the enrollment after another. What was sent to extra_data is still there, so the counters and keys carry
// over, except after a release, which removed them.
func next(term Term, before Enrollment, plan Plan, o Observed, at int64) Enrollment {
	e := Enrollment{Number: before.Number + 1, OpenedBy: plan.OpenBy, State: Enrolled}.WithTerm(term, o.SKU)
	if before.State == Released {
		e.OpenedAt = second(max(before.Placed.LastAt, before.ClosedAt-clockSkew, at-clockSkew))
		return e
	}
	e.State = plan.State
	if before.Permission.Approval == ApprovalGiven {
		e.Permission.Approval = ApprovalGiven
	}
	e.CheckoutShipments = 0 // a checkout ships for the first enrollment alone
	e.OrdersDue = term.Shipments
	e.CountersSent = before.CountersSent
	e.CounterConfirmed = before.CounterConfirmed
	e.ManagedKeys = before.ManagedKeys
	e.Placed.LastAt = before.Placed.LastAt
	switch {
	case plan.OpenBy == OpenedByRestart:
		e.OpenedAt = second(max(before.Placed.LastAt, at-usualSkew))
	case plan.OpenBy == OpenedByReactivation && o.ReactivatedAt > max(before.Placed.LastAt, before.CancelRequestedAt):
		e.OpenedAt = o.ReactivatedAt
	default: // when the one before has all its shipments: one beyond them is the first of this enrollment
		beyond := before.Placed.Orders - before.OrdersTotal()
		e.Placed.Orders = max(0, beyond)
		e.Placed.ByWebhook = min(e.Placed.Orders, before.Placed.ByWebhook)
	}
	return e
}

// settle records where the enrollment has come to.
func settle(term Term, e Enrollment, plan Plan, o Observed, at int64) Enrollment {
	e.State = plan.State
	e.Reason = plan.Reason
	// What a swap asks for is worked out from the product before, so one that cannot be carried out yet is not recorded.
	// safeguard: attention-keeps-term
	if plan.State != Attention {
		if plan.State != Released && o.SKU != "" {
			e.SKU = o.SKU
		}
		if o.Termed && (plan.State != Released || plan.Close != ClosedSwapped) {
			e.Term = term.Name // it may have another name by now
		}
	}
	// A write whose answer was lost is confirmed by what is there.
	found := readCounter(o.Extra, term.Keys.Counter)
	isOurs := found.kind == number && found.n == e.Remaining() && e.HasSent(found.n)
	// safeguard: confirmed-by-reading
	if isOurs && (e.CounterConfirmed == nil || *e.CounterConfirmed != found.n) {
		e.CounterConfirmed = &found.n
	}
	if o.Live {
		e.CanceledBy = "" // it was not, or somebody took it back
	}
	e.Permission.Withheld = plan.Withheld
	if plan.Approval != "" {
		e.Permission.Approval = plan.Approval
	}
	if e.Remaining() > 0 {
		// safeguard: cancel-is-history
		e.CancelRequestedAt = 0 // the term continues; a cancellation requested for an end that was taken back is history
		e.Permission.AdmittedAt = 0
		if plan.State == Active && plan.Withheld == "" && !e.IsNew() {
			e.Permission.SeenRunning = true
		}
	}
	switch plan.State {
	case Attention: // a release that could not be done is still to be done
		if e.ClosedAs == ClosedCompleted && e.Remaining() > 0 {
			return e.reopened()
		}
		return e
	case Completed:
		return e.closed(ClosedCompleted, at)
	case Ended:
		if e.ClosedAs == ClosedCompleted {
			return e // extended after its end: it is open again once it is live
		}
		return e.closed(ClosedCanceled, at)
	case Released:
		return e.closed(plan.Close, at)
	}
	if e.ClosedAs == ClosedCompleted && e.Remaining() == 0 {
		return e
	}
	return e.reopened()
}

func (e Enrollment) closed(as Closing, at int64) Enrollment {
	if e.ClosedAs != as || e.ClosedAt == 0 {
		e.ClosedAs = as
		e.ClosedAt = at
	}
	return e
}

func (e Enrollment) reopened() Enrollment {
	e.ClosedAs = ""
	e.ClosedAt = 0
	return e
}

// without returns a map without some of its keys.
func without(m map[string]string, keys []string) map[string]string {
	left := map[string]string{}
	for name, value := range m {
		if !slices.Contains(keys, name) {
			left[name] = value
		}
	}
	return left
}
