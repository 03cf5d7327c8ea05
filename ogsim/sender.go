package ogsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/termed/termed/ordergroove"
)

// RetryDelays is one of the published retry policies, five attempts; the contract's section 1 lists the others.
var RetryDelays = []time.Duration{time.Minute, 3 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// disableAfter is how long a target may go without a 2xx before Ordergroove stops sending (contract, section 1).
const disableAfter = 72 * time.Hour

// ErrDisabled says that the target went three days without a 2xx and gets nothing any more.
var ErrDisabled = errors.New("the target is disabled: three days without a 2xx")

// ErrGivenUp says that an event was not taken in as many attempts as there are.
var ErrGivenUp = errors.New("given up")

// Sender signs events and delivers them, as Ordergroove does. The zero value of a field means the default it names.
type Sender struct {
	URL     string
	Keys    []string         // each makes a sig: two during a rotation, the new key's first
	Client  *http.Client     // default one that waits 5 s
	Delays  []time.Duration  // between attempts; default RetryDelays
	Now     func() time.Time // default time.Now
	OnReply func(Event, Reply)

	mu      sync.Mutex
	failing time.Time // since when there was no 2xx; zero: the last was one
}

// Reply is what came back from one attempt.
type Reply struct {
	Status int // 0: nothing came back
	Body   string
	Err    error
}

// OK says whether the delivery was taken.
func (r Reply) OK() bool { return r.Status/100 == 2 }

// Deliver makes one attempt.
func (s *Sender) Deliver(ctx context.Context, e Event) Reply {
	reply := s.post(ctx, e)
	if s.OnReply != nil {
		s.OnReply(e, reply)
	}
	return reply
}

func (s *Sender) post(ctx context.Context, e Event) Reply {
	at := time.Now()
	if s.Now != nil {
		at = s.Now()
	}
	if s.disabled(at) {
		return Reply{Err: ErrDisabled}
	}
	request, err := Request(ctx, s.URL, e.Body, at, s.Keys...)
	if err != nil {
		return Reply{Err: err}
	}
	client := s.Client
	if client == nil {
		client = patient
	}
	response, err := client.Do(request)
	if err != nil {
		s.took(false, at)
		return Reply{Err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	s.took(response.StatusCode/100 == 2, at)
	return Reply{Status: response.StatusCode, Body: string(bytes.TrimSpace(body)), Err: err}
}

// patient waits as long as Ordergroove does (contract, section 1).
var patient = &http.Client{Timeout: 5 * time.Second}

// Request makes a signed delivery.
func Request(ctx context.Context, url string, body []byte, at time.Time, keys ...string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(at, body, keys...))
	return request, nil
}

// Send delivers an event with as many attempts as Ordergroove makes.
func (s *Sender) Send(ctx context.Context, e Event) error {
	delays := s.Delays
	if delays == nil {
		delays = RetryDelays
	}
	for attempt := 0; ; attempt++ {
		reply := s.Deliver(ctx, e)
		if reply.OK() {
			return nil
		}
		if attempt == len(delays) || errors.Is(reply.Err, ErrDisabled) {
			return fmt.Errorf("%s %s: %w: %d %s %w", e.Type, e.ID, ErrGivenUp, reply.Status, reply.Body, orNothing(reply.Err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delays[attempt]):
		}
	}
}

// SendAll delivers events, at most so many at a time, and returns what was given up.
func (s *Sender) SendAll(ctx context.Context, events []Event, atATime int) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var faults []error
	turn := make(chan struct{}, atATime)
	for _, e := range events {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			if err := s.Send(ctx, e); err != nil {
				mu.Lock()
				defer mu.Unlock()
				faults = append(faults, err)
			}
		})
	}
	all.Wait()
	return errors.Join(faults...)
}

// Run delivers what the simulator announces until ctx is done.
func (s *Sender) Run(ctx context.Context, sim *Simulator, every time.Duration) {
	clock := time.NewTicker(every)
	defer clock.Stop()
	var sending sync.WaitGroup
	defer sending.Wait()
	for {
		for _, e := range sim.Take() {
			sending.Go(func() { _ = s.Send(ctx, e) }) // OnReply tells of each attempt
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

func (s *Sender) disabled(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.failing.IsZero() && at.Sub(s.failing) > disableAfter
}

func (s *Sender) took(ok bool, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ok:
		s.failing = time.Time{}
	case s.failing.IsZero():
		s.failing = at
	}
}

func orNothing(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}
