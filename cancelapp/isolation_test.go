package cancelapp_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/ordergroove/sim"
)

const (
	firewall = "<html>blocked by the firewall</html>"
	denied   = `{"detail":"You do not have permission to perform this action."}`
)

// about is a fault of every call about one subscription.
func about(sub sim.Subscription, f sim.Fault) sim.Fault {
	f.Path = "/subscriptions/" + sub.ID + "/"
	return f
}

// One subscription's trouble, or one operation's, is its own: the others are right within a minute of their news, and
// the API does not count as down.
func TestIsolation(t *testing.T) {
	tests := []struct {
		what   string
		ending int // subscriptions whose last order is placed, and that the fault is about
		hurt   func(b *apptest.Bubble, ending []sim.Subscription)
	}{
		{"one complete subscription is answered 403 by a firewall", 1, func(b *apptest.Bubble, ending []sim.Subscription) {
			b.Sim.Break(about(ending[0], sim.Fault{Status: 403, Body: firewall}))
		}},
		{"reading one subscription is answered 500", 1, func(b *apptest.Bubble, ending []sim.Subscription) {
			b.Sim.Break(about(ending[0], sim.Fault{Method: "GET", Status: 500}))
		}},
		{"one subscription's prepaid orders come as a text", 1, func(b *apptest.Bubble, ending []sim.Subscription) {
			body := fmt.Sprintf(`{"public_id":%q,"customer":"c","product":"GIFT-3MO","live":true,"extra_data":{},`+
				`"prepaid_subscription_context":{"prepaid_orders_remaining":"3","renewal_behavior":7}}`, ending[0].ID)
			b.Sim.Break(about(ending[0], sim.Fault{Method: "GET", Status: 200, Body: body}))
		}},
		{"the key may not cancel (403)", 3, func(b *apptest.Bubble, _ []sim.Subscription) {
			b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/cancel/", Status: 403, Body: denied})
		}},
		{"only the cancel endpoint hangs while 15 are complete", 15, func(b *apptest.Bubble, _ []sim.Subscription) {
			b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/cancel/", Status: 504, Delay: 15 * time.Second})
		}},
		{"every call about one customer's five subscriptions hangs", 5, func(b *apptest.Bubble, ending []sim.Subscription) {
			for _, sub := range ending {
				b.Sim.Break(about(sub, sim.Fault{Status: 504, Delay: time.Minute}))
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			t.Logf("FAULT | %s, for good | I12: the others are right within a minute of their news", test.what)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				var ending, others []sim.Subscription
				for range test.ending {
					ending = append(ending, b.Gift())
				}
				for range 12 {
					others = append(others, b.Subscribe("SIX"))
				}
				b.Settle()
				b.Place(ending...)
				b.Settle()
				time.Sleep(time.Minute)
				test.hurt(b, ending)
				b.Place(ending...)
				// All at once, or in a quiet shop.
				for _, after := range []time.Duration{time.Second, time.Minute, 10 * time.Minute} {
					time.Sleep(after)
					b.Place(others...)
					b.RightWithin(time.Minute, 5, others...)
					if err := b.App.Ready(); err != nil {
						t.Errorf("after %v: Ready = %v", after, err)
					}
				}
				b.Sim.ClearFaults()
				b.RightWithin(6*time.Minute, 2, ending...)
			})
		})
	}
}

// What is ill before an outage is what is asked first after it: it must not be taken for the outage.
func TestIsolationAfterAnOutage(t *testing.T) {
	t.Log("FAULT | reading one complete subscription is answered 500, then an outage of 20 s | I12 I13: the others are" +
		" right within 17 s of its end")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		ill := b.Gift()
		others := []sim.Subscription{b.Subscribe("SIX"), b.Subscribe("SIX"), b.Subscribe("SIX")}
		b.Settle()
		b.Place(ill)
		b.Settle()
		fault := about(ill, sim.Fault{Method: "GET", Status: 500})
		b.Sim.Break(fault)
		b.Place(ill)
		time.Sleep(30 * time.Second)
		b.Sim.ClearFaults()
		b.Sim.Break(sim.Fault{Status: 503, Delay: 100 * time.Millisecond})
		b.Place(others...)
		time.Sleep(20 * time.Second)
		b.Sim.ClearFaults()
		b.Sim.Break(fault)
		b.RightWithin(17*time.Second, 5, others...)
		b.Sim.ClearFaults()
		b.Settle()
	})
}

// A scheduled reconciliation comes to its end though one subscription is refused.
func TestIsolationOfReconciliation(t *testing.T) {
	t.Log("FAULT | one subscription is answered 403 while everything is reconciled | I12: the reconciliation ends")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		b.Schedule = reconcile.Schedule{Every: time.Hour, All: 3 * time.Hour}
		b.Start(cancelapp.Options{Idle: 20 * time.Second})
		ill := b.Gift()
		others := []sim.Subscription{b.Subscribe("SIX"), b.Subscribe("SIX")}
		b.Settle()
		b.Sim.Break(about(ill, sim.Fault{Status: 403, Body: firewall}))
		b.Place(ill)
		b.PlaceUnannounced(others...)
		time.Sleep(4 * time.Hour)
		last, err := b.DB.LastReconciled(t.Context())
		if age := time.Since(time.UnixMilli(last.All)); err != nil || age > 3*time.Hour+30*time.Minute {
			t.Errorf("everything was last reconciled %v ago, %v", age, err)
		}
		b.RightWithin(0, 5, others...)
		b.Sim.ClearFaults()
	})
}

// Another limit than the default is slow, and never an outage.
func TestLowLimit(t *testing.T) {
	for _, perMinute := range []int{5, 30} {
		t.Run(fmt.Sprint(perMinute), func(t *testing.T) {
			t.Logf("FAULT | requests_per_minute is %d | I9 I12: slow, and never an outage", perMinute)
			apptest.Run(t, sim.Options{Snapshot: "none"}, func(t *testing.T, b *apptest.Bubble) {
				b.Stop()
				b.Client = b.NewLimitedClient(perMinute)
				b.Start(cancelapp.Options{})
				var gifts []sim.Subscription
				for range 12 {
					gifts = append(gifts, b.Gift())
				}
				need := time.Duration(2*len(gifts)*60/perMinute) * time.Second // GET and PATCH for each
				b.RightWithin(need+need/10+15*time.Second, 2, gifts...)
				if err := b.App.Ready(); err != nil {
					t.Errorf("Ready = %v", err)
				}
				if calls := len(b.Sim.Calls()); calls != 2*len(gifts) {
					t.Errorf("%d calls, want %d", calls, 2*len(gifts))
				}
				b.Settle()
			})
		})
	}
}

// Another application uses up the limit: hardly a call of ours is refused.
func TestSharedLimit(t *testing.T) {
	t.Log("FAULT | Ordergroove allows 60 calls a minute, and termed believes in 5,400 | I9 I12: few calls are throttled")
	apptest.Run(t, sim.Options{RequestsPerMinute: 60}, func(t *testing.T, b *apptest.Bubble) {
		var gifts []sim.Subscription
		for range 60 {
			gifts = append(gifts, b.Gift())
		}
		b.RightWithin(5*time.Minute, 2, gifts...)
		throttled := 0
		for _, c := range b.Sim.Calls() {
			if c.Status == http.StatusTooManyRequests {
				throttled++
			}
		}
		if calls := len(b.Sim.Calls()); throttled > calls/2 {
			t.Errorf("%d of %d calls were throttled", throttled, calls)
		}
		b.Settle()
	})
}

// Sixty calls that hang for ten seconds each would keep eight workers busy for more than a minute.
func TestHangingOperation(t *testing.T) {
	t.Log("FAULT | the cancel endpoint hangs, and 60 subscriptions are complete at once | I12: the others are right" +
		" within a minute of their news")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		var ending, others []sim.Subscription
		for range 60 {
			ending = append(ending, b.Gift())
		}
		for range 5 {
			others = append(others, b.Subscribe("SIX"))
		}
		b.Settle()
		b.Place(ending...)
		b.Settle()
		time.Sleep(time.Minute)
		b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/cancel/", Status: 504, Delay: 15 * time.Second})
		b.Place(ending...)
		time.Sleep(time.Second)
		b.Place(others...)
		b.RightWithin(time.Minute, 5, others...)
	})
}

// Where calls are scarce, those that fail again and again get no more than their share.
func TestRetriesOvertakeNobody(t *testing.T) {
	t.Log("FAULT | 20 complete subscriptions cannot be ended, and 30 calls a minute are allowed | I12: the others are" +
		" right within 75 s of their news")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		var ending, others []sim.Subscription
		for range 20 {
			ending = append(ending, b.Gift())
		}
		for range 5 {
			others = append(others, b.Subscribe("SIX"))
		}
		b.Settle()
		b.Place(ending...)
		b.Settle()
		b.Stop()
		b.Client = b.NewLimitedClient(30)
		b.Start(cancelapp.Options{})
		b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/cancel/", Status: 503})
		b.Place(ending...)
		time.Sleep(10 * time.Minute)
		b.Place(others...)
		b.RightWithin(75*time.Second, 5, others...)
	})
}
