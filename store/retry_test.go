package store_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// TestRetryMany retries what a filter selects, in more than one transaction, and nothing else.
func TestRetryMany(t *testing.T) {
	const dead = 1100
	conform(t, func(t *testing.T, s *store.Store) {
		settle := func(id, kind string, received int64, as ledger.Settlement) {
			e := event(id, received)
			e.Type = kind
			e.Received = received
			if _, err := s.Append(t.Context(), e); err != nil {
				t.Error(err)
				return
			}
			if err := s.SettleEvent(t.Context(), e, as); err != nil {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		limit := make(chan struct{}, 64)
		for i := range dead {
			limit <- struct{}{}
			all.Go(func() {
				settle(fmt.Sprintf("dead-%04d", i), "order.success", 200+int64(i/100), ledger.Settlement{Dead: true, Attempts: 4})
				<-limit
			})
		}
		all.Wait()
		settle("old", "order.success", 100, ledger.Settlement{Dead: true})
		settle("other", "order.reject", 300, ledger.Settlement{Dead: true})
		settle("ignored", "order.success", 300, ledger.Settlement{})
		if t.Failed() {
			t.FailNow()
		}

		q := store.EventQuery{Type: "order.success", Since: 200}
		counted, err := s.CountEvents(t.Context(), q)
		want := map[ledger.EventStatus]int{ledger.EventDead: dead, ledger.EventIgnored: 1}
		if err != nil || !maps.Equal(counted, want) {
			t.Errorf("counted %v, %v; want %v", counted, err, want)
		}
		var reported []int
		n, err := s.RetryEvents(t.Context(), q, 500, func(n int) { reported = append(reported, n) })
		if err != nil || n != dead || fmt.Sprint(reported) != "[1000 1100]" {
			t.Errorf("retried %d, reported %v, %v; want %d", n, reported, err, dead)
		}
		counted, err = s.CountEvents(t.Context(), store.EventQuery{})
		want = map[ledger.EventStatus]int{ledger.EventPending: dead, ledger.EventDead: 2, ledger.EventIgnored: 1}
		if err != nil || !maps.Equal(counted, want) {
			t.Errorf("counted %v, %v; want %v", counted, err, want)
		}
	})
}
