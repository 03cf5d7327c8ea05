package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

// Two different bodies under one id: the first counts, the other is kept for a person to look at.
func TestOtherBodyUnderAKnownID(t *testing.T) {
	t.Log("FAULT | the same event id with another body | I1 I10: kept beside the first, quarantined")
	conform(t, func(t *testing.T, s *store.Store) {
		first, other := event("e1", 100), event("e1", 100)
		other.Body = []byte(`{"id":"e1","forged":true}`)
		for i, d := range []struct {
			fresh bool
			body  []byte
		}{{true, first.Body}, {false, other.Body}, {false, other.Body}, {false, first.Body}} {
			delivery := event("e1", 100)
			delivery.Body = d.body
			if fresh, err := s.Append(t.Context(), delivery); err != nil || fresh != d.fresh {
				t.Errorf("delivery %d: fresh %v, %v; want %v", i, fresh, err, d.fresh)
			}
		}
		kept, err := s.Events(t.Context(), store.StatusQuarantined, 10)
		if err != nil || len(kept) != 1 || !strings.HasPrefix(kept[0].ID, "e1 sha256:") {
			t.Errorf("quarantined: %+v, %v; want the other body, once", kept, err)
		}
		if due, err := s.ClaimEvents(t.Context(), 1e9, 2e9, 10); err != nil || len(due) != 1 || string(due[0].Body) != string(first.Body) {
			t.Errorf("due: %+v, %v; want the first body alone", due, err)
		}
	})
}

// A disk that is full or has become read-only refuses each write, forgets nothing, and takes them when it is well again.
func TestDiskFullAndReadOnly(t *testing.T) {
	for name, restrict := range map[string][2]string{
		"full":      {"pragma max_page_count = 1", "pragma max_page_count = 1073741823"},
		"read-only": {"pragma query_only = 1", "pragma query_only = 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Logf("FAULT | the database's disk is %s | I1 I5", name)
			s := open(t, filepath.Join(t.TempDir(), "termed.db"))
			if _, err := s.Append(t.Context(), event("before", 1)); err != nil {
				t.Fatal(err)
			}
			if err := s.Restrict(t.Context(), restrict[0]); err != nil {
				t.Fatal(err)
			}
			refused := map[string]bool{}
			for i := range 200 { // large ones: what is left of a page takes a few small ones
				d := event(fmt.Sprint("e", i), int64(i))
				d.Body = append(d.Body, make([]byte, 8192)...)
				if _, err := s.Append(t.Context(), d); err != nil {
					refused[d.ID] = true
				}
			}
			if len(refused) < 150 {
				t.Fatalf("%d of 200 were refused", len(refused))
			}
			if err := s.Restrict(t.Context(), restrict[1]); err != nil {
				t.Fatal(err)
			}
			for i := range 200 {
				d := event(fmt.Sprint("e", i), int64(i))
				d.Body = append(d.Body, make([]byte, 8192)...)
				if fresh, err := s.Append(t.Context(), d); err != nil || fresh != refused[d.ID] {
					t.Errorf("%s: fresh %v, %v; it was refused: %v", d.ID, fresh, err, refused[d.ID])
				}
			}
		})
	}
}

// An older schema with facts in it is brought up to date; one whose migration was killed half-way is, too.
func TestMigrationFromAnOlderSchema(t *testing.T) {
	t.Log("FAULT | a database of an older version is opened, and its migration is killed half-way | I1 I2 I7")
	for name, halfWay := range map[string]bool{"whole": false, "killed half-way": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "termed.db")
			db, err := sqlx.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			older, err := goose.NewProvider(goose.DialectSQLite3, db.DB, os.DirFS("migrations/sqlite"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := older.UpTo(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{
				`insert into subscriptions (id, sku, term, customer, shipments_due, counters_sent, counter_written, state, enrolled_by, enrolled_at)
				 values ('s1', 'GIFT', 'Gift', 'c', 2, '2,1', 1, 'active', 'subscription.create', 1)`,
				`insert into shipments (subscription, order_id, sku, source, at) values ('s1', 'o1', 'GIFT', 'e', 1)`,
				`insert into events (created, id, type, received, body, status, due) values (1, 'e', 'order.success', 1, x'7b7d', 'pending', 1)`,
			} {
				if _, err := db.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
			if halfWay {
				// The process dies inside the migration's transaction: its connection goes without a commit.
				tx, err := db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(`alter table subscriptions add column reactivated_at integer not null default 0`); err != nil {
					t.Fatal(err)
				}
				if err := tx.Rollback(); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s := open(t, path)
			pages, err := s.Subscriptions(t.Context(), "")
			if err != nil || len(pages) != 1 || pages[0].Made != 1 || pages[0].Remaining() != 1 || !pages[0].Knows(2) {
				t.Errorf("pages = %+v, %v", pages, err)
			}
			if due, err := s.ClaimEvents(t.Context(), 10, 20, 10); err != nil || len(due) != 1 {
				t.Errorf("due = %v, %v", due, err)
			}
		})
	}
}

// Two instances on one PostgreSQL file the same duplicates at once: no deadlock, each event new once.
func TestTwoWriters(t *testing.T) {
	t.Log("FAULT | two processes file the same deliveries on one PostgreSQL at once | I1 I10")
	database := newPostgres(t)
	first, second := open(t, database), open(t, database)
	var all sync.WaitGroup
	var mu sync.Mutex
	fresh := map[string]int{}
	for i := range 400 {
		for _, s := range []*store.Store{first, second} {
			all.Go(func() {
				isNew, err := s.Append(context.Background(), event(fmt.Sprint("e", i), int64(i%7)))
				if err != nil {
					t.Error(err)
				}
				if isNew {
					mu.Lock()
					fresh[fmt.Sprint("e", i)]++
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	for id, n := range fresh {
		if n != 1 {
			t.Errorf("%s was new %d times", id, n)
		}
	}
	if len(fresh) != 400 {
		t.Errorf("%d events are new, want 400", len(fresh))
	}
}

func TestRetry(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		d := event("e1", 100)
		if _, err := s.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if err := s.Settle(t.Context(), d, counter.Settlement{Dead: true, Error: "never", Attempts: 4}); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]int64{"other": 0, "e1": 1, "": 0} {
			if id == "" {
				continue
			}
			if n, err := s.RetryEvents(t.Context(), id, 500); err != nil || n != want {
				t.Errorf("RetryEvents(%s) = %d, %v; want %d", id, n, err, want)
			}
		}
		if due, err := s.ClaimEvents(t.Context(), 500, 600, 10); err != nil || len(due) != 1 || due[0].Attempts != 0 {
			t.Errorf("due = %+v, %v", due, err)
		}

		learn(t, s, "e2", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1"), enrolment("s2")}}, 100)
		for _, lease := range claim(t, s, 100, 2) {
			l := lease.Ledger
			l.State = counter.Attention
			if err := s.Finish(t.Context(), lease, counter.Outcome{Ledger: l, Error: "refused"}); err != nil && !errors.Is(err, counter.ErrLeaseLost) {
				t.Fatal(err)
			}
		}
		if n, err := s.RetrySubscriptions(t.Context(), "s1", 700); err != nil || n != 1 {
			t.Errorf("RetrySubscriptions(s1) = %d, %v", n, err)
		}
		if n, err := s.RetrySubscriptions(t.Context(), "", 700); err != nil || n != 2 {
			t.Errorf("RetrySubscriptions(all) = %d, %v", n, err)
		}
		claim(t, s, 700, 2)
	})
}

// A server whose isolation is stricter than ours fails transactions that are in each other's way: they are tried again, and
// what still fails is delivered again.
func TestSerializationFailures(t *testing.T) {
	database := newPostgres(t)
	t.Log("FAULT | PostgreSQL: serialization failures and deadlocks between two instances | I1 I2 I10")
	strict := database + "?options=-c%20default_transaction_isolation%3Dserializable"
	stores := []*store.Store{open(t, strict), open(t, strict)}
	var all sync.WaitGroup
	var failed atomic.Int32
	for i := range 60 {
		for _, s := range stores {
			all.Go(func() {
				d := event(fmt.Sprint("e", i), int64(i%5))
				ctx := context.Background()
				facts := counter.Facts{
					Enrolments: []counter.Enrolment{enrolment("s1"), enrolment("s2")},
					Shipments:  []counter.Shipment{shipment("s2", fmt.Sprint("o", i%20)), shipment("s1", fmt.Sprint("o", i%20))},
				}
				_, err := s.Append(ctx, d)
				if err = errors.Join(err, s.Settle(ctx, d, counter.Settlement{At: 100, Facts: facts})); err != nil {
					failed.Add(1)
					again(t, func() error { _, err := s.Append(ctx, d); return err })
					again(t, func() error { return s.Settle(ctx, d, counter.Settlement{At: 100, Facts: facts}) })
				}
			})
		}
	}
	all.Wait()
	if n := failed.Load(); n > 20 {
		t.Errorf("%d of 120 failed for being in each other's way, in spite of being tried again", n)
	}
	for _, lease := range claim(t, stores[0], 1000, 2) {
		if lease.Made != 20 {
			t.Errorf("%s: %d shipments, want 20", lease.Subscription, lease.Made)
		}
	}
	if b, err := stores[1].Backlog(t.Context()); err != nil || b.Events != 0 {
		t.Errorf("Backlog = %+v, %v; want every event settled", b, err)
	}
}
