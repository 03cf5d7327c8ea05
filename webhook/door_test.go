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

	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

func TestMain(m *testing.M) {
	// The server keeps a connection that it closed on a sender for half a second, so that the answer can be read.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const key = "canary-webhook-key"

var now = time.Unix(1595162800, 0)

// inbox keeps deliveries in memory and fails when told to.
type inbox struct {
	mu    sync.Mutex
	filed []ordergroove.Delivery
	err   error
}

func (i *inbox) Append(_ context.Context, d ordergroove.Delivery) (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return false, i.err
	}
	for _, f := range i.filed {
		if f.ID == d.ID && f.Created == d.Created {
			return false, nil
		}
	}
	i.filed = append(i.filed, d)
	return true, nil
}

// door is a handler with its inbox and its log.
type door struct {
	http.Handler
	inbox *inbox
	log   *bytes.Buffer
}

func newDoor(t testing.TB) *door {
	t.Helper()
	d := &door{inbox: &inbox{}, log: &bytes.Buffer{}}
	made, err := webhook.New(d.inbox, webhook.Options{
		Keys: []string{"other-key", key}, MaxBody: 4096, Now: func() time.Time { return now },
		Log: slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Handler = made.Handler()
	return d
}

// post delivers a body signed with the key and returns status and answer.
func (d *door) post(body string, change ...func(*http.Request)) (int, string) {
	request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(now, []byte(body), key))
	for _, c := range change {
		c(request)
	}
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, request)
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
	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("OrderGroove-Signature", value) }
	}
	tests := []struct {
		name, body string
		change     func(*http.Request)
		status     int
		answer     string
		filed      ordergroove.Verdict // "" for nothing
	}{
		{name: "unsigned", body: success, change: func(r *http.Request) { r.Header.Del(ordergroove.SignatureHeader) }, status: 401, answer: `{"error":"the signature does not verify"}`},
		{name: "signed with another key", body: success, change: header(ordergroove.Sign(now, []byte(success), "guess")), status: 401, answer: `{"error":"the signature does not verify"}`},
		{name: "too old", body: success, change: header(ordergroove.Sign(now.Add(-73*time.Hour), []byte(success), key)), status: 401, answer: `{"error":"the signature does not verify"}`},
		{name: "two header lines", body: success, change: func(r *http.Request) {
			r.Header.Add(ordergroove.SignatureHeader, r.Header.Get(ordergroove.SignatureHeader))
		}, status: 401, answer: `{"error":"the signature does not verify"}`},
		{name: "too large", body: strings.Repeat("x", 4097), status: 413, answer: `{"error":"the body is too large"}`},
		{name: "too large and unsigned", body: strings.Repeat("x", 4097), change: header("no"), status: 413, answer: `{"error":"the body is too large"}`},
		{name: "another method", body: success, change: func(r *http.Request) { r.Method = http.MethodGet }, status: 405, answer: "405 method not allowed"},
		{name: "another path", body: success, change: func(r *http.Request) { r.URL.Path = "/webhooks" }, status: 404, answer: "404 page not found"},
		{name: "a slash too many", body: success, change: func(r *http.Request) { r.URL.Path += "/" }, status: 404, answer: "404 page not found"},

		{name: "authentic", body: success, status: 200, answer: `{"status":"accepted"}`, filed: ordergroove.Accepted},
		{name: "the other spelling of the header", body: success, change: func(r *http.Request) {
			r.Header.Del(ordergroove.SignatureHeader)
			r.Header.Set("OrderGroove-Signature", ordergroove.Sign(now, []byte(success), key))
		}, status: 200, answer: `{"status":"accepted"}`, filed: ordergroove.Accepted},
		{name: "during a rotation", body: success, change: header(ordergroove.Sign(now, []byte(success), "their-new-key", key)), status: 200, answer: `{"status":"accepted"}`, filed: ordergroove.Accepted},
		{name: "retried for three days", body: success, change: header(ordergroove.Sign(now.Add(-72*time.Hour), []byte(success), key)), status: 200, answer: `{"status":"accepted"}`, filed: ordergroove.Accepted},
		{name: "of a type to come", body: `{"id":"e","type":"merchant.moved"}`, status: 200, answer: `{"status":"ignored"}`, filed: ordergroove.Ignored},
		{name: "no JSON", body: `hello`, status: 200, answer: `{"status":"quarantined"}`, filed: ordergroove.Quarantined},
		{name: "empty", body: ``, status: 200, answer: `{"status":"quarantined"}`, filed: ordergroove.Quarantined},
		{name: "no id", body: `{"type":"order.success"}`, status: 200, answer: `{"status":"quarantined"}`, filed: ordergroove.Quarantined},
		{name: "something behind it", body: success + `{}`, status: 200, answer: `{"status":"quarantined"}`, filed: ordergroove.Quarantined},
		{name: "deep", body: strings.Repeat("[", 4000), status: 200, answer: `{"status":"quarantined"}`, filed: ordergroove.Quarantined},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor(t)
			if test.change == nil {
				test.change = func(*http.Request) {}
			}
			status, answer := d.post(test.body, test.change)
			if status != test.status || answer != test.answer {
				t.Errorf("answer = %d %s, want %d %s", status, answer, test.status, test.answer)
			}
			if test.filed == "" {
				if len(d.inbox.filed) > 0 {
					t.Errorf("filed %v", d.inbox.filed)
				}
				return
			}
			if len(d.inbox.filed) != 1 || d.inbox.filed[0].Verdict != test.filed || string(d.inbox.filed[0].Body) != test.body {
				t.Errorf("filed %v, want it raw as %s", d.inbox.filed, test.filed)
			}
		})
	}
}

// Every event type of the contract is taken, and filed under its own id and time.
func TestEveryType(t *testing.T) {
	d := newDoor(t)
	for _, eventType := range ordergroove.EventTypes() {
		body := recorded(t, eventType)
		for _, want := range []string{`{"status":"accepted"}`, `{"status":"duplicate"}`} {
			if status, answer := d.post(body); status != 200 || answer != want {
				t.Errorf("%s: %d %s, want 200 %s", eventType, status, answer, want)
			}
		}
		filed := d.inbox.filed[len(d.inbox.filed)-1]
		head, err := ordergroove.ParseHead([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if filed.ID != head.ID || filed.Type != eventType || filed.Created != head.Created*1000 || filed.Received != now.UnixMilli() {
			t.Errorf("%s is filed as %+v", eventType, filed)
		}
	}
}

func TestNotStored(t *testing.T) {
	d := newDoor(t)
	d.inbox.err = errors.New("disk full")
	request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(`{}`))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(now, []byte(`{}`), key))
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, request)
	if answer.Code != 503 || answer.Header().Get("Retry-After") == "" {
		t.Errorf("answer = %d %v, want 503 with Retry-After", answer.Code, answer.Header())
	}
}

// stuck is an inbox that never answers.
type stuck struct{}

func (stuck) Append(ctx context.Context, _ ordergroove.Delivery) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// Ordergroove waits five seconds. Take the door's own limit away, and this turns red.
func TestAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made, err := webhook.New(stuck{}, webhook.Options{Keys: []string{key}})
		if err != nil {
			t.Fatal(err)
		}
		handler := made.Handler()
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

// A panic, from a bug or a bomb, costs one answer and tells nothing.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	made, err := webhook.New(panicking{}, webhook.Options{Keys: []string{key}, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	body := recorded(t, "order.success")
	request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(time.Now(), []byte(body), key))
	answer := httptest.NewRecorder()
	made.Handler().ServeHTTP(answer, request)
	if answer.Code != 500 || !strings.Contains(log.String(), "panic") || strings.Contains(log.String(), "canary") {
		t.Errorf("answer = %d, log %s", answer.Code, log.String())
	}
}

type panicking struct{}

func (panicking) Append(context.Context, ordergroove.Delivery) (bool, error) { panic("canary") }

// What is not authentic reaches no log line, and a flood of it makes one line a minute.
func TestLogs(t *testing.T) {
	d := newDoor(t)
	for i := range 100 {
		d.post(fmt.Sprintf(`{"id":"canary-body-%d"}`, i), func(r *http.Request) {
			r.Header.Set(ordergroove.SignatureHeader, "ts=1,sig=canary-header")
			r.Header.Set("X-Forwarded-For", "canary-address")
		})
	}
	d.post(`{"id":"canary-body"`)
	log := d.log.String()
	if strings.Contains(log, "canary") {
		t.Errorf("the log quotes what was received:\n%s", log)
	}
	if got := strings.Count(log, "deliveries were refused"); got != 1 {
		t.Errorf("%d lines about refusals, want 1:\n%s", got, log)
	}
}

func TestNoKey(t *testing.T) {
	if _, err := webhook.New(&inbox{}, webhook.Options{}); err == nil {
		t.Error("a door without a key opened")
	}
}

// listen serves a door as the service does, on loopback.
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

// Bytes that no client of ours would send, on a real connection.
func TestRawConnections(t *testing.T) {
	t.Log("FAULT | no HTTP, endless headers, a chunked body that is too large | I6 I11")
	d := newDoor(t)
	address := listen(t, d)
	tests := []struct{ name, request, want string }{
		{"no HTTP", "hello\r\n\r\n", "400"},
		{"endless headers", "POST " + webhook.Path + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 64<<10) + "\r\n\r\n", "431"},
		{"chunked, too large", "POST " + webhook.Path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n" + strings.Repeat("x", 0x2000) + "\r\n0\r\n\r\n", "413"},
		{"livez", "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200"},
		{"the console is not here", "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			connection, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
			// What is too long is answered before it has all been sent, and the connection closed.
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
	if len(d.inbox.filed) > 0 {
		t.Errorf("filed %v", d.inbox.filed)
	}
}

// Concurrent deliveries to the real inbox share commits, and each has its own answer.
func TestConcurrentDeliveries(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Database: filepath.Join(t.TempDir(), "termed.db"), Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	made, err := webhook.New(s, webhook.Options{Keys: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	handler := made.Handler()
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

// Somebody holds the database's write lock for long: what is delivered meanwhile is answered 503 in time, and taken when it
// comes again.
func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | the database is locked for 11 s | I1 I5")
	path := filepath.Join(t.TempDir(), "termed.db")
	s, err := store.Open(t.Context(), store.Options{Database: path, Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	made, err := webhook.New(s, webhook.Options{Keys: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	handler := made.Handler()
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
	patient := make(chan error, 1) // whoever can wait is not refused
	go func() { patient <- s.Learn(context.Background(), counter.Facts{}, 1) }()
	// Longer than SQLite waits by itself, twice: a delivery may be before the patient one, and use up the first wait.
	for start := time.Now(); time.Since(start) < 11*time.Second; {
		asked := time.Now()
		if status, took := deliver(), time.Since(asked); status != 503 || took > 5*time.Second {
			t.Errorf("status = %d after %v while the database is locked, want 503 within 5 s", status, took)
		}
	}
	if _, err := holder.ExecContext(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	taken := false
	for range 100 { // the writer may still be waiting for the lock
		if taken = deliver() == 200; taken {
			break
		}
	}
	if !taken {
		t.Error("it was not taken after the lock had gone")
	}
	if err := <-patient; err != nil {
		t.Errorf("what could wait for the lock was refused: %v", err)
	}
}

// FuzzDoor: no header and no body makes the door panic, or take what was not signed.
func FuzzDoor(f *testing.F) {
	f.Add("ts=1,sig=00", []byte(`{}`))
	f.Add("", []byte(recorded(f, "order.success")))
	f.Add(ordergroove.Sign(now, []byte("{}"), key), []byte(`[]`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		d := newDoor(t)
		status, _ := d.post(string(body), func(r *http.Request) { r.Header[ordergroove.SignatureHeader] = []string{header} })
		if status != 401 && status != 413 && header != ordergroove.Sign(now, body, key) {
			t.Errorf("status = %d for %q", status, header)
		}
		if status, _ := d.post(string(body)); status != 200 && status != 413 {
			t.Errorf("a signed body was answered %d: %q", status, body)
		}
	})
}

// BenchmarkDelivery prints what one durable delivery costs, with many under way as in life: on SQLite, and on the PostgreSQL
// server that TERMED_TEST_POSTGRES names, where there is one.
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
	made, err := webhook.New(s, webhook.Options{Keys: []string{key}})
	if err != nil {
		b.Fatal(err)
	}
	handler := made.Handler()
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
