package notify

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/termed/termed/ledger"
)

// loop sends the messages to one endpoint.
type loop struct {
	endpoint string // its name, or notConfigured
	wakeup   chan struct{}
	stop     chan struct{} // closed when the endpoint is no longer configured
}

// notConfigured is the loop that gives up the messages to endpoints that are no longer configured. No endpoint has this
// name.
const notConfigured = ""

// Run sends messages until ctx is done. It returns when the attempts in progress are settled, within Timeout. Each
// endpoint has a loop of its own, so that one that hangs delays its own messages only.
func (s *Sender) Run(ctx context.Context) {
	defer s.public.CloseIdleConnections()
	defer s.private.CloseIdleConnections()
	var running sync.WaitGroup
	defer running.Wait()
	loops := map[string]*loop{}
	clock := time.NewTicker(s.options.Idle)
	defer clock.Stop()
	for {
		names := append(s.endpoints.Load().names(), notConfigured)
		for _, l := range adjust(loops, names) {
			running.Go(func() { s.runLoop(ctx, l) })
		}
		select {
		case <-ctx.Done():
			return
		case <-s.reloaded:
		case <-s.outbox.MessagesDue():
		case <-clock.C:
		}
		for _, l := range loops {
			signal(l.wakeup)
		}
	}
}

// adjust makes the loops those of the given endpoints, stops the others, and returns the new ones.
func adjust(loops map[string]*loop, names []string) []*loop {
	var added []*loop
	for _, name := range names {
		if loops[name] == nil {
			loops[name] = &loop{endpoint: name, wakeup: make(chan struct{}, 1), stop: make(chan struct{})}
			added = append(added, loops[name])
		}
	}
	for name, l := range loops {
		if !slices.Contains(names, name) {
			close(l.stop)
			delete(loops, name)
		}
	}
	return added
}

// runLoop sends the messages to one endpoint until the endpoint is removed or ctx is done. A removal lets a claim that
// is being made and the attempts in progress end as usual: what is cut off there would wait for its claim to expire.
func (s *Sender) runLoop(ctx context.Context, l *loop) {
	for {
		n, err := s.runOnce(ctx, l.endpoint)
		if err != nil && ctx.Err() == nil {
			s.options.Log.Error("store error", "error", err)
		}
		if n == s.options.Workers {
			signal(l.wakeup) // there may be more
		}
		select {
		case <-ctx.Done():
			return
		case <-l.stop:
			return
		case <-l.wakeup:
		}
	}
}

// runOnce sends at most one message per worker, and returns their number.
func (s *Sender) runOnce(ctx context.Context, endpoint string) (int, error) {
	messages, err := s.claim(ctx, endpoint)
	if err != nil {
		return 0, err
	}
	var workers sync.WaitGroup
	for _, m := range messages {
		workers.Go(func() { s.deliver(ctx, m) })
	}
	workers.Wait()
	return len(messages), nil
}

func (s *Sender) claim(ctx context.Context, endpoint string) ([]ledger.Message, error) {
	now := s.options.Now()
	at, until := now.UnixMilli(), now.Add(2*s.options.Timeout).UnixMilli()
	if endpoint == notConfigured {
		return s.outbox.ClaimMessagesExcept(ctx, s.endpoints.Load().names(), at, until, s.options.Workers)
	}
	return s.outbox.ClaimMessages(ctx, endpoint, at, until, s.options.Workers)
}

// signal wakes up whoever waits on a channel of one place. A wake-up that finds one waiting changes nothing.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
