package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/store"
)

// failpoints builds the binary whose process can be made to die at a named place, once for all tests.
var failpoints = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "termed-failpoints-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "termed")
	out, err := exec.Command("go", "build", "-tags", "failpoints", "-o", program, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building with failpoints: %w\n%s", err, out)
	}
	return program, nil
})

// nursed is a world whose service is started again whenever it dies, on the same address.
type nursed struct {
	*world
	t      *testing.T
	mu     sync.Mutex
	deaths int
	over   chan struct{}
	nurse  sync.WaitGroup
}

func newNursed(t *testing.T, o ogsim.Options) *nursed {
	t.Helper()
	n := &nursed{world: newWorld(t.TempDir(), o), t: t, over: make(chan struct{})}
	door, desk := freeAddress(t), freeAddress(t)
	yaml := strings.Replace(loadConfigYAML, "listen: 127.0.0.1:0", "listen: "+door, 1)
	yaml = strings.Replace(yaml, `"127.0.0.1:0"`, fmt.Sprintf("%q", desk), 1)
	if err := os.WriteFile(filepath.Join(n.dir, "termed.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	n.sender.URL = "http://" + door + "/webhooks/ordergroove"
	n.sender.Delays = nil
	for range 100 {
		n.sender.Delays = append(n.sender.Delays, 100*time.Millisecond)
	}
	return n
}

// rewrite changes the configuration.
func (n *nursed) rewrite(from, to string) {
	n.t.Helper()
	path := filepath.Join(n.dir, "termed.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// given are the ports that freeAddress gave out.
var given sync.Map

// freeAddress returns a loopback address to listen on later, and again after a restart. Its port is below those that the
// system hands out by itself, or somebody's outgoing connection could take it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		if _, taken := given.LoadOrStore(address, true); taken {
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

// watch starts the service, and again each time that it dies, from then on without a failpoint.
func (n *nursed) watch() {
	n.t.Helper()
	if err := n.serve(); err != nil {
		n.t.Fatal(err)
	}
	child := n.child
	n.nurse.Go(func() {
		for {
			_ = child.Wait() // however it ended
			select {
			case <-n.over:
				return
			default:
			}
			n.mu.Lock()
			n.deaths++
			n.failpoint = ""
			err := n.serve()
			child = n.child
			n.mu.Unlock()
			if err != nil {
				n.t.Error(err)
				return
			}
		}
	})
}

// kill ends the running process at once; the nurse starts another.
func (n *nursed) kill(signal syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.child.Process.Signal(signal)
}

func (n *nursed) died() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deaths
}

func (n *nursed) close() {
	close(n.over)
	n.kill(syscall.SIGKILL)
	n.nurse.Wait()
	n.child = nil
	n.world.close()
}

// patient settles in spite of deaths on the way.
func (n *nursed) patient(ctx context.Context) {
	n.t.Helper()
	for ctx.Err() == nil {
		if err := n.settle(ctx); err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	n.t.Fatal("it does not come to rest")
}

// hears starts a system that takes notices.
func (n *nursed) hears() *receiver {
	n.t.Helper()
	r := newReceiver(noticeSecret)
	n.t.Cleanup(r.server.Close)
	n.receiver = r.server.URL
	n.rewrite("reconcile:", `notices: { endpoints: [ { url: "${RECEIVER}", private: true, secrets: [ "${TERMED_NOTICE_SECRET}" ] } ] }
reconcile:`)
	return r
}

// heard checks that each happening was told of exactly once: "TYPE NAME" and how often. A delivery that is repeated has the same id.
func (n *nursed) heard(ctx context.Context, r *receiver, want map[string]int) {
	n.t.Helper()
	names := map[string]string{}
	for name, role := range n.names {
		names[role.id] = name
	}
	for {
		got, wrong := map[string]int{}, []string(nil)
		for _, kind := range counter.NoticeTypes {
			var all []delivered
			all, wrong = r.of(kind)
			for _, d := range all {
				var body struct{ Data struct{ Subscription string } }
				_ = json.Unmarshal(d.Body, &body)
				got[kind+" "+names[body.Data.Subscription]]++
			}
		}
		if len(wrong) > 0 {
			n.t.Fatalf("wrong deliveries: %s", wrong)
		}
		if cmp.Equal(want, got) {
			return
		}
		select {
		case <-ctx.Done():
			n.t.Fatalf("told (-want +got):\n%s", cmp.Diff(want, got))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// life is a gift from its beginning to its end, with a companion that is still under way; each event is delivered until it
// is taken.
func (n *nursed) life(ctx context.Context) {
	n.t.Helper()
	deliver := func() {
		n.t.Helper()
		events := n.pending
		n.pending = nil
		if err := n.deliver(ctx, events); err != nil {
			n.t.Fatal(err)
		}
		n.patient(ctx)
	}
	for name, sku := range map[string]string{"anna": "GIFT-3MO", "ben": "SIX"} {
		if err := n.subscribe(name, sku, ogsim.NewSubscription{ExtraData: json.RawMessage(`{"mine <&>":1.10,"":null}`)}); err != nil {
			n.t.Fatal(err)
		}
	}
	deliver()
	for range 2 {
		if _, err := n.place([]string{"anna", "ben"}); err != nil {
			n.t.Fatal(err)
		}
		deliver()
	}
}

func (n *nursed) judgeAll(due map[string]int) {
	n.t.Helper()
	for name, d := range due {
		r := n.names[name]
		sub, _ := n.sim.Subscription(r.id)
		for _, fault := range ogsim.Judge(sub, d, r.first) {
			n.t.Errorf("%s: %s", name, fault)
		}
	}
}

// kept checks that every event that was answered 2xx is in the inbox (I1), and that nothing is stuck (I7).
func (n *nursed) kept(taken map[string]bool) {
	n.t.Helper()
	s, err := store.Open(n.t.Context(), store.Options{Database: filepath.Join(n.dir, "termed.db")})
	if err != nil {
		n.t.Fatal(err)
	}
	defer s.Close()
	events, err := s.Events(n.t.Context(), "", 1_000_000)
	if err != nil {
		n.t.Fatal(err)
	}
	known := map[string]bool{}
	for _, e := range events {
		known[e.ID] = true
		if e.Status == store.StatusPending && !e.Due.Valid || e.Status == store.StatusDead {
			n.t.Errorf("event %s is %s, due %v: %s", e.ID, e.Status, e.Due, e.LastError)
		}
	}
	for id := range taken {
		if !known[id] {
			n.t.Errorf("event %s was answered 2xx and is not in the inbox", id)
		}
	}
}

// TestKilledAt ends the real process, as kill -9 does, at each named place, and at the first commits one by one. Whatever was
// in hand is taken up by the next process, and the end is exact.
func TestKilledAt(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("failpoints: there is no go command here to build them in")
	}
	program, err := failpoints()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("FAULT | kill -9 before a commit, after it and before the answer, after GET, after the counter to send is stored, after PATCH answered, after cancel answered, before the lease is released | I1 I2 I3 I4 I7 I8")
	points := []string{
		"after-commit:1", "after-commit:3", "after-get:1", "after-get:2", "after-get:4", "counter-stored:1", "counter-stored:3", "counter-stored:5",
		"patch-answered:1", "patch-answered:3", "patch-answered:5", "cancel-answered:1", "before-release:1", "before-release:3", "before-release:6",
	}
	for i := range 16 {
		points = append(points, fmt.Sprintf("before-commit:%d", i+1))
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			n := newNursed(t, ogsim.Options{})
			n.program, n.failpoint = program, point
			receiver := n.hears()
			n.watch()
			defer n.close()
			taken := n.taken()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			n.life(ctx)
			if n.died() != 1 {
				t.Errorf("it died %d times; the place was not reached", n.died())
			}
			n.judgeAll(map[string]int{"anna": 2, "ben": 5})
			n.kept(taken)
			n.heard(ctx, receiver, map[string]int{
				"term.started anna": 1, "term.shipment anna": 2, "term.last_shipment_next anna": 1, "term.completed anna": 1,
				"term.started ben": 1, "term.shipment ben": 2,
			})
		})
	}
}

// TestKilledBetweenTerms ends the process at commits and calls while terms end by another term, by none, and by another product.
func TestKilledBetweenTerms(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("failpoints: there is no go command here to build them in")
	}
	program, err := failpoints()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("FAULT | kill -9 at each commit and after each PATCH while terms are renewed, released and swapped at their end | I2 I3 I7: nothing of ours is left behind, nothing is told twice or never")
	points := []string{"patch-answered:4", "patch-answered:5", "patch-answered:6", "after-get:5", "before-release:5"}
	for i := range 12 {
		points = append(points, fmt.Sprintf("before-commit:%d", 7+2*i))
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			n := newNursed(t, ogsim.Options{})
			n.program, n.failpoint = program, point
			receiver := n.hears()
			n.rewrite("terms:", `terms:
  - { name: Renewed, skus: [RENEW], shipments: 2, on_complete: renew }
  - { name: Released, skus: [RELEASE], shipments: 2, on_complete: release }
  - { name: Swapped, skus: [SWAP], shipments: 2, on_complete: { swap: { sku: COFFEE } } }`)
			n.watch()
			defer n.close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			n.betweenTerms(ctx)
			if n.died() != 1 {
				t.Errorf("it died %d times; the place was not reached", n.died())
			}
			for name, want := range map[string]string{
				"anna":  `{"mine":1.10,"fulfillment_counter":"1","termed":"true"} RENEW`,
				"ben":   `{"mine":1.10} RELEASE`,
				"carla": `{"mine":1.10} COFFEE`,
			} {
				if sub, _ := n.sim.Subscription(n.names[name].id); string(sub.ExtraData)+" "+sub.Product != want || !sub.Live {
					t.Errorf("%s: %s %s, live %v; want %s", name, sub.ExtraData, sub.Product, sub.Live, want)
				}
			}
			n.heard(ctx, receiver, map[string]int{
				"term.started anna": 2, "term.shipment anna": 2, "term.completed anna": 1, "term.last_shipment_next anna": 2,
				"term.started ben": 1, "term.shipment ben": 1, "term.completed ben": 1, "term.last_shipment_next ben": 1,
				"term.started carla": 1, "term.shipment carla": 1, "term.completed carla": 1, "term.last_shipment_next carla": 1,
			})
		})
	}
}

// betweenTerms is three subscriptions of two boxes to the end of their terms, and one box beyond.
func (n *nursed) betweenTerms(ctx context.Context) {
	n.t.Helper()
	names := []string{"anna", "ben", "carla"}
	for i, sku := range []string{"RENEW", "RELEASE", "SWAP"} {
		if err := n.subscribe(names[i], sku, ogsim.NewSubscription{ExtraData: json.RawMessage(`{"mine":1.10}`)}); err != nil {
			n.t.Fatal(err)
		}
	}
	for round := range 3 {
		events := n.pending
		n.pending = nil
		if err := n.deliver(ctx, events); err != nil {
			n.t.Fatal(err)
		}
		n.patient(ctx)
		if round == 2 {
			return
		}
		if _, err := n.place(names); err != nil {
			n.t.Fatal(err)
		}
	}
}

// taken notes the ids of the events that are answered 2xx from now on.
func (n *nursed) taken() map[string]bool {
	taken := map[string]bool{}
	var mu sync.Mutex
	n.sender.OnReply = func(e ogsim.Event, r ogsim.Reply) {
		if r.OK() {
			mu.Lock()
			defer mu.Unlock()
			taken[e.ID] = true
		}
	}
	return taken
}

// TestKilledDuringACall ends the real process while Ordergroove has its call in hand: before and after it took effect.
func TestKilledDuringACall(t *testing.T) {
	t.Log("FAULT | kill -9 after PATCH sent and after cancel sent, before and after it took effect | I1 I2 I3 I4 I7 I8")
	for _, call := range []struct {
		path string
		skip int
	}{{"/update/", 0}, {"/update/", 2}, {"/update/", 4}, {"/cancel/", 0}} {
		for _, effect := range []string{"before", "after"} {
			t.Run(fmt.Sprintf("%s %d %s its effect", call.path, call.skip, effect), func(t *testing.T) {
				t.Parallel()
				n := newNursed(t, ogsim.Options{})
				n.watch()
				defer n.close()
				f := ogsim.Fault{Method: "PATCH", Path: call.path, Skip: call.skip, Times: 1}
				kill := func() { n.kill(syscall.SIGKILL) }
				if effect == "before" {
					f.Before = kill
				} else {
					f.After = kill
				}
				n.sim.Break(f)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				n.life(ctx)
				if n.died() != 1 {
					t.Errorf("it died %d times, want once", n.died())
				}
				n.judgeAll(map[string]int{"anna": 2, "ben": 5})
			})
		}
	}
}

// TestStopped lets the process be stopped and continued in the middle of a call, and be ended in good order in the middle of
// one and of a stream of deliveries.
func TestStopped(t *testing.T) {
	t.Log("FAULT | SIGSTOP and SIGCONT, SIGTERM and a second SIGTERM, during deliveries and during a PATCH | I1 I2 I4 I7")
	tests := map[string]func(*nursed){
		"SIGSTOP, then SIGCONT": func(n *nursed) {
			n.kill(syscall.SIGSTOP)
			time.AfterFunc(2*time.Second, func() { n.kill(syscall.SIGCONT) })
		},
		"SIGTERM":               func(n *nursed) { n.kill(syscall.SIGTERM) },
		"SIGTERM, then another": func(n *nursed) { n.kill(syscall.SIGTERM); n.kill(syscall.SIGTERM) },
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNursed(t, ogsim.Options{ItemEvents: true})
			n.watch()
			defer n.close()
			taken := n.taken()
			n.sim.Break(ogsim.Fault{Method: "PATCH", Path: "/update/", Skip: 2, Times: 1, Before: func() { end(n) }})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			n.life(ctx)
			n.judgeAll(map[string]int{"anna": 2, "ben": 5})
			n.kept(taken)
		})
	}
}
