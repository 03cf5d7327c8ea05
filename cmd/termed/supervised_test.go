package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/webhook"
)

// supervised is a harness whose service is started again whenever it dies, on the same address.
type supervised struct {
	*harness
	t          *testing.T
	mu         sync.Mutex
	deaths     int
	closed     chan struct{}
	supervisor sync.WaitGroup
}

func newSupervised(t *testing.T, o sim.Options) *supervised {
	t.Helper()
	s := &supervised{harness: newHarness(t.TempDir(), o), t: t, closed: make(chan struct{})}
	webhooks, console := freeAddress(t), freeAddress(t)
	yaml := strings.Replace(loadConfigYAML, "listen: 127.0.0.1:0", "listen: "+webhooks, 1)
	yaml = strings.Replace(yaml, `"127.0.0.1:0"`, fmt.Sprintf("%q", console), 1)
	if err := os.WriteFile(filepath.Join(s.dir, "termed.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	s.sender.URL = "http://" + webhooks + webhook.Path
	s.sender.Delays = slices.Repeat([]time.Duration{100 * time.Millisecond}, 100)
	return s
}

// usedPorts are the addresses that freeAddress returned.
var usedPorts sync.Map

// freeAddress returns a loopback address to listen on later, and again after a restart. Its port is below those that
// the system chooses for outgoing connections, or one of them could take it in between.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		if _, used := usedPorts.LoadOrStore(address, true); used {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		l.Close()
		return address
	}
	t.Fatal("there is no free port")
	return ""
}

// rewrite changes the configuration.
func (s *supervised) rewrite(from, to string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "termed.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start starts the service, and again each time that it dies, from then on without a failpoint.
func (s *supervised) start() {
	s.t.Helper()
	if err := s.serve(); err != nil {
		s.t.Fatal(err)
	}
	process := s.process
	s.supervisor.Go(func() {
		for {
			_ = process.Wait() // however it ended
			select {
			case <-s.closed:
				return
			default:
			}
			s.mu.Lock()
			s.deaths++
			s.failpoint = ""
			err := s.serve()
			process = s.process
			s.mu.Unlock()
			if err != nil {
				s.t.Error(err)
				return
			}
		}
	})
}

// signal sends a signal to the running process. If it dies, another is started.
func (s *supervised) signal(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.process.Process.Signal(signal)
}

func (s *supervised) died() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaths
}

func (s *supervised) close() {
	close(s.closed)
	s.signal(syscall.SIGKILL)
	s.supervisor.Wait()
	s.process = nil
	s.harness.close()
}

// settleThroughRestarts settles although the service may die on the way.
func (s *supervised) settleThroughRestarts(ctx context.Context) {
	s.t.Helper()
	for ctx.Err() == nil {
		if err := s.settle(ctx); err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.t.Fatal("the service still has work")
}

// startEndpoint starts a system that receives notifications, and configures it.
func (s *supervised) startEndpoint() *endpoint {
	s.t.Helper()
	e := newEndpoint(notificationSecret)
	s.t.Cleanup(e.server.Close)
	s.endpointURL = e.server.URL
	s.rewrite("reconcile:", `notifications:
  endpoints: [ { url: "${ENDPOINT}", private: true, secrets: [ "${TERMED_NOTIFICATION_SECRET}" ] } ]
reconcile:`)
	return e
}

// checkNotified checks that each notification was sent exactly once: want is how many, by "TYPE NAME". Repeated
// deliveries of one notification have the same ID, and count once.
func (s *supervised) checkNotified(ctx context.Context, e *endpoint, want map[string]int) {
	s.t.Helper()
	names := map[string]string{}
	for name, sub := range s.subscriptions {
		names[sub.id] = name
	}
	for {
		got := map[string]int{}
		for _, eventType := range counter.NotificationTypes {
			messages, wrong := e.messages(eventType)
			if len(wrong) > 0 {
				s.t.Fatalf("wrong deliveries: %s", wrong)
			}
			for _, m := range messages {
				var body struct{ Data struct{ Subscription string } }
				_ = json.Unmarshal(m.Body, &body)
				got[eventType+" "+names[body.Data.Subscription]]++
			}
		}
		if cmp.Equal(want, got) {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("notified (-want +got):\n%s", cmp.Diff(want, got))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// deliverAndSettle delivers what is pending until it is accepted, and settles.
func (s *supervised) deliverAndSettle(ctx context.Context) {
	s.t.Helper()
	if err := s.deliverPending(ctx); err != nil {
		s.t.Fatal(err)
	}
	s.settleThroughRestarts(ctx)
}

func (s *supervised) judgeAll(due map[string]int) {
	s.t.Helper()
	for name, d := range due {
		made := s.subscriptions[name]
		sub, _ := s.sim.Subscription(made.id)
		for _, fault := range sim.Judge(sub, d, made.first) {
			s.t.Errorf("%s: %s", name, fault)
		}
	}
}

// checkInbox checks that every event that was answered 2xx is in the inbox (I1), and that none is stuck (I7).
func (s *supervised) checkInbox(accepted *acceptedEvents) {
	s.t.Helper()
	for _, e := range accepted.checkInbox(s.t, filepath.Join(s.dir, "termed.db")) {
		if e.Status == ledger.EventPending && !e.Due.Valid || e.Status == ledger.EventDead {
			s.t.Errorf("event %s is %s, due %v: %s", e.ID, e.Status, e.Due, e.LastError)
		}
	}
}
