package notify_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/notify"
)

// outbox is an outbox in memory that records how messages were settled.
type outbox struct {
	mu      sync.Mutex
	due     []ledger.Message
	settled map[string]settlement // by endpoint
	wakeup  chan struct{}
}

type settlement struct {
	lastError string
	next      int64
}

func newOutbox(due ...ledger.Message) *outbox {
	return &outbox{due: due, settled: map[string]settlement{}, wakeup: make(chan struct{})}
}

func (o *outbox) ClaimMessages(_ context.Context, to string, _, _ int64, n int) ([]ledger.Message, error) {
	return o.claim(n, func(endpoint string) bool { return endpoint == to })
}

func (o *outbox) ClaimMessagesExcept(_ context.Context, not []string, _, _ int64, n int) ([]ledger.Message, error) {
	return o.claim(n, func(endpoint string) bool { return !slices.Contains(not, endpoint) })
}

func (o *outbox) claim(n int, to func(endpoint string) bool) ([]ledger.Message, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var claimed, rest []ledger.Message
	for _, m := range o.due {
		if len(claimed) < n && to(m.Endpoint) {
			claimed = append(claimed, m)
		} else {
			rest = append(rest, m)
		}
	}
	o.due = rest
	return claimed, nil
}

func (o *outbox) SettleMessage(_ context.Context, m ledger.Message, lastError string, next int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled[m.Endpoint] = settlement{lastError, next}
	return nil
}

func (o *outbox) MessagesDue() <-chan struct{} { return o.wakeup }

// run sends messages until the endpoint's message is settled, and returns the settlement.
func (o *outbox) run(t *testing.T, sender *notify.Sender, endpoint string) settlement {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { sender.Run(ctx) })
	for ctx.Err() == nil {
		o.mu.Lock()
		s, settled := o.settled[endpoint]
		o.mu.Unlock()
		if settled {
			return s
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the message was never settled")
	return settlement{}
}

var now = time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)

// deliver sends one message to an endpoint, and returns the error and the time until the next attempt.
func deliver(t *testing.T, e notify.Endpoint, attempts int) (lastError string, next time.Duration) {
	t.Helper()
	e.Name = "receiver"
	if e.Secrets == nil {
		e.Secrets = []string{secret}
	}
	endpoints, err := notify.NewEndpoints([]notify.Endpoint{e})
	if err != nil {
		t.Fatal(err)
	}
	message := endpoints.Messages(counter.Notification{Type: counter.TermCompleted, Subscription: record()})[0]
	message.Attempts = attempts
	out := newOutbox(message)
	sender := notify.NewSender(out, notify.Options{
		Endpoints: endpoints,
		Timeout:   time.Second,
		Now:       func() time.Time { return now },
		Jitter:    func() float64 { return 0 },
	})
	s := out.run(t, sender, e.Name)
	if s.next == 0 {
		return s.lastError, 0
	}
	return s.lastError, time.UnixMilli(s.next).Sub(now)
}

// Each attempt is signed with every secret and its own time, and the library of a receiver verifies it.
func TestSigned(t *testing.T) {
	var request *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		request = r
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	endpoint := notify.Endpoint{URL: server.URL + "/hook?x=1", Private: true, Secrets: []string{second, secret}}
	if lastError, _ := deliver(t, endpoint, 0); lastError != "" {
		t.Fatal(lastError)
	}
	if request.Method != http.MethodPost || request.URL.String() != "/hook?x=1" {
		t.Errorf("request: %s %s", request.Method, request.URL)
	}
	header := request.Header
	if header.Get("webhook-timestamp") != "1795167000" || header.Get("Content-Type") != "application/json" ||
		!strings.HasPrefix(header.Get("webhook-id"), "msg_") {
		t.Errorf("header: %v", header)
	}
	if got := len(strings.Fields(request.Header.Get("webhook-signature"))); got != 2 {
		t.Errorf("%d signatures, want one by each secret", got)
	}
	for _, s := range []string{secret, second} {
		verifier, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.VerifyIgnoringTimestamp(body, request.Header); err != nil {
			t.Error(err)
		}
		if verifier.VerifyIgnoringTimestamp(append(body, ' '), request.Header) == nil {
			t.Error("a changed body was accepted")
		}
	}
}

// What each status means, and when the next attempt is due: by the schedule, and after its end never.
func TestEndpointAnswers(t *testing.T) {
	status, retryAfter := 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(status)
	}))
	defer server.Close()
	tests := []struct {
		status     int
		retryAfter string
		attempts   int // failed before
		lastError  string
		next       time.Duration
	}{
		{200, "", 0, "", 0},
		{204, "", 8, "", 0},
		{500, "", 0, "HTTP 500", 5 * time.Second},
		{404, "", 1, "HTTP 404", 5 * time.Minute},
		{429, "600", 0, "HTTP 429", 10 * time.Minute},
		{503, "9999999", 0, "HTTP 503", 24 * time.Hour},
		{503, "soon", 2, "HTTP 503", 30 * time.Minute},
		{500, "", 8, "HTTP 500", 24 * time.Hour},
		{500, "", 9, "HTTP 500", 0}, // given up
		{410, "", 0, "gave up: HTTP 410, the endpoint is gone", 0},
	}
	for _, test := range tests {
		status, retryAfter = test.status, test.retryAfter
		lastError, next := deliver(t, notify.Endpoint{URL: server.URL, Private: true}, test.attempts)
		if lastError != test.lastError || next != test.next {
			t.Errorf("%d after %d failed attempts: %q, next in %v; want %q, %v",
				test.status, test.attempts, lastError, next, test.lastError, test.next)
		}
	}
}

func TestDelay(t *testing.T) {
	var all []time.Duration
	for attempts := 1; ; attempts++ {
		delay, retry := notify.Delay(attempts, 0)
		if !retry {
			break
		}
		if most, _ := notify.Delay(attempts, 0.999); most < delay || most > delay+delay/10 {
			t.Errorf("with jitter %v, without %v", most, delay)
		}
		all = append(all, delay)
	}
	const (
		m = time.Minute
		h = time.Hour
	)
	want := []time.Duration{5 * time.Second, 5 * m, 30 * m, 2 * h, 5 * h, 10 * h, 14 * h, 20 * h, 24 * h}
	if !slices.Equal(all, want) {
		t.Errorf("schedule = %v, want %v", all, want)
	}
}

// No address that is not public is reached, by whatever name or notation, nor by a redirect. Without the check of
// addresses the internal server would get a request.
func TestNothingInside(t *testing.T) {
	t.Log("FAULT | an endpoint's URL points into our own network: by number, name or redirect | it is not reached")
	requests := 0
	internal := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests++ }))
	defer internal.Close()
	_, port, _ := strings.Cut(internal.Listener.Addr().String(), ":")
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "10.0.0.1",
		"169.254.169.254", "192.168.1.1", "172.16.0.1", "100.64.0.1", "[fd00::1]", "[fe80::1]",
	} {
		lastError, next := deliver(t, notify.Endpoint{URL: "https://" + host + ":" + port + "/"}, 0)
		refused := strings.Contains(lastError, "address is not public") || strings.Contains(lastError, "no such host")
		if !refused || next == 0 {
			t.Errorf("%s: %q, next in %v; want it refused, and retried in case the configuration is corrected",
				host, lastError, next)
		}
	}
	redirects := httptest.NewServer(http.RedirectHandler("https://127.0.0.1:"+port+"/", http.StatusTemporaryRedirect))
	defer redirects.Close()
	if lastError, _ := deliver(t, notify.Endpoint{URL: redirects.URL, Private: true}, 0); lastError != "HTTP 307" {
		t.Errorf("a redirect: %q", lastError)
	}
	if requests > 0 {
		t.Errorf("the internal server got %d requests", requests)
	}
}

// An endpoint that is slow or closes the connection is retried, and the error does not show its URL.
func TestNoAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client disconnected
		if r.URL.Path == "/slow/s3cret" {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	for _, path := range []string{"/slow/s3cret", "/cut/s3cret"} {
		lastError, next := deliver(t, notify.Endpoint{URL: server.URL + path, Private: true}, 0)
		if lastError == "" || next != 5*time.Second || strings.Contains(lastError, "s3cret") {
			t.Errorf("%s: %q, next in %v", path, lastError, next)
		}
	}
}

// A message to an endpoint that is no longer configured is given up at once.
func TestEndpointRemoved(t *testing.T) {
	out := newOutbox(ledger.Message{ID: "msg_1", Endpoint: "old"})
	got := out.run(t, notify.NewSender(out, notify.Options{}), "old")
	want := settlement{lastError: `gave up: endpoint "old" is no longer configured`}
	if got != want {
		t.Errorf("settled as %+v, want %+v", got, want)
	}
}

// The sender goes on after a store error.
func TestStoreError(t *testing.T) {
	failing := &failsOnce{outbox: newOutbox(ledger.Message{ID: "msg_1", Endpoint: "old"})}
	failing.run(t, notify.NewSender(failing, notify.Options{Idle: time.Millisecond}), "old")
}

// failsOnce is an outbox whose first claim fails.
type failsOnce struct {
	*outbox
	failed bool
}

func (f *failsOnce) ClaimMessagesExcept(
	ctx context.Context, not []string, at, until int64, n int,
) ([]ledger.Message, error) {
	if !f.failed {
		f.failed = true
		return nil, errors.New("database unavailable")
	}
	return f.outbox.ClaimMessagesExcept(ctx, not, at, until, n)
}
