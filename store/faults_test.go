package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// Two different bodies under one id: the first counts, and the other is quarantined for a person to look at.
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
		kept, err := s.Events(t.Context(), store.EventFilter{Status: ledger.EventQuarantined}, 10)
		if err != nil || len(kept) != 1 || !strings.HasPrefix(kept[0].ID, "e1 sha256:") {
			t.Errorf("quarantined: %+v, %v; want the other body, once", kept, err)
		}
		due, err := s.ClaimEvents(t.Context(), 1e9, 2e9, 10, 10)
		if err != nil || len(due) != 1 || string(due[0].Body) != string(first.Body) {
			t.Errorf("due: %+v, %v; want the first body alone", due, err)
		}
	})
}

// A disk that is full or read-only fails each write, loses nothing, and takes the writes once it works again.
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
			for i := range 200 { // large ones: the rest of a page holds a few small ones
				d := event(fmt.Sprint("e", i), int64(i))
				d.Body = append(d.Body, make([]byte, 8192)...)
				if _, err := s.Append(t.Context(), d); err != nil {
					refused[d.ID] = true
				}
			}
			if len(refused) < 150 {
				t.Fatalf("%d of 200 failed, want nearly all", len(refused))
			}
			if err := s.Restrict(t.Context(), restrict[1]); err != nil {
				t.Fatal(err)
			}
			for i := range 200 {
				d := event(fmt.Sprint("e", i), int64(i))
				d.Body = append(d.Body, make([]byte, 8192)...)
				if fresh, err := s.Append(t.Context(), d); err != nil || fresh != refused[d.ID] {
					t.Errorf("%s: fresh %v, %v; it failed before: %v", d.ID, fresh, err, refused[d.ID])
				}
			}
		})
	}
}

// factsOf are facts as SQL in the schema of a version: a subscription with one of two orders placed, and an event that
// is due. A new migration needs those of the version before it.
var factsOf = map[int64][]string{
	0: nil, // nothing was there yet
	1: {
		`insert into subscriptions (id, customer, created) values ('s1', 'c', 1)`,
		`insert into enrollments (subscription, number, term, sku, opened_at, opened_by, checkout_shipments, orders_due,
		                          counters_sent, counter_confirmed, state)
		 values ('s1', 1, 'Gift', 'GIFT', 0, 'subscription.create', 1, 2, '[2,1]', 1, 'active')`,
		`insert into shipments (subscription, order_id, enrollment, sku, source, placed_at)
		 values ('s1', 'o1', 1, 'GIFT', 'e', 1)`,
		`insert into events (created, id, type, received, body, status, due)
		 values (1, 'e', 'order.success', 1, '{}', 'pending', 1)`,
	},
}

// A schema of every version with facts in it is brought up to date; one whose migration was killed half-way is, too.
func TestMigrationFromAnOlderSchema(t *testing.T) {
	t.Log("FAULT | a database of an older version is opened, and its migration is killed half-way | I1 I2 I7")
	for kind, database := range databases {
		migrations := migrationTexts(t, kind)
		for version := range int64(len(migrations) + 1) {
			for name, halfWay := range map[string]bool{"whole": false, "killed half-way": true} {
				if halfWay && version == int64(len(migrations)) {
					continue // there is no migration left to kill
				}
				t.Run(fmt.Sprintf("%s/version %d/%s", kind, version, name), func(t *testing.T) {
					statements, known := factsOf[version]
					if !known {
						t.Fatalf("there are no facts in the schema of version %d", version)
					}
					where := database(t)
					older(t, kind, where, version, statements)
					if halfWay {
						killMigration(t, kind, where, migrations[version])
					}
					checkMigrated(t, open(t, where), version > 0)
				})
			}
		}
	}
}

// migrationTexts are the texts of a database's migrations.
func migrationTexts(t *testing.T, kind string) []string {
	t.Helper()
	paths, err := filepath.Glob("migrations/" + folder(kind) + "/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatal("there are no migrations", err)
	}
	slices.Sort(paths)
	var texts []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// older brings an empty database to a version, and puts facts into it.
func older(t *testing.T, kind, where string, version int64, statements []string) {
	t.Helper()
	db := openRaw(t, kind, where)
	dialects := map[string]goose.Dialect{"SQLite": goose.DialectSQLite3, "PostgreSQL": goose.DialectPostgres}
	provider, err := goose.NewProvider(dialects[kind], db.DB, os.DirFS("migrations/"+folder(kind)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.GetDBVersion(t.Context()); err != nil { // it makes its own table: that is version 0
		t.Fatal(err)
	}
	if version > 0 {
		if _, err := provider.UpTo(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// killMigration runs half of a migration's statements in its transaction; then the process dies: its connection ends
// without a commit.
func killMigration(t *testing.T, kind, where, migration string) {
	t.Helper()
	_, up, _ := strings.Cut(migration, "-- +goose Up")
	up, _, _ = strings.Cut(up, "-- +goose Down")
	statements := strings.SplitAfter(up, ";\n")
	tx, err := openRaw(t, kind, where).Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements[:(len(statements)+1)/2] {
		if _, err := tx.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// checkMigrated checks the facts that were there before, if any, and that further ones are recorded.
func checkMigrated(t *testing.T, s *store.Store, facts bool) {
	t.Helper()
	if facts {
		all, err := s.Subscriptions(t.Context(), "")
		if err != nil || len(all) != 1 || all[0].Placed.Orders != 1 || all[0].Remaining() != 1 || !all[0].HasSent(2) {
			t.Errorf("subscriptions = %+v, %v", all, err)
		}
		if due, err := s.ClaimEvents(t.Context(), 10, 20, 10, 10); err != nil || len(due) != 1 {
			t.Errorf("due = %v, %v", due, err)
		}
	}
	record(t, s, "new", enrolled("s2"), 30)
	if lease := claim(t, s, 30, 1)[0]; lease.ID != "s2" || lease.Remaining() != 2 {
		t.Errorf("recorded since = %+v", lease.Subscription)
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
		if err := s.SettleEvent(t.Context(), d, ledger.Settlement{Dead: true, Error: "never", Attempts: 4}); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			id   string
			want int
		}{{"other", 0}, {"e1", 1}, {"e1", 0}, {"", 0}} {
			n, err := s.RetryEvents(t.Context(), store.EventQuery{ID: test.id}, 500, nil)
			if err != nil || n != test.want {
				t.Errorf("RetryEvents(%s) = %d, %v; want %d", test.id, n, err, test.want)
			}
		}
		if due, err := s.ClaimEvents(t.Context(), 500, 600, 10, 10); err != nil || len(due) != 1 || due[0].Attempts != 0 {
			t.Errorf("due = %+v, %v", due, err)
		}

		record(t, s, "e2", enrolled("s1", "s2"), 100)
		for _, lease := range claim(t, s, 100, 2) {
			sub := lease.Subscription.Subscription
			sub.State = counter.Attention
			if err := s.Finish(t.Context(), lease, ledger.Outcome{Subscription: sub, Error: "refused"}); err != nil {
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

// A server with a stricter isolation than ours fails transactions that conflict: they are tried again, and what still
// fails is delivered again.
func TestSerializationFailures(t *testing.T) {
	database := newPostgres(t)
	t.Log("FAULT | PostgreSQL: serialization failures and deadlocks between two instances | I1 I2 I10")
	strict := database + "?options=-c%20default_transaction_isolation%3Dserializable"
	stores := []*store.Store{open(t, strict), open(t, strict)}
	var failed atomic.Int32
	for round := range 3 { // the stores' first transactions may miss each other in one
		var all sync.WaitGroup
		for i := range 60 {
			order := fmt.Sprint("o", round*20+i%20)
			for _, s := range stores {
				all.Go(func() {
					ctx := context.Background()
					d := event(fmt.Sprint("e", round, "-", i), int64(i%5))
					settlement := ledger.Settlement{At: 100, Facts: ledger.Facts{
						Enrollments: []ledger.Enrollment{enrollment("s1"), enrollment("s2")},
						Shipments:   []counter.Shipment{shipment("s2", order), shipment("s1", order)},
					}}
					_, err := s.Append(ctx, d)
					if err = errors.Join(err, s.SettleEvent(ctx, d, settlement)); err != nil {
						failed.Add(1)
						again(t, func() error { _, err := s.Append(ctx, d); return err })
						again(t, func() error { return s.SettleEvent(ctx, d, settlement) })
					}
				})
			}
		}
		all.Wait()
	}
	if n := failed.Load(); n > 20 {
		t.Errorf("%d of 360 failed although they were tried again", n)
	}
	for _, lease := range claim(t, stores[0], 1000, 2) {
		if lease.Placed.Orders != 60 {
			t.Errorf("%s: %d shipments, want 60", lease.ID, lease.Placed.Orders)
		}
	}
	if b, err := stores[1].Backlog(t.Context()); err != nil || b.Events != 0 {
		t.Errorf("Backlog = %+v, %v; want every event settled", b, err)
	}
}
