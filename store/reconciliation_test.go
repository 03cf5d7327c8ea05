package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

// What could be a box too many is looked at first, what an event told of next, what was found by comparing last; what is alike
// goes by time.
func TestUrgency(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		found := counter.Facts{Enrolments: []counter.Enrolment{enrolment("found")}, Urgency: counter.Background}
		if err := s.Learn(t.Context(), found, 10); err != nil {
			t.Fatal(err)
		}
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("told")}}, 20)
		learn(t, s, "e2", counter.Facts{Enrolments: []counter.Enrolment{enrolment("last box")}, Shipments: []counter.Shipment{shipment("last box", "o1"), shipment("last box", "o2")}}, 30)
		learn(t, s, "e3", counter.Facts{Enrolments: []counter.Enrolment{enrolment("both")}}, 5)
		if err := s.Learn(t.Context(), counter.Facts{Changed: []string{"both"}, Urgency: counter.Background}, 40); err != nil {
			t.Fatal(err)
		}
		var order []string
		for range 4 {
			leases, err := s.Claim(t.Context(), 50, 1000, 1)
			if err != nil || len(leases) != 1 {
				t.Fatalf("Claim = %v, %v", leases, err)
			}
			order = append(order, fmt.Sprint(leases[0].Subscription, " ", leases[0].Urgency))
		}
		if got, want := strings.Join(order, ", "), "last box 1, told 0, both 0, found -1"; got != want {
			t.Errorf("looked at: %s; want %s", got, want)
		}
	})
}

// A look that fails stays as urgent as it was, and is more so once the last box is counted.
func TestUrgencyAfterALook(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		if err := s.Learn(t.Context(), counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}, Urgency: counter.Background}, 10); err != nil {
			t.Fatal(err)
		}
		lease := claim(t, s, 10, 1)[0]
		page := lease.Ledger
		page.State = counter.Active
		finish := func(lease counter.Lease, live bool) {
			t.Helper()
			page.Live = live
			if err := s.Finish(t.Context(), lease, counter.Outcome{At: 20, Ledger: page, Next: 20, Attempts: 1, Urgency: lease.Urgency}); err != nil {
				t.Fatal(err)
			}
		}
		finish(lease, true)
		if lease = claim(t, s, 20, 1)[0]; lease.Urgency != counter.Background {
			t.Errorf("urgency = %d after a look in vain, want it as it was", lease.Urgency)
		}
		if _, err := s.Record(t.Context(), lease, counter.Step{Page: page, Shipments: []counter.Shipment{shipment("s1", "o1"), shipment("s1", "o2")}}); err != nil {
			t.Fatal(err)
		}
		finish(lease, true)
		if lease = claim(t, s, 20, 1)[0]; lease.Urgency != counter.Looming {
			t.Errorf("urgency = %d with the last box counted, want Looming", lease.Urgency)
		}
		if g, err := s.Guarded(t.Context()); err != nil || g.Subscriptions != 0 {
			t.Errorf("Guarded = %+v, %v; want none: nothing was tried to end it", g, err)
		}
		page.State, page.ExtraOrder, page.ExtraPlace = counter.Completing, "o3", 99
		finish(lease, true)
		if g, err := s.Guarded(t.Context()); err != nil || g != (store.Guarded{Subscriptions: 1, Orders: 1, FirstPlace: 99}) {
			t.Errorf("Guarded = %+v, %v; want the one, with its order", g, err)
		}
	})
}

// One compares at a time. What was interrupted goes on where it stopped, under a claim of its own; one of another scope, or of
// too long ago, begins anew.
func TestReconciliation(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		begin := func(scope string, at int64, want bool) counter.Reconciliation {
			t.Helper()
			run, ok, err := s.BeginReconciliation(t.Context(), scope, at, at+100, 1000)
			if err != nil || ok != want {
				t.Fatalf("BeginReconciliation(%s, %d) = %+v, %v, %v; want %v", scope, at, run, ok, err, want)
			}
			return run
		}
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1"), enrolment("s2")}}, 5)
		first := begin("all", 10, true)
		begin("all", 50, false)
		upcoming := "o1 o2"
		if err := s.KeepPlace(t.Context(), first, "GIFT", counter.Place{Next: "https://next"}, 200, counter.Listed{Subscription: "s1", At: first.Started, Upcoming: &upcoming}); err != nil {
			t.Fatal(err)
		}
		begin("all", 150, false) // it was held longer with each page
		second := begin("all", 250, true)
		if second.Started != 250 || second.Lists["GIFT"] != (counter.Place{Next: "https://next"}) || second.Claim == first.Claim {
			t.Errorf("resumed = %+v, want it where the first stopped", second)
		}
		if err := s.KeepPlace(t.Context(), first, "GIFT", counter.Place{Done: true}, 400); !errors.Is(err, counter.ErrLeaseLost) {
			t.Errorf("the first goes on: %v, want ErrLeaseLost", err)
		}
		if err := s.EndReconciliation(t.Context(), first, counter.Compared{All: 1}, true); !errors.Is(err, counter.ErrLeaseLost) {
			t.Errorf("the first ends: %v, want ErrLeaseLost", err)
		}
		unlisted, err := s.Unlisted(t.Context(), "GIFT", first.Started)
		if err != nil || len(unlisted) != 1 || unlisted[0].Subscription != "s2" {
			t.Errorf("Unlisted = %v, %v; want s2", unlisted, err)
		}
		known, err := s.Known(t.Context(), []string{"s1", "s2", "s3"})
		if err != nil || len(known) != 2 || known["s1"].Upcoming != "o1 o2" || known["s2"].Upcoming != "" || known["s2"].Next != 5 {
			t.Errorf("Known = %+v, %v", known, err)
		}
		if err := s.EndReconciliation(t.Context(), second, counter.Compared{}, false); err != nil {
			t.Fatal(err)
		}
		third := begin("all of GIFT", 260, true)
		if len(third.Lists) != 0 {
			t.Errorf("another scope = %+v, want it from the beginning", third)
		}
		if err := s.EndReconciliation(t.Context(), third, counter.Compared{All: 10, Recent: 260}, true); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Compared(t.Context()); err != nil || got != (counter.Compared{All: 10, Recent: 260}) {
			t.Errorf("Compared = %+v, %v", got, err)
		}
		fourth := begin("all", 270, true)
		if diff := cmp.Diff(counter.Compared{All: 10, Recent: 260}, fourth.Compared); diff != "" || len(fourth.Lists) != 0 {
			t.Errorf("after an end = %+v, want it anew", fourth)
		}
		if err := s.KeepPlace(t.Context(), fourth, "GIFT", counter.Place{Next: "https://next"}, 400); err != nil {
			t.Fatal(err)
		}
		if fifth := begin("all", 2000, true); len(fifth.Lists) != 0 {
			t.Errorf("after a long while = %+v, want it anew", fifth)
		}
	})
}

func TestRunning(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1"), enrolment("s2"), enrolment("s3")}}, 5)
		for _, lease := range claim(t, s, 5, 3) {
			page := lease.Ledger
			page.State, page.Live = counter.Active, true
			if lease.Subscription == "s2" {
				page.State, page.Live = counter.Ended, false
			}
			if err := s.Finish(t.Context(), lease, counter.Outcome{At: 6, Ledger: page}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Running(t.Context()); err != nil || len(got) != 1 || got["GIFT"] != 2 {
			t.Errorf("Running = %v, %v; want 2 of GIFT", got, err)
		}
		page, err := s.Subscription(t.Context(), "s2")
		if err != nil || page.State != counter.Ended {
			t.Errorf("Subscription = %+v, %v", page, err)
		}
		if _, err := s.Subscription(t.Context(), "s9"); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("one that is not there: %v, want ErrUnknown", err)
		}
		if boxes, err := s.Shipments(t.Context(), "s1"); err != nil || len(boxes) != 0 {
			t.Errorf("Shipments = %v, %v", boxes, err)
		}
		learn(t, s, "e2", counter.Facts{Shipments: []counter.Shipment{shipment("s1", "o2"), shipment("s1", "o1")}}, 9)
		want := []counter.Shipment{shipment("s1", "o1"), shipment("s1", "o2")}
		if boxes, err := s.Shipments(t.Context(), "s1"); err != nil || cmp.Diff(want, boxes) != "" {
			t.Errorf("Shipments = %v, %v; want %v", boxes, err, want)
		}
	})
}

// The rhythm of a shop, from when its deliveries came.
func TestSilences(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		if last, err := s.LastDelivery(t.Context()); err != nil || last != 0 {
			t.Errorf("LastDelivery of none = %d, %v", last, err)
		}
		if gaps, first, err := s.Silences(t.Context(), 0, 3); err != nil || len(gaps) != 0 || first != 0 {
			t.Errorf("Silences of none = %v, %d, %v", gaps, first, err)
		}
		for i, at := range []int64{500, 100, 130, 1000, 170, 1010} { // received 5 later
			if _, err := s.Append(t.Context(), event(fmt.Sprint("e", i), at)); err != nil {
				t.Fatal(err)
			}
		}
		if last, err := s.LastDelivery(t.Context()); err != nil || last != 1015 {
			t.Errorf("LastDelivery = %d, %v; want 1015", last, err)
		}
		gaps, first, err := s.Silences(t.Context(), 120, 3)
		if err != nil || first != 135 || cmp.Diff([]int64{500, 330, 40}, gaps) != "" {
			t.Errorf("Silences = %v from %d, %v; want 500, 330 and 40 from 135", gaps, first, err)
		}
	})
}

// A command that works beside the service keeps its claims when a service starts: they run out by themselves.
func TestClaimsBesideTheService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termed.db")
	first := open(t, path)
	learn(t, first, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 5)
	first.Close()
	beside, err := store.Open(t.Context(), store.Options{Database: path})
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	claim(t, beside, 5, 1)
	service := open(t, path)
	claim(t, service, 6, 0)
	claim(t, service, 2000, 1)
}
