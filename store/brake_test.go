package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

const hour = 3_600_000 // in milliseconds

// A SKU is listed since it was first listed, or listed again after it was taken out.
func TestListSKUs(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		list := func(at int64, skus ...string) map[string]int64 {
			t.Helper()
			listed, err := s.ListSKUs(t.Context(), skus, at)
			if err != nil {
				t.Fatal(err)
			}
			return listed
		}
		for _, step := range []struct {
			at   int64
			skus []string
			want map[string]int64
		}{
			{100, []string{"A", "B"}, map[string]int64{"A": 100, "B": 100}},
			{200, []string{"B", "A"}, map[string]int64{"A": 100, "B": 100}},
			{300, []string{"B", "C"}, map[string]int64{"B": 100, "C": 300}},
			{400, []string{"A", "B", "C"}, map[string]int64{"A": 400, "B": 100, "C": 300}},
			{500, nil, map[string]int64{}},
		} {
			got := list(step.at, step.skus...)
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("listed at %d (-want +got):\n%s", step.at, diff)
			}
		}
	})
}

// Without the pause's check nothing holds back a call that is about to be made.
func TestPause(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1", "s2"), 100)
		leases := claim(t, s, 100, 2)
		change := func(lease ledger.Lease) error {
			_, err := s.Record(t.Context(), lease,
				ledger.Step{Enrollment: lease.Enrollment, Intent: &ledger.Intent{At: 100}})
			return err
		}
		if err := change(leases[0]); err != nil {
			t.Fatal(err)
		}
		pause := ledger.Pause{Since: 150, Actor: "anna", Reason: "a wrong SKU"}
		if began, err := s.Pause(t.Context(), pause); !began || err != nil {
			t.Fatalf("Pause = %v, %v", began, err)
		}
		if began, err := s.Pause(t.Context(), ledger.Pause{Since: 160, Actor: "ben"}); began || err != nil {
			t.Errorf("a second Pause = %v, %v", began, err)
		}
		if err := change(leases[0]); !errors.Is(err, ledger.ErrPaused) {
			t.Errorf("Record of a change during a pause = %v", err)
		}
		if _, err := s.Record(t.Context(), leases[1], ledger.Step{Enrollment: leases[1].Enrollment}); err != nil {
			t.Errorf("Record of what changes nothing at Ordergroove = %v", err)
		}
		held := leases[1].Subscription.Subscription
		held.State = counter.Active
		held.Permission.Withheld = "set the counter to 1"
		if err := s.Finish(t.Context(), leases[1], ledger.Outcome{At: 170, Subscription: held}); err != nil {
			t.Fatal(err)
		}
		now, err := s.Brake(t.Context())
		if err != nil || now.Pause != pause || now.Withheld != 1 {
			t.Errorf("Brake = %+v, %v", now, err)
		}
		was, err := s.Resume(t.Context(), ledger.Pause{Since: 200, Actor: "ben", Reason: "mended"})
		if err != nil || was != pause {
			t.Errorf("Resume = %+v, %v", was, err)
		}
		if err := change(leases[0]); err != nil {
			t.Errorf("Record after the pause = %v", err)
		}
		if due := claim(t, s, 200, 1)[0]; due.ID != "s2" {
			t.Errorf("%s is due after the pause, want what was held back", due.ID)
		}
		if was, err := s.Resume(t.Context(), ledger.Pause{Since: 210}); was.Since != 0 || err != nil {
			t.Errorf("a second Resume = %+v, %v", was, err)
		}
	})
}

// end asks for an unexplained end.
func end(ctx context.Context, s *store.Store, lease ledger.Lease, at int64, limit ledger.EndLimit) error {
	e := lease.Enrollment
	e.Permission.AdmittedAt = at
	_, err := s.Record(ctx, lease, ledger.Step{
		Enrollment: e,
		Intent:     &ledger.Intent{At: at, Unexplained: true, Limit: limit},
	})
	return err
}

// complete makes subscriptions that wait for the throttle: sNN, whose next order is placed at the hour NN.
func complete(t *testing.T, s *store.Store, n int, at int64) {
	t.Helper()
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("s%02d", i))
	}
	record(t, s, fmt.Sprint("e", at), enrolled(ids...), at)
	for _, lease := range claim(t, s, at, n) {
		var number int64
		if _, err := fmt.Sscanf(lease.ID, "s%d", &number); err != nil {
			t.Fatal(err)
		}
		sub := lease.Subscription.Subscription
		sub.State = counter.Throttled
		sub.PendingExtraPlace = (number + 1) * hour
		if err := s.Finish(t.Context(), lease, ledger.Outcome{At: at, Subscription: sub, Next: at}); err != nil {
			t.Fatal(err)
		}
	}
}

// So many unexplained ends an hour are admitted, those with the soonest next order, and each of the others knows when
// to ask again.
func TestThrottle(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		limit := ledger.EndLimit{PerHour: 2}
		complete(t, s, 4, 100)
		admitted := func(at int64) []string {
			t.Helper()
			var ids []string
			leases, err := s.Claim(t.Context(), at, at+10, 10, 10)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(leases, func(a, b ledger.Lease) int { return strings.Compare(b.ID, a.ID) }) // the latest order first
			for _, lease := range leases {
				outcome := ledger.Outcome{At: at, Subscription: lease.Subscription.Subscription}
				err := end(t.Context(), s, lease, at, limit)
				throttled, isThrottled := errors.AsType[*ledger.ThrottledError](err)
				switch {
				case err == nil:
					ids = append(ids, lease.ID)
					outcome.Subscription.State = counter.Completed
				case isThrottled && throttled.HeldBack && throttled.Until > at && throttled.Until <= at+hour:
					outcome.Next = at + 1
				default:
					t.Errorf("%s: %v", lease.ID, err)
				}
				if err := s.Finish(t.Context(), lease, outcome); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(ids)
			return ids
		}
		for _, step := range []struct {
			at   int64
			want []string
		}{
			{200, []string{"s00", "s01"}},
			{300, nil},
			{100 + hour, nil},
			{201 + hour, []string{"s02", "s03"}},
		} {
			if got := admitted(step.at); !slices.Equal(got, step.want) {
				t.Errorf("at %d admitted %v, want %v", step.at, got, step.want)
			}
		}
	})
}

// One that is complete at first sight waits a moment, and while others are synced for the first time: they may have
// less time left.
func TestThrottleLetsOthersCatchUp(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		limit := ledger.EndLimit{PerHour: 2}
		record(t, s, "e1", enrolled("s1"), 100)
		lease := claim(t, s, 100, 1)[0]
		throttled, ok := errors.AsType[*ledger.ThrottledError](end(t.Context(), s, lease, 100, limit))
		if !ok || throttled.HeldBack || throttled.Until != 100+2000 {
			t.Errorf("at first sight: %+v", throttled)
		}
		sub := lease.Subscription.Subscription
		sub.State = counter.Throttled
		if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 100, Subscription: sub, Next: 2100}); err != nil {
			t.Fatal(err)
		}
		record(t, s, "e2", enrolled("s2"), 2000)
		leases := claim(t, s, 2100, 2)
		i := slices.IndexFunc(leases, func(l ledger.Lease) bool { return l.ID == "s1" })
		if throttled, ok = errors.AsType[*ledger.ThrottledError](end(t.Context(), s, leases[i], 2100, limit)); !ok ||
			throttled.HeldBack {
			t.Errorf("while another is new: %+v", throttled)
		}
		outcome := ledger.Outcome{At: 2100, Subscription: active(leases[1-i])}
		if err := s.Finish(t.Context(), leases[1-i], outcome); err != nil {
			t.Fatal(err)
		}
		if err := end(t.Context(), s, leases[i], 2200, limit); err != nil {
			t.Errorf("once all were synced: %v", err)
		}
	})
}

func active(lease ledger.Lease) counter.Subscription {
	sub := lease.Subscription.Subscription
	sub.State = counter.Active
	return sub
}

// Several instances on PostgreSQL share the limit; the larger of its two numbers counts.
func TestThrottleIsShared(t *testing.T) {
	database := databases["PostgreSQL"](t)
	instances := []*store.Store{open(t, database), open(t, database), open(t, database)}
	complete(t, instances[0], 30, 100)
	var admitted atomic.Int32
	var all sync.WaitGroup
	for i, lease := range claim(t, instances[0], 200, 30) {
		all.Go(func() {
			err := end(t.Context(), instances[i%3], lease, 300, ledger.EndLimit{PerHour: 10, Percent: 1})
			if err == nil {
				admitted.Add(1)
			}
		})
	}
	all.Wait()
	if n := admitted.Load(); n != 10 {
		t.Errorf("%d of 30 were admitted at once, want 10", n)
	}
}

// A claim whose caller gave up may still be running in the writer, and shares nothing with the caller: the race
// detector sees it if it does.
func TestClaimGivenUp(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1", "s2", "s3"), 100)
		for i := range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Microsecond)
			_, _ = s.Claim(ctx, 100, 101, 1, 1)
			_, _, _ = s.BeginReconciliation(ctx, "all", 100, 101, 1)
			cancel()
		}
	})
}

// A sync was refused a change by a pause that ends before the sync does: what it holds back is tried again.
func TestPauseEndsDuringASync(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 100)
		lease := claim(t, s, 100, 1)[0]
		if _, err := s.Pause(t.Context(), ledger.Pause{Since: 110, Actor: "anna", Reason: "a wrong SKU"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Resume(t.Context(), ledger.Pause{Since: 120, Actor: "anna"}); err != nil {
			t.Fatal(err)
		}
		sub := lease.Subscription.Subscription
		sub.State = counter.Active
		sub.Permission.Withheld = "set the counter to 2"
		if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 150, Subscription: sub}); err != nil {
			t.Fatal(err)
		}
		if now, err := s.Subscription(t.Context(), "s1"); err != nil || now.Due == 0 {
			t.Errorf("it is not tried again: due %d, %v", now.Due, err)
		}
	})
}
