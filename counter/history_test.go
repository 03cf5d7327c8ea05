package counter_test

import (
	"strings"
	"testing"

	"github.com/termed/termed/counter"
)

// Which enrollment a shipment belongs to follows from the times and the boundaries: 0 is none. A shipment is
// order@time=SKU, and order@time=SKU#n where it is known as one of enrollment n.
func TestAssign(t *testing.T) {
	first := counter.Enrollment{Number: 1, OrdersDue: 2}
	renewed := counter.Enrollment{Number: 2, OrdersDue: 3, OpenedBy: counter.OpenedByRenewal}
	restarted := counter.Enrollment{Number: 2, OrdersDue: 3, OpenedBy: counter.OpenedByRestart, OpenedAt: 5000}
	swappedAway := counter.Enrollment{Number: 1, OrdersDue: 2, State: counter.Released, ClosedAt: 3000}
	late := counter.Enrollment{Number: 1, OrdersDue: 2, OpenedAt: 3000}
	tests := []struct {
		what        string
		enrollments []counter.Enrollment
		shipments   string
		want        string // the enrollment of each, in the order of placing
	}{
		{"one enrollment has them all", []counter.Enrollment{first}, "a@1=G b@2=G c@3=G", "1 1 1"},
		{
			"one beyond a complete term is the first of the renewed one", []counter.Enrollment{first, renewed},
			"a@1=G b@2=G c@3=G", "1 1 2",
		},
		{
			"a late order moves the boundary of a renewed term", []counter.Enrollment{first, renewed}, "a@1=G c@3=G b@2=G",
			"1 1 2",
		},
		{
			"a late order from before a restart stays before it", []counter.Enrollment{first, restarted},
			"a@1=G c@6000=G b@2000=G", "1 1 2",
		},
		{
			"more than the term has, before a restart", []counter.Enrollment{first, restarted}, "a@1=G b@2=G c@3=G d@6000=G",
			"1 1 1 2",
		},
		{
			"in the second of a restart, known before it", []counter.Enrollment{first, restarted}, "a@5000=G#1 b@5700=G#1",
			"1 1",
		},
		{
			"in the second of a restart, announced after it", []counter.Enrollment{first, restarted}, "a@5000=G#1 b@5000=G",
			"1 2",
		},
		{"before the first enrollment was opened", []counter.Enrollment{late}, "a@2999=G b@3000=G", "0 1"},
		{"while it was released", []counter.Enrollment{swappedAway, restarted}, "a@3000=G b@4000=G c@5000=G", "1 0 2"},
		{"after it was released, and not enrolled since", []counter.Enrollment{swappedAway}, "a@1=G b@4000=G", "1 0"},
		{
			"in one second, what was assigned before keeps its place", []counter.Enrollment{first, renewed},
			"z@5000=G#1 y@5000=G#1 a@5000=G", "1 1 2",
		},
		{"none", []counter.Enrollment{first, renewed}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			var got []string
			assigned := counter.Assign(test.enrollments, shipments(test.shipments))
			for _, s := range assigned {
				got = append(got, string(rune('0'+s.Enrollment)))
				if (s.Enrollment == 0) != (s.Excluded != "") {
					t.Errorf("%s belongs to %d, excluded %q", s.Order, s.Enrollment, s.Excluded)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("Assign(%s) = %s, want %s", test.shipments, strings.Join(got, " "), test.want)
			}
			for i, s := range counter.Assign(test.enrollments, assigned) {
				if s != assigned[i] {
					t.Errorf("assigned again, %+v becomes %+v", assigned[i], s)
				}
			}
		})
	}
}

// Only what belongs to an enrollment is counted for it.
func TestTally(t *testing.T) {
	all := []counter.Shipment{
		{Order: "a", At: 1, Enrollment: 1, Source: "evt"},
		{Order: "b", At: 2, Enrollment: 2, Source: counter.Reconciled},
		{
			Order:      "c",
			At:         3,
			Enrollment: 2,
			Source:     "evt",
			Notified:   true,
		},
		{Order: "d", At: 9, Excluded: counter.ExcludedLate},
	}
	if got, want := counter.Tally(2,
		all), (counter.Placed{Orders: 2, ByWebhook: 1, Unnotified: 2, LastAt: 3}); got != want {
		t.Errorf("Tally(2) = %+v, want %+v", got, want)
	}
	if got, want := counter.Tally(1,
		all), (counter.Placed{Orders: 1, ByWebhook: 1, Unnotified: 1, LastAt: 1}); got != want {
		t.Errorf("Tally(1) = %+v, want %+v", got, want)
	}
}
