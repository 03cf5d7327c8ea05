package notify

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
	"sync/atomic"
	"time"

	"code.dny.dev/ssrf"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/termed/termed/ledger"
)

// outbox holds messages until they are sent; store satisfies it.
type outbox interface {
	ClaimMessages(ctx context.Context, endpoint string, at, until int64, n int) ([]ledger.Message, error)
	ClaimMessagesExcept(ctx context.Context, endpoints []string, at, until int64, n int) ([]ledger.Message, error)
	SettleMessage(ctx context.Context, m ledger.Message, lastError string, next int64) error
	MessagesDue() <-chan struct{}
}

// Options of a Sender. The zero value of a field means the default it names.
type Options struct {
	Endpoints *Endpoints       // default none
	Workers   int              // messages in flight to one endpoint; default 2
	Timeout   time.Duration    // of one attempt; default 20 s
	Idle      time.Duration    // the longest time between two polls of the outbox; default 2 s
	Now       func() time.Time // default time.Now
	Jitter    func() float64   // in [0, 1); default random
	Log       *slog.Logger     // default none
}

func (o *Options) setDefaults() {
	if o.Workers == 0 {
		o.Workers = 2
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
}

// Sender sends the messages in the outbox.
type Sender struct {
	outbox    outbox
	endpoints atomic.Pointer[Endpoints]
	reloaded  chan struct{}
	public    *http.Client // connects to public addresses only
	private   *http.Client // connects to any address
	options   Options
}

// NewSender makes a Sender; it does nothing until Run.
func NewSender(out outbox, o Options) *Sender {
	o.setDefaults()
	// The dialer checks the address after its name was resolved. So a name that resolves to an internal address,
	// always or only sometimes, is refused too.
	publicOnly := ssrf.New(ssrf.WithAnyPort())
	s := &Sender{
		outbox: out,
		// safeguard: public-addresses
		public:   newClient(o.Timeout, &net.Dialer{Control: publicOnly.Safe}),
		private:  newClient(o.Timeout, &net.Dialer{}),
		reloaded: make(chan struct{}, 1),
		options:  o,
	}
	s.Reload(o.Endpoints)
	return s
}

func newClient(timeout time.Duration, dialer *net.Dialer) *http.Client {
	return &http.Client{
		Timeout: timeout,
		// safeguard: no-proxy
		Transport: &http.Transport{ // without a proxy, which would connect to addresses that the dialer refuses
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: timeout / 2,
			IdleConnTimeout:     time.Minute,
			MaxIdleConnsPerHost: 4,
			ForceAttemptHTTP2:   true,
		},
		// safeguard: notification-redirects
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Reload replaces the endpoints; nil means none. Attempts in progress are finished as they began.
func (s *Sender) Reload(e *Endpoints) {
	if e == nil {
		e = &Endpoints{}
	}
	s.endpoints.Store(e)
	signal(s.reloaded)
}

// errGaveUp says that a message is not to be retried.
var errGaveUp = errors.New("gave up")

// deliver sends one message and settles it. An attempt that shutdown interrupts is not settled: the message is due
// again when its claim expires.
func (s *Sender) deliver(ctx context.Context, m ledger.Message) {
	retryAfter, err := s.send(ctx, m)
	if ctx.Err() != nil && err != nil {
		return
	}
	lastError := ""
	next := int64(0)
	if err != nil {
		lastError = err.Error()
		delay, retry := Delay(m.Attempts+1, s.options.Jitter())
		if retry && !errors.Is(err, errGaveUp) {
			next = s.options.Now().Add(max(delay, min(retryAfter, maxRetryAfter))).UnixMilli()
		}
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := s.outbox.SettleMessage(closing, m, lastError, next); err != nil {
		s.options.Log.Error("store error", "error", err) // the message is due again when its claim expires
		return
	}
	log := s.options.Log.With("message", m.ID, "type", m.Type, "endpoint", m.Endpoint, "attempts", m.Attempts+1)
	switch {
	case next != 0:
		log.Warn("notification failed, will retry", "error", err)
	case err != nil:
		log.Error("notification given up, kept as dead", "error", err)
	}
}

// send makes one request. Of the response only the status and Retry-After count.
func (s *Sender) send(ctx context.Context, m ledger.Message) (retryAfter time.Duration, err error) {
	to, ok := s.endpoints.Load().named(m.Endpoint)
	if !ok {
		return 0, fmt.Errorf("%w: endpoint %q is no longer configured", errGaveUp, m.Endpoint)
	}
	request, err := s.request(ctx, m, to)
	if err != nil {
		return 0, err
	}
	client := s.public
	if to.Private {
		client = s.private
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be reused
	switch {
	case response.StatusCode/100 == 2:
		return 0, nil
	case response.StatusCode == http.StatusGone:
		return 0, fmt.Errorf("%w: HTTP 410, the endpoint is gone", errGaveUp)
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return time.Duration(seconds) * time.Second, fmt.Errorf("HTTP %d", response.StatusCode)
}

// request makes the signed request of one attempt.
func (s *Sender) request(ctx context.Context, m ledger.Message, to endpoint) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(m.Body))
	if err != nil {
		return nil, fmt.Errorf("%w: invalid URL", errGaveUp)
	}
	now := s.options.Now()
	var signatures []string
	for _, signer := range to.signers {
		signature, err := signer.Sign(m.ID, now, m.Body)
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		signatures = append(signatures, signature)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "termed")
	request.Header.Set(standardwebhooks.HeaderWebhookID, m.ID)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return request, nil
}

// withoutURL removes the URL from an error, because its path may be secret.
func withoutURL(err error) error {
	if errors.Is(err, ssrf.ErrProhibitedIP) {
		return errors.New("the address is not public; set private: true for an endpoint in your own network")
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// schedule is the delay after each failed attempt, as the Standard Webhooks specification recommends it.
var schedule = []time.Duration{
	5 * time.Second,
	5 * time.Minute,
	30 * time.Minute,
	2 * time.Hour,
	5 * time.Hour,
	10 * time.Hour,
	14 * time.Hour,
	20 * time.Hour,
	24 * time.Hour,
}

// maxRetryAfter bounds a Retry-After header.
const maxRetryAfter = 24 * time.Hour

// Delay returns how long to wait after a number of failed attempts, and whether to retry at all. Jitter, in [0, 1),
// adds up to a tenth.
func Delay(attempts int, jitter float64) (time.Duration, bool) {
	if attempts < 1 || attempts > len(schedule) {
		return 0, false
	}
	delay := schedule[attempts-1]
	return delay + time.Duration(jitter*float64(delay)/10), true
}
