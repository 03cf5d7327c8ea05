package cancelapp

import (
	"slices"
	"sync"
	"time"

	"github.com/termed/termed/ledger"
)

// maxCauses bounds the subscriptions whose causes are kept. Most are not termed, and no sync takes theirs.
const maxCauses = 4096

// causes are the types of the events that made subscriptions due, for the log alone: what is lost here is missing in a
// line of the log and nowhere else. The zero value is empty.
type causes struct {
	mu     sync.Mutex
	latest map[string][]cause // by subscription, oldest first
}

type cause struct {
	eventType string
	at        int64 // when its facts were recorded, UTC unix milliseconds
}

// add keeps the type of an event for every subscription that its facts can make due.
func (c *causes) add(eventType string, f ledger.Facts, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest == nil || len(c.latest) >= maxCauses {
		c.latest = map[string][]cause{}
	}
	for _, id := range f.Subscriptions() {
		known := c.latest[id]
		c.latest[id] = append(known[max(0, len(known)-9):], cause{eventType, at})
	}
}

// take returns the type of the event that made a subscription due, or "". An event that arrives during a sync makes it
// due at the end of that sync, which is within the given time.
func (c *causes) take(subscription string, due int64, within time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.latest[subscription]
	later := slices.IndexFunc(known, func(k cause) bool { return k.at > due })
	if later < 0 {
		later = len(known)
		delete(c.latest, subscription)
	} else {
		c.latest[subscription] = known[later:]
	}
	if later == 0 || due-known[later-1].at > within.Milliseconds() {
		return ""
	}
	return known[later-1].eventType
}
