package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		total, done int
		took        time.Duration
		want        string
	}{
		{1000, 0, 5 * time.Second, "0 of 1000"},
		{1000, 10, 100 * time.Millisecond, "10 of 1000"},
		{1000, 250, 5 * time.Second, "250 of 1000, 50 a second, 15s left"},
		{1000, 1000, 20 * time.Second, "1000 of 1000, 50 a second"},
		{1000, 1200, 20 * time.Second, "1200 of 1200, 60 a second"},
		{0, 250, 5 * time.Second, "250, 50 a second"},
		{100_000, 100, 1000 * time.Second, "100 of 100000, 0 a second, 277h30m0s left"},
	} {
		if got := (pace{began, test.total}).after(test.done, began.Add(test.took)); got != test.want {
			t.Errorf("%d of %d after %v: %q, want %q", test.done, test.total, test.took, got, test.want)
		}
	}
}
