package cancelapp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/termed/termed/counter"
)

// rhythm is what the inbox remembers of deliveries; store satisfies it.
type rhythm interface {
	LastDelivery(ctx context.Context) (int64, error)
	Silences(ctx context.Context, since int64, n int) (silences []int64, first int64, err error)
}

const (
	learnFrom     = 28 * 24 * time.Hour // of deliveries
	learnEvery    = time.Hour
	usualSilences = 3 // the longest but two is usual: two in four weeks may have been outages
	leastPatience = time.Hour
	firstPatience = 24 * time.Hour // until the rhythm of a week is known
	knownAfter    = 7 * 24 * time.Hour
)

// Patience is how long a silence may be before it is reported, from the longest silences of the last four weeks, the longest
// first, and the time that they were learned in: half as much again as the third of them, but at least an hour, and at least a
// day until a week is known.
func Patience(silences []time.Duration, known time.Duration) time.Duration {
	usual := time.Duration(0)
	if len(silences) > 0 {
		usual = silences[min(usualSilences, len(silences))-1]
	}
	patience := max(leastPatience, usual*3/2)
	if known < knownAfter {
		patience = max(patience, firstPatience)
	}
	return patience
}

// Silence says how long no webhook has come, and whether that is longer than usual in this shop.
type Silence struct {
	Last     time.Time     `json:"last_delivery"` // or the start of the service, where none is remembered
	Patience time.Duration `json:"-"`
	Alarm    bool          `json:"alarm"`
}

// silence is what was heard last; the loop writes it and anybody reads it.
type silence struct {
	mu   sync.Mutex
	held Silence
	bell chan struct{} // rung once at the beginning of a silence
}

// Silence returns how it stands.
func (a *App) Silence() Silence {
	a.silence.mu.Lock()
	defer a.silence.mu.Unlock()
	return a.silence.held
}

// listen watches for a silence. One is reported once, and makes everything be compared unless that is switched off: what was
// to be delivered is not coming.
func (a *App) listen(ctx context.Context) {
	if a.o.Patience < 0 {
		return
	}
	started, learned := a.o.Now(), time.Time{}
	patience := a.o.Patience
	for {
		if a.o.Patience == 0 && a.o.Now().Sub(learned) >= learnEvery {
			if p, err := a.learnPatience(ctx); err == nil {
				patience, learned = p, a.o.Now()
			} else if ctx.Err() == nil {
				a.trouble(err)
			}
		}
		if err := a.listenOnce(ctx, started, patience); err != nil && ctx.Err() == nil {
			a.trouble(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(time.Minute, max(time.Second, patience/10))):
		}
	}
}

func (a *App) learnPatience(ctx context.Context) (time.Duration, error) {
	now := a.o.Now()
	gaps, first, err := a.rhythm.Silences(ctx, now.Add(-learnFrom).UnixMilli(), usualSilences)
	if err != nil {
		return 0, err
	}
	silences := make([]time.Duration, len(gaps))
	for i, gap := range gaps {
		silences[i] = time.Duration(gap) * time.Millisecond
	}
	known := time.Duration(0)
	if first != 0 {
		known = now.Sub(time.UnixMilli(first))
	}
	return Patience(silences, known), nil
}

// listenOnce compares the last delivery with what is usual. Before the first one ever the clock runs from the start.
func (a *App) listenOnce(ctx context.Context, started time.Time, patience time.Duration) error {
	last, err := a.rhythm.LastDelivery(ctx)
	if err != nil || patience == 0 {
		return err
	}
	now := Silence{Last: started.UTC(), Patience: patience}
	if last != 0 {
		now.Last = instant(last)
	}
	quiet := a.o.Now().Sub(now.Last)
	now.Alarm = quiet > patience
	a.silence.mu.Lock()
	before := a.silence.held.Alarm
	a.silence.held = now
	a.silence.mu.Unlock()
	switch {
	case now.Alarm && !before:
		a.o.Log.Error("no webhook has come for longer than is usual in this shop: see whether Ordergroove has disabled the URL",
			"last_delivery", now.Last, "hours", int(quiet.Hours()), "usual_hours", int(patience.Hours()), "comparing", a.o.Reconcile.Every != 0)
		a.tellOfSilence(ctx, now.Last)
		select {
		case a.silence.bell <- struct{}{}:
		default:
		}
	case before && !now.Alarm:
		a.o.Log.Info("webhooks come again", "last_delivery", now.Last)
	}
	return nil
}

// tellOfSilence puts a notice into the outbox, the same for all instances that hear of the same silence.
func (a *App) tellOfSilence(ctx context.Context, last time.Time) {
	since := last.UnixMilli()
	posts := a.rules().Announce(counter.Notice{ID: fmt.Sprintf("silence-%d", since), Type: counter.Silence, At: a.now(), Since: since})
	if err := a.outbox.Post(ctx, posts); err != nil && ctx.Err() == nil {
		a.trouble(err)
	}
}
