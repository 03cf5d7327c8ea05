package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// TestTail: an event is printed once, when it is settled. What stays pending is printed as such, and again when it is
// settled, however many events arrive meanwhile.
func TestTail(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), store.Options{Database: filepath.Join(t.TempDir(), "termed.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	began := time.Now()
	receive := func(id string, after time.Duration) {
		t.Helper()
		at := began.Add(after).UnixMilli()
		e := ledger.Event{
			Created:  at,
			ID:       id,
			Type:     "order.success",
			Received: at,
			Body:     []byte(`{}`),
			Status:   ledger.EventPending,
		}
		if _, err := s.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	settle := func(id string) {
		t.Helper()
		claimed, err := s.ClaimEvents(t.Context(), began.Add(time.Hour).UnixMilli(), began.UnixMilli(), 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range claimed {
			if e.ID == id {
				if err := s.SettleEvent(t.Context(), e, ledger.Settlement{At: began.UnixMilli()}); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
		t.Fatalf("%s is not among %d claimed events", id, len(claimed))
	}
	var printed bytes.Buffer
	lines := tail{env: environment{stdout: &printed}, store: s, known: map[eventKey]knownEvent{}}
	once := func(after time.Duration, want ...string) {
		t.Helper()
		printed.Reset()
		if err := lines.once(t.Context(), began.Add(after)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(printed.String()) {
			columns := strings.Split(line, "\t")
			got = append(got, columns[3]+" "+columns[2])
		}
		if !cmp.Equal(got, want) {
			t.Errorf("after %v: %q, want %q", after, got, want)
		}
	}
	receive("slow", 0)
	receive("quick", time.Second)
	once(time.Second)
	settle("quick")
	once(2*time.Second, "quick ignored")
	once(3*time.Second, "slow pending")
	once(4 * time.Second)
	receive("later", time.Minute)
	settle("later")
	once(time.Minute, "later ignored")
	settle("slow")
	once(time.Minute+time.Second, "slow ignored")
	receive("last", 2*time.Minute)
	settle("last")
	once(2*time.Minute, "last ignored")
	once(3 * time.Minute)
	if len(lines.known) > 1 {
		t.Errorf("%d events are remembered", len(lines.known))
	}
}
