package cancelapp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"github.com/termed/termed/ordergroove"
)

const (
	// probeInterval is how long the breaker stays open before it asks again: the most that it adds to an outage.
	probeInterval = 5 * time.Second
	// rememberedReads is how many subscriptions are remembered as candidates for a neutral call.
	rememberedReads = 8
)

// errOutage says that Ordergroove as a whole fails: the work in progress is not to blame, and continues when the outage
// is over.
var errOutage = errors.New("Ordergroove is down, or refuses the API key")

// IsOutage says whether a call failed, or was not made, because Ordergroove as a whole fails.
func IsOutage(err error) bool { return errors.Is(err, errOutage) }

// call is what the breaker knows of a call.
type call struct {
	operation string // the kind of call, as operations counts them
	about     string // the object: a subscription, an order or the list of a product
}

// breaker stops all calls while Ordergroove as a whole fails.
//
// Whether it does is never concluded from the trouble of one object or of one kind of call. A call that fails is only a
// reason to make a neutral call, one that this key has had answered before and that is about nothing that has just
// failed. Only neutral calls count: what was in flight when the breaker opened says nothing about what comes after.
type breaker struct {
	api        API
	now        func() time.Time
	closed     func(context.Context) // called when an outage is over
	opened     chan struct{}         // a probe is to follow
	neutral    *gobreaker.CircuitBreaker[struct{}]
	proofs     singleflight.Group
	operations operations

	mu       sync.Mutex
	cause    error         // why the last neutral call failed; nil: it was answered
	answers  [2]answer     // the last two about different objects, the latest first
	reads    []neutralRead // the subscriptions that were read, the latest last
	answered bool          // Ping was
	refused  bool          // Ping was, while another call was answered: the key may not make that one
}

// answer is one that was to the point, if only a refusal.
type answer struct {
	about string
	at    time.Time
}

// neutralRead is a subscription that a neutral call can be about.
type neutralRead struct {
	id     string
	failed bool // a call about it has failed since it was read
}

func newBreaker(api API, now func() time.Time, closed func(context.Context)) *breaker {
	b := &breaker{
		api:    api,
		now:    now,
		closed: closed,
		opened: make(chan struct{}, 1),
	}
	b.neutral = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout: probeInterval,
		// safeguard: breaker
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures > 0 },
		IsSuccessful: isAnswer,
		// safeguard: own-cancellation
		IsExcluded: isOurs,
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.wakeProbe()
			}
		},
	})
	return b
}

func (b *breaker) wakeProbe() {
	select {
	case b.opened <- struct{}{}:
	default:
	}
}

// isAnswer says whether Ordergroove answered to the point, if only with a refusal of this one call.
func isAnswer(err error) bool {
	e, ok := errors.AsType[*ordergroove.Error](err)
	return err == nil || ok && e.Status != 0 && !isSuspect(err)
}

// isOurs says whether we gave a call up ourselves. That Ordergroove does not answer in time is another error.
func isOurs(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// isSuspect says whether Ordergroove as a whole may be the reason for an error. What we could not read, and what we
// refused or gave up ourselves, never is.
func isSuspect(err error) bool {
	if isOurs(err) || errors.Is(err, ordergroove.ErrUnreadable) {
		return false
	}
	return errors.Is(err, ordergroove.ErrUnavailable) || errors.Is(err, ordergroove.ErrUnauthorized)
}

// allows says whether calls are let through.
func (b *breaker) allows() bool {
	return b.neutral.State() == gobreaker.StateClosed
}

// reason says why the breaker is not closed, or nil.
func (b *breaker) reason() error {
	if b.allows() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Errorf("circuit breaker open, next probe within %s: %w", probeInterval, b.cause)
}

// enter lets a call through while the breaker is closed. Where it is time for the probe, that is made first.
func (b *breaker) enter(ctx context.Context) error {
	switch b.neutral.State() {
	case gobreaker.StateClosed:
		return nil
	case gobreaker.StateHalfOpen:
		if b.prove(ctx) == nil {
			return nil
		}
	}
	// safeguard: open-breaker
	return ordergroove.NotSent(fmt.Errorf("call skipped, circuit breaker open: %w", errOutage))
}

// candidate is the subscription for a neutral call; "": there is none. While the breaker is open, one that has failed
// is better than none.
func (b *breaker) candidate() string {
	open := !b.allows()
	b.mu.Lock()
	defer b.mu.Unlock()
	best := ""
	for _, r := range b.reads {
		if !r.failed {
			best = r.id
		} else if open && best == "" {
			best = r.id
		}
	}
	return best
}

// prove makes the neutral call, and answers an error where Ordergroove as a whole fails it. All who ask at the same
// time share one call.
func (b *breaker) prove(ctx context.Context) error {
	_, err, _ := b.proofs.Do("", func() (any, error) {
		wasOpen := !b.allows()
		_, err := b.neutral.Execute(func() (struct{}, error) {
			err := b.ask(ordergroove.WithPriority(ctx, ordergroove.Urgent))
			b.mu.Lock()
			defer b.mu.Unlock()
			if !isOurs(err) {
				b.cause = err
			}
			return struct{}{}, err
		})
		if isAnswer(err) {
			err = nil
			b.note(call{about: "nothing in particular"}, false)
		}
		if wasOpen && b.allows() {
			b.operations.forget()
			b.closed(ctx)
		}
		return nil, err
	})
	return err
}

// ask makes a neutral call: Ping, or, where the key may not make that one, the GET of a subscription that was answered
// before.
func (b *breaker) ask(ctx context.Context) error {
	other := b.candidate()
	b.mu.Lock()
	refused := b.refused
	failed := len(b.reads)
	b.mu.Unlock()
	if refused && other == "" {
		// There is nothing to ask: one that fails is to blame itself, several are not.
		if failed > 1 {
			return fmt.Errorf("%d subscriptions fail, one after the other: %w", failed, ordergroove.ErrUnavailable)
		}
		return nil
	}
	if !refused {
		err := b.api.Ping(ctx)
		if isAnswer(err) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.answered, b.refused = true, false
			return nil
		}
		b.mu.Lock()
		accepted := b.answered
		b.mu.Unlock()
		if accepted || other == "" || !errors.Is(err, ordergroove.ErrUnauthorized) {
			return err
		}
	}
	_, err := b.api.Subscription(ctx, other)
	if isAnswer(err) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.refused = true
	}
	return err
}

// judge takes note of what came of a call. The error that it answers is an outage's where Ordergroove as a whole fails.
func (b *breaker) judge(ctx context.Context, c call, began time.Time, err error) error {
	if isAnswer(err) {
		b.note(c, err == nil)
		b.operations.answer(c)
		return err
	}
	if !isSuspect(err) {
		return err
	}
	// safeguard: neutral-call
	if !b.othersAnswered(c, began) && b.prove(ctx) != nil && !b.allows() {
		return fmt.Errorf("%w: %w", errOutage, err)
	}
	b.operations.fail(c)
	return err
}

// note remembers an answer.
func (b *breaker) note(c call, read bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answers[0].about != c.about {
		b.answers[1] = b.answers[0]
	}
	b.answers[0] = answer{c.about, b.now()}
	if read && c.operation == readSubscription {
		b.reads = slices.DeleteFunc(b.reads, func(r neutralRead) bool { return r.id == c.about })
		b.reads = append(b.reads, neutralRead{id: c.about})
		b.reads = b.reads[max(0, len(b.reads)-rememberedReads):]
	}
}

// othersAnswered says whether a call about another object was answered since one that failed began. What failed is no
// candidate for a neutral call any more.
func (b *breaker) othersAnswered(failed call, began time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.reads {
		b.reads[i].failed = b.reads[i].failed || b.reads[i].id == failed.about
	}
	return slices.ContainsFunc(b.answers[:], func(a answer) bool {
		return a.about != failed.about && a.at.After(began)
	})
}

// probe makes the neutral call as soon as it is time, while the breaker is open, until ctx is done: recovery does not
// wait for somebody who wants to make a call.
func (b *breaker) probe(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.opened:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeInterval + time.Millisecond): // it is half-open by then
		}
		if b.enter(ctx) != nil && !b.allows() {
			b.wakeProbe() // one that was broken off changed nothing
		}
	}
}
