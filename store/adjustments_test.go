package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

func adjustment(id, subscription string, action schedule.ActionType, created int64) ledger.Adjustment {
	return ledger.Adjustment{
		ID:           id,
		Subscription: subscription,
		Spec: schedule.Spec{
			Matcher: schedule.Matcher{Type: schedule.Cycle, Shipment: 2},
			Action:  schedule.Action{Type: action, Input: []byte(`{"address":{"address1":"1 Pier"}}`)},
		},
		Actor:   "ana",
		Status:  ledger.AdjustmentPending,
		Created: created,
		Updated: created,
	}
}

// adjust records an adjustment of a subscription, under a lease that it takes and gives back.
func adjust(t *testing.T, s *store.Store, a ledger.Adjustment) error {
	t.Helper()
	lease, err := s.ClaimOne(t.Context(), a.Subscription, 20, 1000)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Record(t.Context(), lease, ledger.Step{
		Enrollment: lease.Enrollment,
		Adjustment: &a,
		Schedule:   &ledger.Schedule{Order: "o9", Items: []string{"i9"}, Slot: 3, Moved: []string{"2026-12-24"}},
	})
	outcome := ledger.Outcome{At: 21, Subscription: lease.Subscription.Subscription}
	if failed := s.Finish(t.Context(), lease, outcome); failed != nil {
		t.Fatal(failed)
	}
	return err
}

// An adjustment is recorded once for its key, is open until it is settled, and stays settled.
func TestAdjustments(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1", "s2"), 10)
		first := adjustment("a1", "s1", schedule.SkipOrder, 100)
		first.Key = "k"
		second := adjustment("a2", "s1", schedule.UpdateShipping, 101)
		other := adjustment("a3", "s2", schedule.SkipOrder, 102)
		for _, a := range []ledger.Adjustment{first, second, other} {
			if err := adjust(t, s, a); err != nil {
				t.Fatal(err)
			}
		}
		twin := adjustment("a4", "s1", schedule.SkipOrder, 103)
		twin.Key = "k"
		if err := adjust(t, s, twin); err == nil {
			t.Error("two adjustments have the same key")
		}
		if got, err := s.AdjustmentByKey(t.Context(), "s1", "k"); err != nil || !cmp.Equal(got, first) {
			t.Errorf("by its key: %v\n%s", err, cmp.Diff(first, got))
		}
		if sub, err := s.Subscription(t.Context(), "s1"); err != nil || sub.Adjustments != 2 {
			t.Errorf("%d are open, %v; want 2", sub.Adjustments, err)
		}
		first.Status = ledger.AdjustmentApplied
		first.Order = "o9"
		first.Calls = []ledger.AdjustmentCall{{Operation: "skip_subscription", Object: "o9", Status: ledger.CallDone, At: 7}}
		if err := adjust(t, s, first); err != nil {
			t.Fatal(err)
		}
		open, err := s.OpenAdjustments(t.Context(), "s1")
		if err != nil || len(open) != 1 || open[0].ID != "a2" {
			t.Errorf("open: %v, %v", open, err)
		}
		first.Status = ledger.AdjustmentMissed
		if err := adjust(t, s, first); !errors.Is(err, ledger.ErrStale) {
			t.Errorf("a settled one changed: %v", err)
		}
		if got, err := s.Adjustment(t.Context(), "s1", "a1"); err != nil || got.Status != ledger.AdjustmentApplied ||
			len(got.Calls) != 1 {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := s.Adjustment(t.Context(), "s2", "a1"); !errors.Is(err, ledger.ErrUnknownAdjustment) {
			t.Errorf("another subscription's: %v", err)
		}
		if known, found, err := s.Schedule(t.Context(), "s1"); err != nil || !found || known.Slot != 3 ||
			len(known.Items) != 1 || len(known.Moved) != 1 {
			t.Errorf("schedule: %+v, %v, %v", known, found, err)
		}
	})
}

func TestListAdjustments(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1", "s2"), 10)
		for i, subscription := range []string{"s1", "s2", "s1"} {
			a := adjustment(string(rune('a'+i)), subscription, schedule.SkipOrder, int64(100+i/2))
			if i == 1 {
				a.Spec.Action.Type = schedule.UpdateShipping
			}
			if err := adjust(t, s, a); err != nil {
				t.Fatal(err)
			}
		}
		ids := func(q store.AdjustmentQuery) string {
			found, err := s.Adjustments(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, a := range found {
				all = append(all, a.ID)
			}
			return strings.Join(all, " ")
		}
		for _, test := range []struct {
			name string
			q    store.AdjustmentQuery
			want string
		}{
			{"all, the newest first", store.AdjustmentQuery{}, "c b a"},
			{"of a subscription", store.AdjustmentQuery{Subscription: "s1"}, "c a"},
			{"of a type", store.AdjustmentQuery{Type: "UPDATE_SHIPPING"}, "b"},
			{"in a status", store.AdjustmentQuery{Status: ledger.AdjustmentApplied}, ""},
			{"a page", store.AdjustmentQuery{Limit: 1}, "c"},
			{"the next page", store.AdjustmentQuery{Before: store.AdjustmentMark{Created: 101, ID: "c"}}, "b a"},
		} {
			if got := ids(test.q); got != test.want {
				t.Errorf("%s: got %q, want %q", test.name, got, test.want)
			}
		}
	})
}

// What would send an order to a forgotten customer's address is taken back, and the address erased.
func TestForgetAddresses(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 10)
		a := adjustment("a1", "s1", schedule.UpdateShipping, 100)
		a.Calls = []ledger.AdjustmentCall{{Operation: "create address", Body: []byte(`{"address":"1 Pier"}`)}}
		if err := adjust(t, s, a); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Forget(t.Context(), "c1"); err != nil {
			t.Fatal(err)
		}
		got, err := s.Adjustment(t.Context(), "s1", "a1")
		if err != nil || got.Status != ledger.AdjustmentCanceled || len(got.Calls) != 0 ||
			strings.Contains(string(got.Spec.Action.Input), "Pier") {
			t.Errorf("got %+v, %v", got, err)
		}
		if sub, err := s.Subscription(t.Context(), "s1"); err != nil || sub.Adjustments != 0 {
			t.Errorf("%d are open, %v", sub.Adjustments, err)
		}
	})
}
