package cancelapp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/ordergroove/sim"
)

// allowed is how long after an outage everything must be right (I13).
func allowed(outage time.Duration) time.Duration { return outage/10 + 15*time.Second }

// The API goes away with 16 workers busy, and comes back.
func TestRecovery(t *testing.T) {
	for _, how := range []struct {
		name  string
		fault sim.Fault
	}{
		{"503", sim.Fault{Status: 503, Delay: 200 * time.Millisecond}},
		{"connections are refused", sim.Fault{}},
		{"calls hang", sim.Fault{Status: 504, Delay: 11 * time.Second}},
		{"401", sim.Fault{Status: 401, Body: `{"detail":"Authentication Failed"}`}},
	} {
		for _, outage := range []time.Duration{
			time.Second, 3 * time.Second, 30 * time.Second, 10 * time.Minute, 24 * time.Hour,
		} {
			if outage > time.Hour && how.name != "503" {
				continue // the same for longer
			}
			t.Run(fmt.Sprint(how.name, " ", outage), func(t *testing.T) {
				t.Parallel()
				took := recovery(t, how.fault, outage)
				most := allowed(outage)
				t.Logf("FAULT | an outage of %v (%s) with 16 workers busy | "+
					"I13: all was right within %v s of its end, of %v s allowed",
					outage, how.name, within(took, most, how.fault).Seconds(), most.Seconds())
				t.Logf("measured: %v", took)
			})
		}
	}
}

// within rounds a time up, so that it is the same in every run. A call that hangs may have begun at any moment.
func within(took, allowed time.Duration, fault sim.Fault) time.Duration {
	if took < 9*time.Second && fault.Delay < 10*time.Second {
		return 10 * time.Second
	}
	return allowed
}

// recovery answers how long it took until everything was right after an outage.
func recovery(t *testing.T, fault sim.Fault, outage time.Duration) (took time.Duration) {
	t.Helper()
	apptest.Run(t, sim.Options{Snapshot: "none"}, func(t *testing.T, b *apptest.Bubble) {
		var before, during []sim.Subscription
		for range 16 {
			before = append(before, b.Subscribe("SIX"))
		}
		for range 8 {
			during = append(during, b.Subscribe("SIX"))
		}
		b.Settle()
		if outage > time.Hour {
			b.Stop()
			b.Start(cancelapp.Options{Idle: time.Minute}) // a day of fake time is many queries
		}
		b.Sim.Break(fault)
		b.Place(before...)
		time.Sleep(outage / 2)
		b.Place(during...)
		time.Sleep(outage - outage/2)
		b.Sim.ClearFaults()
		took = b.RightWithin(allowed(outage), 5, append(before, during...)...)
		if err := b.App.Ready(); err != nil {
			t.Errorf("Ready = %v", err)
		}
		nothingDead(t, b)
	})
	return took
}

// One operation is down for ten minutes, for everybody.
func TestRecoveryOfAnOperation(t *testing.T) {
	for _, path := range []string{"/update/", "/cancel/", "/items/"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			t.Logf("FAULT | only %s is answered 503, for ten minutes | I13: all is right within 75 s of it", path)
			apptest.Run(t, sim.Options{Snapshot: "none"}, func(t *testing.T, b *apptest.Bubble) {
				var gifts []sim.Subscription
				for range 10 {
					gifts = append(gifts, b.Gift())
				}
				b.Settle()
				b.Place(gifts...)
				b.Settle()
				time.Sleep(time.Minute)
				b.Sim.Break(sim.Fault{Path: path, Status: 503})
				b.Place(gifts...)
				time.Sleep(10 * time.Minute)
				b.Sim.ClearFaults()
				b.RightWithin(allowed(10*time.Minute), 2, gifts...)
			})
		})
	}
}

// A shop with one subscription opens the breaker too, and for no longer than it must.
func TestRecoveryOfASmallShop(t *testing.T) {
	t.Log("FAULT | an outage of an hour in a shop with one subscription | I13: the breaker opens, and all is right 10 s" +
		" after it")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Subscribe("SIX")
		b.Settle()
		b.Sim.Break(sim.Fault{Status: 503})
		b.Place(sub)
		time.Sleep(time.Hour)
		if b.App.Ready() == nil {
			t.Error("Ready = nil during the outage")
		}
		b.Sim.ClearFaults()
		b.RightWithin(10*time.Second, 5, sub)
	})
}

// The key may not ask for the cancel reasons, which is the neutral call otherwise: another subscription stands in for
// it.
func TestNeutralCallRefused(t *testing.T) {
	t.Log("FAULT | the key may not make the call that the breaker asks with | I12 I13: one that it may make stands in")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		ill, other := b.Gift(), b.Subscribe("SIX")
		b.Settle()
		ping := sim.Fault{Path: "/merchant/cancel_reason/", Status: 403, Body: denied}
		fault := about(ill, sim.Fault{Method: "GET", Status: 500})
		b.Sim.Break(ping)
		b.Sim.Break(fault)
		b.Place(ill)
		time.Sleep(time.Minute)
		if err := b.App.Ready(); err != nil {
			t.Errorf("one subscription is ill: Ready = %v", err)
		}
		b.Sim.ClearFaults()
		b.Sim.Break(sim.Fault{Status: 503})
		b.Place(ill, other)
		time.Sleep(time.Minute)
		if b.App.Ready() == nil {
			t.Error("Ready = nil during an outage")
		}
		b.Sim.ClearFaults()
		b.Sim.Break(ping)
		b.RightWithin(allowed(time.Minute), 5, other)
		b.RightWithin(allowed(time.Minute), 2, ill)
		b.Sim.ClearFaults()
	})
}

// A shutdown in the middle of a call is no outage.
func TestShutdownIsNoOutage(t *testing.T) {
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Gift()
		b.Settle()
		b.Sim.Break(sim.Fault{Path: "/merchant/cancel_reason/", Delay: 9 * time.Second, OnlyDelay: true})
		b.Sim.Break(sim.Fault{Status: 503})
		b.Gift()
		time.Sleep(1500 * time.Millisecond) // the neutral call is in flight
		b.Stop()                            // it breaks off what is in flight after its grace
		if err := b.App.Ready(); err != nil {
			t.Errorf("Ready = %v", err)
		}
		b.Sim.ClearFaults()
	})
}
