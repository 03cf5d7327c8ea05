package access

import (
	"sync"
	"time"
)

const (
	freeFailures = 5                // sign-ins that may fail before the next has to wait
	firstWait    = 10 * time.Second // after the last free failure; each further one doubles it
	longestWait  = 15 * time.Minute
	forgetAfter  = time.Hour // without a failure
	mostEntries  = 10_000
)

// throttleKey is a user name, whether there is such a user or not, or an address.
type throttleKey struct {
	kind, value string
}

// failures are the failed sign-ins of a key.
type failures struct {
	count int
	last  time.Time
	until time.Time // no further sign-in before
}

func (f *failures) add(n int) {
	f.count += n
	f.until = f.last.Add(waitAfter(f.count))
}

// throttle makes sign-ins wait, by user and by address, after some have failed. It holds a bounded number of both.
type throttle struct {
	mu      sync.Mutex
	entries map[throttleKey]*failures
}

func newThrottle() *throttle {
	return &throttle{entries: map[throttleKey]*failures{}}
}

// begin returns how long a sign-in has to wait, or counts it as failed and returns 0. It is counted before its password
// is compared, so that many at a time are no way around the limit; succeeded takes that back.
func (t *throttle) begin(at time.Time, keys ...throttleKey) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var wait time.Duration
	for _, key := range keys {
		if f := t.entries[key]; f != nil {
			wait = max(wait, f.until.Sub(at))
		}
	}
	// safeguard: counted-before-compared
	if wait > 0 {
		return wait
	}
	for _, key := range keys {
		f := t.entries[key]
		if f == nil || at.Sub(f.last) > forgetAfter {
			t.makeRoom(at)
			f = &failures{}
			t.entries[key] = f
		}
		f.last = at
		f.add(1)
	}
	return 0
}

// undo takes back what begin counted, for a sign-in whose password was not compared.
func (t *throttle) undo(keys ...throttleKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		if f := t.entries[key]; f != nil {
			f.add(-1)
		}
	}
}

// succeeded forgets the failures of a user. Those of the address stay: who has one password may be guessing others.
func (t *throttle) succeeded(user, address throttleKey) {
	t.undo(address)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.entries, user)
}

// makeRoom removes entries if there are too many: those of long ago, else the one with the fewest failures.
func (t *throttle) makeRoom(at time.Time) {
	if len(t.entries) < mostEntries {
		return
	}
	var fewest throttleKey
	least := -1
	for key, f := range t.entries {
		if at.Sub(f.last) > forgetAfter {
			delete(t.entries, key)
		} else if least < 0 || f.count < least {
			fewest, least = key, f.count
		}
	}
	if len(t.entries) >= mostEntries {
		delete(t.entries, fewest)
	}
}

// waitAfter is the wait after a number of failures.
func waitAfter(count int) time.Duration {
	if count < freeFailures {
		return 0
	}
	doublings := min(count-freeFailures, 10)
	return min(firstWait<<doublings, longestWait)
}
