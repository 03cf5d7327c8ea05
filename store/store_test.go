package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// postgresVariable names a PostgreSQL server to test on: its databases are made and dropped by the tests.
const postgresVariable = "TERMED_TEST_POSTGRES"

// databases are what every test of the conformance suite runs on. Each gives a new, empty database.
var databases = map[string]func(testing.TB) string{
	"SQLite":     func(t testing.TB) string { return filepath.Join(t.TempDir(), "termed ?#%.db") },
	"PostgreSQL": newPostgres,
}

func newPostgres(t testing.TB) string {
	server := os.Getenv(postgresVariable)
	if server == "" {
		t.Skipf("PostgreSQL: set %s to postgres://user@host/database", postgresVariable)
	}
	admin, err := sqlx.Connect("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	name := "termed_test_" + strings.ToLower(rand.Text())
	if _, err := admin.Exec("create database " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("drop database " + name + " with (force)"); err != nil {
			t.Error(err)
		}
		admin.Close()
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	return address.String()
}

// conform runs a test of the suite on every database.
func conform(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			s := open(t, database(t))
			test(t, s)
			wrong, err := s.WrongSummaries(context.WithoutCancel(t.Context()))
			if err == nil && len(wrong) > 0 { // where the test did not close it
				t.Errorf("the summaries of %v are not what their enrollments say", wrong)
			}
		})
	}
}

func open(t testing.TB, database string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Database: database, Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func event(id string, created int64) ledger.Event {
	return ledger.Event{
		Created:  created,
		ID:       id,
		Type:     ordergroove.OrderSuccess,
		Received: created + 5,
		Body:     []byte(`{"id":"` + id + `"}`),
		Status:   ledger.EventPending,
	}
}

// gift is the term of the tests: two recurring orders.
var gift = counter.Term{Name: "Gift", SKUs: []string{"GIFT"}, Shipments: 2, FirstShipment: counter.Recurring}

// enrollment is what the creation of a subscription says.
func enrollment(id string) ledger.Enrollment {
	return ledger.Enrollment{
		Subscription: id,
		Customer:     "c1",
		Enrollment:   gift.Open("GIFT", ordergroove.SubscriptionCreate, 0),
		FromCreation: true,
		OwnProduct:   true,
	}
}

func enrolled(ids ...string) ledger.Facts {
	var f ledger.Facts
	for _, id := range ids {
		f.Enrollments = append(f.Enrollments, enrollment(id))
	}
	return f
}

func shipment(subscription, order string) counter.Shipment {
	return counter.Shipment{
		Subscription: subscription,
		Order:        order,
		SKU:          "GIFT",
		Source:       "evt",
		At:           7,
	}
}

// placed is an order of s1, placed at a time.
func placed(order string, at int64) counter.Shipment {
	s := shipment("s1", order)
	s.At = at
	return s
}

func shipped(shipments ...counter.Shipment) ledger.Facts {
	return ledger.Facts{Shipments: shipments}
}

// record files an event and settles it with facts.
func record(t testing.TB, s *store.Store, id string, f ledger.Facts, at int64) {
	t.Helper()
	d := event(id, at)
	if _, err := s.Append(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := s.SettleEvent(t.Context(), d, ledger.Settlement{Facts: f, At: at}); err != nil {
		t.Fatal(err)
	}
}

// claim takes leases on what is due and fails unless there are as many as wanted.
func claim(t testing.TB, s *store.Store, at int64, want int) []ledger.Lease {
	t.Helper()
	leases, err := s.Claim(t.Context(), at, at+1000, 100, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(leases) != want {
		t.Fatalf("%d subscriptions due at %d, want %d", len(leases), at, want)
	}
	return leases
}

func TestAppend(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		for _, want := range []bool{true, false, false} {
			if fresh, err := s.Append(t.Context(), event("e1", 100)); err != nil || fresh != want {
				t.Errorf("Append = %v, %v; want %v", fresh, err, want)
			}
		}
		if fresh, err := s.Append(t.Context(), event("e1", 200)); err != nil || !fresh {
			t.Errorf("the same id at another time = %v, %v; want another event", fresh, err)
		}
		for i, verdict := range []ledger.EventStatus{ledger.EventIgnored, ledger.EventQuarantined} {
			d := event(fmt.Sprint("v", i), 300)
			d.Status = verdict
			if fresh, err := s.Append(t.Context(), d); err != nil || !fresh {
				t.Errorf("%s: Append = %v, %v", verdict, fresh, err)
			}
		}
		if b, err := s.Backlog(t.Context()); err != nil || b.Events != 2 {
			t.Errorf("Backlog = %+v, %v; want 2 events: those to be worked on", b, err)
		}
	})
}

// Many events are appended at once: each is new exactly once, whichever batch it is in.
func TestAppendAtOnce(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		const events, copies = 100, 8
		var mu sync.Mutex
		fresh := map[string]int{}
		var all sync.WaitGroup
		for i := range events * copies {
			all.Go(func() {
				id := fmt.Sprint("e", i%events)
				isNew, err := s.Append(context.Background(), event(id, int64(i%events)))
				if err != nil {
					t.Error(err)
				}
				if isNew {
					mu.Lock()
					fresh[id]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if len(fresh) != events {
			t.Errorf("%d events are new, want %d", len(fresh), events)
		}
		for id, n := range fresh {
			if n != 1 {
				t.Errorf("%s was new %d times", id, n)
			}
		}
	})
}

// One bad row does not fail the others of its batch.
func TestBadRowInABatch(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				d := event(fmt.Sprint("e", i), int64(i))
				if i == 17 {
					d.Body = nil // not null
				}
				if _, err := s.Append(context.Background(), d); (err != nil) != (i == 17) {
					t.Errorf("event %d: %v", i, err)
				}
			})
		}
		all.Wait()
		if b, err := s.Backlog(t.Context()); err != nil || b.Events != 49 {
			t.Errorf("Backlog = %+v, %v; want 49 events", b, err)
		}
	})
}

// A claim or a lease that is renewed lasts longer, and one that is not there any more cannot be renewed: an event that
// was settled meanwhile keeps the time of its next attempt.
func TestRenew(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		if _, err := s.Append(t.Context(), event("e1", 10)); err != nil {
			t.Fatal(err)
		}
		claimed, err := s.ClaimEvents(t.Context(), 100, 200, 1, 1)
		if err != nil || len(claimed) != 1 {
			t.Fatalf("ClaimEvents = %v, %v", claimed, err)
		}
		if err := s.RenewEvent(t.Context(), claimed[0], 200, 300); err != nil {
			t.Fatal(err)
		}
		if again, err := s.ClaimEvents(t.Context(), 299, 400, 1, 1); err != nil || len(again) != 0 {
			t.Errorf("claimed while the renewed claim lasts: %v, %v", again, err)
		}
		if err := s.SettleEvent(t.Context(), claimed[0], ledger.Settlement{At: 300, Next: 310, Attempts: 1}); err != nil {
			t.Fatal(err)
		}
		if err := s.RenewEvent(t.Context(), claimed[0], 300, 900); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("RenewEvent of what is settled = %v, want ErrLeaseLost", err)
		}
		if again, err := s.ClaimEvents(t.Context(), 310, 400, 1, 1); err != nil || len(again) != 1 {
			t.Errorf("it is not due when it was settled to be: %v, %v", again, err)
		}

		record(t, s, "created", enrolled("s1"), 1)
		lease := claim(t, s, 10, 1)[0]
		if err := s.Renew(t.Context(), lease, lease.Until+500); err != nil {
			t.Fatal(err)
		}
		if again, err := s.Claim(t.Context(), lease.Until+1, lease.Until+900, 1, 1); err != nil || len(again) != 0 {
			t.Errorf("leased while the renewed lease lasts: %v, %v", again, err)
		}
		claim(t, s, lease.Until+501, 1)
		if err := s.Renew(t.Context(), lease, lease.Until+900); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("Renew of a lease that is another's = %v, want ErrLeaseLost", err)
		}
	})
}

// What has failed before takes a part of what is claimed, and comes first in it.
func TestRetriesAreAPart(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "created", enrolled("s1", "s2", "s3", "s4", "s5", "s6"), 1)
		for _, lease := range claim(t, s, 10, 6)[:4] {
			sub := lease.Subscription.Subscription
			failed := ledger.Outcome{At: 10, Next: 20, Attempts: 1, Error: "x"}
			failed.Subscription = sub
			if err := s.Finish(t.Context(), lease, failed); err != nil {
				t.Fatal(err)
			}
		}
		later := int64(1e9)
		leases, err := s.Claim(t.Context(), later, later+10, 4, 1)
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, l := range leases {
			if l.Attempts > 0 {
				failed++
			}
		}
		if len(leases) != 3 || failed != 1 {
			t.Errorf("%d claimed, %d of them have failed; want the two that have not, and one", len(leases), failed)
		}
		if err := s.RetryFailed(t.Context(), 15); err != nil {
			t.Fatal(err)
		}
	})
}

func TestClaimEvents(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		for i := range 5 {
			if _, err := s.Append(t.Context(), event(fmt.Sprint("e", i), int64(100*i))); err != nil {
				t.Fatal(err)
			}
		}
		take := func(at int64, n, want int) []ledger.Event {
			t.Helper()
			got, err := s.ClaimEvents(t.Context(), at, at+1000, n, n)
			if err != nil || len(got) != want {
				t.Fatalf("ClaimEvents at %d = %d, %v; want %d", at, len(got), err, want)
			}
			return got
		}
		take(4, 10, 0) // none is due yet
		first := take(450, 3, 3)
		if string(first[0].Body) == "" || first[0].Type == "" {
			t.Errorf("claimed %+v, want it whole", first[0])
		}
		take(450, 10, 2)
		take(450, 10, 0)  // all are claimed
		take(1450, 10, 5) // nobody settled them: their workers are dead

		d := first[0]
		settle := func(v ledger.Settlement) {
			t.Helper()
			if err := s.SettleEvent(t.Context(), d, v); err != nil {
				t.Fatal(err)
			}
		}
		settle(ledger.Settlement{At: 2000, Next: 9000, Attempts: 3, Error: "busy"})
		take(2450, 10, 4)
		for _, late := range take(9000, 10, 5) {
			if want := map[bool]int{true: 3}[late.ID == d.ID]; late.Attempts != want {
				t.Errorf("%s: attempts = %d, want %d", late.ID, late.Attempts, want)
			}
		}
		settle(ledger.Settlement{At: 9000, Dead: true, Error: "never"})
		settle(ledger.Settlement{At: 9001, Next: 9002}) // settled is settled
		take(99000, 10, 4)
	})
}

// Facts are sets: what is recorded twice is recorded once, and makes nothing due the second time.
func TestFactsAreSets(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		facts := enrolled("s1")
		facts.Shipments = []counter.Shipment{shipment("s1", "o1"), shipment("s1", "o1"), shipment("evergreen", "o1")}
		record(t, s, "e1", facts, 100)
		lease := claim(t, s, 100, 1)[0]
		want := counter.Subscription{ID: "s1", Customer: "c1", Live: true, Enrollment: enrollment("s1").Enrollment}
		want.Placed = counter.Placed{Orders: 1, ByWebhook: 1, Unnotified: 1, LastAt: 7}
		if diff := cmp.Diff(want, lease.Subscription.Subscription); diff != "" {
			t.Errorf("subscription (-want +got):\n%s", diff)
		}
		if lease.OrdersDue != 2 || lease.State != counter.Enrolled {
			t.Errorf("%d orders due, %s; want 2, enrolled", lease.OrdersDue, lease.State)
		}
		finish(t, s, lease, 0)
		record(t, s, "e2", facts, 200)
		claim(t, s, 5000, 0)
		record(t, s, "e3", shipped(shipment("s1", "o2")), 300)
		if got := claim(t, s, 5000, 1)[0].Placed.Orders; got != 2 {
			t.Errorf("%d orders placed, want 2", got)
		}
		if all, err := s.Subscriptions(t.Context(), ""); err != nil || len(all) != 1 {
			t.Errorf("Subscriptions = %v, %v; want only the termed one", all, err)
		}
		if all, err := s.Enrollments(t.Context(), "s1"); err != nil || len(all) != 1 {
			t.Errorf("Enrollments = %v, %v; want one", all, err)
		}
	})
}

func finish(t *testing.T, s *store.Store, lease ledger.Lease, next int64) {
	t.Helper()
	sub := lease.Subscription.Subscription
	sub.State = counter.Active
	if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 150, Subscription: sub, Next: next}); err != nil {
		t.Fatal(err)
	}
}

func TestChangedAndCanceled(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		// closings are how an enrollment in a state is closed.
		closings := map[counter.State]counter.Closing{
			counter.Completed: counter.ClosedCompleted,
			counter.Released:  counter.ClosedSwapped, // its product was in no term
		}
		// A creation tells of one run only; what happens later tells of a further one.
		again := enrollment("s1")
		again.OpenedAt = 50_000
		again.OpenedBy = ordergroove.SubscriptionSKUSwap
		again.FromCreation = false
		further := ledger.Facts{Enrollments: []ledger.Enrollment{again}}
		record(t, s, "e1", enrolled("s1"), 100)
		end := func(state counter.State) {
			t.Helper()
			lease := claim(t, s, 1e6, 1)[0]
			sub := lease.Subscription.Subscription
			sub.State = state
			sub.ClosedAs = closings[state]
			if sub.ClosedAs != "" {
				sub.ClosedAt = 1
			}
			if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 1, Subscription: sub}); err != nil {
				t.Fatal(err)
			}
		}
		all := ledger.Facts{
			Changed:   []string{"s1"},
			Canceled:  []string{"s1"},
			Shipments: []counter.Shipment{shipment("s1", "o9")},
		}
		tests := []struct {
			state counter.State
			facts ledger.Facts
			due   int
		}{
			{counter.Active, ledger.Facts{Changed: []string{"s1", "unknown"}}, 1},
			{counter.Active, ledger.Facts{Canceled: []string{"s1", "unknown"}}, 1},
			{counter.Completed, ledger.Facts{Canceled: []string{"s1"}}, 0}, // it was us
			{counter.Completed, ledger.Facts{Changed: []string{"s1"}}, 1},
			{counter.Released, all, 0},
			{counter.Released, further, 1}, // its own product is termed now
		}
		for i, test := range tests {
			end(test.state)
			record(t, s, fmt.Sprint("t", i), test.facts, 200)
			if leases := claim(t, s, 1e6, test.due); test.due == 1 {
				finish(t, s, leases[0], 0)
			}
			news := further
			news.Changed = []string{"s1"}
			record(t, s, fmt.Sprint("again", i), news, 300)
		}
		swapped := again
		swapped.OwnProduct = false
		end(counter.Released)
		record(t, s, "swap", ledger.Facts{Enrollments: []ledger.Enrollment{swapped}}, 400)
		claim(t, s, 1e6, 0) // a one-time swap does not make it due
	})
}

// A lease keeps others out, expires, and is worth nothing then.
func TestLease(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 100)
		stale := claim(t, s, 100, 1)[0]
		claim(t, s, 1099, 0)
		record(t, s, "e2", enrolled("s2"), 200)
		if other := claim(t, s, 200, 1)[0]; other.ID != "s2" {
			t.Errorf("claimed %s, which is leased", other.ID)
		} else {
			finish(t, s, other, 0)
		}
		fresh := claim(t, s, 1100, 1)[0]
		step := ledger.Step{Enrollment: stale.Enrollment}
		step.Enrollment.CountersSent = []int{1}
		step.Enrollment.Adjustment = 9
		late := step
		late.Shipments = []counter.Shipment{shipment("s1", "o1")}
		late.Next = &counter.Enrollment{Number: 2}
		if _, err := s.Record(t.Context(), stale, late); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("Record under a lost lease = %v", err)
		}
		outcome := ledger.Outcome{Subscription: stale.Subscription.Subscription}
		if err := s.Finish(t.Context(), stale, outcome); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("Finish under a lost lease = %v", err)
		}
		step.Enrollment.Adjustment = 0
		after, err := s.Record(t.Context(), fresh, step)
		if err != nil || after.Number != 1 || after.Placed.Orders != 0 || after.Adjustment != 0 || !after.HasSent(1) {
			t.Errorf("Record = %+v, %v; the lost lease must have left nothing", after, err)
		}
		if err := s.Finish(t.Context(), fresh, ledger.Outcome{Subscription: after}); err != nil {
			t.Error(err)
		}
		if err := s.Finish(t.Context(), fresh, ledger.Outcome{Subscription: after}); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("a second Finish = %v", err)
		}
	})
}

func TestRecord(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 100)
		lease := claim(t, s, 100, 1)[0]
		step := func(step ledger.Step) (counter.Subscription, error) {
			t.Helper()
			return s.Record(t.Context(), lease, step)
		}
		for _, sent := range [][]int{{2}, {2, 1}, {1, 2}} {
			e := lease.Enrollment
			e.CountersSent = sent
			if got, err := step(ledger.Step{Enrollment: e}); err != nil || cmp.Diff(sent, got.CountersSent) != "" {
				t.Fatalf("counters sent = %v, %v; want %v", got.CountersSent, err, sent)
			}
		}
		found := shipment("s1", "o1")
		found.Source = counter.Reconciled
		other := lease.Enrollment
		other.SKU = "GIFT-DECAF"
		other.Term = "Other"
		other.OrdersDue = 3
		other.CountersSent = []int{1, 2}
		got, err := step(ledger.Step{
			Enrollment: other,
			Shipments:  []counter.Shipment{found, found},
			Journal: []ledger.JournalEntry{{
				Subscription: "s1",
				At:           5,
				Actor:        ledger.ByTermed,
				What:         "x",
				Before:       "a",
				After:        "b",
				Reason:       "c",
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := counter.Subscription{ID: "s1", Customer: "c1", Live: true, Enrollment: counter.Enrollment{
			Number:    1,
			Term:      "Other",
			SKU:       "GIFT-DECAF",
			OpenedBy:  ordergroove.SubscriptionCreate,
			OrdersDue: 3,
			Written:   counter.Written{CountersSent: []int{1, 2}},
			State:     counter.Enrolled,
			Placed:    counter.Placed{Orders: 1, Unnotified: 1, LastAt: 7},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("subscription (-want +got):\n%s", diff)
		}

		adopted := got.Enrollment
		adopted.OrdersDue = 2
		adopted.Adjustment = 4
		adopted.CountersSent = []int{1, 2, 5}
		fewer := adopted
		fewer.Placed.Orders = 0
		refused := ledger.Step{
			Enrollment: fewer,
			Counted:    true,
			Shipments:  []counter.Shipment{shipment("s1", "o2")},
			Journal:    []ledger.JournalEntry{{Subscription: "s1", What: "refused"}},
		}
		if _, err := step(refused); !errors.Is(err, ledger.ErrStale) {
			t.Errorf("an adoption worked out from fewer shipments = %v", err)
		}
		if now, err := s.Subscription(t.Context(), "s1"); err != nil || cmp.Diff(got, now.Subscription) != "" {
			t.Errorf("after a refused step: %+v, %v; want %+v", now.Subscription, err, got)
		}
		got, err = step(ledger.Step{Enrollment: adopted, Counted: true})
		if err != nil || got.Adjustment != 4 || !got.HasSent(5) || got.Remaining() != 5 {
			t.Errorf("adopted = %+v, %v", got, err)
		}
		// What does not follow from the number of shipments is recorded whatever it is by now.
		if _, err := step(ledger.Step{Enrollment: fewer}); err != nil {
			t.Errorf("a step that does not count shipments = %v", err)
		}
		entries, err := s.Journal(t.Context(), "s1")
		if err != nil {
			t.Fatal(err)
		}
		var whats []string
		for _, e := range entries {
			whats = append(whats, e.What)
		}
		if diff := cmp.Diff([]string{"enrolled", "shipment", "x"}, whats); diff != "" {
			t.Errorf("journal (-want +got):\n%s", diff)
		}
	})
}

// News that comes during a sync makes the subscription due again as soon as the sync ends.
func TestNewsDuringASync(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 100)
		lease := claim(t, s, 100, 1)[0]
		record(t, s, "e2", shipped(shipment("s1", "o1")), 120)
		claim(t, s, 150, 0) // it is leased
		finish(t, s, lease, 0)
		again := claim(t, s, 150, 1)[0]
		if again.Placed.Orders != 1 {
			t.Errorf("%d orders placed, want 1", again.Placed.Orders)
		}

		// After a failed attempt the schedule holds, news or not.
		record(t, s, "e3", shipped(shipment("s1", "o2")), 160)
		failed := ledger.Outcome{
			At:           170,
			Subscription: again.Subscription.Subscription,
			Next:         900,
			Attempts:     2,
			Error:        "busy",
		}
		if err := s.Finish(t.Context(), again, failed); err != nil {
			t.Fatal(err)
		}
		record(t, s, "e4", shipped(shipment("s1", "o3")), 180)
		claim(t, s, 899, 0)
		if got := claim(t, s, 900, 1)[0]; got.Attempts != 2 || got.Placed.Orders != 3 {
			t.Errorf("lease = %+v, want 2 attempts and 3 orders placed", got)
		}
	})
}

func TestFinishKeepsTheSubscription(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 100)
		lease := claim(t, s, 100, 1)[0]
		zero := 0
		want := counter.Subscription{
			ID:                "s1",
			Customer:          "c1",
			Prepaid:           true,
			PendingExtraOrder: "o9",
			PendingExtraPlace: 77,
			Enrollment: counter.Enrollment{
				Number:            1,
				Term:              "Gift",
				SKU:               "GIFT",
				OpenedBy:          ordergroove.SubscriptionCreate,
				CheckoutShipments: 1,
				OrdersDue:         2,
				Written: counter.Written{
					CounterConfirmed: &zero,
					ManagedKeys:      map[string]string{"gift": `"true"`, "made": ""},
				},
				State:                counter.BlockingReactivation,
				Reason:               "why",
				CancelRequestedAt:    140,
				ClosedAs:             counter.ClosedCompleted,
				ClosedAt:             145,
				LastShipmentNotified: true,
			},
		}
		if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 150, Subscription: want}); err != nil {
			t.Fatal(err)
		}
		all, err := s.Subscriptions(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]ledger.Subscription{{Subscription: want, Created: 100, Revision: 1}}, all); diff != "" {
			t.Errorf("subscription (-want +got):\n%s", diff)
		}
	})
}

func TestOrderRead(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		for _, want := range []bool{false, true} {
			if read, err := s.OrderRead(t.Context(), "o1"); err != nil || read != want {
				t.Errorf("OrderRead = %v, %v; want %v", read, err, want)
			}
			record(t, s, fmt.Sprint("e", want), ledger.Facts{OrderRead: "o1"}, 100)
		}
	})
}

func TestPrune(t *testing.T) {
	t.Log("FAULT | years of events | I11: settled events are deleted, shipments never")
	conform(t, func(t *testing.T, s *store.Store) {
		facts := enrolled("s1")
		facts.OrderRead = "o1"
		record(t, s, "done", facts, 100)
		record(t, s, "ignored", ledger.Facts{}, 100)
		record(t, s, "young", ledger.Facts{}, 900)
		dead := event("dead", 100)
		if _, err := s.Append(t.Context(), dead); err != nil {
			t.Fatal(err)
		}
		if err := s.SettleEvent(t.Context(), dead, ledger.Settlement{Dead: true, Error: "never"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), event("pending", 100)); err != nil {
			t.Fatal(err)
		}
		if gone, err := s.Prune(t.Context(), 500, 100); err != nil || gone != 2 {
			t.Errorf("Prune = %d, %v; want the two settled long ago", gone, err)
		}
		for id, known := range map[string]bool{"done": false, "dead": true, "pending": true} {
			if fresh, err := s.Append(t.Context(), event(id, 100)); err != nil || fresh == known {
				t.Errorf("%s: known %v, %v; want %v", id, !fresh, err, known)
			}
		}
		if read, err := s.OrderRead(t.Context(), "o1"); err != nil || read {
			t.Errorf("OrderRead = %v, %v; want it deleted", read, err)
		}
		if _, about, err := s.EventBody(t.Context(), store.Event{Created: 100, ID: "done"}); err != nil || len(about) > 0 {
			t.Errorf("the event that was forgotten was about %v, %v", about, err)
		}
	})
}

// Pruning goes on in steps, the oldest first, and each forgets as much as it is asked to.
func TestPruneInSteps(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		for i := range 25 {
			record(t, s, fmt.Sprint("e", i), enrolled("s1"), 100+int64(i))
		}
		for _, want := range []int64{10, 10, 4, 0} {
			if gone, err := s.Prune(t.Context(), 100+5+24, 10); err != nil || gone != want {
				t.Errorf("Prune = %d, %v; want %d", gone, err, want)
			}
		}
		left, err := s.Events(t.Context(), store.EventFilter{Subscription: "s1"}, 100)
		if err != nil || len(left) != 1 || left[0].ID != "e24" {
			t.Errorf("left are %v, %v; want the youngest", left, err)
		}
	})
}

// Another version changes the tables while this one runs: what this one remembers of a statement is forgotten with the
// first error, and nothing is lost.
func TestChangedTables(t *testing.T) {
	t.Log("FAULT | PostgreSQL: another version changes the tables of a running service | I1: nothing is lost")
	database := newPostgres(t)
	s := open(t, database)
	file := func(id string) error {
		_, err := s.Append(t.Context(), event(id, 100))
		return err
	}
	work := func() (int, error) {
		claimed, err := s.ClaimEvents(t.Context(), 1000, 2000, 10, 5)
		return len(claimed), err
	}
	if err := file("e1"); err != nil {
		t.Fatal(err)
	}
	if n, err := work(); err != nil || n != 1 {
		t.Fatalf("claimed %d, %v", n, err)
	}
	admin := openRaw(t, "PostgreSQL", database)
	defer admin.Close()
	for _, change := range []string{
		`alter table events alter column attempts type integer, alter column received type numeric`,
		`alter table events alter column type type varchar(200)`,
	} {
		if _, err := admin.Exec(change); err != nil {
			t.Fatal(err)
		}
	}
	filed := 0
	for i := range 20 {
		if file(fmt.Sprint("after ", i)) == nil {
			filed++
		}
	}
	if filed < 20-1 {
		t.Errorf("%d of 20 events were stored; Ordergroove would send each of the others again", filed)
	}
	found := 0
	for range 20 {
		if n, err := work(); err == nil {
			found += n
		}
	}
	if found != filed {
		t.Errorf("%d of %d events were claimed", found, filed)
	}
}

func TestWakeUps(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 100)
		wakeUps := map[string]<-chan struct{}{"events": s.EventsDue(), "subscriptions": s.SubscriptionsDue()}
		for name, wakeUp := range wakeUps {
			select {
			case <-wakeUp:
			default:
				t.Errorf("no wake-up for %s", name)
			}
		}
		record(t, s, "e2", ledger.Facts{}, 100)
		select {
		case <-s.SubscriptionsDue():
			t.Error("a wake-up for subscriptions without news")
		default:
		}
	})
}

// What was committed is there after the process is gone.
func TestReopen(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			where := database(t)
			s, err := store.Open(t.Context(), store.Options{Database: where, Serve: true})
			if err != nil {
				t.Fatal(err)
			}
			record(t, s, "e1", enrolled("s1"), 100)
			claim(t, s, 100, 1)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Append(t.Context(), event("e2", 1)); !errors.Is(err, store.ErrClosed) {
				t.Errorf("Append after Close = %v", err)
			}
			again := open(t, where)
			if fresh, err := again.Append(t.Context(), event("e1", 100)); err != nil || fresh {
				t.Errorf("Append = %v, %v; want it known", fresh, err)
			}
			if name == "SQLite" {
				claim(t, again, 200, 1) // its holder is certainly dead: one process owns the file
			}
		})
	}
}

func TestSQLiteIsOneProcess(t *testing.T) {
	where := filepath.Join(t.TempDir(), "termed.db")
	open(t, where)
	if _, err := store.Open(t.Context(), store.Options{Database: where, Serve: true}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second service = %v, want ErrInUse", err)
	}
	reader, err := store.Open(t.Context(), store.Options{Database: where})
	if err != nil {
		t.Fatalf("a tool beside the service: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(where); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; bodies hold personal data, so it must be its owner's alone", info.Mode(), err)
	}
}

// A commit is synced before it is answered, and what holds personal data is its owner's alone.
func TestFileIsSafe(t *testing.T) {
	database := filepath.Join(t.TempDir(), "termed.db")
	s := open(t, database)
	if level, err := s.Synchronous(t.Context()); err != nil || level != 2 {
		t.Errorf("synchronous = %d, %v; want 2, FULL", level, err)
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := s.Backup(t.Context(), backup, 1000); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{database, database + ".lock", backup} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want it to be its owner's alone", filepath.Base(file), info, err)
		}
	}
}

// What is still queued when its caller gives up is not written: the caller has answered that it was not.
func TestAbandonedJobs(t *testing.T) {
	database := filepath.Join(t.TempDir(), "termed.db")
	s := open(t, database)
	other, err := sqlx.Open("sqlite", database)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("begin immediate"); err != nil { // the writer waits for it
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() {
		_, err := s.Append(context.WithoutCancel(t.Context()), event("e1", 1))
		first <- err
	}()
	time.Sleep(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Append(ctx, event("e2", 2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Append = %v, want its deadline", err)
	}
	if _, err := other.Exec("rollback"); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), event("e3", 3)); err != nil { // whatever was queued before it is done
		t.Fatal(err)
	}
	stored, err := s.Events(t.Context(), store.EventFilter{}, 10)
	if err != nil || len(stored) != 2 {
		t.Errorf("%d events are stored, %v; want the two whose callers waited", len(stored), err)
	}
}

func TestAbandonedWrite(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Append(ctx, event("e1", 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("Append whose caller has gone = %v", err)
		}
		if fresh, err := s.Append(t.Context(), event("e1", 1)); err != nil || !fresh {
			t.Errorf("Append = %v, %v", fresh, err)
		}
	})
}
