package webhook

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// HealthPath says whether a delivery could be stored now, for a load balancer that spreads deliveries. It does not
// depend on Ordergroove's API: while that is down, webhooks are stored all the same.
const HealthPath = "/healthz"

const (
	healthFor    = time.Second      // how long an answer is good for: the path is public
	healthWithin = time.Second      // how long the database may take
	failureFor   = 10 * time.Second // how long a delivery that could not be stored counts
)

// health remembers whether deliveries can be stored. The zero value knows of no trouble.
type health struct {
	mu       sync.Mutex
	failedAt time.Time // when a delivery could not be stored; the zero time: the last one was
	askedAt  time.Time
	err      error // what the database answered then
}

// note remembers whether a delivery was stored.
func (h *health) note(err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failedAt = time.Time{}
	if err != nil {
		h.failedAt = now
	}
}

// stores says whether a delivery can be stored, by what became of the last one, and by the database.
func (h *health) stores(ctx context.Context, now time.Time, ask func(context.Context) error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.failedAt) < failureFor {
		return false
	}
	if ask != nil && now.Sub(h.askedAt) >= healthFor {
		asking, cancel := context.WithTimeout(ctx, healthWithin)
		defer cancel()
		h.err = ask(asking)
		h.askedAt = now
	}
	return h.err == nil
}

// healthz answers 200 or 503 without saying why: the address is public.
func (r *Receiver) healthz(c *gin.Context) {
	if r.health.stores(context.WithoutCancel(c.Request.Context()), r.options.Now(), r.options.Stores) {
		c.String(http.StatusOK, "ok\n")
		return
	}
	c.String(http.StatusServiceUnavailable, "webhooks cannot be stored\n")
}

// answers counts the deliveries that were answered with 200, by the word in the answer. The zero value is ready to use.
type answers struct {
	mu sync.Mutex
	n  map[string]int
}

func (a *answers) add(word string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == nil {
		a.n = map[string]int{}
	}
	a.n[word]++
}

// Answers are the words in the answers to what was stored.
var Answers = []string{"accepted", "duplicate", "ignored", "quarantined"}

// Answered returns how many deliveries were answered with 200 and a word since the start.
func (r *Receiver) Answered(word string) int {
	r.answers.mu.Lock()
	defer r.answers.mu.Unlock()
	return r.answers.n[word]
}
