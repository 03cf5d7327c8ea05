package ordergroove

import (
	"context"
	"net/http"
	"sync"
)

// Outcome is what came of one request to the API.
type Outcome string

// The outcomes.
const (
	Answered     Outcome = "ok"           // 2xx
	Rejected     Outcome = "rejected"     // 400 and other 4xx
	NotFound     Outcome = "not_found"    // 404
	Locked       Outcome = "locked"       // 423
	Throttled    Outcome = "throttled"    // 429
	Unauthorized Outcome = "unauthorized" // 401, 403
	Unavailable  Outcome = "unavailable"  // 5xx, a redirect, or no answer
	Abandoned    Outcome = "canceled"     // the caller gave up
)

// Outcomes are all there are.
var Outcomes = []Outcome{Answered, Rejected, NotFound, Locked, Throttled, Unauthorized, Unavailable, Abandoned}

func outcomeOf(ctx context.Context, response *http.Response, err error) Outcome {
	switch {
	case err != nil && ctx.Err() != nil:
		return Abandoned
	case err != nil:
		return Unavailable
	}
	switch status := response.StatusCode; {
	case status/100 == 2:
		return Answered
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Unauthorized
	case status == http.StatusNotFound:
		return NotFound
	case status == http.StatusLocked:
		return Locked
	case status == http.StatusTooManyRequests:
		return Throttled
	case status/100 == 4:
		return Rejected
	}
	return Unavailable
}

// outcomes counts requests. The zero value is ready to use.
type outcomes struct {
	mu sync.Mutex
	n  map[Outcome]int64
}

func (o *outcomes) add(outcome Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == nil {
		o.n = map[Outcome]int64{}
	}
	o.n[outcome]++
}

// Calls returns how many requests came to an outcome so far, retries included.
func (c *Client) Calls(outcome Outcome) int64 {
	c.outcomes.mu.Lock()
	defer c.outcomes.mu.Unlock()
	return c.outcomes.n[outcome]
}
