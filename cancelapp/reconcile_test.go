package cancelapp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// reconcile compares, and waits until what was found is repaired.
func (b *bubble) reconcile(scope cancelapp.Scope) cancelapp.Report {
	b.t.Helper()
	report, err := b.app.Reconcile(b.t.Context(), scope, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.settled()
	return report
}

// kinds are the findings of a report, by subscription.
func kinds(r cancelapp.Report) map[string]cancelapp.Kind {
	all := map[string]cancelapp.Kind{}
	for _, f := range r.Findings {
		all[f.Subscription] = f.Kind
	}
	return all
}

// silent makes subscriptions that are never announced.
func (b *bubble) silent(n int, sku string) []ogsim.Subscription {
	b.t.Helper()
	var subs []ogsim.Subscription
	for range n {
		sub, err := b.sim.Subscribe(ogsim.NewSubscription{Customer: "c", Product: sku, ExtraData: json.RawMessage(`{"mine":1.10}`), Silent: true})
		if err != nil {
			b.t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	return subs
}

// placeUnheard places the next box of each, and loses the news.
func (b *bubble) placeUnheard(subs ...ogsim.Subscription) {
	b.t.Helper()
	for _, sub := range subs {
		if _, err := b.sim.Place([]string{sub.ID}); err != nil {
			b.t.Fatal(err)
		}
	}
	b.sim.Take()
}

// What a comparison costs, per thousand subscriptions: docs/operations.md states these figures.
func TestReconcileEconomy(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		const n = 300
		subs := b.silent(n, "SIX")
		calls := func(doing func()) int {
			before := len(b.sim.Calls())
			doing()
			return len(b.sim.Calls()) - before
		}
		tests := []struct {
			what string
			do   func()
			want int
		}{
			{"everything, none of it known: a page a hundred, and for each GET, items, PATCH", func() { b.reconcile(cancelapp.Scope{}) }, n/100 + 3*n},
			{"everything, for the first time since: two pages a hundred, and the placed orders of each", func() { b.reconcile(cancelapp.Scope{}) }, 2*n/100 + n},
			{"everything, nothing happened: two pages a hundred", func() { b.reconcile(cancelapp.Scope{}) }, 2 * n / 100},
			{"what was updated lately, which is all of it: a page a hundred", func() { b.reconcile(cancelapp.Scope{Since: "1999-12-31"}) }, n / 100},
			{"what was updated lately, which is none of it", func() { b.reconcile(cancelapp.Scope{Since: "2999-12-31"}) }, 1},
			{"30 boxes that webhooks tell of: GET and PATCH for each", func() {
				for _, sub := range subs[:30] {
					b.place(sub)
				}
				b.settled()
			}, 30*2 - 1},
			{"everything, after those: two pages a hundred, and the placed orders of each of them", func() { b.reconcile(cancelapp.Scope{}) }, 2*n/100 + 30},
			{"everything, after 10 boxes that nobody told of: the placed orders of each, GET and PATCH", func() {
				b.placeUnheard(subs[:10]...)
				b.reconcile(cancelapp.Scope{})
			}, 2*n/100 + 3*10},
			{"recounted: a page a hundred, and the placed orders of each", func() { b.reconcile(cancelapp.Scope{Recount: true}) }, n/100 + n},
		}
		for _, test := range tests {
			want := test.want + 1 // the list of the other SKU is a page, though nothing is on it
			if got := calls(test.do); got != want {
				t.Errorf("%d subscriptions: %s: %d calls, want %d", n, test.what, got, want)
			}
		}
	})
}

// flight counts the calls that are under way at the same time.
type flight struct {
	next http.RoundTripper
	mu   sync.Mutex
	now  int
	most int
}

func (f *flight) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	time.Sleep(100 * time.Millisecond)
	return f.next.RoundTrip(r)
}

// At most five calls are in flight while lists are gone through (contract, section 2), and there are five.
func TestReconcileInFlight(t *testing.T) {
	inBubble(t, ogsim.Options{PageSize: 20}, func(t *testing.T, b *bubble) {
		b.silent(100, "SIX")
		b.silent(100, "GIFT-3MO")
		counted := &flight{next: direct{b.sim.Handler()}}
		client, err := ordergroove.NewClient(ordergroove.Options{URL: "http://127.0.0.1", Key: "simulated-api-key", Transport: counted})
		if err != nil {
			t.Fatal(err)
		}
		app := cancelapp.New(b.db, client, cancelapp.Options{Rules: cancelapp.Rules{Terms: b.terms}})
		report, err := app.Reconcile(t.Context(), cancelapp.Scope{DryRun: true}, nil)
		if err != nil || len(report.Findings) != 200 {
			t.Fatalf("%d found, %v", len(report.Findings), err)
		}
		if counted.most != 5 {
			t.Errorf("%d calls were in flight at a time, want 5", counted.most)
		}
	})
}

// A key that may not list what is all customers' is refused for just that: everything else goes on.
func TestReconcileWithoutBulk(t *testing.T) {
	t.Log("FAULT | the API key has no Bulk Operations: lists are refused with 403 | I7: only comparing stops, and says what is missing")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.sim.Break(ogsim.Fault{Path: "/subscriptions/", WholePath: true, Status: 403, Body: `{"detail":"Authentication Failed"}`})
		_, err := b.app.Reconcile(t.Context(), cancelapp.Scope{}, nil)
		if !errors.Is(err, ordergroove.ErrUnauthorized) || !strings.Contains(err.Error(), "Bulk Operations") {
			t.Errorf("Reconcile = %v, want it to name Bulk Operations", err)
		}
		if err := b.app.Ready(); err != nil {
			t.Errorf("Ready = %v, want the rest to go on", err)
		}
		start := time.Now()
		sub := b.gift()
		b.settled()
		b.judge(sub)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("an ordinary look took %v", took)
		}
	})
}

// In a shop of many other subscriptions the upcoming orders are not worth reading: that is given up half-way, and each is
// asked for.
func TestReconcileInABigShop(t *testing.T) {
	inBubble(t, ogsim.Options{PageSize: 10}, func(t *testing.T, b *bubble) {
		b.silent(200, "COFFEE")
		subs := b.silent(10, "SIX")
		b.reconcile(cancelapp.Scope{})
		b.placeUnheard(subs[3])
		before := len(b.sim.Calls())
		report := b.reconcile(cancelapp.Scope{})
		if got, want := len(b.sim.Calls())-before, 5+1+1+10+2; got != want {
			t.Errorf("%d calls, want %d", got, want)
		}
		if got := kinds(report); len(got) != 1 || got[subs[3].ID] != cancelapp.Unannounced {
			t.Errorf("found %v, want the one box", got)
		}
	})
}

// An interrupted comparison goes on where it stopped; what it had found by then is repaired all the same.
func TestReconcileInterrupted(t *testing.T) {
	t.Log("FAULT | a comparison with Ordergroove is interrupted half-way, by an API that fails for an hour | I2 I9: it goes on where it stopped")
	inBubble(t, ogsim.Options{PageSize: 10}, func(t *testing.T, b *bubble) {
		subs := b.silent(100, "SIX")
		lists := func() (n int) {
			for _, c := range b.sim.Calls() {
				if c.Path == "/subscriptions/" && c.Status == http.StatusOK {
					n++
				}
			}
			return n
		}
		b.sim.Break(ogsim.Fault{Method: "GET", Path: "/subscriptions/", WholePath: true, Skip: 4, Status: 503})
		first, err := b.app.Reconcile(t.Context(), cancelapp.Scope{SKUs: []string{"SIX"}}, nil)
		if err == nil {
			t.Fatal("it worked while the API was down")
		}
		found, pages := len(first.Findings), lists()
		if found == 0 || found > 90 {
			t.Fatalf("%d found before the interruption, want some", found)
		}
		if _, err := b.app.Reconcile(t.Context(), cancelapp.Scope{SKUs: []string{"SIX"}}, nil); err == nil {
			t.Fatal("it worked while the API was down")
		}
		b.sim.ClearFaults()
		time.Sleep(time.Hour)
		news := false
		second, err := b.app.Reconcile(t.Context(), cancelapp.Scope{SKUs: []string{"SIX"}}, func(r cancelapp.Report) {
			news = news || r.Listed == 10 && len(r.Findings) == 10
		})
		if err != nil {
			t.Fatal(err)
		}
		b.settled()
		if !second.Resumed || found+len(second.Findings) != len(subs) {
			t.Errorf("%d and %d found, resumed %v; want all %d, each once", found, len(second.Findings), second.Resumed, len(subs))
		}
		if got := lists() - pages; got > 11+1 {
			t.Errorf("%d pages were read after %d, want each once", got, pages)
		}
		if !news {
			t.Error("the first page that it read held nothing new; it did not go on where it stopped")
		}
		for _, sub := range subs {
			b.judgeAt(sub, 5)
		}
		if third := b.reconcile(cancelapp.Scope{SKUs: []string{"SIX"}}); len(third.Findings) != 0 || third.Resumed {
			t.Errorf("a third found %v", third.Findings)
		}
	})
}

// An address to go on with can have lost its meaning: then the list is read from its beginning.
func TestReconcileStaleCursor(t *testing.T) {
	inBubble(t, ogsim.Options{PageSize: 10}, func(t *testing.T, b *bubble) {
		b.silent(30, "SIX")
		b.sim.Break(ogsim.Fault{Method: "GET", Path: "/subscriptions/", WholePath: true, Skip: 2, Status: 400, Body: `{"detail":"Invalid cursor"}`, Times: 1})
		if _, err := b.app.Reconcile(t.Context(), cancelapp.Scope{SKUs: []string{"SIX"}}, nil); !errors.Is(err, ordergroove.ErrRejected) {
			t.Fatalf("Reconcile = %v, want it refused in its middle", err)
		}
		b.settled()
		b.sim.Break(ogsim.Fault{Method: "GET", Path: "/subscriptions/", WholePath: true, Status: 400, Body: `{"detail":"Invalid cursor"}`, Times: 1})
		if report := b.reconcile(cancelapp.Scope{SKUs: []string{"SIX"}}); report.Listed != 30 {
			t.Errorf("%d compared, want all 30 from the beginning", report.Listed)
		}
	})
}

// One compares at a time, and what cannot be read in a list spoils nothing else.
func TestReconcileAlone(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.gift()
		b.settled()
		run, ok, err := b.db.BeginReconciliation(t.Context(), "all", time.Now().UnixMilli(), time.Now().Add(time.Minute).UnixMilli(), 1000)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if _, err := b.app.Reconcile(t.Context(), cancelapp.Scope{}, nil); !errors.Is(err, cancelapp.ErrReconciling) {
			t.Errorf("Reconcile beside another = %v, want ErrReconciling", err)
		}
		if _, err := b.app.Reconcile(t.Context(), cancelapp.Scope{DryRun: true}, nil); err != nil {
			t.Errorf("a dry run beside another = %v, want it to work", err)
		}
		if err := b.db.EndReconciliation(t.Context(), run, counter.Compared{}, false); err != nil {
			t.Fatal(err)
		}
		b.sim.Break(ogsim.Fault{Path: "/subscriptions/", WholePath: true, Times: 1, Status: 200, Body: `{"next":null,"results":[{"public_id":"x"},7]}`})
		if report := b.reconcile(cancelapp.Scope{SKUs: []string{"GIFT-3MO"}}); report.Unreadable != 2 || len(report.Findings) != 0 {
			t.Errorf("report = %+v, want 2 unreadable and nothing found: the one not listed is as it was", report)
		}
		b.judgeAt(sub, 2)
	})
}

// A dry run changes nothing, neither at Ordergroove nor in the ledger, and says what a real one then does.
func TestReconcileDryRun(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		known := b.subscribe("SIX")
		b.settled()
		made := b.silent(2, "GIFT-3MO")
		b.placeUnheard(known, made[0], made[0], made[1])
		if err := b.sim.Edit(known.ID, json.RawMessage(`{"mine":1.10,"fulfillment_counter":"8"}`)); err != nil {
			t.Fatal(err)
		}
		dry := b.reconcile(cancelapp.Scope{DryRun: true})
		if b.calls("PATCH") != 1 || len(dry.Findings) != 3 {
			t.Fatalf("%d changes, found %+v; want only the one from before, and 3 found", b.calls("PATCH"), dry.Findings)
		}
		pages, err := b.db.Subscriptions(t.Context(), "")
		if err != nil || len(pages) != 1 || pages[0].Made != 0 {
			t.Errorf("the ledger = %+v, %v; want it as it was", pages, err)
		}
		b.reconcile(cancelapp.Scope{})
		for _, f := range dry.Findings {
			page := b.page(ogsim.Subscription{ID: f.Subscription})
			if page.State != f.After.State || page.Show() != f.After.Show() {
				t.Errorf("%s: it is %s, %s; the dry run said %s, %s", f.Subscription, page.State, page.Show(), f.After.State, f.After.Show())
			}
		}
	})
}

// What is compared when. `updated` is a date of an unknown time zone, hence the day's slack.
func TestSchedule(t *testing.T) {
	t.Log("FAULT | the service was down for two days | I2: it compares soon after its start, then hourly what was updated, daily everything")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.stop()
		var log bytes.Buffer
		b.start(cancelapp.Options{
			Idle: time.Minute, Reconcile: cancelapp.Schedule{Every: time.Hour, All: 24 * time.Hour}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		sub := b.silent(1, "SIX")[0]
		time.Sleep(6 * time.Minute)
		b.judgeAt(sub, 5)
		time.Sleep(49 * time.Hour)
		b.stop()
		all, lately := strings.Count(log.String(), "scope=all"), strings.Count(log.String(), `scope="updated since`)
		if all != 3 || lately < 40 || lately > 48 {
			t.Errorf("%d times everything and %d times what was updated, in 49 hours:\n%s", all, lately, log.String())
		}
		first, _, _ := strings.Cut(log.String()[strings.Index(log.String(), "updated since"):], `"`)
		if want := "updated since " + time.Now().Add(-49*time.Hour-6*time.Minute-24*time.Hour).UTC().Format(time.DateOnly); first != want {
			t.Errorf("the first was of what was %s, want %s", first, want)
		}
	})
}

// notices are what was told.
type notices struct {
	mu   sync.Mutex
	told []counter.Notice
}

func (n *notices) note(notice counter.Notice) []counter.Post {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, notice)
	return nil
}

func (n *notices) all() []counter.Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told)
}

func (n *notices) of(kind string) []counter.Notice {
	return slices.DeleteFunc(n.all(), func(n counter.Notice) bool { return n.Type != kind })
}

// A silence is reported once, makes everything be compared, and is over with the next delivery.
func TestSilence(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.stop()
		var heard notices
		b.start(cancelapp.Options{
			Idle: time.Minute, Patience: 3 * time.Hour, Reconcile: cancelapp.Schedule{Every: 1000 * time.Hour, All: 1000 * time.Hour},
			Rules: cancelapp.Rules{Announce: heard.note},
		})
		sub := b.subscribe("SIX")
		time.Sleep(2 * time.Hour)
		b.placeUnheard(sub)
		if b.app.Silence().Alarm || len(heard.of(counter.Silence)) > 0 {
			t.Errorf("alarm after two hours: %+v, %v", b.app.Silence(), heard.all())
		}
		began := time.Now().Add(-2 * time.Hour)
		time.Sleep(5 * time.Hour)
		notices := heard.of(counter.Silence)
		if !b.app.Silence().Alarm || len(notices) != 1 || notices[0].Type != counter.Silence || time.UnixMilli(notices[0].Since).Sub(began).Abs() > time.Minute {
			t.Errorf("after seven hours: %+v, %v; want one notice", b.app.Silence(), notices)
		}
		b.judgeAt(sub, 5)
		b.subscribe("COFFEE")
		time.Sleep(30 * time.Minute)
		if b.app.Silence().Alarm {
			t.Errorf("alarm after a delivery: %+v", b.app.Silence())
		}
		b.stop()
	})
}

// The shop's own rhythm says how long a silence is none.
func TestPatience(t *testing.T) {
	const h, day = time.Hour, 24 * time.Hour
	tests := []struct {
		what     string
		silences []time.Duration
		known    time.Duration
		want     time.Duration
	}{
		{"nothing is known", nil, 0, 24 * h},
		{"a busy shop", []time.Duration{20 * time.Minute, 10 * time.Minute, 5 * time.Minute}, 28 * day, h},
		{"nights", []time.Duration{9 * h, 9 * h, 8 * h}, 28 * day, 12 * h},
		{"weekends", []time.Duration{40 * h, 32 * h, 30 * h}, 28 * day, 45 * h},
		{"two outages do not teach it patience", []time.Duration{70 * h, 48 * h, 8 * h}, 28 * day, 12 * h},
		{"before the first weekend", []time.Duration{9 * h, 8 * h, 8 * h}, 3 * day, 24 * h},
		{"a shop of a few orders a month", []time.Duration{200 * h, 150 * h}, 28 * day, 225 * h},
	}
	for _, test := range tests {
		if got := cancelapp.Patience(test.silences, test.known); got != test.want {
			t.Errorf("%s: Patience = %v, want %v", test.what, got, test.want)
		}
	}
}

// A complete subscription that cannot be ended goes before everything else, is retried hardest, and is told of with the time
// that is left.
func TestGuard(t *testing.T) {
	t.Log("FAULT | a complete subscription cannot be cancelled (500, then 400), with 200 others waiting | I4: first in the queue, told of with the hours left, ended as soon as it can be")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.stop()
		var heard notices
		b.start(cancelapp.Options{Workers: 1, Rules: cancelapp.Rules{Announce: heard.note}})
		sub := b.gift()
		b.place(sub)
		b.settled()
		for range 200 {
			b.subscribe("SIX")
		}
		b.sim.Break(ogsim.Fault{Method: "PATCH", Path: "/cancel/", Status: 500, Subscription: sub.ID})
		b.place(sub)
		if err := b.sim.Reschedule(sub.ID, time.Now().Add(20*time.Hour)); err != nil {
			t.Fatal(err)
		}
		before := len(b.sim.Calls())
		time.Sleep(10 * time.Minute)
		cancels := 0
		for _, c := range b.sim.Calls()[before:] {
			if c.Subscription == sub.ID && strings.HasSuffix(c.Path, "/cancel/") {
				cancels++
			}
		}
		if cancels < 20 {
			t.Errorf("%d tries in ten minutes, want one each half a minute", cancels)
		}
		notices := heard.of(counter.ExtraOrder)
		if len(notices) != 1 {
			t.Fatalf("%d notices of one order: %v", len(notices), notices)
		}
		if n := notices[0]; n.Page.Subscription != sub.ID || n.Order == "" || time.Until(time.UnixMilli(n.Place)).Round(time.Hour) != 20*time.Hour {
			t.Errorf("notice = %+v", n)
		}
		at := 0
		for i, c := range b.sim.Calls()[before:] {
			if c.Subscription == sub.ID && strings.HasSuffix(c.Path, "/cancel/") {
				at = i
				break
			}
		}
		if at > 30 {
			t.Errorf("its first cancel was call %d of those since; 200 others waited, want it before them", at)
		}
		if g, err := b.db.Guarded(t.Context()); err != nil || g.Orders != 1 {
			t.Errorf("Guarded = %+v, %v", g, err)
		}

		b.sim.ClearFaults()
		b.sim.Break(ogsim.Fault{Method: "PATCH", Path: "/cancel/", Status: 400, Body: `{"detail":"Not now."}`})
		time.Sleep(30 * time.Minute)
		if page := b.page(sub); page.State != counter.Attention || page.Reason == "" {
			t.Errorf("page = %+v, want attention", page)
		}
		b.sim.ClearFaults()
		time.Sleep(6 * time.Minute) // it is asked again by itself
		b.judge(sub)
		if g, err := b.db.Guarded(t.Context()); err != nil || g != (store.Guarded{}) {
			t.Errorf("Guarded = %+v, %v; want none any more", g, err)
		}
		if got := b.journal(sub); !strings.Contains(got, "would be a box too many") {
			t.Errorf("the journal lacks the guard:\n%s", got)
		}
		b.stop()
	})
}

// A product that was swapped for a termed one: its orders from before count for nothing, whoever asks, and whenever.
func TestSwappedIn(t *testing.T) {
	t.Log("FAULT | an evergreen subscription of many orders is swapped to a termed product, announced or not | I2: its orders from before are no boxes")
	for _, announced := range []bool{false, true} {
		t.Run(fmt.Sprint("announced ", announced), func(t *testing.T) {
			inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
				sub := b.subscribe("COFFEE")
				for range 4 {
					b.place(sub)
					time.Sleep(time.Minute)
				}
				if err := b.sim.Swap(sub.ID, "SIX"); err != nil {
					t.Fatal(err)
				}
				if announced {
					b.file()
				} else {
					b.sim.Take()
				}
				b.settled()
				b.reconcile(cancelapp.Scope{})
				for range 2 {
					b.placeUnheard(sub)
					time.Sleep(time.Minute)
					b.reconcile(cancelapp.Scope{})
				}
				if err := b.sim.SwapOnce(sub.ID, "COFFEE"); err != nil { // a box of the term, whatever was in it
					t.Fatal(err)
				}
				b.placeUnheard(sub)
				b.reconcile(cancelapp.Scope{})
				if report := b.reconcile(cancelapp.Scope{Recount: true}); len(report.Findings) > 0 {
					t.Errorf("found %+v, want nothing left", report.Findings)
				}
				now, _ := b.sim.Subscription(sub.ID)
				now.Placed -= 4
				for _, fault := range ogsim.Judge(now, 5, sub.ExtraData) {
					t.Error(fault)
				}
			})
		})
	}
}
