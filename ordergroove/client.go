package ordergroove

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Options of a Client. The zero value of a field means the default it names; URL and Key have none.
type Options struct {
	URL               string        // base URL, without a path
	Key               string        // x-api-key
	RequestsPerMinute int           // limit for all calls together; default 5400, 90 % of the published limit per IP
	Timeout           time.Duration // for one request, without the time that it waits for the limit; default 10 s
	MaxAnswer         int64         // bytes of one answer; default 8 MiB
	Transport         http.RoundTripper
	Now               func() time.Time
	Log               *slog.Logger         // one line for each request, at level debug; default none
	Traces            trace.TracerProvider // a span for each request that is made in a trace; default none
}

func (o Options) withDefaults() Options {
	if o.RequestsPerMinute == 0 {
		o.RequestsPerMinute = 5400
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = 8 << 20
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Client calls the REST API. It retries reads briefly. It never retries a change, because a change is worked out from a
// fresh read, and only the caller can read again. Every failed call is an *Error or the context's error.
type Client struct {
	base      *url.URL
	key       string
	maxAnswer int64
	now       func() time.Time
	limiter   *priorityLimiter
	reads     *retryablehttp.Client
	writes    *retryablehttp.Client
	requests  *atomic.Int64
	outcomes  *outcomes
	skew      *skew

	// extraDataAsText is set once the API has rejected extra_data as an object: the guide sends an object, the reference
	// types it as a string, and both must work (contract, section 2).
	extraDataAsText atomic.Bool
}

// NewClient returns a Client. It makes no call.
func NewClient(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("invalid api_url %q", o.URL)
	}
	if o.Key == "" {
		return nil, errors.New("api_key is missing")
	}
	o = o.withDefaults()
	requests := new(atomic.Int64)
	counts := new(outcomes)
	clock := new(skew)
	limiter := newLimiter(o.RequestsPerMinute, o.Now)
	wire := &http.Client{
		Transport: &limitedTransport{
			next:     &loggedTransport{spanTransport(o.Transport, o.Traces), o.Log, o.Now},
			limiter:  limiter,
			timeout:  o.Timeout,
			now:      o.Now,
			requests: requests,
			outcomes: counts,
			skew:     clock,
		},
		// Go would send x-api-key to any host that a redirect names.
		// safeguard: no-redirects
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Client{
		base:      base,
		key:       o.Key,
		maxAnswer: o.MaxAnswer,
		now:       o.Now,
		limiter:   limiter,
		reads:     newRetryClient(wire, 2),
		// safeguard: changes-not-repeated
		writes:   newRetryClient(wire, 0),
		requests: requests,
		outcomes: counts,
		skew:     clock,
	}, nil
}

// newLimiter allows a burst of one second's worth, which keeps any minute within the published limit.
func newLimiter(perMinute int, now func() time.Time) *priorityLimiter {
	perSecond := float64(perMinute) / 60
	return &priorityLimiter{
		limiter:   rate.NewLimiter(rate.Limit(perSecond), max(1, perMinute/60)),
		perMinute: perMinute,
		now:       now,
		changed:   make(chan struct{}),
	}
}

// Share divides the limit equally among processes that share an outgoing address: each makes its part of the calls,
// until a time. After that, and while it is divided among 0, calls wait for the next Share.
func (c *Client) Share(among int, until time.Time) {
	c.limiter.divide(share{among, until})
}

// PerMinute is how many calls a minute this client may make now.
func (c *Client) PerMinute() float64 { return c.limiter.allowed() }

// Requests returns how many requests were sent so far, retries included.
func (c *Client) Requests() int64 {
	return c.requests.Load()
}

// Close closes idle connections.
func (c *Client) Close() {
	c.reads.HTTPClient.CloseIdleConnections()
}

// Ping makes a call about nothing in particular, to find out whether Ordergroove answers and accepts the key: it asks
// for the merchant's cancel reasons (contract, section 2).
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.send(ctx, c.writes, request{ // what it is to find out shows at the first attempt
		doing:  "asking for the cancel reasons",
		method: http.MethodGet,
		url:    c.base.JoinPath(PingPath),
	})
	return err
}

// PingPath is what Ping asks for.
const PingPath = "/merchant/cancel_reason/"

// Subscription reads one subscription as it is now.
func (c *Client) Subscription(ctx context.Context, id string) (Subscription, error) {
	return c.sendForSubscription(ctx, c.reads, id, request{
		doing:  "reading subscription",
		about:  slog.String("subscription", id),
		method: http.MethodGet,
		url:    c.base.JoinPath("/subscriptions/" + url.PathEscape(id) + "/"),
	})
}

type request struct {
	doing  string    // for errors and the log: "canceling subscription"
	about  slog.Attr // what it is about: a subscription, an order or a product; the zero value is nothing
	method string
	url    *url.URL
	body   []byte // nil for none
}

// what says what is being done, for errors: "canceling subscription 51a3…".
func (r request) what() string {
	return what(r.doing, r.about)
}

func what(doing string, about slog.Attr) string {
	if about.Key == "" {
		return doing
	}
	return doing + " " + about.Value.String()
}

// sendForSubscription sends a request whose answer must be the subscription with the given id.
func (c *Client) sendForSubscription(
	ctx context.Context, client *retryablehttp.Client, id string, r request,
) (Subscription, error) {
	body, err := c.send(ctx, client, r)
	if err != nil {
		return Subscription{}, err
	}
	s, err := readSubscription(body, id)
	if err != nil {
		return Subscription{}, unavailable(r.what(), fmt.Errorf("%w: %w", ErrUnreadable, err))
	}
	return s, nil
}

// send sends a request and returns the body of a 2xx answer.
func (c *Client) send(ctx context.Context, client *retryablehttp.Client, r request) ([]byte, error) {
	httpRequest, err := c.newHTTPRequest(withCall(ctx, r), r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.what(), err)
	}
	response, err := client.Do(httpRequest)
	if err != nil {
		if response != nil { // it arrived in the moment the caller gave up
			response.Body.Close()
		}
		return nil, unavailable(r.what(), transportCause(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.maxAnswer+1))
	if response.StatusCode/100 != 2 {
		return nil, statusError(r.what(), response, body, c.now())
	}
	if err != nil {
		return nil, unavailable(r.what(), fmt.Errorf("%w: %w", ErrUnreadable, err))
	}
	// safeguard: answer-cap
	if int64(len(body)) > c.maxAnswer {
		return nil, unavailable(r.what(), fmt.Errorf("%w: over %d bytes", ErrUnreadable, c.maxAnswer))
	}
	return bytes.Clone(body), nil
}

func (c *Client) newHTTPRequest(ctx context.Context, r request) (*retryablehttp.Request, error) {
	var body any // a nil []byte would be sent as an empty body
	if r.body != nil {
		body = r.body
	}
	httpRequest, err := retryablehttp.NewRequestWithContext(ctx, r.method, r.url.String(), body)
	if err != nil {
		return nil, err
	}
	httpRequest.Header.Set("x-api-key", c.key)
	httpRequest.Header.Set("X-OG-API-VERSION", "2") // cursor pagination
	httpRequest.Header.Set("Accept", "application/json")
	if r.body != nil {
		httpRequest.Header.Set("Content-Type", "application/json")
	}
	return httpRequest, nil
}

// transportCause drops the URL from an error: the message already says what was being done.
func transportCause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// limitedTransport makes every request, retries included, wait for the rate limit, and counts it. A request has its
// whole timeout once it is sent.
type limitedTransport struct {
	next     http.RoundTripper
	limiter  *priorityLimiter
	timeout  time.Duration
	now      func() time.Time
	requests *atomic.Int64
	outcomes *outcomes
	skew     *skew
}

func (t *limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	over, err := t.limiter.Wait(r.Context())
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	t.requests.Add(1)
	// safeguard: timeout-after-wait
	ctx, cancel := context.WithTimeoutCause(r.Context(), t.timeout, errTimeout)
	sent := t.now()
	response, err := t.next.RoundTrip(r.WithContext(ctx))
	t.outcomes.add(outcomeOf(r.Context(), response, err))
	if err != nil {
		over(false, 0)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
			err = errTimeout
		}
		return nil, err
	}
	t.skew.note(response.Header.Get("Date"), sent, t.now())
	over(response.StatusCode == http.StatusTooManyRequests, readRetryAfter(response.Header.Get("Retry-After"), t.now()))
	response.Body = &timedBody{response.Body, cancel}
	return response, nil
}

// errTimeout says that Ordergroove did not answer in time.
var errTimeout = errors.New("no answer in time")

// timedBody is an answer's body, of which the reading has to end in time, too.
type timedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close ends the request's timeout.
func (b *timedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// CloseIdleConnections forwards the call, because http.Client makes it on the outermost transport only.
func (t *limitedTransport) CloseIdleConnections() {
	if next, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// newRetryClient wraps the one http.Client. Retries is how often a request is sent again at most.
func newRetryClient(wire *http.Client, retries int) *retryablehttp.Client {
	client := retryablehttp.NewClient()
	client.HTTPClient = wire
	client.Logger = nil // its default logs URLs
	client.RetryMax = retries
	client.CheckRetry = shouldRetry
	client.Backoff = readBackoff
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler // without it the last answer is lost
	return client
}

// shouldRetry allows the short retries of a read: after a broken connection or a 5xx. 423 and 429 are left to the
// caller's schedule, which honors Retry-After, and so is a call that hangs: it would hang three times as long.
func shouldRetry(ctx context.Context, response *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		return !errors.Is(err, errTimeout), nil // the error is the reason to retry
	}
	return response.StatusCode >= 500 && response.StatusCode != http.StatusNotImplemented, nil
}

func readBackoff(_, _ time.Duration, attempt int, _ *http.Response) time.Duration {
	ceiling := 100 * time.Millisecond << attempt
	return ceiling/2 + rand.N(ceiling/2)
}
