package counter_test

import (
	"testing"

	"github.com/termed/termed/counter"
)

// BenchmarkDecide decides about a subscription in the middle of its term.
func BenchmarkDecide(b *testing.B) {
	s := subscribed(placed(1), sent(2), confirmed(2))
	o := observed(`"2"`)
	b.ReportAllocs()
	for b.Loop() {
		counter.Decide(gift, s.Enrollment, o)
	}
}
