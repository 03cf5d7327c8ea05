package webhook_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

func TestMain(m *testing.M) {
	// After it closed a connection, the server keeps it for half a second so that the sender can read the answer.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const key = "canary-webhook-key"

var now = time.Unix(1595162800, 0)

// inbox keeps events in memory and fails with err.
type inbox struct {
	mu     sync.Mutex
	stored []ledger.Event
	err    error
}

func (i *inbox) Append(_ context.Context, event ledger.Event) (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return false, i.err
	}
	for _, known := range i.stored {
		if known.ID == event.ID && known.Created == event.Created {
			return false, nil
		}
	}
	i.stored = append(i.stored, event)
	return true, nil
}

// testReceiver is a receiver's handler with its inbox and its log.
type testReceiver struct {
	http.Handler
	inbox *inbox
	log   *bytes.Buffer
}

func newReceiver(t testing.TB) *testReceiver {
	t.Helper()
	r := &testReceiver{inbox: &inbox{}, log: &bytes.Buffer{}}
	receiver, err := webhook.New(r.inbox, webhook.Options{
		Keys:    []string{"other-key", key},
		MaxBody: 4096,
		Now:     func() time.Time { return now },
		Log:     slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Handler = receiver.Handler()
	return r
}

// post delivers a body signed with the key and returns status and answer.
func (r *testReceiver) post(body string, change ...func(*http.Request)) (int, string) {
	request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(now, []byte(body), key))
	for _, c := range change {
		c(request)
	}
	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, request)
	return answer.Code, strings.TrimSpace(answer.Body.String())
}

func recorded(t testing.TB, eventType string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("../testdata/webhooks", eventType+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestAnswers(t *testing.T) {
	success := recorded(t, "order.success")
	big := strings.Repeat("x", 4097)
	plain := func(*http.Request) {}
	get := func(r *http.Request) { r.Method = http.MethodGet }
	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("OrderGroove-Signature", value) }
	}
	signed := func(at time.Time, keys ...string) func(*http.Request) {
		return header(ordergroove.Sign(at, []byte(success), keys...))
	}
	path := func(path string) func(*http.Request) {
		return func(r *http.Request) { r.URL.Path = path }
	}
	const (
		invalid     = `{"error":"invalid signature"}`
		large       = `{"error":"body too large"}`
		notFound    = "404 page not found"
		accepted    = `{"status":"accepted"}`
		ignored     = `{"status":"ignored"}`
		quarantined = `{"status":"quarantined"}`
	)
	tests := []struct {
		name, body string
		change     func(*http.Request)
		status     int
		answer     string
		stored     ledger.EventStatus // "" for nothing
	}{
		{"unsigned", success, func(r *http.Request) { r.Header.Del(ordergroove.SignatureHeader) }, 401, invalid, ""},
		{"signed with another key", success, signed(now, "guess"), 401, invalid, ""},
		{"too old", success, signed(now.Add(-73*time.Hour), key), 401, invalid, ""},
		{"two header lines", success, func(r *http.Request) {
			r.Header.Add(ordergroove.SignatureHeader, r.Header.Get(ordergroove.SignatureHeader))
		}, 401, invalid, ""},
		{"too large", big, plain, 413, large, ""},
		{"too large, and signed with another key", big, header(forged()), 413, large, ""},
		{"too large, with a malformed signature", big, header("no"), 401, invalid, ""},
		{"another method", success, get, 405, "405 method not allowed", ""},
		{"another path", success, path("/webhooks"), 404, notFound, ""},
		{"trailing slash", success, path(webhook.Path + "/"), 404, notFound, ""},

		{"authentic", success, plain, 200, accepted, ledger.EventPending},
		{"other spelling of the header", success, func(r *http.Request) {
			r.Header.Del(ordergroove.SignatureHeader)
			r.Header.Set("OrderGroove-Signature", ordergroove.Sign(now, []byte(success), key))
		}, 200, accepted, ledger.EventPending},
		{"during a rotation", success, signed(now, "their-new-key", key), 200, accepted, ledger.EventPending},
		{"retried for three days", success, signed(now.Add(-72*time.Hour), key), 200, accepted, ledger.EventPending},
		{"future type", `{"id":"e","type":"merchant.moved"}`, plain, 200, ignored, ledger.EventIgnored},
		{"not JSON", `hello`, plain, 200, quarantined, ledger.EventQuarantined},
		{"empty", ``, plain, 200, quarantined, ledger.EventQuarantined},
		{"no id", `{"type":"order.success"}`, plain, 200, quarantined, ledger.EventQuarantined},
		{"trailing data", success + `{}`, plain, 200, quarantined, ledger.EventQuarantined},
		{"deep nesting", strings.Repeat("[", 4000), plain, 200, quarantined, ledger.EventQuarantined},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			receiver := newReceiver(t)
			status, answer := receiver.post(test.body, test.change)
			if status != test.status || answer != test.answer {
				t.Errorf("answer = %d %s, want %d %s", status, answer, test.status, test.answer)
			}
			stored := receiver.inbox.stored
			if test.stored == "" {
				if len(stored) > 0 {
					t.Errorf("stored %v", stored)
				}
				return
			}
			if len(stored) != 1 || stored[0].Status != test.stored || string(stored[0].Body) != test.body {
				t.Errorf("stored %v, want the raw body as %s", stored, test.stored)
			}
		})
	}
}

// Every event type of the contract is accepted, and stored under its own id and time.
func TestEveryType(t *testing.T) {
	receiver := newReceiver(t)
	for _, eventType := range ordergroove.EventTypes() {
		body := recorded(t, eventType)
		for _, want := range []string{`{"status":"accepted"}`, `{"status":"duplicate"}`} {
			if status, answer := receiver.post(body); status != 200 || answer != want {
				t.Errorf("%s: %d %s, want 200 %s", eventType, status, answer, want)
			}
		}
		stored := receiver.inbox.stored[len(receiver.inbox.stored)-1]
		head, err := ordergroove.ParseHead([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		stored.Body = nil
		want := ledger.Event{
			ID:       head.ID,
			Type:     eventType,
			Created:  head.Created * 1000,
			Received: now.UnixMilli(),
			Status:   ledger.EventPending,
		}
		if diff := cmp.Diff(want, stored); diff != "" {
			t.Errorf("%s (-want +stored):\n%s", eventType, diff)
		}
	}
}

func TestNotStored(t *testing.T) {
	receiver := newReceiver(t)
	receiver.inbox.err = errors.New("disk full")
	request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(`{}`))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(now, []byte(`{}`), key))
	answer := httptest.NewRecorder()
	receiver.ServeHTTP(answer, request)
	if answer.Code != 503 || answer.Header().Get("Retry-After") == "" {
		t.Errorf("answer = %d %v, want 503 with Retry-After", answer.Code, answer.Header())
	}
}

// blockedInbox never answers.
type blockedInbox struct{}

func (blockedInbox) Append(ctx context.Context, _ ledger.Event) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// Ordergroove waits five seconds. Without the receiver's own timeout this test fails.
func TestAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver, err := webhook.New(blockedInbox{}, webhook.Options{Keys: []string{key}})
		if err != nil {
			t.Fatal(err)
		}
		handler := receiver.Handler()
		start := time.Now()
		request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(`{}`))
		request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(start, []byte(`{}`), key))
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if took := time.Since(start); answer.Code != 503 || took > 4*time.Second {
			t.Errorf("answer = %d after %v, want 503 within 4 s", answer.Code, took)
		}
	})
}

// A panic costs one answer, and nothing of the request is logged.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	receiver, err := webhook.New(panickingInbox{}, webhook.Options{
		Keys: []string{key},
		Log:  slog.New(slog.NewJSONHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	body := recorded(t, "order.success")
	request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(time.Now(), []byte(body), key))
	answer := httptest.NewRecorder()
	receiver.Handler().ServeHTTP(answer, request)
	if answer.Code != 500 || !strings.Contains(log.String(), "panic") || strings.Contains(log.String(), "canary") {
		t.Errorf("answer = %d, log %s", answer.Code, log.String())
	}
}

type panickingInbox struct{}

func (panickingInbox) Append(context.Context, ledger.Event) (bool, error) { panic("canary") }

// Nothing of an unverified request is logged, and a flood of them makes one line a minute.
func TestLogs(t *testing.T) {
	receiver := newReceiver(t)
	for i := range 100 {
		receiver.post(fmt.Sprintf(`{"id":"canary-body-%d"}`, i), func(r *http.Request) {
			r.Header.Set(ordergroove.SignatureHeader, "ts=1,sig=canary-header")
			r.Header.Set("X-Forwarded-For", "canary-address")
		})
	}
	receiver.post(`{"id":"canary-body"`)
	log := receiver.log.String()
	if strings.Contains(log, "canary") {
		t.Errorf("the log quotes a request:\n%s", log)
	}
	if got := strings.Count(log, "webhooks refused"); got != 1 {
		t.Errorf("%d lines about refusals, want 1:\n%s", got, log)
	}
}

func TestNoKey(t *testing.T) {
	if _, err := webhook.New(&inbox{}, webhook.Options{}); err == nil {
		t.Error("New accepted an empty list of keys")
	}
}

// listen serves a handler as the service does, on loopback.
func listen(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := webhook.Server(handler, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return listener.Addr().String()
}

// Requests that no HTTP client sends, on a real connection.
func TestRawConnections(t *testing.T) {
	t.Log("FAULT | not HTTP, endless headers, a chunked body over the limit | I6 I11")
	receiver := newReceiver(t)
	address := listen(t, receiver)
	post := "POST " + webhook.Path + " HTTP/1.1\r\nHost: x\r\n"
	signed := ordergroove.SignatureHeader + ": " + forged() + "\r\n"
	chunk := "2000\r\n" + strings.Repeat("x", 0x2000) + "\r\n0\r\n\r\n"
	tests := []struct{ name, request, want string }{
		{"not HTTP", "hello\r\n\r\n", "400"},
		{"endless headers", post + "X: " + strings.Repeat("y", 64<<10) + "\r\n\r\n", "431"},
		{"chunked, too large", post + signed + "Transfer-Encoding: chunked\r\n\r\n" + chunk, "413"},
		{"livez", "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200"},
		{"the console is elsewhere", "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			connection, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
			// A request that is too long is answered, and the connection closed, before all of it was sent.
			_, _ = io.WriteString(connection, test.request)
			head := make([]byte, 12)
			if _, err := io.ReadFull(connection, head); err != nil {
				t.Fatal(err)
			}
			if got := string(head[9:]); got != test.want {
				t.Errorf("status = %s, want %s", got, test.want)
			}
		})
	}
	if len(receiver.inbox.stored) > 0 {
		t.Errorf("stored %v", receiver.inbox.stored)
	}
}

// Concurrent deliveries to the real inbox share commits, and each gets its own answer.
func TestConcurrentDeliveries(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Database: filepath.Join(t.TempDir(), "termed.db"), Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	receiver, err := webhook.New(s, webhook.Options{Keys: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	handler := receiver.Handler()
	const events = 200
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for i := range events * 2 {
		all.Go(func() {
			body := fmt.Sprintf(`{"id":"e%d","type":"order.success","created":1}`, i%events)
			request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
			request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(time.Now(), []byte(body), key))
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			mu.Lock()
			defer mu.Unlock()
			answers[fmt.Sprint(answer.Code, " ", strings.TrimSpace(answer.Body.String()))]++
		})
	}
	all.Wait()
	if answers[`200 {"status":"accepted"}`] != events || answers[`200 {"status":"duplicate"}`] != events {
		t.Errorf("answers = %v, want %d of each", answers, events)
	}
}

// Another process holds the database's write lock for long: deliveries are answered 503 in time, and accepted when
// they are retried after the lock is released.
func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | the database is locked for 11 s | I1 I5")
	path := filepath.Join(t.TempDir(), "termed.db")
	s, err := store.Open(t.Context(), store.Options{Database: path, Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	receiver, err := webhook.New(s, webhook.Options{Keys: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	handler := receiver.Handler()
	body := recorded(t, "order.success")
	deliver := func() int {
		request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
		request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(time.Now(), []byte(body), key))
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer.Code
	}
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	holder, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if _, err := holder.ExecContext(t.Context(), "begin immediate"); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1) // a writer that can wait is not refused
	go func() { waiting <- s.RecordFacts(context.Background(), ledger.Facts{}, 1) }()
	// Longer than twice the wait of SQLite itself: a delivery may be ahead of the waiting writer and use up the first
	// wait.
	for start := time.Now(); time.Since(start) < 11*time.Second; {
		sent := time.Now()
		if status, took := deliver(), time.Since(sent); status != 503 || took > 5*time.Second {
			t.Errorf("status = %d after %v while the database is locked, want 503 within 5 s", status, took)
		}
	}
	if _, err := holder.ExecContext(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	accepted := false
	for range 100 { // the writer may still be waiting for the lock
		if accepted = deliver() == 200; accepted {
			break
		}
	}
	if !accepted {
		t.Error("not accepted after the lock was released")
	}
	if err := <-waiting; err != nil {
		t.Errorf("a writer that could wait for the lock was refused: %v", err)
	}
}

// FuzzReceiver: no header and no body makes the receiver panic or accept an unsigned request.
func FuzzReceiver(f *testing.F) {
	f.Add("ts=1,sig=00", []byte(`{}`))
	f.Add("", []byte(recorded(f, "order.success")))
	f.Add(ordergroove.Sign(now, []byte("{}"), key), []byte(`[]`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		receiver := newReceiver(t)
		status, _ := receiver.post(string(body), func(r *http.Request) {
			r.Header[ordergroove.SignatureHeader] = []string{header}
		})
		if status != 401 && status != 413 && header != ordergroove.Sign(now, body, key) {
			t.Errorf("status = %d for %q", status, header)
		}
		if status, _ := receiver.post(string(body)); status != 200 && status != 413 {
			t.Errorf("a signed body was answered %d: %q", status, body)
		}
	})
}

// BenchmarkDelivery measures one durable delivery, with many in flight: on SQLite, and on the PostgreSQL server that
// TERMED_TEST_POSTGRES names, if it is set.
func BenchmarkDelivery(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkDelivery(b, filepath.Join(b.TempDir(), "termed.db")) })
	b.Run("PostgreSQL", func(b *testing.B) {
		server := os.Getenv("TERMED_TEST_POSTGRES")
		if server == "" {
			b.Skip("PostgreSQL: set TERMED_TEST_POSTGRES to postgres://user@host/database")
		}
		admin, err := sqlx.Connect("pgx", server)
		if err != nil {
			b.Fatal(err)
		}
		defer admin.Close()
		name := "termed_bench_" + strings.ToLower(rand.Text())
		if _, err := admin.Exec("create database " + name); err != nil {
			b.Fatal(err)
		}
		defer func() { _, _ = admin.Exec("drop database " + name + " with (force)") }()
		address, err := url.Parse(server)
		if err != nil {
			b.Fatal(err)
		}
		address.Path = "/" + name
		benchmarkDelivery(b, address.String())
	})
}

func benchmarkDelivery(b *testing.B, database string) {
	s, err := store.Open(b.Context(), store.Options{Database: database, Serve: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	receiver, err := webhook.New(s, webhook.Options{Keys: []string{key}})
	if err != nil {
		b.Fatal(err)
	}
	handler := receiver.Handler()
	body := recorded(b, "order.success")
	var sequence atomic.Int64
	b.SetParallelism(128)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mine := []byte(strings.Replace(body, "evt_", fmt.Sprintf("evt_%d_", sequence.Add(1)), 1))
			request := httptest.NewRequest(http.MethodPost, webhook.Path, bytes.NewReader(mine))
			request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(time.Now(), mine, key))
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if answer.Code != 200 {
				b.Errorf("answer = %d %s", answer.Code, answer.Body)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
