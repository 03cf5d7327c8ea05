package notice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"code.dny.dev/ssrf"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/termed/termed/counter"
)

// outbox is where notices wait; store satisfies it.
type outbox interface {
	ClaimPosts(ctx context.Context, at, until int64, n int) ([]counter.Post, error)
	SettlePost(ctx context.Context, p counter.Post, fault string, next int64) error
	NoticesDue() <-chan struct{}
}

// Options of a Sender. The zero value of a field means the default it names.
type Options struct {
	Book    *Book            // default nobody
	Workers int              // notices at a time; default 4
	Timeout time.Duration    // of one delivery; default 20 s
	Idle    time.Duration    // the longest time between two looks at the outbox; default 2 s
	Now     func() time.Time // default time.Now
	Jitter  func() float64   // in [0, 1); default random
	Log     *slog.Logger     // default none
}

// Sender delivers what is in the outbox.
type Sender struct {
	outbox outbox
	book   atomic.Pointer[Book]
	public *http.Client // reaches public addresses only
	any    *http.Client
	o      Options
}

// NewSender makes a Sender; it does nothing until Run.
func NewSender(box outbox, o Options) *Sender {
	if o.Workers == 0 {
		o.Workers = 4
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Idle == 0 {
		o.Idle = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	// The address is checked when it is dialled, after its name was resolved: a name that points inwards, or does so only now
	// and then, gets nowhere.
	inwards := ssrf.New(ssrf.WithAnyPort())
	s := &Sender{
		outbox: box, o: o, public: client(o.Timeout, &net.Dialer{Control: inwards.Safe}), any: client(o.Timeout, &net.Dialer{}),
	}
	s.Reload(o.Book)
	return s
}

func client(timeout time.Duration, dialer *net.Dialer) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{ // no proxy: it would dial what the dialer here refuses
			DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout / 2, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4,
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Reload takes other endpoints; nil is nobody.
func (s *Sender) Reload(b *Book) {
	if b == nil {
		b = &Book{}
	}
	s.book.Store(b)
}

// Run delivers until ctx is done, and returns when what is in hand is settled: within Timeout.
func (s *Sender) Run(ctx context.Context) {
	defer s.public.CloseIdleConnections()
	defer s.any.CloseIdleConnections()
	clock := time.NewTicker(s.o.Idle)
	defer clock.Stop()
	for {
		n, err := s.runOnce(ctx)
		if err != nil && ctx.Err() == nil {
			s.o.Log.Error("the outbox does not answer", "error", err)
		}
		if n == s.o.Workers && ctx.Err() == nil {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
			return
		case <-s.outbox.NoticesDue():
		case <-clock.C:
		}
	}
}

// runOnce delivers as many as there are hands, and says how many these were.
func (s *Sender) runOnce(ctx context.Context) (int, error) {
	now := s.o.Now()
	posts, err := s.outbox.ClaimPosts(ctx, now.UnixMilli(), now.Add(2*s.o.Timeout).UnixMilli(), s.o.Workers)
	if err != nil {
		return 0, err
	}
	var hands sync.WaitGroup
	for _, p := range posts {
		hands.Go(func() { s.deliver(ctx, p) })
	}
	hands.Wait()
	return len(posts), nil
}

// errUnwanted says that an endpoint is not to be tried again.
var errUnwanted = errors.New("given up")

// deliver sends one notice and settles it. A delivery that is broken off by the end of the service is due again when its claim
// runs out.
func (s *Sender) deliver(ctx context.Context, p counter.Post) {
	retryAfter, err := s.send(ctx, p)
	if ctx.Err() != nil && err != nil {
		return
	}
	fault, next := "", int64(0)
	if err != nil {
		fault = err.Error()
		pause, again := Delay(p.Attempts+1, s.o.Jitter())
		if again && !errors.Is(err, errUnwanted) {
			next = s.o.Now().Add(max(pause, min(retryAfter, maxRetryAfter))).UnixMilli()
		}
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := s.outbox.SettlePost(closing, p, fault, next); err != nil {
		s.o.Log.Error("the outbox does not answer", "error", err) // its claim runs out, and it is due again
		return
	}
	log := s.o.Log.With("notice", p.ID, "type", p.Type, "endpoint", p.Endpoint, "attempts", p.Attempts+1)
	switch {
	case next != 0:
		log.Warn("a notice has to wait", "error", err)
	case err != nil:
		log.Error("a notice was given up; it is kept as dead", "error", err)
	}
}

// send makes one request. What the endpoint answers besides its status is not looked at.
func (s *Sender) send(ctx context.Context, p counter.Post) (retryAfter time.Duration, err error) {
	to, ok := s.book.Load().of(p.Endpoint)
	if !ok {
		return 0, fmt.Errorf("%w: no endpoint is called %s any more", errUnwanted, p.Endpoint)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(p.Body))
	if err != nil {
		return 0, fmt.Errorf("%w: its address cannot be read", errUnwanted)
	}
	now := s.o.Now()
	var signatures []string
	for _, signer := range to.signers {
		signature, err := signer.Sign(p.ID, now, p.Body)
		if err != nil {
			return 0, fmt.Errorf("signing: %w", err)
		}
		signatures = append(signatures, signature)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "termed")
	request.Header.Set(standardwebhooks.HeaderWebhookID, p.ID)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	client := s.public
	if to.Private {
		client = s.any
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, cause(err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be used again
	switch {
	case response.StatusCode/100 == 2:
		return 0, nil
	case response.StatusCode == http.StatusGone:
		return 0, fmt.Errorf("%w: it answered 410, it wants no more", errUnwanted)
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return time.Duration(seconds) * time.Second, fmt.Errorf("it answered %d", response.StatusCode)
}

// cause drops the address from an error: its path may be a secret.
func cause(err error) error {
	if errors.Is(err, ssrf.ErrProhibitedIP) {
		return errors.New("its address is not a public one; an endpoint of your own network needs private: true")
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// schedule is how long to wait after each attempt in vain: the specification's.
var schedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour,
	24 * time.Hour,
}

// maxRetryAfter is how long an answer can make us wait.
const maxRetryAfter = 24 * time.Hour

// Delay is how long to wait after so many attempts in vain, and whether to try again at all. The jitter, in [0, 1), adds up to
// a tenth.
func Delay(attempts int, jitter float64) (time.Duration, bool) {
	if attempts < 1 || attempts > len(schedule) {
		return 0, false
	}
	pause := schedule[attempts-1]
	return pause + time.Duration(jitter*float64(pause)/10), true
}
