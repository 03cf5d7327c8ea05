package cancelapp

import (
	"context"
	"errors"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/tracing"
)

// hideRetry is when to try again to hide a subscription that is canceled.
const hideRetry = 24 * time.Hour

const notFound = "Ordergroove does not know this subscription anymore"

// sameTrace is how soon a sync is made again as a part of the same trace.
const sameTrace = time.Hour

// outcome says what becomes of a sync that ended with an error, or with none.
func (s *subscriptionSync) outcome(ctx context.Context, err error) ledger.Outcome {
	o := ledger.Outcome{At: s.now(), Priority: s.lease.Priority}
	if err != nil {
		tracing.Fail(ctx, err)
		s.failed(ctx, &o, err)
	} else {
		s.waits(&o)
	}
	return o
}

// nextTrace is the trace that the next sync is part of: this one's, if it is made soon.
func (s *subscriptionSync) nextTrace(o ledger.Outcome) string {
	if o.Next == 0 || o.Next-o.At >= sameTrace.Milliseconds() {
		return ""
	}
	return s.lease.Trace
}

// failed says what becomes of a sync that ended with an error.
func (s *subscriptionSync) failed(ctx context.Context, o *ledger.Outcome, err error) {
	o.Error = err.Error()
	switch {
	case errors.Is(err, ordergroove.ErrNotFound):
		s.sub.Live = false
		s.settle(counter.Plan{State: counter.Attention, Reason: notFound})
	case errors.Is(err, ordergroove.ErrRejected):
		s.settle(counter.Plan{State: counter.Attention, Reason: err.Error()})
		s.triesAgain(o)
	default:
		o.Next, o.Attempts = s.retry(err, s.lease.Attempts, s.priority(), o.At)
		if IsOutage(err) {
			o.Next = o.At // the breaker holds it back, and it continues as soon as that lets calls through
		}
		s.o.Log.WarnContext(ctx, "sync failed, will retry", "subscription", s.sub.ID, "attempts", o.Attempts, "error", err)
	}
}

// waits says when a sync that came to its end is made again without news.
func (s *subscriptionSync) waits(o *ledger.Outcome) {
	switch {
	case s.throttled != nil:
		o.Next = s.throttled.Until
		if s.throttled.HeldBack {
			o.Attempts = s.lease.Attempts + 1
		}
	case s.again != 0:
		o.Next = s.again
		o.Attempts = s.lease.Attempts
	case s.refused != nil:
		o.Next = o.At + hideRetry.Milliseconds()
		o.Attempts = s.lease.Attempts + 1
		o.Error = s.refused.Error()
	}
}

// triesAgain says when a refused call is made again: where that is the only way to an end.
func (s *subscriptionSync) triesAgain(o *ledger.Outcome) {
	switch {
	case s.sub.AtOvershipRisk():
		// safeguard: overship-retry
		o.Next = o.At + refusedCallRetry.Milliseconds()
		o.Attempts = s.lease.Attempts + 1
	case s.sub.Remaining() == 0 && s.sub.CancelRequestedAt != 0: // it is canceled, and to be hidden
		o.Next = o.At + hideRetry.Milliseconds()
		o.Attempts = s.lease.Attempts + 1
	}
}

// canGoOnWithout says whether a complete subscription can be canceled though Ordergroove refuses, for the second time,
// to have it hidden first.
func (s *subscriptionSync) canGoOnWithout(err error, plan counter.Plan) bool {
	if plan.Do != counter.Write || !errors.Is(err, ordergroove.ErrRejected) || !s.sub.AtOvershipRisk() ||
		s.lease.Attempts == 0 {
		return false
	}
	s.refused = err
	return true
}
