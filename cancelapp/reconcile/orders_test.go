package reconcile

import (
	"fmt"
	"strings"
	"testing"
)

// What is held in little memory reads as what was put in: with several orders, and with ids that are no 32 digits.
func TestUpcomingOrders(t *testing.T) {
	id := strings.Repeat("0f", 16)
	var u upcomingOrders
	if u.known() || u.of("s1") != "" {
		t.Error("nothing was read, and something is known")
	}
	for _, item := range [][2]string{
		{"s1", id}, {"s1", id}, {"s2", "o2"}, {"s3", id}, {"s3", "o9"}, {"s4", strings.ToUpper(id)}, {"s5", id + id},
		{"s6", "b"}, {"s6", "a"}, {"s6", "b"}, {"s7", id[1:]},
	} {
		u.add(item[0], item[1])
	}
	want := map[string]string{
		"s1": id, "s2": "o2", "s3": id + " o9", "s4": strings.ToUpper(id), "s5": id + id, "s6": "a b", "s7": id[1:], "s8": "",
	}
	for sub, orders := range want {
		if got := u.of(sub); got != orders {
			t.Errorf("the orders of %s are %q, want %q", sub, got, orders)
		}
	}
}

// BenchmarkUpcomingOrders shows what the upcoming orders of a million subscriptions take.
func BenchmarkUpcomingOrders(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var u upcomingOrders
		for i := range 1_000_000 {
			u.add(fmt.Sprintf("%032x", i), fmt.Sprintf("%032x", i+7))
		}
	}
}
