package cancelapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
	"github.com/termed/termed/testdata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDelay(t *testing.T) {
	tests := []struct {
		attempt int
		asked   time.Duration
		urgency counter.Urgency
		jitter  float64
		want    time.Duration
	}{
		{1, 0, 0, 0, 0},
		{1, 0, 0, 0.5, time.Second},
		{2, 0, 0, 0.5, 2 * time.Second},
		{3, 0, 0, 0.5, 4 * time.Second},
		{8, 0, 0, 0.5, 128 * time.Second},
		{9, 0, 0, 0.5, 150 * time.Second}, // the cap: 5 min
		{1000, 0, 0, 0.5, 150 * time.Second},
		{0, 0, 0, 0.5, time.Second},
		{1, 30 * time.Second, 0, 0, 30 * time.Second},
		{1, 30 * time.Second, 0, 0.5, 31 * time.Second}, // never earlier than asked, and not all at the same moment
		{1, 1e9 * time.Second, 0, 0, 15 * time.Minute},
		{9, 0, counter.Background, 0.5, 150 * time.Second},
		{3, 0, counter.Looming, 0.5, 4 * time.Second},
		{9, 0, counter.Looming, 0.5, 15 * time.Second}, // the guard's cap: 30 s
		{9, time.Minute, counter.Looming, 0.5, 75 * time.Second},
	}
	for _, test := range tests {
		if got := cancelapp.Delay(test.attempt, test.asked, test.urgency, test.jitter); got != test.want {
			t.Errorf("Delay(%d, %v, %d, %v) = %v, want %v", test.attempt, test.asked, test.urgency, test.jitter, got, test.want)
		}
	}
}

// direct is a transport that calls a handler: no sockets, so that it can live in a synctest bubble.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	answered := make(chan *http.Response, 1)
	go func() {
		defer close(answered)
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		answer := httptest.NewRecorder()
		d.ServeHTTP(answer, r)
		answered <- answer.Result()
	}()
	select {
	case response, ok := <-answered:
		if !ok {
			return nil, errors.New("connection reset")
		}
		return response, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// late is a transport that lets a change time out and take effect later, when the bubble says so.
type late struct {
	*bubble
	next http.RoundTripper
}

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.lands == 0 || r.Method != http.MethodPatch {
		return l.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := r.Clone(context.WithoutCancel(r.Context()))
	again.Body = io.NopCloser(bytes.NewReader(body))
	time.AfterFunc(l.lands, func() { _, _ = l.next.RoundTrip(again) })
	l.lands = 0
	return nil, context.DeadlineExceeded
}

// bubble is a simulator, a database and an app in one synctest bubble.
type bubble struct {
	t    *testing.T
	sim  *ogsim.Simulator
	db   *store.Store
	app  *cancelapp.App
	stop func()

	client *ordergroove.Client

	terms counter.Terms
	filed func(ordergroove.Delivery) // told of each event that is filed
	lands time.Duration              // the next change is answered by a timeout and takes effect so much later
}

// inBubble runs a test on a running app, in fake time.
func inBubble(t *testing.T, o ogsim.Options, test func(*testing.T, *bubble)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "termed.db")
	synctest.Test(t, func(t *testing.T) {
		o.Payloads = testdata.Webhooks()
		b := &bubble{t: t, sim: ogsim.New(o)}
		var err error
		if b.db, err = store.Open(t.Context(), store.Options{Database: path, Serve: true}); err != nil {
			t.Fatal(err)
		}
		b.client, err = ordergroove.NewClient(ordergroove.Options{
			URL: "http://127.0.0.1", Key: "simulated-api-key", Transport: late{b, direct{b.sim.Handler()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		b.terms, err = counter.NewTerms(counter.Keys{}, []counter.Term{{
			Name: "Gift", SKUs: []string{"GIFT-3MO"}, Shipments: 3, FirstShipment: counter.Checkout, CancelReason: "1|Gift complete",
		}, {
			Name: "Programme", SKUs: []string{"SIX"}, Shipments: 6, FirstShipment: counter.Checkout,
		}})
		if err != nil {
			t.Fatal(err)
		}
		b.start(cancelapp.Options{})
		test(t, b)
		b.stop()
		if err := b.db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// start runs an app; another is to be stopped first.
func (b *bubble) start(o cancelapp.Options) {
	o.Terms, o.Jitter = b.terms, func() float64 { return 0.5 }
	if o.Patience == 0 {
		o.Patience = -1 // half a day of fake time is many questions
	}
	b.app = cancelapp.New(b.db, b.client, o)
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.app.Run(ctx)
	}()
	b.stop = func() {
		cancel()
		<-done
	}
}

// under puts changed terms in force.
func (b *bubble) under(change func(*counter.Term), announce func(counter.Notice) []counter.Post) {
	b.t.Helper()
	var terms []counter.Term
	for _, sku := range b.terms.SKUs() {
		term, _ := b.terms.Of(sku)
		change(&term)
		terms = append(terms, term)
	}
	keys := terms[0].Keys
	var err error
	if b.terms, err = counter.NewTerms(keys, terms); err != nil {
		b.t.Fatal(err)
	}
	b.app.Reload(cancelapp.Rules{Terms: b.terms, Announce: announce})
}

// gift makes a subscription and files its creation.
func (b *bubble) gift() ogsim.Subscription {
	b.t.Helper()
	return b.subscribe("GIFT-3MO")
}

func (b *bubble) subscribe(sku string) ogsim.Subscription {
	b.t.Helper()
	sub, err := b.sim.Subscribe(ogsim.NewSubscription{Customer: "c", Product: sku, ExtraData: json.RawMessage(`{"mine":1.10}`)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.file()
	return sub
}

func (b *bubble) place(sub ogsim.Subscription) {
	b.t.Helper()
	if _, err := b.sim.Place([]string{sub.ID}); err != nil {
		b.t.Fatal(err)
	}
	b.file()
}

// file puts what was announced straight into the inbox, as the door does.
func (b *bubble) file() {
	b.t.Helper()
	b.fileAll(b.sim.Take())
}

func (b *bubble) fileAll(events []ogsim.Event) {
	b.t.Helper()
	for _, e := range events {
		head, err := ordergroove.ParseHead(e.Body)
		if err != nil {
			b.t.Fatal(err)
		}
		d := ordergroove.Delivery{
			Created: head.Created * 1000, ID: head.ID, Type: head.Type, Received: time.Now().UnixMilli(), Body: e.Body,
			Verdict: ordergroove.Accepted,
		}
		if _, err := b.db.Append(b.t.Context(), d); err != nil {
			b.t.Fatal(err)
		}
		if b.filed != nil {
			b.filed(d)
		}
	}
}

// settled waits, in fake time, until nothing is left to do; it fails after a day.
func (b *bubble) settled() {
	b.t.Helper()
	for waited := 0; waited < 24*3600; {
		step := 1 + waited/10 // what takes long is not asked every second whether it is over
		time.Sleep(time.Duration(step) * time.Second)
		waited += step
		b.file()
		backlog, err := b.db.Backlog(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if backlog == (store.Backlog{}) {
			return
		}
	}
	b.t.Fatal("there is still work after a day")
}

// judge holds a gift to the simulator's record.
func (b *bubble) judge(sub ogsim.Subscription) {
	b.t.Helper()
	b.judgeAt(sub, 2)
}

func (b *bubble) judgeAt(sub ogsim.Subscription, due int) {
	b.t.Helper()
	now, _ := b.sim.Subscription(sub.ID)
	for _, fault := range ogsim.Judge(now, due, sub.ExtraData) {
		b.t.Error(fault)
	}
}

func (b *bubble) calls(method string) int {
	n := 0
	for _, c := range b.sim.Calls() {
		if c.Method == method {
			n++
		}
	}
	return n
}

func (b *bubble) page(sub ogsim.Subscription) counter.Ledger {
	b.t.Helper()
	pages, err := b.db.Subscriptions(b.t.Context(), "")
	if err != nil {
		b.t.Fatal(err)
	}
	i := slices.IndexFunc(pages, func(l store.Subscription) bool { return l.Subscription == sub.ID })
	if i < 0 {
		b.t.Fatalf("%s is not enrolled", sub.ID)
	}
	return pages[i].Ledger
}

func (b *bubble) journal(sub ogsim.Subscription) string {
	b.t.Helper()
	entries, err := b.db.Journal(b.t.Context(), sub.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	var s strings.Builder
	for _, e := range entries {
		fmt.Fprintln(&s, e.Actor, e.What, e.Before, "→", e.After, ":", e.Reason)
	}
	return s.String()
}

// Somebody else keeps changing it: each try waits longer, none is given up, and in the end it is done.
func TestBusyManyTimes(t *testing.T) {
	t.Log("FAULT | 423 twenty times in a row | I2 I4 I7")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.sim.Break(ogsim.Fault{Method: "PATCH", Status: http.StatusLocked, Times: 20, Body: `{"details":"Resource is currently in use."}`})
		start := time.Now()
		sub := b.gift()
		b.settled()
		b.judge(sub)
		if got := b.calls("PATCH"); got != 21 {
			t.Errorf("%d changes were asked, want 21", got)
		}
		// 1+2+4+…+128 s, then 12 times the half of 5 min.
		if took, want := time.Since(start), 255*time.Second+12*150*time.Second; (took - want).Abs() > time.Minute {
			t.Errorf("it took %v, want about %v", took, want)
		}
	})
}

// The API is away for an hour: nothing is lost, and what waits does not storm it.
func TestAPIAway(t *testing.T) {
	inBubble(t, ogsim.Options{Snapshot: "none"}, func(t *testing.T, b *bubble) {
		b.sim.Break(ogsim.Fault{})
		var subs []ogsim.Subscription
		for range 20 {
			sub := b.gift()
			b.place(sub)
			subs = append(subs, sub)
		}
		time.Sleep(time.Hour)
		// Twenty looks and twenty orders, each every 150 s at the most, three requests a read, and the steep beginning.
		if got := len(b.sim.Calls()); got > 40*3*(24+9) {
			t.Errorf("%d calls in an hour", got)
		}
		b.sim.ClearFaults()
		b.settled()
		for _, sub := range subs {
			b.judge(sub)
		}
	})
}

// The key is refused: one call a minute, nothing dead, and it goes on by itself. Take the gate away, and this turns red.
func TestKeyRefused(t *testing.T) {
	t.Log("FAULT | 403 for ten minutes: one call a minute, nothing dead, and it goes on by itself | I1 I2 I7 I9")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.sim.Break(ogsim.Fault{Status: http.StatusForbidden, Body: `{"detail":"Authentication Failed"}`})
		var subs []ogsim.Subscription
		first := b.gift()
		time.Sleep(5 * time.Second)
		for range 5 {
			subs = append(subs, b.gift())
		}
		time.Sleep(10 * time.Minute)
		if err := b.app.Ready(); err == nil || !strings.Contains(err.Error(), "the api key is refused") {
			t.Errorf("Ready = %v", err)
		}
		if got := len(b.sim.Calls()); got < 5 || got > 12 {
			t.Errorf("%d calls in ten minutes, want one a minute", got)
		}
		b.sim.ClearFaults()
		time.Sleep(2 * time.Minute)
		if err := b.app.Ready(); err != nil {
			t.Errorf("Ready = %v after the key was right again", err)
		}
		b.settled()
		for _, sub := range append(subs, first) {
			b.judge(sub)
		}
	})
}

// A subscription that Ordergroove refuses or does not know is for a person; the others go on.
func TestRefusedAndGone(t *testing.T) {
	t.Log("FAULT | Ordergroove refuses a change with 400, or knows the subscription no more (404) | I7: attention, with its own words")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		tests := []struct {
			fault  ogsim.Fault
			reason string
		}{
			{ogsim.Fault{Method: "PATCH", Status: 400, Body: `{"extra_data":["Too large."]}`}, "Too large."},
			{ogsim.Fault{Method: "GET", Status: 404, Body: `{"detail":"Not found."}`}, "does not know it"},
		}
		for _, test := range tests {
			b.sim.Break(test.fault)
			sub := b.gift()
			b.settled()
			if page := b.page(sub); page.State != counter.Attention || !strings.Contains(page.Reason, test.reason) {
				t.Errorf("page = %+v, want attention: %s", page, test.reason)
			}
			b.sim.ClearFaults()
			b.place(sub) // news: it is looked at again
			b.settled()
			b.judge(sub)
		}
	})
}

// An answer that does not show what was asked of it is not believed.
func TestAnswerIsChecked(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.gift()
		b.settled()
		now, _ := b.sim.Subscription(sub.ID)
		stale := fmt.Sprintf(`{"public_id":%q,"product":"GIFT-3MO","live":true,"extra_data":%s}`, sub.ID, now.ExtraData)
		b.sim.Break(ogsim.Fault{Method: "PATCH", Status: 200, Body: stale, Times: 1})
		b.place(sub)
		time.Sleep(time.Second / 2)
		if backlog, err := b.db.Backlog(t.Context()); err != nil || backlog.Subscriptions != 1 {
			t.Errorf("Backlog = %+v, %v; want it to be looked at again", backlog, err)
		}
		b.settled()
		b.judge(sub)
	})
}

// A change that took effect and whose answer was lost is known for ours at the next look, whatever else happened since.
func TestHalfDoneWriteIsOurs(t *testing.T) {
	t.Log("FAULT | a change took effect, its answer was lost, and the next box came before our retry | I2 I3")
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.subscribe("SIX")
		b.settled()
		b.sim.Break(ogsim.Fault{Method: "PATCH", TakesEffect: true, Status: 502, Times: 1})
		b.place(sub)
		time.Sleep(time.Second / 2)
		b.place(sub)
		b.settled()
		now, _ := b.sim.Subscription(sub.ID)
		for _, fault := range ogsim.Judge(now, 5, sub.ExtraData) {
			t.Error(fault)
		}
		if page := b.page(sub); page.Adjustment != 0 || page.Remaining() != 3 {
			t.Errorf("page = %+v, want 3 to go and no adjustment", page)
		}
	})
}

// The whole way of a gift stands in the journal, with who did what and why.
func TestJournal(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		sub := b.gift()
		b.settled()
		b.place(sub)
		b.settled()
		if err := b.sim.Edit(sub.ID, json.RawMessage(`{"mine":1.10,"fulfillment_counter":"3","termed":"true"}`)); err != nil {
			t.Fatal(err)
		}
		b.place(sub)
		b.settled()
		got := b.journal(sub)
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

// A shutdown in the middle of a look breaks it off, spends nothing, and leaves it due.
func TestShutdown(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.sim.Break(ogsim.Fault{Method: "GET", Delay: time.Hour, OnlyDelay: true})
		b.gift()
		time.Sleep(2 * time.Second)
		start := time.Now()
		b.stop()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it took %v to stop, want at most 10 s", took)
		}
		leases, err := b.db.Claim(t.Context(), time.Now().Add(time.Hour).UnixMilli(), 0, 10)
		if err != nil || len(leases) != 1 {
			t.Errorf("due after a shutdown: %v, %v; want the one in hand", leases, err)
		}
		time.Sleep(2 * time.Hour) // the simulator's hour, which nobody waits for any more
	})
}

// asked counts the questions that an app puts to its database.
type asked struct {
	*store.Store
	events, subscriptions int
}

func (a *asked) ClaimEvents(ctx context.Context, at, until int64, n int) ([]ordergroove.Delivery, error) {
	a.events++
	return a.Store.ClaimEvents(ctx, at, until, n)
}

func (a *asked) Claim(ctx context.Context, at, until int64, n int) ([]counter.Lease, error) {
	a.subscriptions++
	return a.Store.Claim(ctx, at, until, n)
}

// An instance with nothing to do asks a shared database once a second at the most, both questions together.
func TestIdle(t *testing.T) {
	inBubble(t, ogsim.Options{}, func(t *testing.T, b *bubble) {
		b.stop()
		counted := &asked{Store: b.db}
		app := cancelapp.New(counted, nil, cancelapp.Options{Rules: cancelapp.Rules{Terms: b.terms}, Idle: 2 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			app.Run(ctx)
		}()
		time.Sleep(time.Minute)
		cancel()
		<-done
		if counted.events < 29 || counted.subscriptions < 29 || counted.events+counted.subscriptions > 62 {
			t.Errorf("asked %d and %d times in a minute, want 30 each", counted.events, counted.subscriptions)
		}
	})
}
