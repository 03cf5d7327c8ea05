package reconcile_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/ordergroove/sim"
)

// An order whose webhook is lost changes nothing of its subscription. What is new is the order that comes next.
func TestLostOrderIsFoundWithinTheHour(t *testing.T) {
	t.Log("FAULT | the event of an order is lost for good, and nothing else about its subscription changes | " +
		"I2: found within the hour, by its next order")
	apptest.Run(t, sim.Options{PageSize: 10}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		b.Schedule = reconcile.Schedule{Every: time.Hour, All: 30 * 24 * time.Hour} // never everything once more
		b.Start(cancelapp.Options{Idle: time.Minute})
		b.SubscribeSilently(15, "COFFEE")
		subs := b.SubscribeSilently(15, "SIX")
		time.Sleep(72 * time.Hour)
		lost, announced := subs[3], subs[4]
		b.PlaceUnannounced(lost)
		took := b.RightWithin(67*time.Minute, 5, lost)
		if took < time.Minute {
			t.Errorf("it was found after %v: by something else", took)
		}
		b.Place(announced)
		b.RightWithin(time.Minute, 5, announced)
		time.Sleep(2 * time.Hour)
		before := len(b.Sim.Calls())
		time.Sleep(10 * time.Hour)
		// Each hour: both lists of subscriptions and three pages of upcoming items, and nothing about each subscription.
		if calls := len(b.Sim.Calls()) - before; calls < 9*5 || calls > 10*5 {
			t.Errorf("%d calls in ten hours in which nothing happened, want 5 an hour", calls)
		}
	})
}

// Without the list of upcoming items, what was updated lately is compared all the same, and the log says what is not.
func TestUpcomingItemsRefused(t *testing.T) {
	t.Log("FAULT | the list of upcoming items is refused with 403 for days | " +
		"I12: what was updated lately is compared each hour all the same")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		var log bytes.Buffer
		b.Schedule = reconcile.Schedule{Every: time.Hour, All: 100 * time.Hour}
		b.Start(cancelapp.Options{Idle: time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))})
		time.Sleep(10 * time.Minute)
		b.Sim.Break(sim.Fault{
			Method:    "GET",
			Path:      "/items/",
			WholePath: true,
			Status:    http.StatusForbidden,
			Body:      `{"detail":"Authentication Failed"}`,
		})
		sub := b.SubscribeSilently(1, "SIX")[0]
		time.Sleep(67 * time.Minute)
		recorded := b.Recorded(sub)
		b.Stop()
		if recorded.Term == "" {
			t.Error("what was updated lately was not compared")
		}
		if !strings.Contains(log.String(), "upcoming items could not be read") {
			t.Errorf("the log does not say what is not compared:\n%s", log.String())
		}
	})
}

// The list of upcoming items holds those of all subscriptions of a shop. It is read as often as a share of the calls
// allows, and termed says how often that is.
func TestLongListOfUpcomingItems(t *testing.T) {
	apptest.Run(t, sim.Options{PageSize: 1}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		var log bytes.Buffer
		b.Schedule = reconcile.Schedule{Every: time.Hour, All: 100 * time.Hour, PerMinute: 10}
		b.Start(cancelapp.Options{Idle: time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))})
		b.SubscribeSilently(35, "COFFEE")
		sub := b.SubscribeSilently(1, "SIX")[0]
		time.Sleep(2 * time.Hour)
		read := func() (pages int) {
			for _, c := range b.Sim.Calls() {
				if c.Path == "/items/" && c.Subscription == "" {
					pages++
				}
			}
			return pages
		}
		before := read()
		time.Sleep(42 * time.Hour) // 36 pages at 2% of 10 calls a minute: once in three hours, and that of a run
		times := (read() - before) / 36
		if times < 10 || times > 14 {
			t.Errorf("the list was read %d times in 42 hours, want once in three hours", times)
		}
		b.PlaceUnannounced(sub)
		b.RightWithin(4*time.Hour+10*time.Minute, 5, sub)
		b.Stop()
		if !strings.Contains(log.String(), "pages=36 every=3h0m0s") {
			t.Errorf("the log does not say how often:\n%s", log.String())
		}
	})
}
