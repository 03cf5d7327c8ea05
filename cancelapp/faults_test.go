package cancelapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// TestFaultyAnswers makes each call in the course of a gift fail, once and several times, in every way an answer can.
func TestFaultyAnswers(t *testing.T) {
	other := `{"public_id":"another","product":"GIFT-3MO","live":true,"extra_data":{}}`
	tests := []struct {
		fault string
		with  sim.Fault
	}{
		{"423", sim.Fault{Status: 423, Body: `{"details":"Resource is currently in use. Please try again shortly."}`}},
		{"429, Retry-After 0", sim.Fault{Status: 429, RetryAfter: "0"}},
		{"429, Retry-After 5", sim.Fault{Status: 429, RetryAfter: "5"}},
		// 20 s into the bubble's time.
		{"429, Retry-After a date", sim.Fault{Status: 429, RetryAfter: "Sat, 01 Jan 2000 00:00:20 GMT"}},
		{"429, Retry-After 10^9", sim.Fault{Status: 429, RetryAfter: "1000000000"}},
		{"429, Retry-After garbage", sim.Fault{Status: 429, RetryAfter: "soon"}},
		{"500", sim.Fault{Status: 500}},
		{"502", sim.Fault{Status: 502, Body: "<html>"}},
		{"503", sim.Fault{Status: 503, RetryAfter: "30"}},
		{"504 after the effect", sim.Fault{Status: 504, TakesEffect: true}},
		{"connection reset before the effect", sim.Fault{}},
		{"connection reset after the effect", sim.Fault{TakesEffect: true}},
		{"200 with HTML", sim.Fault{Status: 200, Body: "<html>login</html>"}},
		{"200 with HTML after the effect", sim.Fault{Status: 200, Body: "<html>login</html>", TakesEffect: true}},
		{"200 with a cut body after the effect", sim.Fault{Status: 200, Body: other[:40], TakesEffect: true}},
		{"200 with another subscription", sim.Fault{Status: 200, Body: other}},
		{"401", sim.Fault{Status: 401, Body: `{"detail":"Authentication Failed"}`}},
		{"403", sim.Fault{Status: 403, Body: `{"detail":"Authentication Failed"}`}},
	}
	for _, test := range tests {
		t.Run(test.fault, func(t *testing.T) {
			t.Parallel()
			t.Logf("FAULT | Ordergroove answers with %s, to every call and to each kind of call, once and 9 times in a row | "+
				"I2 I3 I4 I7 I9", test.fault)
			for path, each := range map[string][]int{"": {1, 9}, "/update/": {1}, "/cancel/": {1}, "/items/": {1}} {
				for _, times := range each {
					apptest.Run(t, sim.Options{Snapshot: "none"}, func(t *testing.T, b *apptest.Bubble) {
						breakNext := func() {
							f := test.with
							f.Path = path
							f.Times = times
							b.Sim.Break(f)
						}
						breakNext()
						gift := b.Gift()
						b.Settle()
						b.Sim.ClearFaults()
						for range 2 {
							breakNext()
							b.Place(gift)
							b.Settle()
							b.Sim.ClearFaults()
						}
						b.JudgeGift(gift)
						nothingDead(t, b)
					})
				}
			}
		})
	}
}

// nothingDead fails if an event is dead: none of these faults is about one event.
func nothingDead(t *testing.T, b *apptest.Bubble) {
	t.Helper()
	dead, err := b.DB.Events(t.Context(), store.EventFilter{Status: ledger.EventDead}, 10)
	if err != nil || len(dead) > 0 {
		t.Errorf("dead events: %+v, %v", dead, err)
	}
}

// TestTwelveHoursOutage takes the API down for twelve hours: deliveries continue, hardly any failed attempts are
// counted, and when it is back it is not called all at once.
func TestTwelveHoursOutage(t *testing.T) {
	t.Log("FAULT | Ordergroove is down for 12 hours and comes back | I1 I2 I3 I4 I7 I9")
	apptest.Run(t, sim.Options{Snapshot: "none"}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		b.Start(cancelapp.Options{Idle: 20 * time.Second}) // half a day of fake time is many queries
		var gifts []sim.Subscription
		for range 30 {
			gifts = append(gifts, b.Gift())
		}
		b.Settle()
		b.Sim.Break(sim.Fault{})
		before := len(b.Sim.Calls())
		for hour := range 12 {
			for i := range 5 {
				b.Place(gifts[(5*hour+i)%len(gifts)])
			}
			time.Sleep(time.Hour)
		}
		calls := len(b.Sim.Calls()) - before
		if most := 12*60*12 + 100; calls > most {
			t.Errorf("%d calls in 12 hours, want a probe every 5 s: at most %d", calls, most)
		}
		if err := b.App.Ready(); err == nil {
			t.Error("Ready = nil while the API is down")
		}
		subs, err := b.DB.Subscriptions(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range subs {
			if sub.Attempts > 5 {
				t.Errorf("%s has %d failed attempts", sub.ID, sub.Attempts)
			}
		}
		b.Sim.ClearFaults()
		back := time.Now()
		b.Settle()
		busiest := map[int64]int{}
		for _, c := range b.Sim.Calls() {
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
			b.JudgeGift(gift)
		}
		nothingDead(t, b)
	})
}

// TestLateLanding lets a change whose answer timed out take effect a minute later, after our own retry and after the
// next order: the next sync repairs it.
func TestLateLanding(t *testing.T) {
	t.Log("FAULT | a timed-out PATCH lands 60 s later, after our retry | I2 I3 I4")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Subscribe("SIX")
		b.Settle()
		b.Place(sub)
		b.Settle()
		b.Lands = 60 * time.Second // the next change lands late
		b.Place(sub)
		time.Sleep(30 * time.Second)
		b.Place(sub) // the retry, and one order more, are written before
		b.Settle()
		time.Sleep(2 * time.Minute)
		if counter, _ := b.Observed(sub).Counter(); counter != "3" {
			t.Fatalf("the counter is %s: the late change did not land", counter)
		}
		b.Place(sub)
		b.Settle()
		b.Judge(sub, 5)
		if !strings.Contains(b.Journal(sub), "restored") {
			t.Errorf("the journal does not have it:\n%s", b.Journal(sub))
		}
	})
}

// TestLateLandingOfUnconfirmedCounter lets a change land whose counter was never confirmed, since the next order was
// placed before our retry: only the record of counters sent tells it from an agent's edit. Without it, one order too
// many is made.
func TestLateLandingOfUnconfirmedCounter(t *testing.T) {
	t.Log("FAULT | a timed-out PATCH lands 60 s later, and its counter had never been confirmed | I2 I3 I4")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Subscribe("SIX")
		b.Settle()
		b.Lands = 60 * time.Second
		b.Place(sub)
		time.Sleep(500 * time.Millisecond)
		b.Place(sub)
		b.Settle()
		want := `{"mine":1.10,"fulfillment_counter":"3","termed":"true"}`
		if got := b.Observed(sub).ExtraData; string(got) != want {
			t.Fatalf("extra_data is %s, want %s", got, want)
		}
		time.Sleep(2 * time.Minute)
		if counter, _ := b.Observed(sub).Counter(); counter != "4" {
			t.Fatalf("the counter is %s: the late change did not land", counter)
		}
		b.Place(sub)
		b.Settle()
		b.Judge(sub, 5)
		if got := b.Recorded(sub).Adjustment; got != 0 {
			t.Errorf("adjusted by %d", got)
		}
	})
}

// TestChangesByOthers lets somebody else do something at every single call of a gift, before it arrives and after it
// took effect.
func TestChangesByOthers(t *testing.T) {
	const calls = 7 // in the course of a gift
	tests := []struct {
		change string
		make   func(*testing.T, *apptest.Bubble, sim.Subscription)
		// check says what must be in the end, besides: a foreign key unchanged, never a cancel before zero, at most one.
		check func(t *testing.T, now sim.Subscription, recorded ledger.Subscription)
	}{
		{"another application adds a key", edit(func(keys map[string]json.RawMessage) {
			keys["theirs"] = json.RawMessage(`1`)
		}), completedOnce},
		{"another application removes our keys", edit(func(keys map[string]json.RawMessage) {
			delete(keys, "fulfillment_counter")
			delete(keys, "termed")
			delete(keys, "hide")
		}), completedOnce},
		{"another application writes an older counter back", edit(func(keys map[string]json.RawMessage) {
			if keys["fulfillment_counter"] != nil {
				keys["fulfillment_counter"] = json.RawMessage(`"2"`)
			}
		}), completedOnce},
		{"a customer cancels", func(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
			if err := b.Sim.CancelByAgent(sub.ID); err != nil {
				t.Error(err)
			}
		}, func(t *testing.T, now sim.Subscription, recorded ledger.Subscription) {
			if now.Live || recorded.State != counter.Ended && recorded.State != counter.Completed {
				t.Errorf("live %v, %s: it was canceled", now.Live, recorded.State)
			}
		}},
		{"a customer cancels and reactivates", func(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
			if err := errors.Join(b.Sim.CancelByAgent(sub.ID), b.Sim.Reactivate(sub.ID)); err != nil {
				t.Error(err)
			}
		}, func(t *testing.T, now sim.Subscription, recorded ledger.Subscription) {
			// At zero a person answers a reactivation, before zero the term continues: either way nothing that is live goes on
			// for ever unnoticed.
			if now.Live && recorded.Remaining() == 0 && recorded.State != counter.Attention {
				t.Errorf("live with none remaining, and %s", recorded.State)
			}
			if !now.Live && recorded.Remaining() > 0 {
				t.Errorf("canceled with %d remaining", recorded.Remaining())
			}
		}},
		{"an agent adds three shipments", edit(func(keys map[string]json.RawMessage) {
			var left string
			if json.Unmarshal(keys["fulfillment_counter"], &left) == nil {
				keys["fulfillment_counter"] = json.RawMessage(fmt.Sprintf(`"%d"`, int(left[0]-'0')+3))
			}
		}), func(t *testing.T, now sim.Subscription, recorded ledger.Subscription) {
			left, _ := now.Counter()
			if left != fmt.Sprint(recorded.Remaining()) || recorded.Adjustment < 0 {
				t.Errorf("the counter is %s, recorded are %d, adjusted by %d", left, recorded.Remaining(), recorded.Adjustment)
			}
		}},
		{"an agent takes a shipment away", edit(func(keys map[string]json.RawMessage) {
			var left string
			if json.Unmarshal(keys["fulfillment_counter"], &left) == nil && left != "0" {
				keys["fulfillment_counter"] = json.RawMessage(fmt.Sprintf(`"%d"`, int(left[0]-'0')-1))
			}
		}), func(t *testing.T, now sim.Subscription, recorded ledger.Subscription) {
			left, _ := now.Counter()
			if left != "0" || now.Live || recorded.Adjustment > 0 {
				t.Errorf("the counter is %s, live %v, adjusted by %d", left, now.Live, recorded.Adjustment)
			}
		}},
		{"an agent makes the counter text", edit(func(keys map[string]json.RawMessage) {
			keys["fulfillment_counter"] = json.RawMessage(`"two"`)
		}), func(t *testing.T, now sim.Subscription, recorded ledger.Subscription) {
			if left, _ := now.Counter(); left == "two" && recorded.State != counter.Attention {
				t.Errorf("the counter is text, and %s", recorded.State)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.change, func(t *testing.T) {
			t.Parallel()
			t.Logf("FAULT | %s, before each call in the course of a subscription, and after every other | I2 I3 I4 I10",
				test.change)
			for skip := range calls {
				for _, after := range []bool{false, true} {
					if after && skip%2 == 1 {
						continue // it is much the same as before the next call
					}
					apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
						f := sim.Fault{Skip: skip, Times: 1}
						change := func() { test.make(t, b, b.Sim.Subscriptions()[0]) }
						if after {
							f.After = change
						} else {
							f.Before = change
						}
						b.Sim.Break(f)
						sub := b.Gift()
						b.Settle()
						for range 2 {
							b.Place(sub)
							b.Settle()
						}
						// Whatever was done between two calls of ours shows at the next sync.
						b.Retry(sub)
						b.Settle()
						now := b.Observed(sub)
						recorded := b.Recorded(sub)
						blocked := strings.Count(b.Journal(sub), "termed blocked") // each a cancel of its own
						if now.Cancels > 1+blocked || now.Cancels == 1 && recorded.Remaining() > 0 && recorded.Adjustment <= 0 {
							t.Errorf("call %d: %d cancels with %d remaining", skip, now.Cancels, recorded.Remaining())
						}
						if now.Placed > 2 {
							t.Errorf("call %d: %d orders placed", skip, now.Placed)
						}
						var keys map[string]json.RawMessage
						if err := json.Unmarshal(now.ExtraData, &keys); err != nil || string(keys["mine"]) != "1.10" {
							t.Errorf("call %d: extra_data is %s", skip, now.ExtraData)
						}
						test.check(t, now, recorded)
						if t.Failed() {
							t.Logf("call %d, after %v: %s\n%s", skip, after, now.ExtraData, b.Journal(sub))
						}
					})
				}
			}
		})
	}
}

// edit changes extra_data as another application or an agent does.
func edit(change func(keys map[string]json.RawMessage)) func(*testing.T, *apptest.Bubble, sim.Subscription) {
	return func(t *testing.T, b *apptest.Bubble, sub sim.Subscription) {
		now, _ := b.Sim.Subscription(sub.ID)
		keys := map[string]json.RawMessage{}
		if err := json.Unmarshal(now.ExtraData, &keys); err != nil {
			t.Error(err)
		}
		change(keys)
		data, err := json.Marshal(keys)
		if err != nil {
			t.Error(err)
		}
		if err := b.Sim.Edit(sub.ID, data); err != nil {
			t.Error(err)
		}
	}
}

// completedOnce checks a gift of which two recurring orders were placed, and that no customer changed.
func completedOnce(t *testing.T, now sim.Subscription, recorded ledger.Subscription) {
	t.Helper()
	left, hidden := now.Counter()
	if left != "0" || !hidden || now.Live || now.Cancels != 1 {
		t.Errorf("counter %s, hidden %v, live %v after %d cancels", left, hidden, now.Live, now.Cancels)
	}
	if recorded.State != counter.Completed || recorded.Adjustment != 0 {
		t.Errorf("%s, adjusted by %d", recorded.State, recorded.Adjustment)
	}
}

// TestReactivatedAfterLostCancel: our cancel took effect, its answer was lost, and a customer reactivated before our
// retry. That is a reactivation after the end, and answered as the term says; a retry that took it for live all the
// time would cancel in any case (I4).
func TestReactivatedAfterLostCancel(t *testing.T) {
	t.Log("FAULT | a stale cancel is about to be retried and somebody has reactivated the subscription | " +
		"I4: answered as on_reactivation says")
	tests := []struct {
		policy  counter.OnReactivation
		live    bool
		cancels int
		state   counter.State
	}{
		{counter.ReleaseReactivation, true, 1, counter.Released},
		{counter.NewTerm, true, 1, counter.Active},
		{counter.Block, false, 2, counter.Completed},
	}
	for _, test := range tests {
		t.Run(string(test.policy), func(t *testing.T) {
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				b.Reload(func(term *counter.Term) { term.OnReactivation = test.policy }, nil)
				sub := b.Gift()
				b.Settle()
				b.Sim.Break(sim.Fault{Path: "/cancel/", TakesEffect: true, Times: 1})
				b.Place(sub)
				b.Settle()
				b.Sim.Break(sim.Fault{Skip: 2, Status: 429, RetryAfter: "5", Times: 1}) // the retry is not at once
				b.Place(sub)
				time.Sleep(1500 * time.Millisecond)
				reactivate(t, b, sub)
				b.File() // its webhook is here before our retry
				b.Settle()
				now := b.Observed(sub)
				got := b.Recorded(sub)
				if now.Live != test.live || now.Cancels != test.cancels || got.State != test.state {
					t.Errorf("live %v after %d cancels, %s: %s", now.Live, now.Cancels, got.State, got.Reason)
				}
			})
		})
	}
}

// TestReplayEverything delivers all events of a subscription again, three times: nothing changes (I10).
func TestReplayEverything(t *testing.T) {
	t.Log("FAULT | everything is delivered again, under the same ids and under new ones | I2 I4 I10")
	apptest.Run(t, sim.Options{Snapshot: "none", ItemEvents: true}, func(t *testing.T, b *apptest.Bubble) {
		var filed []ledger.Event
		b.Filed = func(e ledger.Event) { filed = append(filed, e) }
		sub := b.Gift()
		b.Settle()
		for range 2 {
			b.Place(sub)
			b.Settle()
		}
		b.JudgeGift(sub)
		b.Filed = nil
		before := b.Observed(sub)
		writes := b.Calls(http.MethodPatch)
		for round := range 3 {
			for _, e := range filed {
				if round > 0 {
					id := fmt.Sprintf("%s-%d", e.ID, round)
					e.Body = []byte(strings.Replace(string(e.Body), e.ID, id, 1))
					e.ID = id
				}
				b.Append(e)
			}
			b.Settle()
		}
		if after := b.Observed(sub); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("it changed from %+v to %+v", before, after)
		}
		if got := b.Calls(http.MethodPatch); got != writes {
			t.Errorf("%d more calls to change it", got-writes)
		}
	})
}

// TestStoppedPastItsLease lets a worker hang in a call until its lease is another's: the other brings the subscription
// to its desired state, and the first, when it continues, writes nothing. That is not the database's fault, and not
// logged as one.
func TestStoppedPastItsLease(t *testing.T) {
	t.Log("FAULT | a worker is stopped past its lease and continues | I2 I4 I8")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		if _, err := b.Sim.Place([]string{sub.ID}); err != nil {
			t.Fatal(err)
		}
		b.Stop() // only the two below work from here
		b.File()
		hang := make(chan struct{})
		var log bytes.Buffer
		first := startAnother(b, &log, func(context.Context) { <-hang })
		time.Sleep(40 * time.Second) // the lease is 30 s; its call does not notice
		second := startAnother(b, io.Discard, nil)
		b.Settle()
		b.JudgeGift(sub)
		close(hang)
		time.Sleep(10 * time.Second)
		second()
		first()
		b.JudgeGift(sub)
		if n := b.Sim.Overlaps(); n > 0 {
			t.Errorf("%d times two changes were in progress at once", n)
		}
		if now := b.Observed(sub); now.Writes != 2 {
			t.Errorf("%d writes, want 2: the worker that was stopped must not write anymore", now.Writes)
		}
		wantLeaseLost(t, log.String())
	})
}

// startAnother runs a second App on the same database, whose calls first wait for hold; it returns what stops it.
func startAnother(b *apptest.Bubble, log io.Writer, hold func(context.Context)) (stop func()) {
	client := b.NewClient(holding{apptest.Direct{Handler: b.Sim.Handler()}, hold}, time.Hour)
	var db cancelapp.Store = b.DB
	if hold != nil {
		db = unrenewed{b.DB}
	}
	app := cancelapp.New(db, client, cancelapp.Options{
		Rules:  cancelapp.Rules{Terms: b.Terms},
		MaxGap: -1,
		Jitter: func() float64 { return 0.5 },
		Log:    slog.New(slog.NewTextHandler(log, nil)),
	})
	return b.Go(app.Run)
}

// unrenewed is the store of a process that is stopped: it renews no lease.
type unrenewed struct{ *store.Store }

func (unrenewed) Renew(context.Context, ledger.Lease, int64) error { return errors.New("stopped") }

// holding is a transport that waits before each request and ignores deadlines, as a stopped process does.
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

// TestLeaseLost takes a lease away from a sync at each of its calls, before its next write to the database: somebody
// else syncs the subscription, and the log does not call it a store error, whichever write finds out.
func TestLeaseLost(t *testing.T) {
	tests := []struct {
		during string
		fault  sim.Fault
	}{
		{"reading it, before a step is recorded", sim.Fault{Method: "GET", Path: "/subscriptions/"}},
		{"changing it, before the sync ends", sim.Fault{Method: "PATCH", Path: "/update/"}},
		{"canceling it, before the sync ends", sim.Fault{Method: "PATCH", Path: "/cancel/"}},
	}
	for _, test := range tests {
		t.Run(test.during, func(t *testing.T) {
			t.Logf("FAULT | a lease is lost while %s | I2 I4 I8: another worker continues, and no store error is logged",
				test.during)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				b.Stop()
				var log bytes.Buffer
				b.Start(cancelapp.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
				sub := b.Gift()
				b.Place(sub)
				b.Settle()
				test.fault.Times = 1
				test.fault.After = func() {
					future := time.Now().Add(time.Hour).UnixMilli() // when the lease has expired
					claimed, err := b.DB.Claim(t.Context(), future, time.Now().Add(time.Second).UnixMilli(), 10, 10)
					if err != nil || len(claimed) != 1 {
						t.Errorf("claimed %v, %v; want the subscription", claimed, err)
					}
				}
				b.Sim.Break(test.fault)
				b.Place(sub)
				b.Settle()
				b.JudgeGift(sub)
				wantLeaseLost(t, log.String())
			})
		})
	}
}

func wantLeaseLost(t *testing.T, log string) {
	t.Helper()
	if !strings.Contains(log, "lease") || strings.Contains(log, "store error") || strings.Contains(log, "level=ERROR") {
		t.Errorf("want the log to have a lost lease, and no error:\n%s", log)
	}
}
