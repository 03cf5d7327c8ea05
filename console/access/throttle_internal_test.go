package access

import (
	"fmt"
	"testing"
	"time"
)

// However many names and addresses fail, the table holds a bounded number, and keeps those that failed most.
func TestThrottleIsBounded(t *testing.T) {
	throttle := newThrottle()
	at := time.Now()
	guessed := throttleKey{"user", "vi"}
	for range freeFailures {
		throttle.begin(at, guessed)
	}
	for i := range mostEntries + 100 {
		throttle.begin(at, throttleKey{"address", fmt.Sprint(i)})
	}
	if got := len(throttle.entries); got != mostEntries {
		t.Errorf("%d entries, want %d", got, mostEntries)
	}
	if throttle.begin(at, guessed) == 0 {
		t.Error("the user that failed most was forgotten")
	}
	throttle.begin(at.Add(2*forgetAfter), throttleKey{"address", "later"})
	if got := len(throttle.entries); got != 1 {
		t.Errorf("%d entries after two hours, want 1", got)
	}
}
