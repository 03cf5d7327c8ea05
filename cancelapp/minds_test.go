package cancelapp_test

import (
	"testing"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/store"
)

// A release that Ordergroove refuses for now is not forgotten: once it can be done, it is.
func TestReleaseRefused(t *testing.T) {
	t.Log("FAULT | Ordergroove refuses (400) to take our members out of a released subscription | I3 I7: attention, and released as soon as it can be")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.gift()
		b.settled()
		b.sim.Break(ogsim.Fault{Method: "PATCH", Path: "/update/", Status: 400, Body: `{"detail":"Not now."}`})
		_, _, err := b.db.Amend(t.Context(), store.Amendment{
			Subscription: sub.ID, At: time.Now().UnixMilli(), Change: counter.LetGo,
			Entry: func(counter.Ledger, counter.Ledger) counter.Entry { return counter.Entry{Subscription: sub.ID} },
		})
		if err != nil {
			t.Fatal(err)
		}
		b.settled()
		if page := b.page(sub); page.State != counter.Attention || page.Exempt == "" {
			t.Errorf("page = %+v, want attention, and still to be released", page)
		}
		b.sim.ClearFaults()
		b.nudge(sub)
		b.settled()
		now, _ := b.sim.Subscription(sub.ID)
		if page := b.page(sub); page.State != counter.Released || string(now.ExtraData) != `{"mine":1.10}` {
			t.Errorf("%s, extra_data %s; want it released", page.State, now.ExtraData)
		}
	})
}
