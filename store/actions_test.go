package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// An action takes the lease of its subscription, due or not, and waits while somebody else has it.
func TestClaimOne(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 10)
		if _, err := s.ClaimOne(t.Context(), "nobody", 20, 50); !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("claiming what is not recorded = %v", err)
		}
		lease, err := s.ClaimOne(t.Context(), "s1", 20, 50)
		if err != nil || lease.ID != "s1" || lease.Term != "Gift" {
			t.Fatalf("ClaimOne = %+v, %v", lease, err)
		}
		if _, err := s.ClaimOne(t.Context(), "s1", 30, 60); !errors.Is(err, ledger.ErrLeased) {
			t.Errorf("claiming it again = %v, want ErrLeased", err)
		}
		if claimed, err := s.Claim(t.Context(), 30, 60, 8, 8); err != nil || len(claimed) != 0 {
			t.Errorf("a worker claimed %v, %v", claimed, err)
		}
		later, err := s.ClaimOne(t.Context(), "s1", 50, 90)
		if err != nil {
			t.Fatalf("claiming it when the lease has expired = %v", err)
		}
		if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 60}); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("finishing under the expired lease = %v", err)
		}
		end := ledger.Outcome{At: 60, Subscription: later.Subscription.Subscription}
		if err := s.Finish(t.Context(), later, end); err != nil {
			t.Error(err)
		}
	})
}

// An action is recorded once for each key, keeps what became of it, and is forgotten with the events of its time.
func TestActions(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 10)
		step := func(a ledger.Action) error {
			lease, err := s.ClaimOne(t.Context(), "s1", 20, 50)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Record(t.Context(), lease, ledger.Step{Enrollment: lease.Enrollment, Action: &a})
			end := ledger.Outcome{At: 20, Subscription: lease.Subscription.Subscription}
			if err := s.Finish(t.Context(), lease, end); err != nil {
				t.Fatal(err)
			}
			return err
		}
		begun := ledger.Action{
			Key:          "k1",
			Subscription: "s1",
			Kind:         ledger.ActionCancel,
			Actor:        "ana",
			Reason:       "8|",
			Status:       ledger.ActionStarted,
			Created:      20,
		}
		if err := step(begun); err != nil {
			t.Fatal(err)
		}
		if open, err := s.OpenActions(t.Context(), 21); err != nil || cmp.Diff([]ledger.Action{begun}, open) != "" {
			t.Errorf("OpenActions = %+v, %v", open, err)
		}
		done := begun
		done.Status, done.Finished = ledger.ActionDone, 25
		if err := step(done); err != nil {
			t.Fatal(err)
		}
		failed := done
		failed.Status = ledger.ActionFailed
		if err := step(failed); !errors.Is(err, ledger.ErrActionExists) {
			t.Errorf("another outcome = %v, want ErrActionExists", err)
		}
		other := begun
		other.Kind = ledger.ActionSkip
		if err := step(other); !errors.Is(err, ledger.ErrActionExists) {
			t.Errorf("something else with the same key = %v, want ErrActionExists", err)
		}
		if got, found, err := s.Action(t.Context(), "k1"); err != nil || !found || got != done {
			t.Errorf("Action = %+v, %v, %v", got, found, err)
		}
		if all, err := s.Actions(t.Context(), "s1", 5); err != nil || len(all) != 1 {
			t.Errorf("Actions = %+v, %v", all, err)
		}
		if _, err := s.Prune(t.Context(), 26, 100); err != nil {
			t.Fatal(err)
		}
		if _, found, err := s.Action(t.Context(), "k1"); err != nil || found {
			t.Errorf("after pruning: %v, %v", found, err)
		}
	})
}
