package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// Two instances on one PostgreSQL learn of the same subscriptions at once, each in an order of its own.
func TestDeadlocks(t *testing.T) {
	t.Log("FAULT | PostgreSQL: two instances record facts about the same subscriptions in different orders | I5 I7:" +
		" no deadlock")
	database := newPostgres(t)
	instances := []*store.Store{open(t, database), open(t, database)}
	const subscriptions = 24
	id := func(n int) string { return fmt.Sprintf("s%03d", n) }
	for n := range subscriptions {
		facts := ledger.Facts{Enrollments: []ledger.Enrollment{enrollment(id(n))}}
		if err := instances[0].RecordFacts(t.Context(), facts, int64(n+1)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var orders, failed atomic.Int64
	var workers sync.WaitGroup
	for _, instance := range instances {
		for range 16 {
			workers.Go(func() {
				for ctx.Err() == nil {
					n := orders.Add(1)
					facts := ledger.Facts{Shipments: []counter.Shipment{{
						Subscription: id(rand.IntN(subscriptions)),
						Order:        fmt.Sprint("o", n),
						SKU:          "GIFT",
						Source:       "evt",
						At:           n,
					}}}
					if err := instance.RecordFacts(context.WithoutCancel(ctx), facts, n); err != nil {
						failed.Add(1)
					}
				}
			})
		}
	}
	workers.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d facts were not recorded", n, orders.Load())
	}
	db, err := sqlx.Connect("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	deadlocks := 0
	// The server's own count comes a moment later.
	time.Sleep(1500 * time.Millisecond)
	if err := db.Get(&deadlocks,
		`select deadlocks from pg_stat_database where datname = current_database()`); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d facts, %d deadlocks", orders.Load(), deadlocks)
	if deadlocks > 0 {
		t.Errorf("%d deadlocks, want none", deadlocks)
	}
}

// A step waits for another instance that is recording a shipment: once that has committed, the step is worked out from
// too few shipments, and refused.
func TestFenceWaitsForOthers(t *testing.T) {
	t.Log("FAULT | PostgreSQL: a shipment commits while a step waits for its row | I2: the step is worked out again")
	database := newPostgres(t)
	s := open(t, database)
	if err := s.RecordFacts(t.Context(), ledger.Facts{Enrollments: []ledger.Enrollment{enrollment("s1")}}, 1); err != nil {
		t.Fatal(err)
	}
	lease := claim(t, s, 10, 1)[0]
	other, err := sqlx.Connect("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx := other.MustBegin()
	tx.MustExec(`insert into shipments (subscription, order_id, enrollment, sku, source, placed_at)
		values ('s1', 'o1', 1, 'GIFT', 'evt', 7)`)
	tx.MustExec(`update subscriptions set revision = revision + 1, due = 11 where id = 's1'`)
	recorded := make(chan error, 1)
	go func() {
		_, err := s.Record(context.WithoutCancel(t.Context()), lease,
			ledger.Step{Enrollment: lease.Enrollment, Counted: true})
		recorded <- err
	}()
	select {
	case err := <-recorded:
		t.Fatalf("Record did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-recorded; !errors.Is(err, ledger.ErrStale) {
		t.Errorf("Record = %v, want ErrStale", err)
	}
}
