package reconcile_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/ordergroove/sim"
)

// What is reconciled when. `updated` is a date of an unknown time zone, hence the day's slack.
func TestSchedule(t *testing.T) {
	t.Log("FAULT | the service was down for two days | " +
		"I2: it reconciles soon after its start, then hourly what was updated, daily everything")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		var log bytes.Buffer
		b.Schedule = reconcile.Schedule{Every: time.Hour, All: 24 * time.Hour}
		b.Start(cancelapp.Options{Idle: time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))})
		sub := b.SubscribeSilently(1, "SIX")[0]
		time.Sleep(6 * time.Minute)
		b.Judge(sub, 5)
		time.Sleep(49 * time.Hour)
		b.Stop()
		all := strings.Count(log.String(), "scope=all")
		recent := strings.Count(log.String(), `scope="updated since`)
		if all != 3 || recent < 40 || recent > 48 {
			t.Errorf("%d times everything and %d times what was updated, in 49 hours:\n%s", all, recent, log.String())
		}
		first, _, _ := strings.Cut(log.String()[strings.Index(log.String(), "updated since"):], `"`)
		from := time.Now().Add(-49*time.Hour - 6*time.Minute - 24*time.Hour)
		if want := "updated since " + from.UTC().Format(time.DateOnly); first != want {
			t.Errorf("the first was of what was %s, want %s", first, want)
		}
	})
}
