package ordergroove

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/time/rate"
)

// Urgency says which calls go first when calls wait for the limit. The zero value is Ordinary.
type Urgency int

const (
	Background Urgency = -1 // whatever can wait: comparing everything
	Ordinary   Urgency = 0
	Urgent     Urgency = 1 // a box too many looms
)

type urgencyKey struct{}

// WithUrgency marks the calls that are made under a context.
func WithUrgency(ctx context.Context, u Urgency) context.Context {
	return context.WithValue(ctx, urgencyKey{}, u)
}

func urgencyOf(ctx context.Context) Urgency {
	u, _ := ctx.Value(urgencyKey{}).(Urgency)
	return u
}

// turnstile lets calls through at the limiter's pace, the most urgent first and those alike in the order of their coming.
// Only the one at its front waits for the limiter, so that whoever comes later and is more urgent overtakes all others.
type turnstile struct {
	limiter *rate.Limiter
	mu      sync.Mutex
	taken   bool // somebody is at the front
	waiting []waiting
}

type waiting struct {
	urgency Urgency
	turn    chan struct{}
}

func (t *turnstile) wait(ctx context.Context) error {
	if err := t.enter(ctx); err != nil {
		return fmt.Errorf("waiting for the request limit: %w", err)
	}
	defer t.leave()
	if err := t.limiter.Wait(ctx); err != nil {
		return fmt.Errorf("waiting for the request limit: %w", err)
	}
	return nil
}

// enter waits until the front is ours.
func (t *turnstile) enter(ctx context.Context) error {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return nil
	}
	w := waiting{urgencyOf(ctx), make(chan struct{})}
	at := slices.IndexFunc(t.waiting, func(other waiting) bool { return other.urgency < w.urgency })
	if at < 0 {
		at = len(t.waiting)
	}
	t.waiting = slices.Insert(t.waiting, at, w)
	t.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		t.mu.Lock()
		at := slices.IndexFunc(t.waiting, func(other waiting) bool { return other.turn == w.turn })
		if at >= 0 {
			t.waiting = slices.Delete(t.waiting, at, at+1)
		}
		t.mu.Unlock()
		if at < 0 {
			t.leave() // the front was given to us just now
		}
		return ctx.Err()
	}
}

// leave gives the front to the next.
func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.taken = false
		return
	}
	close(t.waiting[0].turn)
	t.waiting = slices.Delete(t.waiting, 0, 1)
}
