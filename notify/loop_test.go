package notify_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/notify"
	"github.com/termed/termed/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openStore opens a store in a new file.
func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Database: filepath.Join(t.TempDir(), "termed.db"), Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// enqueue puts a number of messages to each endpoint into the outbox, in turn.
func enqueue(t *testing.T, s *store.Store, from, n int, endpoints ...string) {
	t.Helper()
	var messages []ledger.Message
	for i := range n {
		for _, endpoint := range endpoints {
			messages = append(messages, ledger.Message{
				ID:       fmt.Sprintf("msg_%04d", from+i),
				Endpoint: endpoint,
				At:       time.Now().UnixMilli(),
				Body:     []byte("{}"),
			})
		}
	}
	if err := s.EnqueueMessages(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}

// outcomes counts the messages by endpoint, status and last error.
func outcomes(t *testing.T, s *store.Store) map[string]int {
	t.Helper()
	all, err := s.Messages(t.Context(), "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, m := range all {
		counts[strings.TrimSpace(m.Endpoint+" "+string(m.Status)+" "+m.LastError)]++
	}
	return counts
}

// until polls for a condition, and says whether it came true in time.
func until(within time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}

// configured are endpoints in our own network, by name and URL.
func configured(t *testing.T, urls map[string]string) *notify.Endpoints {
	t.Helper()
	var all []notify.Endpoint
	for name, url := range urls {
		all = append(all, notify.Endpoint{Name: name, URL: url, Secrets: []string{secret}, Private: true})
	}
	endpoints, err := notify.NewEndpoints(all)
	if err != nil {
		t.Fatal(err)
	}
	return endpoints
}

// start runs a sender. Stop ends it, and says how long that took.
func start(t *testing.T, sender *notify.Sender) (stop func() time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { sender.Run(ctx) })
	stop = sync.OnceValue(func() time.Duration {
		begin := time.Now()
		cancel()
		running.Wait()
		return time.Since(begin)
	})
	t.Cleanup(func() { stop() })
	return stop
}

// deaf listens, takes connections and never answers; it returns its URL.
func deaf(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(io.Discard, connection)
				_ = connection.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return "http://" + listener.Addr().String()
}

// An endpoint that hangs delays its own messages, and nobody else's.
func TestHangingEndpoint(t *testing.T) {
	t.Log("FAULT | one notification endpoint takes connections and never answers | I12: the others get theirs at once")
	const n = 100
	s := openStore(t)
	var received atomic.Int64
	well := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received.Add(1) }))
	defer well.Close()
	const timeout = 2 * time.Second
	sender := notify.NewSender(s, notify.Options{
		Endpoints: configured(t, map[string]string{"hangs": deaf(t), "is well": well.URL}),
		Timeout:   timeout,
	})
	stop := start(t, sender)
	begin := time.Now()
	enqueue(t, s, 0, n, "hangs", "is well") // the wake-up reaches both
	if !until(8*time.Second, func() bool { return received.Load() == n }) {
		t.Fatalf("the endpoint that is well got %d of %d messages in 8 s", received.Load(), n)
	}
	t.Logf("%d messages in %v", n, time.Since(begin))
	if !until(4*timeout, func() bool { return outcomes(t, s)["is well delivered"] == n }) {
		t.Errorf("outbox: %v, want what arrived to be delivered", outcomes(t, s))
	}
	if got := outcomes(t, s)["hangs delivered"]; got != 0 {
		t.Errorf("%d messages to the endpoint that hangs count as delivered", got)
	}
	if took := stop(); took > timeout {
		t.Errorf("Run returned %v after its end, want within %v", took, timeout)
	}
}

// An endpoint that is added, removed or renamed while the sender runs: from then on its messages are sent or given up,
// and an attempt in progress ends as it began.
func TestReloadWhileSending(t *testing.T) {
	s := openStore(t)
	arrived, answer := make(chan string, 10), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path + " " + r.Header.Get("webhook-id")
		if r.URL.Path == "/old" {
			<-answer
		}
	}))
	defer server.Close()
	release := sync.OnceFunc(func() { close(answer) })
	defer release()
	sender := notify.NewSender(s, notify.Options{
		Endpoints: configured(t, map[string]string{"old": server.URL + "/old", "kept": server.URL + "/kept"}),
		Workers:   1,
		Timeout:   10 * time.Second,
	})
	start(t, sender)
	enqueue(t, s, 1, 2, "old")
	if got, want := <-arrived, "/old msg_0001"; got != want {
		t.Fatalf("arrived: %q, want %q", got, want)
	}
	sender.Reload(configured(t, map[string]string{"new": server.URL + "/new", "kept": server.URL + "/kept"}))
	enqueue(t, s, 3, 1, "new", "kept")
	check := func(want string) {
		t.Helper()
		var got map[string]int
		if !until(5*time.Second, func() bool { got = outcomes(t, s); return fmt.Sprint(got) == want }) {
			t.Fatalf("outbox:\n%v, want\n%v", got, want)
		}
	}
	// What was never sent is given up while the first attempt still hangs.
	check(`map[kept delivered:1 new delivered:1 old dead gave up: endpoint "old" is no longer configured:1 old pending:1]`)
	release()
	check(`map[kept delivered:1 new delivered:1 old dead gave up: endpoint "old" is no longer configured:1 ` +
		`old delivered:1]`)
	sender.Reload(configured(t, map[string]string{"old": server.URL + "/old"}))
	enqueue(t, s, 4, 1, "old", "new")
	check(`map[kept delivered:1 new dead gave up: endpoint "new" is no longer configured:1 new delivered:1 ` +
		`old dead gave up: endpoint "old" is no longer configured:1 old delivered:2]`)
	sender.Reload(nil)
	enqueue(t, s, 5, 1, "old")
	check(`map[kept delivered:1 new dead gave up: endpoint "new" is no longer configured:1 new delivered:1 ` +
		`old dead gave up: endpoint "old" is no longer configured:2 old delivered:2]`)
}
