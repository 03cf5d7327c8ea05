package cancelapp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// TestAnswersGoWrong spoils each call of a gift's life, once and several times, in every way an answer can go wrong.
func TestAnswersGoWrong(t *testing.T) {
	other := `{"public_id":"another","product":"GIFT-3MO","live":true,"extra_data":{}}`
	tests := []struct {
		fault string
		with  ogsim.Fault
	}{
		{"423", ogsim.Fault{Status: 423, Body: `{"details":"Resource is currently in use. Please try again shortly."}`}},
		{"429, Retry-After 0", ogsim.Fault{Status: 429, RetryAfter: "0"}},
		{"429, Retry-After 5", ogsim.Fault{Status: 429, RetryAfter: "5"}},
		{"429, Retry-After a date", ogsim.Fault{Status: 429, RetryAfter: "Sat, 01 Jan 2000 00:00:20 GMT"}}, // 20 s into the bubble's time
		{"429, Retry-After 10^9", ogsim.Fault{Status: 429, RetryAfter: "1000000000"}},
		{"429, Retry-After garbage", ogsim.Fault{Status: 429, RetryAfter: "soon"}},
		{"500", ogsim.Fault{Status: 500}},
		{"502", ogsim.Fault{Status: 502, Body: "<html>"}},
		{"503", ogsim.Fault{Status: 503, RetryAfter: "30"}},
		{"504 after the effect", ogsim.Fault{Status: 504, TakesEffect: true}},
		{"connection reset before the effect", ogsim.Fault{}},
		{"connection reset after the effect", ogsim.Fault{TakesEffect: true}},
		{"200 with HTML", ogsim.Fault{Status: 200, Body: "<html>login</html>"}},
		{"200 with HTML after the effect", ogsim.Fault{Status: 200, Body: "<html>login</html>", TakesEffect: true}},
		{"200 with a cut body after the effect", ogsim.Fault{Status: 200, Body: other[:40], TakesEffect: true}},
		{"200 with another subscription", ogsim.Fault{Status: 200, Body: other}},
		{"401", ogsim.Fault{Status: 401, Body: `{"detail":"Authentication Failed"}`}},
		{"403", ogsim.Fault{Status: 403, Body: `{"detail":"Authentication Failed"}`}},
	}
	for _, test := range tests {
		t.Run(test.fault, func(t *testing.T) {
			t.Parallel()
			t.Logf("FAULT | Ordergroove answers with %s, to every call and to each kind of call, once and 9 times over | I2 I3 I4 I7 I9", test.fault)
			for path, each := range map[string][]int{"": {1, 9}, "/update/": {1}, "/cancel/": {1}, "/items/": {1}} {
				for _, times := range each {
					inBubble(t, ogsim.Options{Snapshot: "none"}, func(t *testing.T, b *bubble) {
						spoil := func() {
							f := test.with
							f.Path, f.Times = path, times
							b.sim.Break(f)
						}
						spoil()
						gift := b.gift()
						b.settled()
						b.sim.ClearFaults()
						for range 2 {
							spoil()
							b.place(gift)
							b.settled()
							b.sim.ClearFaults()
						}
						b.judge(gift)
						b.nothingDead()
					})
				}
			}
		})
	}
}

// nothingDead fails if an event is dead: none of these faults is its own.
func (b *bubble) nothingDead() {
	b.t.Helper()
	dead, err := b.db.Events(b.t.Context(), store.StatusDead, 10)
	if err != nil || len(dead) > 0 {
		b.t.Errorf("dead events: %+v, %v", dead, err)
	}
}

// TestTwelveHoursAway takes the API away for twelve hours: deliveries go on, nobody's attempts are spent, and its return is
// no stampede.
func TestTwelveHoursAway(t *testing.T) {
	t.Log("FAULT | Ordergroove is down for 12 hours and comes back | I1 I2 I3 I4 I7 I9")
	inBubble(t, ogsim.Options{Snapshot: "none"}, func(t *testing.T, b *bubble) {
		b.stop()
		b.start(cancelapp.Options{Idle: 20 * time.Second}) // half a day of fake time is many questions to the database
		var gifts []ogsim.Subscription
		for range 30 {
			gifts = append(gifts, b.gift())
		}
		b.settled()
		b.sim.Break(ogsim.Fault{})
		before := len(b.sim.Calls())
		for hour := range 12 {
			for i := range 5 {
				b.place(gifts[(5*hour+i)%len(gifts)])
			}
			time.Sleep(time.Hour)
		}
		asked := len(b.sim.Calls()) - before
		if most := 12*60*3 + 100; asked > most {
			t.Errorf("%d calls in 12 hours, want a probe a minute: at most %d", asked, most)
		}
		if err := b.app.Ready(); err == nil {
			t.Error("Ready says nothing of it")
		}
		pages, err := b.db.Subscriptions(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			if p.Attempts > 5 {
				t.Errorf("%s has spent %d attempts", p.Subscription, p.Attempts)
			}
		}
		b.sim.ClearFaults()
		back := time.Now()
		b.settled()
		busiest := map[int64]int{}
		for _, c := range b.sim.Calls() {
			if c.At.After(back) {
				busiest[c.At.Unix()/60]++
			}
		}
		for minute, calls := range busiest {
			if calls > 5400+90 {
				t.Errorf("%d calls in minute %d", calls, minute)
			}
		}
		for _, gift := range gifts {
			b.judge(gift)
		}
		b.nothingDead()
	})
}

// TestLateLanding lets a change whose answer timed out take effect a minute later, after our own retry and after the next
// box: the next look mends it.
func TestLateLanding(t *testing.T) {
	t.Log("FAULT | a timed-out PATCH lands 60 s later, after our retry | I2 I3 I4")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.subscribe("SIX")
		b.settled()
		b.place(sub)
		b.settled()
		b.lands = 60 * time.Second // the next change lands late
		b.place(sub)
		time.Sleep(30 * time.Second)
		b.place(sub) // the retry, and one box more, are written before
		b.settled()
		time.Sleep(2 * time.Minute)
		now, _ := b.sim.Subscription(sub.ID)
		if counter, _ := now.Counter(); counter != "3" {
			t.Fatalf("the counter is %s: the late change did not land", counter)
		}
		b.place(sub)
		b.settled()
		now, _ = b.sim.Subscription(sub.ID)
		for _, fault := range ogsim.Judge(now, 5, sub.ExtraData) {
			t.Error(fault)
		}
		if !strings.Contains(b.journal(sub), "restored") {
			t.Errorf("the journal does not tell of it:\n%s", b.journal(sub))
		}
	})
}

// TestLateLandingOfAnUnconfirmedCounter lets a change land whose counter was never confirmed, since the next box came before
// our retry: only the record of counters sent tells it from an agent's edit. Without it, a box too many.
func TestLateLandingOfAnUnconfirmedCounter(t *testing.T) {
	t.Log("FAULT | a timed-out PATCH lands 60 s later, and its counter had never been confirmed | I2 I3 I4")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.subscribe("SIX")
		b.settled()
		b.lands = 60 * time.Second
		b.place(sub)
		time.Sleep(500 * time.Millisecond)
		b.place(sub)
		b.settled()
		if now, _ := b.sim.Subscription(sub.ID); string(now.ExtraData) != `{"mine":1.10,"fulfillment_counter":"3","termed":"true"}` {
			t.Fatalf("extra_data is %s, want 3 to go", now.ExtraData)
		}
		time.Sleep(2 * time.Minute)
		now, _ := b.sim.Subscription(sub.ID)
		if counter, _ := now.Counter(); counter != "4" {
			t.Fatalf("the counter is %s: the late change did not land", counter)
		}
		b.place(sub)
		b.settled()
		now, _ = b.sim.Subscription(sub.ID)
		for _, fault := range ogsim.Judge(now, 5, sub.ExtraData) {
			t.Error(fault)
		}
		if page := b.page(sub); page.Adjustment != 0 {
			t.Errorf("adjusted by %d", page.Adjustment)
		}
	})
}

// TestOtherHands lets somebody else do something at every single call of a life, before it arrives and after it took effect.
func TestOtherHands(t *testing.T) {
	const calls = 8 // of a gift's life
	edit := func(b *bubble, sub ogsim.Subscription, change func(map[string]json.RawMessage)) {
		now, _ := b.sim.Subscription(sub.ID)
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(now.ExtraData, &members); err != nil {
			b.t.Error(err)
		}
		change(members)
		data, err := json.Marshal(members)
		if err != nil {
			b.t.Error(err)
		}
		if err := b.sim.Edit(sub.ID, data); err != nil {
			b.t.Error(err)
		}
	}
	tests := []struct {
		hand string
		does func(*bubble, ogsim.Subscription)
		// ends says what must be in the end, beside: a foreign member unchanged, never a cancel before zero, at most one.
		ends func(t *testing.T, now ogsim.Subscription, page counter.Ledger)
	}{
		{"another application adds a member", func(b *bubble, sub ogsim.Subscription) {
			edit(b, sub, func(m map[string]json.RawMessage) { m["theirs"] = json.RawMessage(`1`) })
		}, exact},
		{"another application wipes our members", func(b *bubble, sub ogsim.Subscription) {
			edit(b, sub, func(m map[string]json.RawMessage) {
				delete(m, "fulfillment_counter")
				delete(m, "termed")
				delete(m, "hide")
			})
		}, exact},
		{"another application writes an older counter back", func(b *bubble, sub ogsim.Subscription) {
			edit(b, sub, func(m map[string]json.RawMessage) {
				if m["fulfillment_counter"] != nil {
					m["fulfillment_counter"] = json.RawMessage(`"2"`)
				}
			})
		}, exact},
		{"a customer cancels", func(b *bubble, sub ogsim.Subscription) {
			if err := b.sim.CancelByAgent(sub.ID); err != nil {
				b.t.Error(err)
			}
		}, func(t *testing.T, now ogsim.Subscription, page counter.Ledger) {
			if now.Live || page.State != counter.Ended && page.State != counter.Completed {
				t.Errorf("live %v, %s: it was cancelled", now.Live, page.State)
			}
		}},
		{"a customer cancels and comes back", func(b *bubble, sub ogsim.Subscription) {
			if err := errors.Join(b.sim.CancelByAgent(sub.ID), b.sim.Reactivate(sub.ID)); err != nil {
				b.t.Error(err)
			}
		}, func(t *testing.T, now ogsim.Subscription, page counter.Ledger) {
			// At zero a reactivation is answered by a person, before zero the term goes on: either way what is live is not
			// silently endless.
			if now.Live && page.Remaining() == 0 && page.State != counter.Attention {
				t.Errorf("live with nothing to go, and %s", page.State)
			}
			if !now.Live && page.Remaining() > 0 {
				t.Errorf("cancelled with %d to go", page.Remaining())
			}
		}},
		{"an agent adds three boxes", func(b *bubble, sub ogsim.Subscription) {
			edit(b, sub, func(m map[string]json.RawMessage) {
				var left string
				if json.Unmarshal(m["fulfillment_counter"], &left) == nil {
					m["fulfillment_counter"] = json.RawMessage(fmt.Sprintf(`"%d"`, int(left[0]-'0')+3))
				}
			})
		}, func(t *testing.T, now ogsim.Subscription, page counter.Ledger) {
			left, _ := now.Counter()
			if left != fmt.Sprint(page.Remaining()) || page.Adjustment < 0 {
				t.Errorf("the counter is %s, the ledger has %d to go, adjusted by %d", left, page.Remaining(), page.Adjustment)
			}
		}},
		{"an agent takes a box away", func(b *bubble, sub ogsim.Subscription) {
			edit(b, sub, func(m map[string]json.RawMessage) {
				var left string
				if json.Unmarshal(m["fulfillment_counter"], &left) == nil && left != "0" {
					m["fulfillment_counter"] = json.RawMessage(fmt.Sprintf(`"%d"`, int(left[0]-'0')-1))
				}
			})
		}, func(t *testing.T, now ogsim.Subscription, page counter.Ledger) {
			left, _ := now.Counter()
			if left != "0" || now.Live || page.Adjustment > 0 {
				t.Errorf("the counter is %s, live %v, adjusted by %d", left, now.Live, page.Adjustment)
			}
		}},
		{"an agent makes the counter text", func(b *bubble, sub ogsim.Subscription) {
			edit(b, sub, func(m map[string]json.RawMessage) { m["fulfillment_counter"] = json.RawMessage(`"two"`) })
		}, func(t *testing.T, now ogsim.Subscription, page counter.Ledger) {
			if left, _ := now.Counter(); left == "two" && page.State != counter.Attention {
				t.Errorf("the counter is text, and %s", page.State)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.hand, func(t *testing.T) {
			t.Parallel()
			t.Logf("FAULT | %s, before each call of a life, and after every other | I2 I3 I4 I10", test.hand)
			for skip := range calls {
				for _, after := range []bool{false, true} {
					if after && skip%2 == 1 {
						continue // it is much the same as before the next call
					}
					inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
						f := ogsim.Fault{Skip: skip, Times: 1}
						does := func() { test.does(b, b.sim.Subscriptions()[0]) }
						if after {
							f.After = does
						} else {
							f.Before = does
						}
						b.sim.Break(f)
						sub := b.gift()
						b.settled()
						for range 2 {
							b.place(sub)
							b.settled()
						}
						// Whatever was done between two calls of ours shows at the next look.
						b.nudge(sub)
						b.settled()
						now, _ := b.sim.Subscription(sub.ID)
						page := b.page(sub)
						if now.Cancels > 1 || now.Cancels == 1 && page.Remaining() > 0 && page.Adjustment <= 0 {
							t.Errorf("call %d: %d cancels with %d to go", skip, now.Cancels, page.Remaining())
						}
						if now.Placed > 2 {
							t.Errorf("call %d: %d boxes", skip, now.Placed)
						}
						var members map[string]json.RawMessage
						if err := json.Unmarshal(now.ExtraData, &members); err != nil || string(members["mine"]) != "1.10" {
							t.Errorf("call %d: extra_data is %s", skip, now.ExtraData)
						}
						test.ends(t, now, page)
						if t.Failed() {
							t.Logf("call %d, after %v: %s\n%s", skip, after, now.ExtraData, b.journal(sub))
						}
					})
				}
			}
		})
	}
}

// exact is the end of a gift of which two recurring orders were placed, unless a customer's hand was in it.
func exact(t *testing.T, now ogsim.Subscription, page counter.Ledger) {
	t.Helper()
	left, hidden := now.Counter()
	if left != "0" || !hidden || now.Live || now.Cancels != 1 || page.State != counter.Completed || page.Adjustment != 0 {
		t.Errorf("counter %s, hidden %v, live %v, %d cancels, %s, adjusted by %d", left, hidden, now.Live, now.Cancels, page.State, page.Adjustment)
	}
}

// nudge makes a subscription be looked at once more.
func (b *bubble) nudge(sub ogsim.Subscription) {
	b.t.Helper()
	if _, err := b.db.RetrySubscriptions(b.t.Context(), sub.ID, time.Now().UnixMilli()); err != nil {
		b.t.Fatal(err)
	}
}

// TestReactivatedAfterALostCancel: our cancel took effect, its answer was lost, and a customer came back before our retry. That is
// a reactivation after the end, and answered as the term says; a retry that took it for live all the time would cancel in
// any case (I4).
func TestReactivatedAfterALostCancel(t *testing.T) {
	t.Log("FAULT | a stale cancel is about to be retried and somebody has reactivated the subscription | I4: answered as on_reactivation says")
	tests := []struct {
		policy counter.OnReactivation
		live   bool
		cancel int
		state  counter.State
	}{
		{counter.ReleaseReactivation, true, 1, counter.Released},
		{counter.NewTerm, true, 1, counter.Active},
		{counter.Block, false, 2, counter.Completed},
	}
	for _, test := range tests {
		t.Run(string(test.policy), func(t *testing.T) {
			inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
				b.under(func(term *counter.Term) { term.OnReactivation = test.policy }, nil)
				sub := b.gift()
				b.settled()
				b.sim.Break(ogsim.Fault{Path: "/cancel/", TakesEffect: true, Times: 1})
				b.place(sub)
				b.settled()
				b.sim.Break(ogsim.Fault{Skip: 2, Status: 429, RetryAfter: "5", Times: 1}) // the retry is not at once
				b.place(sub)
				time.Sleep(1500 * time.Millisecond)
				if err := b.sim.Reactivate(sub.ID); err != nil {
					t.Fatal(err)
				}
				b.file() // its webhook is here before our retry
				b.settled()
				now, _ := b.sim.Subscription(sub.ID)
				if page := b.page(sub); now.Live != test.live || now.Cancels != test.cancel || page.State != test.state {
					t.Errorf("live %v after %d cancels, %s: %s", now.Live, now.Cancels, page.State, page.Reason)
				}
			})
		})
	}
}

// TestReplayEverything delivers a whole life again, twice: nothing changes (I10), and no call is made for what is known.
func TestReplayEverything(t *testing.T) {
	t.Log("FAULT | everything is delivered again, under the same ids and under new ones | I2 I4 I10")
	inBubble(t, ogsim.Options{Snapshot: "none", ItemEvents: true}, func(t *testing.T, b *bubble) {
		var lives []ordergroove.Delivery
		b.filed = func(d ordergroove.Delivery) { lives = append(lives, d) }
		sub := b.gift()
		b.settled()
		for range 2 {
			b.place(sub)
			b.settled()
		}
		b.judge(sub)
		b.filed = nil
		before, _ := b.sim.Subscription(sub.ID)
		writes := b.calls(http.MethodPatch)
		for round := range 3 {
			for _, d := range lives {
				if round > 0 {
					id := fmt.Sprintf("%s-%d", d.ID, round)
					d.Body = []byte(strings.Replace(string(d.Body), d.ID, id, 1))
					d.ID = id
				}
				if _, err := b.db.Append(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			b.settled()
		}
		if after, _ := b.sim.Subscription(sub.ID); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("it changed from %+v to %+v", before, after)
		}
		if got := b.calls(http.MethodPatch); got != writes {
			t.Errorf("%d changes more", got-writes)
		}
	})
}

// TestStoppedPastItsLease lets a worker hang in a call until its lease is another's: the other brings the subscription to
// its level, and the first, when it goes on, writes nothing.
func TestStoppedPastItsLease(t *testing.T) {
	t.Log("FAULT | a worker is stopped past its lease and goes on | I2 I4 I8")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.gift()
		b.settled()
		if _, err := b.sim.Place([]string{sub.ID}); err != nil {
			t.Fatal(err)
		}
		b.stop() // only the two below work from here
		b.file()
		hang := make(chan struct{})
		first := b.another(func(ctx context.Context) { <-hang })
		time.Sleep(40 * time.Second) // the lease is 30 s; its call does not notice
		second := b.another(nil)
		b.settled()
		b.judge(sub)
		close(hang)
		time.Sleep(10 * time.Second)
		second()
		first()
		b.judge(sub)
		if n := b.sim.Overlaps(); n > 0 {
			t.Errorf("%d times there were two changes in hand at once", n)
		}
		if now, _ := b.sim.Subscription(sub.ID); now.Writes != 2 {
			t.Errorf("%d writes, want 2: the one that was stopped has no say any more", now.Writes)
		}
	})
}

// another runs a second app on the same database, whose calls first wait for hold; it returns what ends it.
func (b *bubble) another(hold func(context.Context)) (stop func()) {
	b.t.Helper()
	client, err := ordergroove.NewClient(ordergroove.Options{
		URL: "http://127.0.0.1", Key: "simulated-api-key", Timeout: time.Hour, Transport: holding{direct{b.sim.Handler()}, hold},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	app := cancelapp.New(b.db, client, cancelapp.Options{Rules: cancelapp.Rules{Terms: b.terms}, Jitter: func() float64 { return 0.5 }})
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		app.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// holding is a transport that waits before each request, deaf to deadlines, as a stopped process is.
type holding struct {
	next http.RoundTripper
	hold func(context.Context)
}

func (h holding) RoundTrip(r *http.Request) (*http.Response, error) {
	if h.hold != nil {
		h.hold(r.Context())
	}
	return h.next.RoundTrip(r)
}
