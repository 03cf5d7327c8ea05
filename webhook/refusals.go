package webhook

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Reason says why a delivery was refused.
type Reason string

// The reasons, each with an answer of its own.
const (
	InvalidSignature Reason = "invalid_signature" // 401
	UnknownPath      Reason = "unknown_path"      // 404
	BodyTooLarge     Reason = "body_too_large"    // 413
	Overloaded       Reason = "overloaded"        // 503
)

// Reasons are all of them.
var Reasons = []Reason{InvalidSignature, UnknownPath, BodyTooLarge, Overloaded}

var (
	errUnknownPath  = errors.New("the path is not " + Path)
	errBodyTooLarge = errors.New("the body is larger than webhook.max_body")
)

const logInterval = time.Minute

// refusals counts refused deliveries by reason, and logs each reason at once and then at most once a minute, so that a
// scanner cannot fill the log. The zero value is ready to use.
type refusals struct {
	mu         sync.Mutex
	byReason   map[Reason]*refused
	inARow     int       // for their signature, since the last one that was verified
	verifiedAt time.Time // the last one; the zero time: none since the start
}

// refused is what was refused for one reason.
type refused struct {
	total    int
	unlogged int
	loggedAt time.Time
}

// add counts a refusal. The error is one of our own sentences and quotes nothing of the request.
func (r *refusals) add(reason Reason, err error, now time.Time, log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.of(reason)
	of.total++
	of.unlogged++
	if reason == InvalidSignature {
		r.inARow++
	}
	if now.Sub(of.loggedAt) < logInterval {
		return
	}
	log.Warn("webhooks refused", "reason", reason, "count", of.unlogged, "last_error", err)
	of.unlogged = 0
	of.loggedAt = now
}

// verified notes that a delivery had a valid signature.
func (r *refusals) verified(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inARow = 0
	r.verifiedAt = now
}

const (
	suspectRefusals = 3
	// suspectAfter is how long nothing must have been verified: Ordergroove delivers about every 5 minutes (contract,
	// section 1), and a scanner between two deliveries is no reason to doubt the key.
	suspectAfter = 15 * time.Minute
)

// unverified is how many deliveries were refused for their signature since one was verified, where that is so many and
// so long ago that the key is in doubt; else 0.
func (r *refusals) unverified(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inARow < suspectRefusals || now.Sub(r.verifiedAt) < suspectAfter {
		return 0
	}
	return r.inARow
}

// total is how many were refused for a reason so far.
func (r *refusals) total(reason Reason) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of(reason).total
}

func (r *refusals) of(reason Reason) *refused {
	if r.byReason == nil {
		r.byReason = map[Reason]*refused{}
	}
	if r.byReason[reason] == nil {
		r.byReason[reason] = &refused{}
	}
	return r.byReason[reason]
}
