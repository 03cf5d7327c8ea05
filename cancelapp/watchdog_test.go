package cancelapp_test

import (
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove/sim"
)

// When no webhook arrives for too long, that is reported once, everything is reconciled, and the next delivery ends the
// alarm.
func TestWatchdog(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		var notifications recorder
		b.Schedule = reconcile.Schedule{Every: 1000 * time.Hour, All: 1000 * time.Hour}
		b.Start(cancelapp.Options{
			Idle:   time.Minute,
			MaxGap: 3 * time.Hour,
			Rules:  cancelapp.Rules{Messages: notifications.messages},
		})
		sub := b.Subscribe("SIX")
		time.Sleep(2 * time.Hour)
		b.PlaceUnannounced(sub)
		if b.App.Deliveries().Alarm || len(notifications.ofType(counter.NoDeliveries)) > 0 {
			t.Errorf("alarm after two hours: %+v, %v", b.App.Deliveries(), notifications.all())
		}
		last := time.Now().Add(-2 * time.Hour)
		time.Sleep(5 * time.Hour)
		made := notifications.ofType(counter.NoDeliveries)
		if !b.App.Deliveries().Alarm || len(made) != 1 || time.UnixMilli(made[0].Since).Sub(last).Abs() > time.Minute {
			t.Errorf("after seven hours: %+v, %v; want one notification", b.App.Deliveries(), made)
		}
		b.Judge(sub, 5)
		b.Subscribe("COFFEE")
		time.Sleep(30 * time.Minute)
		if b.App.Deliveries().Alarm {
			t.Errorf("alarm after a delivery: %+v", b.App.Deliveries())
		}
		b.Stop()
	})
}

// The gaps that are usual in the shop say how long a gap may be.
func TestMaxGap(t *testing.T) {
	const h, day = time.Hour, 24 * time.Hour
	tests := []struct {
		shop    string
		gaps    []time.Duration
		history time.Duration
		want    time.Duration
	}{
		{"nothing is known", nil, 0, 24 * h},
		{"a busy shop", []time.Duration{20 * time.Minute, 10 * time.Minute, 5 * time.Minute}, 28 * day, h},
		{"nights", []time.Duration{9 * h, 9 * h, 8 * h}, 28 * day, 12 * h},
		{"weekends", []time.Duration{40 * h, 32 * h, 30 * h}, 28 * day, 45 * h},
		{"two outages do not make long gaps usual", []time.Duration{70 * h, 48 * h, 8 * h}, 28 * day, 12 * h},
		{"before the first weekend", []time.Duration{9 * h, 8 * h, 8 * h}, 3 * day, 24 * h},
		{"a shop of a few orders a month", []time.Duration{200 * h, 150 * h}, 28 * day, 225 * h},
	}
	for _, test := range tests {
		if got := cancelapp.MaxGap(test.gaps, test.history); got != test.want {
			t.Errorf("%s: MaxGap = %v, want %v", test.shop, got, test.want)
		}
	}
}
