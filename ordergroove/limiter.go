package ordergroove

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Priority says which calls go first when calls wait for the rate limit. The zero value is Normal.
type Priority int

// The priorities, from last to first.
const (
	Background Priority = -1 // work that can wait, such as reconciling
	Normal     Priority = 0
	Urgent     Priority = 1 // a subscription at overship risk
)

type priorityKey struct{}

// WithPriority sets the priority of the calls that are made with the context.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, p)
}

func priorityOf(ctx context.Context) Priority {
	p, _ := ctx.Value(priorityKey{}).(Priority)
	return p
}

// priorityLimiter lets calls through at the rate limiter's pace: the highest priority first, equal ones in order of
// arrival. Only one call at a time waits for the rate limiter, so a more urgent call that arrives later overtakes all
// others.
type priorityLimiter struct {
	limiter   *rate.Limiter
	perMinute int // of all processes that share the limit
	now       func() time.Time
	mu        sync.Mutex
	share     *share        // nil: this process has the limit for itself
	changed   chan struct{} // closed when the share is another one
	busy      bool          // one call waits for the rate limiter
	queue     []waiter
	resume    time.Time // no call is sent before it
	// throttled says that the last answer was a 429: one call at a time goes out, until one of them is not.
	throttled bool
}

// maxPause is the longest time for which one answer stops all calls.
const maxPause = 15 * time.Minute

// pause stops all calls for a while: Ordergroove has told one of them to come back later (contract, section 2).
func (l *priorityLimiter) pause(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.throttled = true
	if until := l.now().Add(min(wait, maxPause)); until.After(l.resume) {
		l.resume = until
	}
}

// share is a process's part of a limit that others share.
type share struct {
	among int       // processes; 0: make no call
	until time.Time // it holds; later no call is made
}

// divide gives this process an equal share of the limit.
func (l *priorityLimiter) divide(s share) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.among > 0 && (l.share == nil || l.share.among != s.among) {
		perSecond := float64(l.perMinute) / 60 / float64(s.among)
		l.limiter.SetLimit(rate.Limit(perSecond))
		l.limiter.SetBurst(max(1, int(perSecond)))
	}
	l.share = &s
	close(l.changed)
	l.changed = make(chan struct{})
}

// allowed is how many calls a minute this process may make.
func (l *priorityLimiter) allowed() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.share == nil:
		return float64(l.perMinute)
	case l.share.isHeld(l.now()):
		return 0
	}
	return float64(l.perMinute) / float64(l.share.among)
}

func (s *share) isHeld(now time.Time) bool { return s != nil && (s.among == 0 || !now.Before(s.until)) }

// sleep waits until no pause is in force, and this process has a share of the limit.
func (l *priorityLimiter) sleep(ctx context.Context) error {
	for {
		l.mu.Lock()
		wait := l.resume.Sub(l.now())
		// safeguard: expired-share
		held := l.share.isHeld(l.now())
		changed := l.changed
		l.mu.Unlock()
		if wait <= 0 && !held {
			return nil
		}
		if held {
			wait = max(wait, time.Second)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

type waiter struct {
	priority Priority
	ready    chan struct{} // closed when it is this call's turn
}

// Wait blocks until the call may be sent. What it answers must be called when the call is over, and says whether that
// was answered 429.
func (l *priorityLimiter) Wait(ctx context.Context) (over func(throttled bool, wait time.Duration), err error) {
	if err := l.acquire(ctx); err != nil {
		return nil, NotSent(fmt.Errorf("waiting for the rate limit: %w", err))
	}
	if err := l.sleep(ctx); err != nil {
		l.release()
		return nil, NotSent(fmt.Errorf("waiting as long as Ordergroove asked to: %w", err))
	}
	// safeguard: call-limit
	if err := l.limiter.Wait(ctx); err != nil {
		l.release()
		return nil, NotSent(fmt.Errorf("waiting for the rate limit: %w", err))
	}
	alone := l.isThrottled()
	if !alone {
		l.release()
	}
	return func(throttled bool, wait time.Duration) {
		if throttled {
			// safeguard: throttled-client
			l.pause(wait)
		}
		if alone {
			l.answered(throttled)
			l.release()
		}
	}, nil
}

func (l *priorityLimiter) isThrottled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.throttled
}

func (l *priorityLimiter) answered(throttled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.throttled = throttled
}

// acquire waits for the right to wait for the rate limiter.
func (l *priorityLimiter) acquire(ctx context.Context) error {
	l.mu.Lock()
	if !l.busy {
		l.busy = true
		l.mu.Unlock()
		return nil
	}
	w := l.enqueue(priorityOf(ctx))
	l.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		if !l.dequeue(w) {
			l.release() // the right was passed to us in this very moment
		}
		return ctx.Err()
	}
}

// enqueue puts a call behind those of its own priority and ahead of lower ones.
func (l *priorityLimiter) enqueue(p Priority) waiter {
	w := waiter{priority: p, ready: make(chan struct{})}
	// safeguard: urgent-first
	at := slices.IndexFunc(l.queue, func(other waiter) bool { return other.priority < w.priority })
	if at < 0 {
		at = len(l.queue)
	}
	l.queue = slices.Insert(l.queue, at, w)
	return w
}

// dequeue removes a call that gave up; it returns false where the call is not in the queue any more.
func (l *priorityLimiter) dequeue(w waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.queue, func(other waiter) bool { return other.ready == w.ready })
	if at < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, at, at+1)
	return true
}

// release passes the right to the next call in the queue.
func (l *priorityLimiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.busy = false
		return
	}
	close(l.queue[0].ready)
	l.queue = slices.Delete(l.queue, 0, 1)
}
