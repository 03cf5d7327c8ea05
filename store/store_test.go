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

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// postgresVariable names a PostgreSQL server to test on: its databases are made and dropped by the tests.
const postgresVariable = "TERMED_TEST_POSTGRES"

// databases are what every test of the conformance suite runs on. Each gives a new, empty database.
var databases = map[string]func(*testing.T) string{
	"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "termed ?#%.db") },
	"PostgreSQL": newPostgres,
}

func newPostgres(t *testing.T) string {
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
		t.Run(name, func(t *testing.T) { test(t, open(t, database(t))) })
	}
}

func open(t *testing.T, database string) *store.Store {
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

func event(id string, created int64) ordergroove.Delivery {
	return ordergroove.Delivery{
		Created: created, ID: id, Type: ordergroove.OrderSuccess, Received: created + 5, Body: []byte(`{"id":"` + id + `"}`),
		Verdict: ordergroove.Accepted,
	}
}

func enrolment(id string) counter.Enrolment {
	return counter.Enrolment{Subscription: id, SKU: "GIFT", Term: "Gift", Customer: "c1", Due: 2, How: ordergroove.SubscriptionCreate, OwnProduct: true}
}

func shipment(subscription, order string) counter.Shipment {
	return counter.Shipment{Subscription: subscription, Order: order, SKU: "GIFT", Source: "evt", At: 7}
}

// learn files an event and settles it with facts.
func learn(t *testing.T, s *store.Store, id string, f counter.Facts, at int64) {
	t.Helper()
	d := event(id, at)
	if _, err := s.Append(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), d, counter.Settlement{Facts: f, At: at}); err != nil {
		t.Fatal(err)
	}
}

// claim takes what is due and fails unless it is so many.
func claim(t *testing.T, s *store.Store, at int64, want int) []counter.Lease {
	t.Helper()
	leases, err := s.Claim(t.Context(), at, at+1000, 100)
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
		for i, verdict := range []ordergroove.Verdict{ordergroove.Ignored, ordergroove.Quarantined} {
			d := event(fmt.Sprint("v", i), 300)
			d.Verdict = verdict
			if fresh, err := s.Append(t.Context(), d); err != nil || !fresh {
				t.Errorf("%s: Append = %v, %v", verdict, fresh, err)
			}
		}
		if b, err := s.Backlog(t.Context()); err != nil || b.Events != 2 {
			t.Errorf("Backlog = %+v, %v; want 2 events: those to be worked on", b, err)
		}
	})
}

// Many at once: each event is new exactly once, whoever shares a batch with whom.
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

// One bad row does not refuse the others that share its batch.
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

func TestClaimEvents(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		for i := range 5 {
			if _, err := s.Append(t.Context(), event(fmt.Sprint("e", i), int64(100*i))); err != nil {
				t.Fatal(err)
			}
		}
		take := func(at int64, n, want int) []ordergroove.Delivery {
			t.Helper()
			got, err := s.ClaimEvents(t.Context(), at, at+1000, n)
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
		take(450, 10, 0)  // all are in hand
		take(1450, 10, 5) // nobody settled them: their takers are dead

		d := first[0]
		settle := func(v counter.Settlement) {
			t.Helper()
			if err := s.Settle(t.Context(), d, v); err != nil {
				t.Fatal(err)
			}
		}
		settle(counter.Settlement{At: 2000, Next: 9000, Attempts: 3, Error: "busy"})
		take(2450, 10, 4)
		for _, late := range take(9000, 10, 5) {
			if want := map[bool]int{true: 3}[late.ID == d.ID]; late.Attempts != want {
				t.Errorf("%s: attempts = %d, want %d", late.ID, late.Attempts, want)
			}
		}
		settle(counter.Settlement{At: 9000, Dead: true, Error: "never"})
		settle(counter.Settlement{At: 9001, Next: 9002}) // settled is settled
		take(99000, 10, 4)
	})
}

// Facts are sets: whatever is learned twice is learned once, and wakes nobody the second time.
func TestFactsAreSets(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		facts := counter.Facts{
			Enrolments: []counter.Enrolment{enrolment("s1")},
			Shipments:  []counter.Shipment{shipment("s1", "o1"), shipment("s1", "o1"), shipment("evergreen", "o1")},
		}
		learn(t, s, "e1", facts, 100)
		lease := claim(t, s, 100, 1)[0]
		if lease.Made != 1 || lease.Announced != 1 || lease.Due != 2 || lease.State != counter.Enrolled || !lease.Live {
			t.Errorf("page = %+v", lease.Ledger)
		}
		finish(t, s, lease, 0)
		learn(t, s, "e2", facts, 200)
		claim(t, s, 5000, 0)
		learn(t, s, "e3", counter.Facts{Shipments: []counter.Shipment{shipment("s1", "o2")}}, 300)
		if got := claim(t, s, 5000, 1)[0].Made; got != 2 {
			t.Errorf("made %d, want 2", got)
		}
		if pages, err := s.Subscriptions(t.Context(), ""); err != nil || len(pages) != 1 {
			t.Errorf("Subscriptions = %v, %v; want only the termed one", pages, err)
		}
	})
}

func finish(t *testing.T, s *store.Store, lease counter.Lease, next int64) {
	t.Helper()
	l := lease.Ledger
	l.State = counter.Active
	if err := s.Finish(t.Context(), lease, counter.Outcome{At: 150, Ledger: l, Next: next}); err != nil {
		t.Fatal(err)
	}
}

func TestChangedAndCancelled(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 100)
		end := func(state counter.State) {
			t.Helper()
			lease := claim(t, s, 1e6, 1)[0]
			l := lease.Ledger
			l.State = state
			if err := s.Finish(t.Context(), lease, counter.Outcome{At: 1, Ledger: l}); err != nil {
				t.Fatal(err)
			}
		}
		tests := []struct {
			state counter.State
			facts counter.Facts
			due   int
		}{
			{counter.Active, counter.Facts{Changed: []string{"s1", "unknown"}}, 1},
			{counter.Active, counter.Facts{Cancelled: []string{"s1", "unknown"}}, 1},
			{counter.Completed, counter.Facts{Cancelled: []string{"s1"}}, 0}, // it was us
			{counter.Completed, counter.Facts{Changed: []string{"s1"}}, 1},
			{counter.Released, counter.Facts{Changed: []string{"s1"}, Cancelled: []string{"s1"}, Shipments: []counter.Shipment{shipment("s1", "o9")}}, 0},
			{counter.Released, counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 1}, // its own product is termed now
		}
		for i, test := range tests {
			end(test.state)
			learn(t, s, fmt.Sprint("t", i), test.facts, 200)
			if leases := claim(t, s, 1e6, test.due); test.due == 1 {
				finish(t, s, leases[0], 0)
			}
			learn(t, s, fmt.Sprint("again", i), counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}, Changed: []string{"s1"}}, 300)
		}
		swapped := enrolment("s1")
		swapped.OwnProduct = false
		end(counter.Released)
		learn(t, s, "swap", counter.Facts{Enrolments: []counter.Enrolment{swapped}}, 400)
		claim(t, s, 1e6, 0) // a one-time swap is no reason to look again
	})
}

// A lease keeps others out, runs out, and is worth nothing then.
func TestLease(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 100)
		stale := claim(t, s, 100, 1)[0]
		claim(t, s, 1099, 0)
		learn(t, s, "e2", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s2")}}, 200)
		if other := claim(t, s, 200, 1)[0]; other.Subscription != "s2" {
			t.Errorf("claimed %s, which is in other hands", other.Subscription)
		} else {
			finish(t, s, other, 0)
		}
		fresh := claim(t, s, 1100, 1)[0]
		one := 1
		if _, err := s.Record(t.Context(), stale, counter.Step{Page: stale.Ledger, Counter: &one, Shipments: []counter.Shipment{shipment("s1", "o1")}}); !errors.Is(err, counter.ErrLeaseLost) {
			t.Errorf("Record under a lost lease = %v", err)
		}
		if err := s.Finish(t.Context(), stale, counter.Outcome{Ledger: stale.Ledger}); !errors.Is(err, counter.ErrLeaseLost) {
			t.Errorf("Finish under a lost lease = %v", err)
		}
		after, err := s.Record(t.Context(), fresh, counter.Step{Page: fresh.Ledger, Counter: &one})
		if err != nil || after.Made != 0 || !after.Knows(1) {
			t.Errorf("Record = %+v, %v; the lost lease must have left nothing", after, err)
		}
		if err := s.Finish(t.Context(), fresh, counter.Outcome{Ledger: after}); err != nil {
			t.Error(err)
		}
		if err := s.Finish(t.Context(), fresh, counter.Outcome{Ledger: after}); !errors.Is(err, counter.ErrLeaseLost) {
			t.Errorf("a second Finish = %v", err)
		}
	})
}

func TestRecord(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 100)
		lease := claim(t, s, 100, 1)[0]
		two, one, five, adjustment := 2, 1, 5, 4
		record := func(step counter.Step) (counter.Ledger, error) {
			if step.Page.SKU == "" {
				step.Page = lease.Ledger
			}
			return s.Record(t.Context(), lease, step)
		}
		for _, c := range []*int{&two, &one, &two} {
			if _, err := record(counter.Step{Counter: c}); err != nil {
				t.Fatal(err)
			}
		}
		found := shipment("s1", "o1")
		found.Source = counter.Reconciled
		got, err := record(counter.Step{
			Page:      counter.Ledger{SKU: "GIFT-DECAF", Term: "Other", Due: 3},
			Shipments: []counter.Shipment{found, found},
			Entries:   []counter.Entry{{Subscription: "s1", At: 5, Actor: counter.ByTermed, What: "x", Before: "a", After: "b", Reason: "c"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := counter.Ledger{
			Subscription: "s1", SKU: "GIFT-DECAF", Term: "Other", Customer: "c1", Due: 3, Made: 1, Sent: []int{1, 2}, LastShipment: 7,
			State: counter.Enrolled, Live: true, Untold: 1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("page (-want +got):\n%s", diff)
		}
		if _, err := record(counter.Step{Counter: &five, Adjustment: &adjustment, Page: counter.Ledger{SKU: "GIFT", Made: 0}}); !errors.Is(err, counter.ErrStale) {
			t.Errorf("an adoption worked out from fewer shipments = %v", err)
		}
		got, err = record(counter.Step{Counter: &five, Adjustment: &adjustment, Page: counter.Ledger{SKU: "GIFT", Due: 2, Made: 1}})
		if err != nil || got.Adjustment != 4 || !got.Knows(5) || got.Remaining() != 5 {
			t.Errorf("adopted = %+v, %v", got, err)
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

// News that comes during a look makes the subscription due again as soon as the look ends.
func TestNewsDuringALook(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 100)
		lease := claim(t, s, 100, 1)[0]
		learn(t, s, "e2", counter.Facts{Shipments: []counter.Shipment{shipment("s1", "o1")}}, 120)
		claim(t, s, 150, 0) // it is in hand
		finish(t, s, lease, 0)
		again := claim(t, s, 150, 1)[0]
		if again.Made != 1 {
			t.Errorf("made %d, want 1", again.Made)
		}

		// In vain: the schedule holds, news or not.
		learn(t, s, "e3", counter.Facts{Shipments: []counter.Shipment{shipment("s1", "o2")}}, 160)
		if err := s.Finish(t.Context(), again, counter.Outcome{At: 170, Ledger: again.Ledger, Next: 900, Attempts: 2, Error: "busy"}); err != nil {
			t.Fatal(err)
		}
		learn(t, s, "e4", counter.Facts{Shipments: []counter.Shipment{shipment("s1", "o3")}}, 180)
		claim(t, s, 899, 0)
		if got := claim(t, s, 900, 1)[0]; got.Attempts != 2 || got.Made != 3 {
			t.Errorf("lease = %+v, want 2 attempts and 3 made", got)
		}
	})
}

func TestFinishKeepsThePage(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 100)
		lease := claim(t, s, 100, 1)[0]
		zero := 0
		want := counter.Ledger{
			Subscription: "s1", SKU: "GIFT", Term: "Gift", Customer: "c1", Due: 2, Written: &zero,
			State: counter.Completed, Reason: "why", Prepaid: true, Completed: true, ExtraOrder: "o9", ExtraPlace: 77,
			AtCheckout: 1, Exempt: "Gift", Put: map[string]string{"gift": `"true"`, "made": ""}, Blocking: true, LastTold: true,
		}
		if err := s.Finish(t.Context(), lease, counter.Outcome{At: 150, Ledger: want}); err != nil {
			t.Fatal(err)
		}
		pages, err := s.Subscriptions(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]store.Subscription{{Ledger: want, EnrolledBy: ordergroove.SubscriptionCreate, EnrolledAt: 100}}, pages); diff != "" {
			t.Errorf("page (-want +got):\n%s", diff)
		}
	})
}

func TestOrderRead(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		for _, want := range []bool{false, true} {
			if read, err := s.OrderRead(t.Context(), "o1"); err != nil || read != want {
				t.Errorf("OrderRead = %v, %v; want %v", read, err, want)
			}
			learn(t, s, fmt.Sprint("e", want), counter.Facts{OrderRead: "o1"}, 100)
		}
	})
}

func TestPrune(t *testing.T) {
	t.Log("FAULT | years of events | I11: settled ones are forgotten, shipments never")
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "done", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}, OrderRead: "o1"}, 100)
		learn(t, s, "ignored", counter.Facts{}, 100)
		learn(t, s, "young", counter.Facts{}, 900)
		dead := event("dead", 100)
		if _, err := s.Append(t.Context(), dead); err != nil {
			t.Fatal(err)
		}
		if err := s.Settle(t.Context(), dead, counter.Settlement{Dead: true, Error: "never"}); err != nil {
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
			t.Errorf("OrderRead = %v, %v; want it forgotten", read, err)
		}
	})
}

func TestBells(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 100)
		for name, bell := range map[string]<-chan struct{}{"events": s.EventsDue(), "subscriptions": s.SubscriptionsDue()} {
			select {
			case <-bell:
			default:
				t.Errorf("the bell for %s did not ring", name)
			}
		}
		learn(t, s, "e2", counter.Facts{}, 100)
		select {
		case <-s.SubscriptionsDue():
			t.Error("the bell for subscriptions rang without news")
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
			learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 100)
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
				claim(t, again, 200, 1) // its holder is dead for certain: one process owns the file
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

func TestAbandonedWrite(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Append(ctx, event("e1", 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("Append of nobody = %v", err)
		}
		if fresh, err := s.Append(t.Context(), event("e1", 1)); err != nil || !fresh {
			t.Errorf("Append = %v, %v", fresh, err)
		}
	})
}
