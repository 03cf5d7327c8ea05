package cancelapp

import (
	"context"
	"errors"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

const (
	firstDelay = 2 * time.Second
	maxDelay   = 5 * time.Minute
	maxAsked   = 15 * time.Minute // what a Retry-After can make us wait
	guardDelay = 30 * time.Second // in place of maxDelay, while a box too many looms
	guardEvery = 5 * time.Minute  // what was refused is asked for again, while a box too many looms
)

// Delay is how long to wait before the next try: what the answer asked for, up to a cap, and on top of it a capped
// exponential delay with full jitter, so that what failed together does not come back together. What is urgent has a lower
// cap. The attempt counts from 1; jitter is in [0, 1).
func Delay(attempt int, asked time.Duration, u counter.Urgency, jitter float64) time.Duration {
	ceiling := maxDelay
	if u == counter.Looming {
		ceiling = guardDelay
	}
	if shift := max(0, attempt-1); shift < 16 {
		ceiling = min(ceiling, firstDelay<<shift)
	}
	return min(asked, maxAsked) + time.Duration(jitter*float64(ceiling))
}

// again says when to try again after an error, and how many attempts in vain that makes. What is nobody's fault here, a
// refused key or a shutdown, spends none.
func (a *App) again(err error, attempts int, u counter.Urgency, at int64) (next int64, spent int) {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, counter.ErrStale):
		return at, attempts
	case wholeAPI(err):
		return a.gate.nextProbe() + int64(a.o.Jitter()*1000), attempts
	}
	attempts++
	return at + Delay(attempts, ordergroove.RetryAfter(err), u, a.o.Jitter()).Milliseconds(), attempts
}
