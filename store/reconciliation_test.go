package store_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// What is at overship risk is synced first, what an event told of next, what reconciling found last; equal ones by
// time.
func TestPriority(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		found := enrolled("found")
		found.Priority = ledger.Background
		if err := s.RecordFacts(t.Context(), found, 10); err != nil {
			t.Fatal(err)
		}
		record(t, s, "e1", enrolled("announced"), 20)
		complete := enrolled("complete")
		complete.Shipments = []counter.Shipment{shipment("complete", "o1"), shipment("complete", "o2")}
		record(t, s, "e2", complete, 30)
		record(t, s, "e3", enrolled("both"), 5)
		changed := ledger.Facts{Changed: []string{"both"}, Priority: ledger.Background}
		if err := s.RecordFacts(t.Context(), changed, 40); err != nil {
			t.Fatal(err)
		}
		var order []string
		for range 4 {
			leases, err := s.Claim(t.Context(), 50, 1000, 1, 1)
			if err != nil || len(leases) != 1 {
				t.Fatalf("Claim = %v, %v", leases, err)
			}
			order = append(order, fmt.Sprint(leases[0].ID, " ", leases[0].Priority))
		}
		if got, want := strings.Join(order, ", "), "complete 1, announced 0, both 0, found -1"; got != want {
			t.Errorf("synced: %s; want %s", got, want)
		}
	})
}

// A subscription whose sync fails keeps its priority, and is urgent once its last order is counted.
func TestPriorityAfterASync(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		found := enrolled("s1")
		found.Priority = ledger.Background
		if err := s.RecordFacts(t.Context(), found, 10); err != nil {
			t.Fatal(err)
		}
		lease := claim(t, s, 10, 1)[0]
		sub := lease.Subscription.Subscription
		sub.State = counter.Active
		fail := func(lease ledger.Lease) {
			t.Helper()
			outcome := ledger.Outcome{
				At:           20,
				Subscription: sub,
				Next:         20,
				Attempts:     1,
				Priority:     lease.Priority,
			}
			if err := s.Finish(t.Context(), lease, outcome); err != nil {
				t.Fatal(err)
			}
		}
		fail(lease)
		if lease = claim(t, s, 20, 1)[0]; lease.Priority != ledger.Background {
			t.Errorf("priority = %d after a failed sync, want it as it was", lease.Priority)
		}
		step := ledger.Step{
			Enrollment: sub.Enrollment,
			Shipments:  []counter.Shipment{shipment("s1", "o1"), shipment("s1", "o2")},
		}
		if _, err := s.Record(t.Context(), lease, step); err != nil {
			t.Fatal(err)
		}
		fail(lease)
		if lease = claim(t, s, 20, 1)[0]; lease.Priority != ledger.Urgent {
			t.Errorf("priority = %d with the last order counted, want Urgent", lease.Priority)
		}
		if risk, err := s.OvershipRisk(t.Context()); err != nil || risk.Subscriptions != 0 {
			t.Errorf("OvershipRisk = %+v, %v; want none: nothing was tried to end it", risk, err)
		}
		sub.State = counter.Completing
		sub.PendingExtraOrder = "o3"
		sub.PendingExtraPlace = 99
		fail(lease)
		want := store.Overship{Subscriptions: 1, Orders: 1, FirstPlace: 99}
		if risk, err := s.OvershipRisk(t.Context()); err != nil || risk != want {
			t.Errorf("OvershipRisk = %+v, %v; want the one, with its order", risk, err)
		}
	})
}

// There is one reconciliation at a time. An interrupted one is resumed where it stopped, under a new token; one of
// another scope, or of too long ago, starts again.
func TestReconciliation(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		begin := func(scope string, at int64, want bool) ledger.Reconciliation {
			t.Helper()
			run, ok, err := s.BeginReconciliation(t.Context(), scope, at, at+100, 1000)
			if err != nil || ok != want {
				t.Fatalf("BeginReconciliation(%s, %d) = %+v, %v, %v; want %v", scope, at, run, ok, err, want)
			}
			return run
		}
		record(t, s, "e1", enrolled("s1", "s2"), 5)
		first := begin("all", 10, true)
		begin("all", 50, false)
		upcoming := "o1 o2"
		next := ledger.ListProgress{Next: "https://next"}
		listed := ledger.Listed{Subscription: "s1", At: first.Started, Upcoming: &upcoming}
		if err := s.SaveProgress(t.Context(), first, "GIFT", next, 200, listed); err != nil {
			t.Fatal(err)
		}
		begin("all", 150, false) // each page extends it
		if err := s.RenewReconciliation(t.Context(), first, 230); err != nil {
			t.Fatal(err)
		}
		begin("all", 220, false) // and so does a renewal
		second := begin("all", 250, true)
		if err := s.RenewReconciliation(t.Context(), first, 900); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("the first renews: %v, want ErrLeaseLost", err)
		}
		if second.Started != 250 || second.Lists["GIFT"] != next || second.Token == first.Token {
			t.Errorf("resumed = %+v, want it where the first stopped", second)
		}
		err := s.SaveProgress(t.Context(), first, "GIFT", ledger.ListProgress{Done: true}, 400)
		if !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("the first continues: %v, want ErrLeaseLost", err)
		}
		err = s.EndReconciliation(t.Context(), first, ledger.LastReconciled{All: 1}, true)
		if !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("the first ends: %v, want ErrLeaseLost", err)
		}
		record(t, s, "later", enrolled("s9"), first.Started+1) // after it began
		unlisted, err := s.Unlisted(t.Context(), "GIFT", first.Started, "", 10)
		if err != nil || len(unlisted) != 1 || unlisted[0].ID != "s2" {
			t.Errorf("Unlisted = %v, %v; want s2", unlisted, err)
		}
		known, err := s.Known(t.Context(), []string{"s1", "s2", "s3"})
		if err != nil || len(known) != 2 ||
			known["s1"].Upcoming != "o1 o2" || known["s2"].Upcoming != "" || known["s2"].Due != 5 {
			t.Errorf("Known = %+v, %v", known, err)
		}
		if rest, err := s.Unlisted(t.Context(), "GIFT", first.Started, "s2", 10); err != nil || len(rest) != 0 {
			t.Errorf("Unlisted behind s2 = %v, %v", rest, err)
		}
		lone := "o3"
		listed = ledger.Listed{Subscription: "s2", At: second.Started, Upcoming: &lone}
		if err := s.SaveListed(t.Context(), first, listed); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("the first saves what it learned: %v, want ErrLeaseLost", err)
		}
		if err := s.SaveListed(t.Context(), second, listed); err != nil {
			t.Fatal(err)
		}
		orders, err := s.Upcoming(t.Context(), "", 10)
		want := []ledger.Upcoming{{Subscription: "s1", Orders: "o1 o2"}, {Subscription: "s2", Orders: "o3"}}
		if diff := cmp.Diff(want, orders); diff != "" || err != nil {
			t.Errorf("Upcoming (-want +got): %v\n%s", err, diff)
		}
		if orders, err := s.Upcoming(t.Context(), "s1", 1); err != nil || len(orders) != 1 || orders[0] != want[1] {
			t.Errorf("Upcoming behind s1 = %v, %v", orders, err)
		}
		if err := s.EndReconciliation(t.Context(), second, ledger.LastReconciled{}, false); err != nil {
			t.Fatal(err)
		}
		third := begin("all of GIFT", 260, true)
		if len(third.Lists) != 0 {
			t.Errorf("another scope = %+v, want it to start again", third)
		}
		last := ledger.LastReconciled{
			All:           10,
			Recent:        260,
			Upcoming:      255,
			UpcomingPages: 3,
		}
		if err := s.EndReconciliation(t.Context(), third, last, true); err != nil {
			t.Fatal(err)
		}
		if got, err := s.LastReconciled(t.Context()); err != nil || got != last {
			t.Errorf("LastReconciled = %+v, %v", got, err)
		}
		fourth := begin("all", 270, true)
		if diff := cmp.Diff(last, fourth.LastReconciled); diff != "" || len(fourth.Lists) != 0 {
			t.Errorf("after a finished one = %+v, want it to start again", fourth)
		}
		if err := s.SaveProgress(t.Context(), fourth, "GIFT", next, 400); err != nil {
			t.Fatal(err)
		}
		if fifth := begin("all", 2000, true); len(fifth.Lists) != 0 {
			t.Errorf("after a long time = %+v, want it to start again", fifth)
		}
	})
}

func TestRunning(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1", "s2", "s3"), 5)
		for _, lease := range claim(t, s, 5, 3) {
			sub := lease.Subscription.Subscription
			sub.State = counter.Active
			sub.Live = true
			if lease.ID == "s2" {
				sub.State = counter.Ended
				sub.Live = false
			}
			if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 6, Subscription: sub}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Running(t.Context()); err != nil || len(got) != 1 || got["GIFT"] != 2 {
			t.Errorf("Running = %v, %v; want 2 of GIFT", got, err)
		}
		sub, err := s.Subscription(t.Context(), "s2")
		if err != nil || sub.State != counter.Ended {
			t.Errorf("Subscription = %+v, %v", sub, err)
		}
		if _, err := s.Subscription(t.Context(), "s9"); !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("one that is not there: %v, want ErrUnknown", err)
		}
		if all, err := s.Shipments(t.Context(), "s1"); err != nil || len(all) != 0 {
			t.Errorf("Shipments = %v, %v", all, err)
		}
		record(t, s, "e2", shipped(shipment("s1", "o2"), shipment("s1", "o1")), 9)
		want := []counter.Shipment{shipment("s1", "o1"), shipment("s1", "o2")}
		for i := range want {
			want[i].Enrollment = 1
		}
		if all, err := s.Shipments(t.Context(), "s1"); err != nil || cmp.Diff(want, all) != "" {
			t.Errorf("Shipments = %v, %v; want %v", all, err, want)
		}
	})
}

func TestDeliveryGaps(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		if last, err := s.LastDelivery(t.Context(), math.MaxInt64); err != nil || last != 0 {
			t.Errorf("LastDelivery of none = %d, %v", last, err)
		}
		if gaps, first, err := s.DeliveryGaps(t.Context(), 0, 3); err != nil || len(gaps) != 0 || first != 0 {
			t.Errorf("DeliveryGaps of none = %v, %d, %v", gaps, first, err)
		}
		for i, at := range []int64{500, 100, 130, 1000, 170, 1010} { // received 5 later
			if _, err := s.Append(t.Context(), event(fmt.Sprint("e", i), at)); err != nil {
				t.Fatal(err)
			}
		}
		for before, want := range map[int64]int64{math.MaxInt64: 1015, 1015: 1005} {
			if last, err := s.LastDelivery(t.Context(), before); err != nil || last != want {
				t.Errorf("LastDelivery before %d = %d, %v; want %d", before, last, err, want)
			}
		}
		gaps, first, err := s.DeliveryGaps(t.Context(), 120, 3)
		if err != nil || first != 135 || cmp.Diff([]int64{500, 330, 40}, gaps) != "" {
			t.Errorf("DeliveryGaps = %v from %d, %v; want 500, 330 and 40 from 135", gaps, first, err)
		}
	})
}

// A command that works beside the service keeps its leases when a service starts: they expire by themselves.
func TestLeasesBesideTheService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termed.db")
	first := open(t, path)
	record(t, first, "e1", enrolled("s1"), 5)
	first.Close()
	command, err := store.Open(t.Context(), store.Options{Database: path})
	if err != nil {
		t.Fatal(err)
	}
	defer command.Close()
	claim(t, command, 5, 1)
	service := open(t, path)
	claim(t, service, 6, 0)
	claim(t, service, 2000, 1)
}
