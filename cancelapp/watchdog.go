package cancelapp

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/termed/termed/counter"
)

const (
	learnFrom     = 28 * 24 * time.Hour // of deliveries
	learnInterval = time.Hour
	usualGaps     = 3 // the third-longest gap is usual: the two longest in four weeks may have been outages
	leastMaxGap   = time.Hour
	firstMaxGap   = 24 * time.Hour // until there is a week of history
	enoughHistory = 7 * 24 * time.Hour
)

// MaxGap is how long no webhook may arrive before that is reported, from the longest gaps of the last four weeks, the
// longest first, and the length of that history: 1.5 times the third-longest, but at least an hour, and at least a day
// until there is a week of history.
func MaxGap(gaps []time.Duration, history time.Duration) time.Duration {
	usual := time.Duration(0)
	if len(gaps) > 0 {
		usual = gaps[min(usualGaps, len(gaps))-1]
	}
	gap := max(leastMaxGap, usual*3/2)
	if history < enoughHistory {
		gap = max(gap, firstMaxGap)
	}
	return gap
}

// Deliveries says when the last webhook arrived, and whether that is longer ago than usual in this shop.
type Deliveries struct {
	Last   time.Time     `json:"last_delivery"` // or the start of the service, where none is recorded
	MaxGap time.Duration `json:"-"`
	Alarm  bool          `json:"alarm"`
}

// watchdog notices that no webhook has arrived for longer than expected. Its loop writes what is seen, and anybody
// reads it.
type watchdog struct {
	mu     sync.Mutex
	seen   Deliveries
	wakeup chan struct{} // once when an alarm begins
}

// Deliveries returns what the watchdog saw last.
func (a *App) Deliveries() Deliveries {
	a.watchdog.mu.Lock()
	defer a.watchdog.mu.Unlock()
	return a.watchdog.seen
}

// DeliveriesStopped is a wake-up when the watchdog's alarm begins: what should have been delivered has to be looked
// for.
func (a *App) DeliveriesStopped() <-chan struct{} { return a.watchdog.wakeup }

// watchDeliveries reports once that webhooks have stopped arriving.
func (a *App) watchDeliveries(ctx context.Context) {
	if a.o.MaxGap < 0 {
		return
	}
	started := a.o.Now()
	var learned time.Time
	maxGap := a.o.MaxGap
	for {
		if a.o.MaxGap == 0 && a.o.Now().Sub(learned) >= learnInterval {
			if gap, err := a.learnMaxGap(ctx); err == nil {
				maxGap = gap
				learned = a.o.Now()
			} else if ctx.Err() == nil {
				a.logStoreError(err)
			}
		}
		if err := a.checkDeliveries(ctx, started, maxGap); err != nil && ctx.Err() == nil {
			a.logStoreError(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(time.Minute, max(time.Second, maxGap/10))):
		}
	}
}

func (a *App) learnMaxGap(ctx context.Context) (time.Duration, error) {
	now := a.o.Now()
	measured, first, err := a.store.DeliveryGaps(ctx, now.Add(-learnFrom).UnixMilli(), usualGaps)
	if err != nil {
		return 0, err
	}
	gaps := make([]time.Duration, len(measured))
	for i, gap := range measured {
		gaps[i] = time.Duration(gap) * time.Millisecond
	}
	history := time.Duration(0)
	if first != 0 {
		history = now.Sub(time.UnixMilli(first))
	}
	return MaxGap(gaps, history), nil
}

// checkDeliveries compares the time since the last delivery with what is usual. Before the first delivery it counts
// from the start of the service.
func (a *App) checkDeliveries(ctx context.Context, started time.Time, maxGap time.Duration) error {
	last, err := a.store.LastDelivery(ctx, math.MaxInt64)
	if err != nil || maxGap == 0 {
		return err
	}
	now := Deliveries{Last: started.UTC(), MaxGap: maxGap}
	if last != 0 {
		now.Last = instant(last)
	}
	gap := a.o.Now().Sub(now.Last)
	// safeguard: watchdog
	now.Alarm = gap > maxGap
	a.watchdog.mu.Lock()
	before := a.watchdog.seen.Alarm
	a.watchdog.seen = now
	a.watchdog.mu.Unlock()
	switch {
	case now.Alarm && !before:
		a.o.Log.Error("no webhook has arrived for longer than usual: check whether Ordergroove has disabled the URL",
			"last_delivery", now.Last, "hours", int(gap.Hours()), "usual_hours", int(maxGap.Hours()))
		a.notifyNoDeliveries(ctx, now.Last)
		select {
		case a.watchdog.wakeup <- struct{}{}:
		default:
		}
	case before && !now.Alarm:
		a.o.Log.Info("webhooks arrive again", "last_delivery", now.Last)
	}
	return nil
}

// notifyNoDeliveries puts a notification into the outbox, the same for all instances that notice the same gap.
func (a *App) notifyNoDeliveries(ctx context.Context, last time.Time) {
	since := last.UnixMilli()
	messages := a.Rules().Messages(counter.Notification{
		ID:    fmt.Sprintf("no-deliveries-%d", since),
		Type:  counter.NoDeliveries,
		At:    a.now(),
		Since: since,
	})
	if err := a.store.EnqueueMessages(ctx, messages); err != nil && ctx.Err() == nil {
		a.logStoreError(err)
	}
}
