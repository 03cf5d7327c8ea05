package demo

import (
	"context"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/config"
)

// A counter that somebody changes after the story makes the demo fail.
func TestOutcomeFindsAWrongCounter(t *testing.T) {
	var out lockedBuffer
	timeline := newTimeline(&out, false)
	setup, err := newSetup(t.Context(), storyConfig(), t.TempDir(), timeline)
	if err != nil {
		t.Fatal(err)
	}
	defer setup.close()
	s := &story{setup: setup, timeline: timeline}
	if err := s.gift(t.Context()); err != nil {
		t.Fatal(err)
	}
	if faults, err := setup.outcome(t.Context(), s.cast, &out); err != nil || len(faults) > 0 {
		t.Fatalf("outcome = %v, %v; want no fault yet", faults, err)
	}
	if err := setup.sim.Edit(s.cast[0].id, []byte(`{"fulfillment_counter":"1"}`)); err != nil {
		t.Fatal(err)
	}
	faults, err := setup.outcome(t.Context(), s.cast, &out)
	if err != nil || len(faults) == 0 || !strings.Contains(out.String(), "NO") {
		t.Errorf("outcome = %v, %v; want faults\n%s", faults, err, out.String())
	}
}

// While the demo keeps running, it says where everything is, and its configuration is one that the commands can use.
func TestKeepRunning(t *testing.T) {
	own := storyConfig()
	own.Terms = []config.Term{{
		Name:           "Own: \"club\"",
		SKUs:           []string{"0123", "A B"},
		Shipments:      1,
		FirstShipment:  "recurring",
		CancelReason:   "1|Done, \"really\"",
		OnComplete:     "swap",
		SwapTo:         "COFFEE",
		OnReactivation: "release",
		OnSwap:         "restart",
	}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out lockedBuffer
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, &out, Options{KeepRunning: true, Config: &own}) }()
	where := regexp.MustCompile(`configuration: (\S+)`)
	for end := time.Now().Add(20 * time.Second); where.FindString(out.String()) == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not say where it runs:\n%s", out.String())
		}
	}
	path := where.FindStringSubmatch(out.String())[1]
	c, err := config.Load(path, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(own.Terms, c.Terms); diff != "" {
		t.Errorf("terms (-own +written):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the keys is %v, %v", info.Mode(), err)
	}
	if !strings.Contains(out.String(), c.Database) || !strings.Contains(out.String(), c.Ordergroove.APIKey.Reveal()) {
		t.Error("it does not print the database and the keys")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it left its folder behind")
	}
}

// lockedBuffer is a writer that several goroutines may share.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
