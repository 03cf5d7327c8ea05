package notice_test

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
	"github.com/termed/termed/notice"
)

// box is an outbox of one notice after another; what is settled is written down.
type box struct {
	mu      sync.Mutex
	due     []counter.Post
	settled map[string]string // by endpoint: what became of it
	next    map[string]int64
	bell    chan struct{}
	err     error
}

func (b *box) ClaimPosts(_ context.Context, _, _ int64, n int) ([]counter.Post, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, len(b.due))
	claimed := b.due[:n]
	b.due = b.due[n:]
	return claimed, b.err
}

func (b *box) SettlePost(_ context.Context, p counter.Post, fault string, next int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled[p.Endpoint], b.next[p.Endpoint] = fault, next
	return b.err
}

func (b *box) NoticesDue() <-chan struct{} { return b.bell }

func (b *box) fault(endpoint string) (fault string, next int64, settled bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fault, settled = b.settled[endpoint]
	return fault, b.next[endpoint], settled
}

var now = time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)

// deliver sends one notice to an endpoint and answers what became of it.
func deliver(t *testing.T, e notice.Endpoint, attempts int) (fault string, next time.Duration) {
	t.Helper()
	e.Name = "there"
	if e.Secrets == nil {
		e.Secrets = []string{secret}
	}
	book, err := notice.NewBook([]notice.Endpoint{e})
	if err != nil {
		t.Fatal(err)
	}
	post := book.Posts(counter.Notice{Type: counter.TermCompleted, Page: anna()})[0]
	post.Attempts = attempts
	b := &box{due: []counter.Post{post}, settled: map[string]string{}, next: map[string]int64{}, bell: make(chan struct{})}
	sender := notice.NewSender(b, notice.Options{
		Book: book, Timeout: time.Second, Now: func() time.Time { return now }, Jitter: func() float64 { return 0 },
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		sender.Run(ctx)
	}()
	for {
		if fault, at, settled := b.fault("there"); settled {
			cancel()
			<-done
			if at == 0 {
				return fault, 0
			}
			return fault, time.UnixMilli(at).Sub(now)
		}
		select {
		case <-ctx.Done():
			t.Fatal("it was never settled")
		case <-time.After(time.Millisecond):
		}
	}
}

// Each delivery is signed with every secret, by the time of its attempt, and a receiver's library knows it.
func TestSigned(t *testing.T) {
	var request *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		request = r
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	fault, _ := deliver(t, notice.Endpoint{URL: server.URL + "/hook?x=1", Private: true, Secrets: []string{second, secret}}, 0)
	if fault != "" {
		t.Fatal(fault)
	}
	if request.Method != http.MethodPost || request.URL.String() != "/hook?x=1" || request.Header.Get("webhook-timestamp") != "1795167000" ||
		!strings.HasPrefix(request.Header.Get("webhook-id"), "msg_") || request.Header.Get("Content-Type") != "application/json" {
		t.Errorf("request: %s %s %v", request.Method, request.URL, request.Header)
	}
	if got := len(strings.Fields(request.Header.Get("webhook-signature"))); got != 2 {
		t.Errorf("%d signatures, want one by each secret", got)
	}
	for _, s := range []string{secret, second} {
		known, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := known.VerifyIgnoringTimestamp(body, request.Header); err != nil {
			t.Error(err)
		}
		if known.VerifyIgnoringTimestamp(append(body, ' '), request.Header) == nil {
			t.Error("a changed body was taken")
		}
	}
}

// What an answer means, and when the next attempt is: the specification's schedule, and then a dead letter.
func TestAnswers(t *testing.T) {
	status, retryAfter := 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(status)
	}))
	defer server.Close()
	tests := []struct {
		status     int
		retryAfter string
		attempts   int // in vain before
		fault      string
		next       time.Duration
	}{
		{200, "", 0, "", 0},
		{204, "", 8, "", 0},
		{500, "", 0, "it answered 500", 5 * time.Second},
		{404, "", 1, "it answered 404", 5 * time.Minute},
		{429, "600", 0, "it answered 429", 10 * time.Minute},
		{503, "9999999", 0, "it answered 503", 24 * time.Hour},
		{503, "soon", 2, "it answered 503", 30 * time.Minute},
		{500, "", 8, "it answered 500", 24 * time.Hour},
		{500, "", 9, "it answered 500", 0}, // given up
		{410, "", 0, "given up: it answered 410, it wants no more", 0},
	}
	for _, test := range tests {
		status, retryAfter = test.status, test.retryAfter
		fault, next := deliver(t, notice.Endpoint{URL: server.URL, Private: true}, test.attempts)
		if fault != test.fault || next != test.next {
			t.Errorf("%d after %d in vain: %q, next in %v; want %q, %v", test.status, test.attempts, fault, next, test.fault, test.next)
		}
	}
}

func TestDelay(t *testing.T) {
	var all []time.Duration
	for attempts := 1; ; attempts++ {
		pause, again := notice.Delay(attempts, 0)
		if !again {
			break
		}
		if most, _ := notice.Delay(attempts, 0.999); most < pause || most > pause+pause/10 {
			t.Errorf("with jitter %v, without %v", most, pause)
		}
		all = append(all, pause)
	}
	h := time.Hour
	want := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * h, 5 * h, 10 * h, 14 * h, 20 * h, 24 * h}
	if !slices.Equal(all, want) {
		t.Errorf("schedule = %v, want %v", all, want)
	}
}

// Nothing inside reaches: no address that is not public, by whatever name or notation, and no redirect there. Without the guard
// the secret server would be asked.
func TestNothingInside(t *testing.T) {
	t.Log("FAULT | the address of an endpoint points into our own network: by number, by name, by a redirect | nothing there is reached")
	asked := 0
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer inside.Close()
	_, port, _ := strings.Cut(inside.Listener.Addr().String(), ":")
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "10.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1",
		"100.64.0.1", "[fd00::1]", "[fe80::1]",
	} {
		fault, next := deliver(t, notice.Endpoint{URL: "https://" + host + ":" + port + "/"}, 0)
		if !strings.Contains(fault, "not a public one") && !strings.Contains(fault, "no such host") || next == 0 {
			t.Errorf("%s: %q, next in %v; want it refused, and tried again after the configuration was set right", host, fault, next)
		}
	}
	redirects := httptest.NewServer(http.RedirectHandler("https://127.0.0.1:"+port+"/", http.StatusTemporaryRedirect))
	defer redirects.Close()
	if fault, _ := deliver(t, notice.Endpoint{URL: redirects.URL, Private: true}, 0); fault != "it answered 307" {
		t.Errorf("a redirect: %q", fault)
	}
	if asked > 0 {
		t.Errorf("the server inside was asked %d times", asked)
	}
}

// A receiver that is slow, or cuts the connection, is tried again; what stands in its address is not told.
func TestNoAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that its client has gone
		if r.URL.Path == "/slow/s3cret" {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	for _, path := range []string{"/slow/s3cret", "/cut/s3cret"} {
		fault, next := deliver(t, notice.Endpoint{URL: server.URL + path, Private: true}, 0)
		if fault == "" || next != 5*time.Second || strings.Contains(fault, "s3cret") {
			t.Errorf("%s: %q, next in %v", path, fault, next)
		}
	}
}

// An endpoint that left the configuration is given up at once; with an outbox that does not answer nothing is lost by the sender.
func TestGone(t *testing.T) {
	b := &box{due: []counter.Post{{ID: "msg_1", Endpoint: "gone"}}, settled: map[string]string{}, next: map[string]int64{}, bell: make(chan struct{}, 1), err: errors.New("away")}
	sender := notice.NewSender(b, notice.Options{Idle: time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		sender.Run(ctx)
	}()
	b.mu.Lock()
	b.err, b.due = nil, []counter.Post{{ID: "msg_1", Endpoint: "gone"}}
	b.mu.Unlock()
	for ctx.Err() == nil {
		if fault, next, settled := b.fault("gone"); settled {
			if fault != "given up: no endpoint is called gone any more" || next != 0 {
				t.Errorf("fault = %q, next %d", fault, next)
			}
			break
		}
		time.Sleep(time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Error("it was never settled")
	}
	cancel()
	<-done
}
