package sim

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

// RetryDelays is one of the published retry policies: five attempts. The contract, section 1, lists the others.
var RetryDelays = []time.Duration{time.Minute, 3 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// disableAfter is how long a target may go without a 2xx before Ordergroove stops sending (contract, section 1).
const disableAfter = 72 * time.Hour

// ErrDisabled says that the target URL answered no 2xx for three days and gets no more deliveries.
var ErrDisabled = errors.New("target URL disabled: no 2xx for three days")

// ErrGaveUp says that all attempts to deliver an event failed.
var ErrGaveUp = errors.New("gave up")

// Sender signs and delivers events as Ordergroove does. The zero value of a field means the default it names.
type Sender struct {
	URL     string
	Keys    []string         // each makes a sig: two during a rotation, the new key's first
	Client  *http.Client     // default: a client with a timeout of 5 s
	Delays  []time.Duration  // between attempts; default RetryDelays
	Now     func() time.Time // default time.Now
	OnReply func(Event, Reply)

	mu      sync.Mutex
	failing time.Time // when the first failed attempt after the last 2xx was; zero where the last attempt got a 2xx
}

// Reply is the outcome of one attempt.
type Reply struct {
	Status int // 0 where there was no answer
	Body   string
	Err    error
}

// OK says whether the delivery got a 2xx.
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
		client = defaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		s.recordResult(false, at)
		return Reply{Err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	s.recordResult(response.StatusCode/100 == 2, at)
	return Reply{Status: response.StatusCode, Body: string(bytes.TrimSpace(body)), Err: err}
}

// defaultClient waits as long as Ordergroove does (contract, section 1).
var defaultClient = &http.Client{Timeout: 5 * time.Second}

// Request returns a signed delivery.
func Request(ctx context.Context, url string, body []byte, at time.Time, keys ...string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(at, body, keys...))
	return request, nil
}

// Send delivers an event, with retries as Ordergroove makes them.
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
			return gaveUp(e, reply)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delays[attempt]):
		}
	}
}

func gaveUp(e Event, last Reply) error {
	if last.Err != nil {
		return fmt.Errorf("%s %s: %w: %w", e.Type, e.ID, ErrGaveUp, last.Err)
	}
	return fmt.Errorf("%s %s: %w: HTTP %d %s", e.Type, e.ID, ErrGaveUp, last.Status, last.Body)
}

// SendAll delivers events, at most concurrency of them at once, and returns the errors of those that it gave up.
func (s *Sender) SendAll(ctx context.Context, events []Event, concurrency int) error {
	var senders sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	slots := make(chan struct{}, concurrency)
	for _, e := range events {
		slots <- struct{}{}
		senders.Go(func() {
			defer func() { <-slots }()
			if err := s.Send(ctx, e); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	senders.Wait()
	return errors.Join(failed...)
}

// Run delivers what the simulator announces until ctx is done.
func (s *Sender) Run(ctx context.Context, sim *Simulator, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var sending sync.WaitGroup
	defer sending.Wait()
	for {
		for _, e := range sim.Take() {
			sending.Go(func() { _ = s.Send(ctx, e) }) // OnReply reports each attempt
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Sender) disabled(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.failing.IsZero() && at.Sub(s.failing) > disableAfter
}

func (s *Sender) recordResult(ok bool, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ok:
		s.failing = time.Time{}
	case s.failing.IsZero():
		s.failing = at
	}
}
