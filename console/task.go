package console

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errNotRunning = errors.New("the service is stopping")

// progress is what is known of a task: R says how far it is, and what it found.
type progress[R any] struct {
	Active bool
	By     string
	Began  time.Time // zero: never
	Report R
	Err    error
}

// task is long work that somebody starts from the console, once at a time. It ends with the service. The zero value
// starts none.
type task[R any] struct {
	mu      sync.Mutex
	service context.Context // nil: the service does not run
	running sync.WaitGroup
	latest  progress[R]
}

func (t *task[R]) begin(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.service = ctx
}

func (t *task[R]) wait() {
	t.mu.Lock()
	t.service = nil
	t.mu.Unlock()
	t.running.Wait()
}

// start begins the work in the background, unless it is in progress: then the error is busy.
func (t *task[R]) start(
	by string, at time.Time, busy error, do func(ctx context.Context, report func(R)) (R, error),
) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.service == nil:
		return errNotRunning
	case t.latest.Active:
		return busy
	}
	ctx := t.service
	t.latest = progress[R]{Active: true, By: by, Began: at}
	t.running.Go(func() {
		report, err := do(ctx, t.report)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.latest.Active = false
		t.latest.Report = report
		t.latest.Err = err
	})
	return nil
}

func (t *task[R]) report(soFar R) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latest.Report = soFar
}

func (t *task[R]) get() progress[R] {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.latest
}
