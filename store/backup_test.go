package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// recounted ends a reconciliation that asked for the orders of every subscription.
func recounted(t *testing.T, s *store.Store, at int64, all bool) ledger.Brake {
	t.Helper()
	run, ok, err := s.BeginReconciliation(t.Context(), "all", at, at+1000, 1000)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := s.EndReconciliation(t.Context(), run, ledger.LastReconciled{All: at, Recounted: all}, true); err != nil {
		t.Fatal(err)
	}
	brake, err := s.Brake(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return brake
}

// A backup is brought back, what was there is kept, and nothing is changed at Ordergroove before all subscriptions were
// recounted. What may have been applied since is left to a person.
func TestRestore(t *testing.T) {
	dir := t.TempDir()
	database, backup := filepath.Join(dir, "termed.db"), filepath.Join(dir, "backup.db")
	s := open(t, database)
	record(t, s, "e1", enrolled("s1"), 10)
	for i, shipment := range []int{1, 3} {
		a := adjustment("a"+string(rune('0'+shipment)), "s1", schedule.SkipOrder, int64(100+i))
		a.Spec.Matcher.Shipment = shipment
		if err := adjust(t, s, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Backup(t.Context(), backup, 1000); err != nil {
		t.Fatal(err)
	}
	if at, err := s.LastBackup(t.Context()); err != nil || at != 1000 {
		t.Errorf("the last backup was made at %d, %v; want 1000", at, err)
	}
	record(t, s, "e2", enrolled("s2"), 20)
	by := ledger.Pause{Since: 5000, Actor: "ruth", Reason: "the disk was lost"}
	if _, err := store.Restore(t.Context(), database, backup, by); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a database in use: %v", err)
	}
	s.Close()

	found, err := store.CheckBackup(t.Context(), backup)
	if err != nil || found.Subscriptions != 1 || found.Events != 1 || found.LastEvent != 15 {
		t.Errorf("the backup holds %+v, %v", found, err)
	}
	damaged(t, backup)
	kept, err := store.Restore(t.Context(), database, backup, by)
	if err != nil {
		t.Fatal(err)
	}
	before := open(t, kept)
	if _, err := before.Subscription(t.Context(), "s2"); err != nil {
		t.Errorf("what was there is not kept: %v", err)
	}
	s = open(t, database)
	if _, err := s.Subscription(t.Context(), "s2"); !errors.Is(err, ledger.ErrUnknown) {
		t.Errorf("what was recorded later is there: %v", err)
	}
	if brake, err := s.Brake(t.Context()); err != nil || !brake.Pause.Restored || brake.Pause.Since != 5000 {
		t.Fatalf("changes are not paused: %+v, %v", brake.Pause, err)
	}
	if brake := recounted(t, s, 4000, true); !brake.Pause.Restored {
		t.Error("a recount that began before ends the pause")
	}
	if brake := recounted(t, s, 6000, false); !brake.Pause.Restored {
		t.Error("a comparison that asks for no orders ends the pause")
	}
	if brake := recounted(t, s, 7000, true); brake.Pause.Since != 0 {
		t.Error("a recount does not end the pause")
	}
	for id, want := range map[string]ledger.AdjustmentStatus{
		"a1": ledger.AdjustmentAttention,
		"a3": ledger.AdjustmentPending,
	} {
		if a, err := s.Adjustment(t.Context(), "s1", id); err != nil || a.Status != want {
			t.Errorf("%s is %s, %v; want %s", id, a.Status, err, want)
		}
	}
}

// damaged checks that a backup of which a page is overwritten, or that is cut, is not used.
func damaged(t *testing.T, backup string) {
	t.Helper()
	whole, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "damaged.db")
	for what, bytes := range map[string][]byte{
		"a page is overwritten": append(append(append([]byte{}, whole[:8192]...), make([]byte, 4096)...), whole[12288:]...),
		"it is cut":             whole[:len(whole)/2],
		"it is empty":           nil,
		"it is something else":  []byte(strings.Repeat("termed", 1000)),
	} {
		if err := os.WriteFile(file, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.CheckBackup(t.Context(), file); err == nil {
			t.Errorf("%s: the backup is not refused", what)
		}
	}
}

// An operator's pause outlives a recount; on PostgreSQL, too, a database is marked.
func TestMarkRestored(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 40)
		if err := s.MarkRestored(t.Context(), ledger.Pause{Since: 50, Actor: "ruth", Reason: "a snapshot"}); err != nil {
			t.Fatal(err)
		}
		claim(t, s, 1000, 0)
		if at, err := s.NextSubscription(t.Context()); err != nil || at != 0 {
			t.Errorf("a subscription is due at %d, %v; want none before the recount", at, err)
		}
		if brake := recounted(t, s, 60, true); brake.Pause.Since != 0 {
			t.Errorf("still paused: %+v", brake.Pause)
		}
		claim(t, s, 1000, 1)
		if _, err := s.Pause(t.Context(), ledger.Pause{Since: 70, Actor: "ana", Reason: "a holiday"}); err != nil {
			t.Fatal(err)
		}
		if brake := recounted(t, s, 80, true); brake.Pause.Actor != "ana" {
			t.Errorf("an operator's pause ended: %+v", brake.Pause)
		}
	})
}

// The database says what it is, that it syncs, and how long a commit takes; what arrived last is known by type.
func TestEngine(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		engine, err := s.Engine(t.Context())
		if err != nil || !engine.Synced && engine.Name == "SQLite" || engine.Version == "" {
			t.Errorf("%+v, %v", engine, err)
		}
		if took, err := s.ProveCommit(t.Context()); err != nil || took <= 0 {
			t.Errorf("a commit takes %v, %v", took, err)
		}
		record(t, s, "e1", enrolled("s1"), 10)
		last, err := s.LastOfTypes(t.Context(), []string{event("e1", 10).Type, "order.reminder"})
		if err != nil || len(last) != 1 {
			t.Errorf("the last events are %v, %v", last, err)
		}
	})
}
