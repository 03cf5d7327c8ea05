package webhook

import (
	"log/slog"
	"sync"
	"time"
)

const tellEvery = time.Minute

// refusals counts what was not authentic and tells of it at most once a minute, or a scanner would fill the log. The zero
// value is ready.
type refusals struct {
	mu    sync.Mutex
	since int
	told  time.Time
}

// count takes note of a refusal. The error is one of the verifier's own sentences and quotes nothing received.
func (r *refusals) count(err error, now time.Time, log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since++
	if now.Sub(r.told) < tellEvery {
		return
	}
	log.Warn("deliveries were refused", "count", r.since, "last", err)
	r.since, r.told = 0, now
}
