package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// BenchmarkAppend files events, with 64 callers at once.
func BenchmarkAppend(b *testing.B) {
	each(b, func(b *testing.B, s *store.Store) {
		var sequence atomic.Int64
		body := make([]byte, 1200)
		b.SetParallelism(32) // of two processors
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n := sequence.Add(1)
				e := event(fmt.Sprint("e", n), 1+n/100)
				e.Body = body
				if _, err := s.Append(b.Context(), e); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkSettle claims an event and records a shipment of it.
func BenchmarkSettle(b *testing.B) {
	each(b, func(b *testing.B, s *store.Store) {
		for i := range b.N {
			if _, err := s.Append(b.Context(), event(fmt.Sprint("e", i), 1)); err != nil {
				b.Fatal(err)
			}
		}
		b.ResetTimer()
		for i := 0; i < b.N; {
			claimed, err := s.ClaimEvents(b.Context(), 10, 20, 16, 8)
			if err != nil || len(claimed) == 0 {
				b.Fatal(len(claimed), err)
			}
			for _, e := range claimed {
				id := fmt.Sprint("s", i)
				facts := ledger.Facts{Enrollments: enrolled(id).Enrollments}
				facts.Shipments = append(facts.Shipments, shipment(id, "order"))
				if err := s.SettleEvent(b.Context(), e, ledger.Settlement{Facts: facts, At: 10}); err != nil {
					b.Fatal(err)
				}
				i++
			}
		}
	})
}

// each runs a benchmark on each database.
func each(b *testing.B, run func(*testing.B, *store.Store)) {
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		b.Run(name, func(b *testing.B) {
			s := open(b, databases[name](b))
			b.ReportAllocs()
			b.ResetTimer()
			run(b, s)
		})
	}
}
