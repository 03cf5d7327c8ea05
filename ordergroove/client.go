package ordergroove

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"golang.org/x/time/rate"
)

// Options of a Client. The zero value of a field means the default it names; URL and Key have none.
type Options struct {
	URL               string        // base URL, without a path
	Key               string        // x-api-key
	RequestsPerMinute int           // of all calls together; default 5400, 90 % of what is published per IP
	Timeout           time.Duration // of one request; default 10 s
	MaxAnswer         int64         // bytes of one answer; default 8 MiB
	Transport         http.RoundTripper
	Now               func() time.Time
}

// Client calls the REST API. Reads are repeated briefly by themselves; a change never is, because a change is worked out
// from a fresh read, and only its caller can read again. Every error is an *Error or the context's.
type Client struct {
	base      *url.URL
	key       string
	maxAnswer int64
	now       func() time.Time
	reads     *retryablehttp.Client
	writes    *retryablehttp.Client
	sent      *atomic.Int64

	// extraDataAsText is set once the API has refused extra_data as an object: the guide sends an object, the reference
	// types it as a string, and both must work (contract, section 2).
	extraDataAsText atomic.Bool
}

// NewClient makes a Client; it calls nothing.
func NewClient(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("the api url %q is not one", o.URL)
	}
	if o.Key == "" {
		return nil, errors.New("no api key")
	}
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
	// A burst of a second's worth smooths nothing away and keeps any minute within the published limit.
	limiter := rate.NewLimiter(rate.Limit(float64(o.RequestsPerMinute)/60), max(1, o.RequestsPerMinute/60))
	sent := new(atomic.Int64)
	wire := &http.Client{
		Transport: &limited{o.Transport, &turnstile{limiter: limiter}, sent},
		Timeout:   o.Timeout,
		// Go would send x-api-key along to wherever a redirect points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Client{
		base: base, key: o.Key, maxAnswer: o.MaxAnswer, now: o.Now,
		reads: retrying(wire, 2), writes: retrying(wire, 0), sent: sent,
	}, nil
}

// Sent returns how many requests were sent so far, repeated ones included.
func (c *Client) Sent() int64 {
	return c.sent.Load()
}

// Close lets go of idle connections.
func (c *Client) Close() {
	c.reads.HTTPClient.CloseIdleConnections()
}

// Subscription reads one subscription as it is now.
func (c *Client) Subscription(ctx context.Context, id string) (Subscription, error) {
	return c.subscription(ctx, c.reads, call{
		op: "reading subscription " + id, method: http.MethodGet, path: "/subscriptions/" + url.PathEscape(id) + "/", id: id,
	})
}

// UpdateExtraData overwrites the whole extra_data of a subscription, and answers the subscription as it is then.
func (c *Client) UpdateExtraData(ctx context.Context, id string, data ExtraData) (Subscription, error) {
	asText := c.extraDataAsText.Load()
	answer, err := c.updateExtraData(ctx, id, data, asText)
	if refused, ok := errors.AsType[*Error](err); ok && refused.Status == http.StatusBadRequest && refused.Fields["extra_data"] != "" {
		// A 400 changed nothing, so the other form can follow at once.
		if answer, err = c.updateExtraData(ctx, id, data, !asText); err == nil {
			c.extraDataAsText.Store(!asText)
		}
	}
	return answer, err
}

func (c *Client) updateExtraData(ctx context.Context, id string, data ExtraData, asText bool) (Subscription, error) {
	form := data.Object()
	if asText {
		form = data.text()
	}
	return c.subscription(ctx, c.writes, call{
		op: "updating extra_data of subscription " + id, method: http.MethodPatch,
		path: "/subscriptions/" + url.PathEscape(id) + "/update/", id: id,
		// Put together by hand: json.Marshal would compact the merchant's values and escape their HTML.
		body: append(append([]byte(`{"extra_data":`), form...), '}'),
	})
}

// Cancel ends a subscription. The reason is "<code>|<details>", or "" for none.
func (c *Client) Cancel(ctx context.Context, id, reason string) (Subscription, error) {
	body := []byte("{}")
	if reason != "" {
		body, _ = json.Marshal(map[string]string{"cancel_reason": reason})
	}
	return c.subscription(ctx, c.writes, call{
		op: "cancelling subscription " + id, method: http.MethodPatch,
		path: "/subscriptions/" + url.PathEscape(id) + "/cancel/", id: id, body: body,
	})
}

// ChangeProduct gives a subscription another product, by its external id.
func (c *Client) ChangeProduct(ctx context.Context, id, product string) (Subscription, error) {
	body, _ := json.Marshal(map[string]string{"product": product})
	return c.subscription(ctx, c.writes, call{
		op: "changing the product of subscription " + id, method: http.MethodPatch,
		path: "/subscriptions/" + url.PathEscape(id) + "/change_product/", id: id, body: body,
	})
}

// EndAtRenewal makes a prepaid subscription end by itself when what was paid for is used up.
func (c *Client) EndAtRenewal(ctx context.Context, id string) (Subscription, error) {
	return c.subscription(ctx, c.writes, call{
		op: "setting the renewal behavior of subscription " + id, method: http.MethodPatch,
		path: "/subscriptions/" + url.PathEscape(id) + "/change_renewal_behavior/", id: id,
		body: []byte(`{"renewal_behavior":"cancel"}`),
	})
}

type call struct {
	op     string // for people: "cancelling subscription 51a3…"
	method string
	path   string
	url    *url.URL // instead of path
	id     string   // the subscription it is about
	body   []byte
}

func (c *Client) subscription(ctx context.Context, with *retryablehttp.Client, k call) (Subscription, error) {
	body, err := c.do(ctx, with, k)
	if err != nil {
		return Subscription{}, err
	}
	s, err := readSubscription(body, k.id)
	if err != nil {
		return Subscription{}, noAnswer(k.op, fmt.Errorf("%w: %w", errUnreadable, err))
	}
	return s, nil
}

// do sends one call and returns the body of a 2xx answer.
func (c *Client) do(ctx context.Context, with *retryablehttp.Client, k call) ([]byte, error) {
	if k.url == nil {
		k.url = c.base.JoinPath(k.path)
	}
	var payload any // a nil []byte would be sent as an empty body
	if k.body != nil {
		payload = k.body
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, k.method, k.url.String(), payload)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.op, err)
	}
	request.Header.Set("x-api-key", c.key)
	request.Header.Set("X-OG-API-VERSION", "2") // cursor pagination
	request.Header.Set("Accept", "application/json")
	if k.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := with.Do(request)
	if err != nil {
		if response != nil { // it came just as its caller gave up
			response.Body.Close()
		}
		return nil, noAnswer(k.op, transportCause(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.maxAnswer+1))
	if response.StatusCode/100 != 2 {
		return nil, statusError(k.op, response, body, c.now())
	}
	if err != nil {
		return nil, noAnswer(k.op, fmt.Errorf("%w: %w", errUnreadable, err))
	}
	if int64(len(body)) > c.maxAnswer {
		return nil, noAnswer(k.op, fmt.Errorf("%w: over %d bytes", errUnreadable, c.maxAnswer))
	}
	return bytes.Clone(body), nil
}

// transportCause drops the request's address from an error: what was being done is said already.
func transportCause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// limited makes every request, a repeated one too, wait for its turn.
type limited struct {
	next http.RoundTripper
	turn *turnstile
	sent *atomic.Int64
}

func (l *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := l.turn.wait(r.Context()); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	l.sent.Add(1)
	return l.next.RoundTrip(r)
}

// CloseIdleConnections passes the wish on; http.Client looks for it on the outermost transport only.
func (l *limited) CloseIdleConnections() {
	if t, ok := l.next.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// retrying wraps the one http.Client: most is how often a request is repeated.
func retrying(wire *http.Client, most int) *retryablehttp.Client {
	client := retryablehttp.NewClient()
	client.HTTPClient = wire
	client.Logger = nil // its default prints addresses
	client.RetryMax = most
	client.CheckRetry = worthRepeating
	client.Backoff = shortPause
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler // or the last answer is lost
	return client
}

// worthRepeating allows the short repeats of a read: for an answer that did not come, or a 5xx. 423 and 429 are left to
// the caller's schedule, which honours Retry-After.
func worthRepeating(ctx context.Context, response *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		return true, nil
	}
	return response.StatusCode >= 500 && response.StatusCode != http.StatusNotImplemented, nil
}

func shortPause(_, _ time.Duration, attempt int, _ *http.Response) time.Duration {
	ceiling := 100 * time.Millisecond << attempt
	return ceiling/2 + rand.N(ceiling/2)
}
