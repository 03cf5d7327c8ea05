package cancelapp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDelay(t *testing.T) {
	tests := []struct {
		attempt  int
		asked    time.Duration
		priority ledger.Priority
		jitter   float64
		want     time.Duration
	}{
		{1, 0, 0, 0, time.Second},
		{1, 0, 0, 0.5, 1500 * time.Millisecond},
		{2, 0, 0, 0.5, 3 * time.Second},
		{3, 0, 0, 0.5, 6 * time.Second},
		{4, 0, 0, 0.5, 6300 * time.Millisecond}, // from here on slowly
		{1000, 0, 0, 0.5, 225 * time.Second},    // the cap: 5 min
		{0, 0, 0, 0.5, 1500 * time.Millisecond},
		{1, 30 * time.Second, 0, 0, 31 * time.Second},
		{1, 30 * time.Second, 0, 0.5, 31500 * time.Millisecond}, // never earlier than asked, and not all at the same moment
		{1, 1e9 * time.Second, 0, 0, 15*time.Minute + time.Second},
		{1000, 0, ledger.Background, 0.5, 225 * time.Second},
		{3, 0, ledger.Urgent, 0.5, 6 * time.Second},
		{1000, 0, ledger.Urgent, 0.5, 22500 * time.Millisecond}, // the cap at overship risk: 30 s
		{1000, time.Minute, ledger.Urgent, 0.5, 82500 * time.Millisecond},
	}
	for _, test := range tests {
		if got := cancelapp.Delay(test.attempt, test.asked, test.priority, test.jitter); got != test.want {
			t.Errorf("Delay(%d, %v, %d, %v) = %v, want %v",
				test.attempt, test.asked, test.priority, test.jitter, got, test.want)
		}
	}
}

// Whatever the jitter, what failed never waits longer than a tenth of the time since it first failed, and 8 s.
func TestDelayFollowsTheOutage(t *testing.T) {
	for _, jitter := range []float64{0, 0.3, 0.999} {
		since := time.Duration(0)
		for attempt := 1; since < 48*time.Hour; attempt++ {
			longest := cancelapp.Delay(attempt, 0, ledger.Normal, 0.999)
			if most := since/10 + 8*time.Second; longest > most {
				t.Fatalf("jitter %v: %v after the first failure the next attempt may be %v away, want at most %v",
					jitter, since, longest, most)
			}
			since += cancelapp.Delay(attempt, 0, ledger.Normal, jitter)
		}
	}
}

// Ordergroove answers 423 to each attempt: the next one waits longer, and in the end one works.
func TestChangeLockedTwentyTimes(t *testing.T) {
	t.Log("FAULT | 423 twenty times in a row | I2 I4 I7")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Sim.Break(sim.Fault{
			Method: "PATCH",
			Times:  20,
			Status: http.StatusLocked,
			Body:   `{"details":"Resource is currently in use."}`,
		})
		start := time.Now()
		sub := b.Gift()
		b.Settle()
		b.JudgeGift(sub)
		if got := b.Calls("PATCH"); got != 21 {
			t.Errorf("%d calls to change it, want 21", got)
		}
		// 2, 4 and 8 s, then each a twentieth more than the one before, three quarters of that with the jitter.
		if took, want := time.Since(start), 3*time.Minute; (took - want).Abs() > 30*time.Second {
			t.Errorf("it took %v, want about %v", took, want)
		}
	})
}

// The API is down for an hour: nothing is lost, and the retries are few.
func TestAPIDownForAnHour(t *testing.T) {
	apptest.Run(t, sim.Options{Snapshot: "none"}, func(t *testing.T, b *apptest.Bubble) {
		b.Sim.Break(sim.Fault{})
		var subs []sim.Subscription
		for range 20 {
			sub := b.Gift()
			b.Place(sub)
			subs = append(subs, sub)
		}
		time.Sleep(time.Hour)
		// The neutral call every five seconds, and before it what was in flight.
		if got := len(b.Sim.Calls()); got > 720+16*3+40 {
			t.Errorf("%d calls in an hour, want 12 a minute", got)
		}
		b.Sim.ClearFaults()
		b.Settle()
		for _, sub := range subs {
			b.JudgeGift(sub)
		}
	})
}

// The key is refused: one call every five seconds, nothing dead, and the work continues by itself. Without the open
// breaker this turns red.
func TestKeyRefused(t *testing.T) {
	t.Log("FAULT | 403 for ten minutes: a call every 5 s, nothing dead, and the work continues by itself | I1 I2 I7 I9")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Sim.Break(sim.Fault{Status: http.StatusForbidden, Body: `{"detail":"Authentication Failed"}`})
		var subs []sim.Subscription
		first := b.Gift()
		time.Sleep(5 * time.Second)
		for range 5 {
			subs = append(subs, b.Gift())
		}
		time.Sleep(10 * time.Minute)
		if err := b.App.Ready(); err == nil || !strings.Contains(err.Error(), "API key refused") {
			t.Errorf("Ready = %v", err)
		}
		if got := len(b.Sim.Calls()); got < 100 || got > 125 {
			t.Errorf("%d calls in ten minutes, want 120", got)
		}
		b.Sim.ClearFaults()
		time.Sleep(2 * time.Minute)
		if err := b.App.Ready(); err != nil {
			t.Errorf("Ready = %v after the key was right again", err)
		}
		b.Settle()
		for _, sub := range append(subs, first) {
			b.JudgeGift(sub)
		}
	})
}

// A subscription of which Ordergroove refuses a change, or that it does not know, needs attention until there is news
// of it.
func TestChangeRefusedAndNotFound(t *testing.T) {
	t.Log("FAULT | Ordergroove refuses a change with 400, or does not know the subscription anymore (404) | " +
		"I7: needs attention, in Ordergroove's words")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		tests := []struct {
			fault  sim.Fault
			reason string
		}{
			{sim.Fault{Method: "PATCH", Status: 400, Body: `{"extra_data":["Too large."]}`}, "Too large."},
			{sim.Fault{Method: "GET", Status: 404, Body: `{"detail":"Not found."}`}, "does not know this subscription"},
		}
		for _, test := range tests {
			b.Sim.Break(test.fault)
			sub := b.Gift()
			b.Settle()
			if got := b.Recorded(sub); got.State != counter.Attention || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("%s: %q, want attention: %q", got.State, got.Reason, test.reason)
			}
			b.Sim.ClearFaults()
			b.Place(sub) // news: it is synced again
			b.Settle()
			b.JudgeGift(sub)
		}
	})
}

// An answer that does not show the requested change is not believed.
func TestAnswerIsChecked(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		data := b.Observed(sub).ExtraData
		stale := fmt.Sprintf(`{"public_id":%q,"product":"GIFT-3MO","live":true,"extra_data":%s}`, sub.ID, data)
		b.Sim.Break(sim.Fault{Method: "PATCH", Status: 200, Body: stale, Times: 1})
		b.Place(sub)
		time.Sleep(time.Second / 2)
		if backlog, err := b.DB.Backlog(t.Context()); err != nil || backlog.Subscriptions != 1 {
			t.Errorf("Backlog = %+v, %v; want it due again", backlog, err)
		}
		b.Settle()
		b.JudgeGift(sub)
	})
}

// A change that took effect and whose answer was lost is known to be ours at the next sync, even if orders were placed
// since.
func TestHalfDoneWriteIsOurs(t *testing.T) {
	t.Log("FAULT | a change took effect, its answer was lost, and the next order was placed before our retry | I2 I3")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Subscribe("SIX")
		b.Settle()
		b.Sim.Break(sim.Fault{Method: "PATCH", TakesEffect: true, Status: 502, Times: 1})
		b.Place(sub)
		time.Sleep(time.Second / 2)
		b.Place(sub)
		b.Settle()
		b.Judge(sub, 5)
		if got := b.Recorded(sub); got.Adjustment != 0 || got.Remaining() != 3 {
			t.Errorf("%d remaining, adjustment %d; want 3 and none", got.Remaining(), got.Adjustment)
		}
	})
}

// The journal has everything that happened to a gift, with who did what and why.
func TestJournal(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		b.Place(sub)
		b.Settle()
		edited := json.RawMessage(`{"mine":1.10,"fulfillment_counter":"3","termed":"true"}`)
		if err := b.Sim.Edit(sub.ID, edited); err != nil {
			t.Fatal(err)
		}
		b.Place(sub)
		b.Settle()
		got := b.Journal(sub)
		for _, want := range []string{
			"ordergroove enrolled  → GIFT-3MO : subscription.create",
			"ordergroove shipment",
			`termed started  → "2" : 2 recurring orders due, 0 placed`,
			`termed counter "2" → "1" : 1 of 2 recurring orders placed`,
			"ordergroove adopted 0 → 3 : somebody set it; by our count it was 0",
			`termed counter "3" → "2" : 2 of 4 recurring orders placed`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("the journal lacks %q:\n%s", want, got)
			}
		}
	})
}

// A shutdown in the middle of a sync stops it, counts as no failed attempt, and leaves the subscription due.
func TestShutdown(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Sim.Break(sim.Fault{Method: "GET", Delay: time.Hour, OnlyDelay: true})
		b.Gift()
		time.Sleep(2 * time.Second)
		start := time.Now()
		b.Stop()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it took %v to stop, want at most 10 s", took)
		}
		leases, err := b.DB.Claim(t.Context(), time.Now().Add(time.Hour).UnixMilli(), 0, 10, 10)
		if err != nil || len(leases) != 1 {
			t.Errorf("due after a shutdown: %v, %v; want the one in progress", leases, err)
		}
		time.Sleep(2 * time.Hour) // the simulator still sleeps for its hour, though nobody waits for it
	})
}

// counted counts the claims that an App asks of its database.
type counted struct {
	*store.Store
	events, subscriptions int
}

func (c *counted) ClaimEvents(ctx context.Context, at, until int64, n, retries int) ([]ledger.Event, error) {
	c.events++
	return c.Store.ClaimEvents(ctx, at, until, n, retries)
}

func (c *counted) Claim(ctx context.Context, at, until int64, n, retries int) ([]ledger.Lease, error) {
	c.subscriptions++
	return c.Store.Claim(ctx, at, until, n, retries)
}

// An instance with nothing to do asks a shared database once a second at the most, for events and subscriptions
// together.
func TestIdle(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		db := &counted{Store: b.DB}
		app := cancelapp.New(db, nil, cancelapp.Options{Rules: cancelapp.Rules{Terms: b.Terms}, Idle: 2 * time.Second})
		stop := b.Go(app.Run)
		time.Sleep(time.Minute)
		stop()
		if db.events < 29 || db.subscriptions < 29 || db.events+db.subscriptions > 62 {
			t.Errorf("asked %d and %d times in a minute, want 30 each", db.events, db.subscriptions)
		}
	})
}
