package cancelapp

import (
	"context"
	"errors"
	"time"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

const (
	firstDelay       = 2 * time.Second
	steepUntil       = 8 * time.Second // delays double up to here, and then grow slowly
	maxDelay         = 5 * time.Minute
	maxRetryAfter    = 15 * time.Minute // what a Retry-After can make us wait
	maxUrgentDelay   = 30 * time.Second // in place of maxDelay, at overship risk
	outageRetry      = 5 * time.Minute  // what failed in an outage is tried again when that ends, or after this long
	refusedCallRetry = 5 * time.Minute  // at overship risk a refused call is made again after this long
)

// growth is what each delay is of the one before. With delays of at least half their ceiling, ceilings that grow by a
// twentieth are never more than a tenth of the time since the first failure, and eight seconds: so long does what
// failed go on waiting, at most, when the trouble is over (I13).
const growth = 1.05

// Delay is how long to wait before the next attempt: what the answer asked for, up to a cap, and on top of it a capped
// backoff with jitter, so that what failed together does not come back together. What is urgent has a lower cap. The
// attempt counts from 1; jitter is in [0, 1).
func Delay(attempt int, asked time.Duration, p ledger.Priority, jitter float64) time.Duration {
	most := maxDelay
	if p == ledger.Urgent {
		most = maxUrgentDelay
	}
	ceiling := float64(firstDelay)
	for range max(0, attempt-1) {
		if ceiling >= float64(most) {
			break
		}
		if ceiling < float64(steepUntil) {
			ceiling *= 2
			continue
		}
		ceiling *= growth
	}
	ceiling = min(ceiling, float64(most))
	return min(asked, maxRetryAfter) + time.Duration((1+jitter)/2*ceiling)
}

// retry says when to try again after an error, and how many failed attempts that makes. What is no fault of the work,
// an outage or a shutdown, does not count as one.
func (a *App) retry(err error, attempts int, p ledger.Priority, at int64) (next int64, failed int) {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, ledger.ErrStale):
		return at, attempts
	case IsOutage(err):
		return at + outageRetry.Milliseconds(), attempts // or as soon as the outage is over
	}
	attempts++
	asked := ordergroove.RetryAfter(err)
	if errors.Is(err, ordergroove.ErrThrottled) {
		asked = 0 // the client waits that long, with all calls
	}
	return at + Delay(attempts, asked, p, a.o.Jitter()).Milliseconds(), attempts
}
