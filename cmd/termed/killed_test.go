package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// failpoints builds, once for all tests, the program that can be made to die at a named place.
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

func failpointProgram(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("failpoints: there is no go command to build them in")
	}
	program, err := failpoints()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// TestKilledAtEachFailpoint ends the real process, as kill -9 does, at each named place, and at the first commits one
// by one. The next process takes up the work that was in progress, and the end is exact.
func TestKilledAtEachFailpoint(t *testing.T) {
	t.Parallel()
	program := failpointProgram(t)
	t.Log("FAULT | kill -9 before a commit, after it and before the answer, after GET," +
		" after the counter to send is stored, after PATCH answered, after cancel answered," +
		" before the lease is released | I1 I2 I3 I4 I7 I8")
	points := []string{
		"after-commit:1", "after-commit:3",
		"after-get:1", "after-get:2", "after-get:4",
		"counter-stored:1", "counter-stored:3", "counter-stored:5",
		"patch-answered:1", "patch-answered:3", "patch-answered:5",
		"cancel-answered:1",
		"before-release:1", "before-release:3", "before-release:6",
	}
	for i := range 16 { // the first commit records the SKUs, before anybody knows of the process: TestKilledAtItsStart
		points = append(points, fmt.Sprintf("before-commit:%d", i+2))
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) { killedAt(t, program, point) })
	}
}

// TestKilledAtItsStart ends the process at its first commit. The next start finds nothing missing.
func TestKilledAtItsStart(t *testing.T) {
	h := newHarness(t.TempDir(), sim.Options{})
	defer h.close()
	if err := os.WriteFile(filepath.Join(h.dir, "termed.yaml"), []byte(loadConfigYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	h.program, h.failpoint = failpointProgram(t), "before-commit:1"
	if err := h.serve(); err == nil {
		t.Fatal("it was not killed")
	}
	h.failpoint = ""
	if err := h.serve(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Options{Database: filepath.Join(h.dir, "termed.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if listed, err := db.ListedSKUs(t.Context()); err != nil || len(listed) != 2 {
		t.Errorf("listed: %v, %v; want both SKUs", listed, err)
	}
}

func killedAt(t *testing.T, program, point string) {
	t.Parallel()
	s := newSupervised(t, sim.Options{})
	s.program, s.failpoint = program, point
	endpoint := s.startEndpoint()
	s.start()
	defer s.close()
	accepted := noteAccepted(s.sender)
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	s.playGift(ctx)
	if s.died() != 1 {
		t.Errorf("it died %d times; the failpoint was not reached", s.died())
	}
	s.judgeAll(map[string]int{"anna": 2, "ben": 5})
	s.checkInbox(accepted)
	s.checkNotified(ctx, endpoint, map[string]int{
		"term.started anna":            1,
		"term.shipment anna":           2,
		"term.last_shipment_next anna": 1,
		"term.completed anna":          1,
		"term.started ben":             1,
		"term.shipment ben":            2,
	})
}

// playGift plays a gift from its beginning to its end, and a longer term next to it that is still running.
func (s *supervised) playGift(ctx context.Context) {
	s.t.Helper()
	for name, sku := range map[string]string{"anna": "GIFT-3MO", "ben": "SIX"} {
		extraData := json.RawMessage(`{"mine <&>":1.10,"":null}`)
		if err := s.subscribe(name, sku, sim.NewSubscription{ExtraData: extraData}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.deliverAndSettle(ctx)
	for range 2 {
		if _, err := s.place([]string{"anna", "ben"}); err != nil {
			s.t.Fatal(err)
		}
		s.deliverAndSettle(ctx)
	}
}

// TestKilledBetweenTerms ends the process at commits and calls while terms end with a new term, a release, and a swap.
func TestKilledBetweenTerms(t *testing.T) {
	t.Parallel()
	program := failpointProgram(t)
	t.Log("FAULT | kill -9 at each commit and after each PATCH while terms are renewed, released and swapped" +
		" at their end | I2 I3 I7: no key of ours is left behind, each notification is sent exactly once")
	points := []string{"patch-answered:4", "patch-answered:5", "patch-answered:6", "after-get:5", "before-release:5"}
	for i := range 12 {
		points = append(points, fmt.Sprintf("before-commit:%d", 7+2*i))
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) { killedBetweenTerms(t, program, point) })
	}
}

func killedBetweenTerms(t *testing.T, program, point string) {
	t.Parallel()
	s := newSupervised(t, sim.Options{})
	s.program, s.failpoint = program, point
	endpoint := s.startEndpoint()
	s.rewrite("terms:", `terms:
  - { name: Renewed, skus: [RENEW], shipments: 2, on_complete: renew }
  - { name: Released, skus: [RELEASE], shipments: 2, on_complete: release }
  - { name: Swapped, skus: [SWAP], shipments: 2, on_complete: { swap: { sku: COFFEE } } }`)
	s.start()
	defer s.close()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	s.playBetweenTerms(ctx)
	if s.died() != 1 {
		t.Errorf("it died %d times; the failpoint was not reached", s.died())
	}
	for name, want := range map[string]string{
		"anna":  `{"mine":1.10,"fulfillment_counter":"1","termed":"true"} RENEW`,
		"ben":   `{"mine":1.10} RELEASE`,
		"carla": `{"mine":1.10} COFFEE`,
	} {
		sub, _ := s.sim.Subscription(s.subscriptions[name].id)
		if string(sub.ExtraData)+" "+sub.Product != want || !sub.Live {
			t.Errorf("%s: %s %s, live %v; want %s", name, sub.ExtraData, sub.Product, sub.Live, want)
		}
	}
	s.checkNotified(ctx, endpoint, map[string]int{
		"term.started anna":             2,
		"term.shipment anna":            2,
		"term.completed anna":           1,
		"term.last_shipment_next anna":  2,
		"term.started ben":              1,
		"term.shipment ben":             1,
		"term.completed ben":            1,
		"term.last_shipment_next ben":   1,
		"term.started carla":            1,
		"term.shipment carla":           1,
		"term.completed carla":          1,
		"term.last_shipment_next carla": 1,
	})
}

// playBetweenTerms plays three subscriptions of two shipments to the end of their terms, and one order beyond.
func (s *supervised) playBetweenTerms(ctx context.Context) {
	s.t.Helper()
	names := []string{"anna", "ben", "carla"}
	for i, sku := range []string{"RENEW", "RELEASE", "SWAP"} {
		extraData := json.RawMessage(`{"mine":1.10}`)
		if err := s.subscribe(names[i], sku, sim.NewSubscription{ExtraData: extraData}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.deliverAndSettle(ctx)
	for range 2 {
		if _, err := s.place(names); err != nil {
			s.t.Fatal(err)
		}
		s.deliverAndSettle(ctx)
	}
}

// TestKilledDuringACall ends the real process while Ordergroove answers its call: before and after the call took
// effect.
func TestKilledDuringACall(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | kill -9 after PATCH sent and after cancel sent, before and after it took effect | I1 I2 I3 I4 I7 I8")
	for _, call := range []struct {
		path string
		skip int
	}{{"/update/", 0}, {"/update/", 2}, {"/update/", 4}, {"/cancel/", 0}} {
		for _, effect := range []string{"before", "after"} {
			t.Run(fmt.Sprintf("%s %d %s its effect", call.path, call.skip, effect), func(t *testing.T) {
				t.Parallel()
				s := newSupervised(t, sim.Options{})
				s.start()
				defer s.close()
				f := sim.Fault{Method: "PATCH", Path: call.path, Skip: call.skip, Times: 1}
				kill := func() { s.signal(syscall.SIGKILL) }
				if effect == "before" {
					f.Before = kill
				} else {
					f.After = kill
				}
				s.sim.Break(f)
				ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
				defer cancel()
				s.playGift(ctx)
				if s.died() != 1 {
					t.Errorf("it died %d times, want once", s.died())
				}
				s.judgeAll(map[string]int{"anna": 2, "ben": 5})
			})
		}
	}
}

// TestStoppedDuringACall stops and continues the process in the middle of a call, and terminates it in the middle of
// one.
func TestStoppedDuringACall(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | SIGSTOP and SIGCONT, SIGTERM and a second SIGTERM, during deliveries and during a PATCH | I1 I2 I4 I7")
	tests := map[string]func(*supervised){
		"SIGSTOP, then SIGCONT": func(s *supervised) {
			s.signal(syscall.SIGSTOP)
			time.AfterFunc(2*time.Second, func() { s.signal(syscall.SIGCONT) })
		},
		"SIGTERM":               func(s *supervised) { s.signal(syscall.SIGTERM) },
		"SIGTERM, then another": func(s *supervised) { s.signal(syscall.SIGTERM); s.signal(syscall.SIGTERM) },
	}
	for name, stop := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSupervised(t, sim.Options{ItemEvents: true})
			s.start()
			defer s.close()
			accepted := noteAccepted(s.sender)
			s.sim.Break(sim.Fault{
				Method: "PATCH",
				Path:   "/update/",
				Skip:   2,
				Times:  1,
				Before: func() { stop(s) },
			})
			ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
			defer cancel()
			s.playGift(ctx)
			s.judgeAll(map[string]int{"anna": 2, "ben": 5})
			s.checkInbox(accepted)
		})
	}
}
