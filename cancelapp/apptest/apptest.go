// Package apptest runs an App and a Reconciler on a database and a simulated Ordergroove, in fake time. It is what the
// tests of cancelapp and of reconcile share; nothing but tests imports it.
package apptest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
	"github.com/termed/termed/testdata"
)

// Bubble is a simulator, a database, an App and a Reconciler in one synctest bubble.
type Bubble struct {
	Sim        *sim.Simulator
	DB         *store.Store
	Client     *ordergroove.Client
	App        *cancelapp.App
	Reconciler *reconcile.Reconciler
	Stop       func() // stops the App and the Reconciler

	Clock    Clock // of everything
	Terms    counter.Terms
	Filed    func(ledger.Event) // called with each event that is filed; default nothing
	Lands    time.Duration      // if not 0, the next change is answered by a timeout and takes effect so much later
	Schedule reconcile.Schedule // of the Reconciler that Start makes; default never

	t *testing.T
}

// slowestFault is longer than any delay of a fault.
const slowestFault = 2 * time.Minute

// Run runs a test on a running App, in fake time.
func Run(t *testing.T, o sim.Options, test func(*testing.T, *Bubble)) {
	t.Helper()
	tables, err := emptyDatabase()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "termed.db")
	if err := os.WriteFile(path, tables, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		o.Payloads = testdata.Webhooks()
		b := &Bubble{Sim: sim.New(o), t: t}
		b.open(path)
		b.Start(cancelapp.Options{})
		defer b.close() // a test that fails must not leave goroutines behind: that would end all others, too
		test(t, b)
	})
}

// emptyDatabase is a SQLite database with its tables and nothing in them, made once: making the tables takes longer
// than most tests.
var emptyDatabase = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "apptest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "termed.db")
	db, err := store.Open(context.Background(), store.Options{Database: path})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func (b *Bubble) close() {
	b.Stop()
	b.Sim.ClearFaults()
	time.Sleep(slowestFault) // the simulator still works on calls that nobody waits for
	if err := b.DB.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *Bubble) open(path string) {
	b.t.Helper()
	var err error
	if b.DB, err = store.Open(b.t.Context(), store.Options{Database: path, Serve: true}); err != nil {
		b.t.Fatal(err)
	}
	b.Client = b.NewClient(late{b, Direct{b.Sim.Handler()}}, 0)
	b.Terms, err = counter.NewTerms(counter.Keys{}, []counter.Term{{
		Name:          "Gift",
		SKUs:          []string{"GIFT-3MO"},
		Shipments:     3,
		FirstShipment: counter.Checkout,
		CancelReason:  "1|Gift complete",
	}, {
		Name:          "Program",
		SKUs:          []string{"SIX"},
		Shipments:     6,
		FirstShipment: counter.Checkout,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// Restore stops everything, and puts a copy of the database in its place, marked as brought back.
func (b *Bubble) Restore(copied string) {
	b.t.Helper()
	b.Stop()
	if err := b.DB.Close(); err != nil {
		b.t.Error(err)
	}
	var err error
	if b.DB, err = store.Open(b.t.Context(), store.Options{Database: copied, Serve: true}); err != nil {
		b.t.Fatal(err)
	}
	by := ledger.Pause{Since: b.Clock.Now().UnixMilli(), Actor: "ruth", Reason: "the disk was lost"}
	if err := b.DB.MarkRestored(b.t.Context(), by); err != nil {
		b.t.Fatal(err)
	}
}

// NewClient makes a client of the simulator that sends through a transport. The zero timeout means the client's
// default.
func (b *Bubble) NewClient(transport http.RoundTripper, timeout time.Duration) *ordergroove.Client {
	b.t.Helper()
	client, err := ordergroove.NewClient(ordergroove.Options{
		URL:       "http://127.0.0.1",
		Key:       "simulated-api-key",
		Timeout:   timeout,
		Transport: transport,
		Now:       b.Clock.Now,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// NewLimitedClient makes a client of the simulator with a limit of requests a minute.
func (b *Bubble) NewLimitedClient(perMinute int) *ordergroove.Client {
	b.t.Helper()
	client, err := ordergroove.NewClient(ordergroove.Options{
		URL:               "http://127.0.0.1",
		Key:               "simulated-api-key",
		RequestsPerMinute: perMinute,
		Transport:         Direct{b.Sim.Handler()},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// Start runs an App and a Reconciler on top of it; others must be stopped first.
func (b *Bubble) Start(o cancelapp.Options) {
	o.Terms = b.Terms
	o.Now = b.Clock.Now
	o.Jitter = func() float64 { return 0.5 }
	if o.MaxGap == 0 {
		o.MaxGap = -1 // half a day of fake time is many queries
	}
	b.App = cancelapp.New(b.DB, b.Client, o)
	b.Reconciler = reconcile.New(b.App, b.DB, reconcile.Options{
		Schedule: b.Schedule, Now: b.Clock.Now, Jitter: o.Jitter, Log: o.Log,
	})
	b.Stop = b.Go(b.App.Run, b.Reconciler.Run)
}

// Go runs functions until stop is called, which waits for them to return.
func (b *Bubble) Go(functions ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	for _, run := range functions {
		running.Go(func() { run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// Reload puts changed terms in force, and addresses notifications to messages.
func (b *Bubble) Reload(change func(*counter.Term), messages func(counter.Notification) []ledger.Message) {
	b.t.Helper()
	var terms []counter.Term
	for _, sku := range b.Terms.SKUs() {
		term, _ := b.Terms.Of(sku)
		change(&term)
		terms = append(terms, term)
	}
	var err error
	if b.Terms, err = counter.NewTerms(terms[0].Keys, terms); err != nil {
		b.t.Fatal(err)
	}
	b.App.Reload(cancelapp.Rules{Terms: b.Terms, Messages: messages})
}

// Gift makes a subscription of three shipments, and files its creation.
func (b *Bubble) Gift() sim.Subscription {
	b.t.Helper()
	return b.Subscribe("GIFT-3MO")
}

// GiftAnnouncedLate makes a gift, and files its creation when orders of it may have been placed: they are asked for.
func (b *Bubble) GiftAnnouncedLate() sim.Subscription {
	b.t.Helper()
	sub := b.New(sim.NewSubscription{Product: "GIFT-3MO"})
	time.Sleep(11 * time.Minute)
	b.File()
	return sub
}

// Subscribe makes a subscription, and files its creation.
func (b *Bubble) Subscribe(sku string) sim.Subscription {
	b.t.Helper()
	sub := b.New(sim.NewSubscription{Product: sku})
	b.File()
	return sub
}

// SubscribeSilently makes subscriptions that are never announced.
func (b *Bubble) SubscribeSilently(n int, sku string) []sim.Subscription {
	b.t.Helper()
	var subs []sim.Subscription
	for range n {
		subs = append(subs, b.New(sim.NewSubscription{Product: sku, Silent: true}))
	}
	return subs
}

// New makes a subscription, with a key of somebody else in extra_data unless it says otherwise. It files nothing.
func (b *Bubble) New(n sim.NewSubscription) sim.Subscription {
	b.t.Helper()
	n.Customer = "c"
	if n.ExtraData == nil {
		n.ExtraData = json.RawMessage(`{"mine":1.10}`)
	}
	sub, err := b.Sim.Subscribe(n)
	if err != nil {
		b.t.Fatal(err)
	}
	return sub
}

// Place places the next order of each, and files its event.
func (b *Bubble) Place(subs ...sim.Subscription) {
	b.t.Helper()
	b.FileAll(b.PlaceLate(subs...))
}

// PlaceUnannounced places the next order of each, and loses its event.
func (b *Bubble) PlaceUnannounced(subs ...sim.Subscription) {
	b.t.Helper()
	b.PlaceLate(subs...)
}

// PlaceLate places the next order of each, and returns the events, to be filed later.
func (b *Bubble) PlaceLate(subs ...sim.Subscription) []sim.Event {
	b.t.Helper()
	for _, sub := range subs {
		if _, err := b.Sim.Place([]string{sub.ID}); err != nil {
			b.t.Fatal(err)
		}
	}
	return b.Sim.Take()
}

// File puts what was announced straight into the inbox, as the receiver does.
func (b *Bubble) File() {
	b.t.Helper()
	b.FileAll(b.Sim.Take())
}

// FileAll puts events into the inbox.
func (b *Bubble) FileAll(events []sim.Event) {
	b.t.Helper()
	for _, e := range events {
		head, err := ordergroove.ParseHead(e.Body)
		if err != nil {
			b.t.Fatal(err)
		}
		b.Append(ledger.Event{Created: head.Created * 1000, ID: head.ID, Type: head.Type, Body: e.Body})
	}
}

// Append puts an event into the inbox that is received now and is still to be processed.
func (b *Bubble) Append(e ledger.Event) {
	b.t.Helper()
	e.Received = b.Clock.Now().UnixMilli()
	e.Status = ledger.EventPending
	if _, err := b.DB.Append(b.t.Context(), e); err != nil {
		b.t.Fatal(err)
	}
	if b.Filed != nil {
		b.Filed(e)
	}
}

// Settle waits, in fake time, until nothing is left to do; it fails after a day.
func (b *Bubble) Settle() {
	b.t.Helper()
	for waited := 0; waited < 24*3600; {
		step := 1 + waited/10 // what takes long is not asked every second whether it is over
		time.Sleep(time.Duration(step) * time.Second)
		waited += step
		b.File()
		backlog, err := b.DB.Backlog(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if backlog == (store.Backlog{}) {
			return
		}
	}
	b.t.Fatal("there is still work after a day")
}

// Reconcile compares, and waits until what was found is repaired.
func (b *Bubble) Reconcile(scope reconcile.Scope) reconcile.Report {
	b.t.Helper()
	report, err := b.Reconciler.Reconcile(b.t.Context(), scope, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Settle()
	return report
}

// Retry makes a subscription due at once.
func (b *Bubble) Retry(sub sim.Subscription) {
	b.t.Helper()
	if _, err := b.DB.RetrySubscriptions(b.t.Context(), sub.ID, b.Clock.Now().UnixMilli()); err != nil {
		b.t.Fatal(err)
	}
}

// Edit makes an operator's change.
func (b *Bubble) Edit(sub sim.Subscription, change func(counter.Subscription) (counter.Subscription, error)) {
	b.t.Helper()
	at := b.Clock.Now().UnixMilli()
	_, _, err := b.DB.EditSubscription(b.t.Context(), ledger.Edit{
		Subscription: sub.ID,
		At:           at,
		Change:       change,
		Entry: func(_, _ counter.Subscription) ledger.JournalEntry {
			return ledger.JournalEntry{Subscription: sub.ID, At: at, Actor: "an operator", What: "edited"}
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// Judge compares a subscription, of so many recurring orders due, with the simulator's own record.
func (b *Bubble) Judge(sub sim.Subscription, due int) {
	b.t.Helper()
	for _, violation := range sim.Judge(b.Observed(sub), due, sub.ExtraData) {
		b.t.Error(violation)
	}
}

// JudgeGift is Judge for a gift: the checkout ships the first of its three shipments.
func (b *Bubble) JudgeGift(sub sim.Subscription) {
	b.t.Helper()
	b.Judge(sub, 2)
}

// RightWithin waits until each of the subscriptions, of so many recurring orders due, is as it should be, and answers
// how long that took. What takes longer than the limit is an error.
func (b *Bubble) RightWithin(limit time.Duration, due int, subs ...sim.Subscription) time.Duration {
	b.t.Helper()
	const step = 100 * time.Millisecond
	start := time.Now()
	for {
		wrong := 0
		for _, sub := range subs {
			if len(sim.Judge(b.Observed(sub), due, sub.ExtraData)) > 0 {
				wrong++
			}
		}
		took := time.Since(start)
		if wrong == 0 {
			return took
		}
		if took >= limit {
			b.t.Errorf("%d of %d are still wrong after %v", wrong, len(subs), took)
			return took
		}
		time.Sleep(step)
	}
}

// Observed is the subscription as it is at Ordergroove now.
func (b *Bubble) Observed(sub sim.Subscription) sim.Subscription {
	b.t.Helper()
	now, ok := b.Sim.Subscription(sub.ID)
	if !ok {
		b.t.Fatalf("the simulator does not know %s", sub.ID)
	}
	return now
}

// Recorded is the subscription as it is recorded now.
func (b *Bubble) Recorded(sub sim.Subscription) ledger.Subscription {
	b.t.Helper()
	recorded, err := b.DB.Subscription(b.t.Context(), sub.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return recorded
}

// Calls is how many API calls with a method there were so far.
func (b *Bubble) Calls(method string) int {
	n := 0
	for _, c := range b.Sim.Calls() {
		if c.Method == method {
			n++
		}
	}
	return n
}

// Entries are the lines of a subscription's journal.
func (b *Bubble) Entries(sub sim.Subscription) []ledger.JournalEntry {
	b.t.Helper()
	entries, err := b.DB.Journal(b.t.Context(), sub.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return entries
}

// Journal is a subscription's journal as text.
func (b *Bubble) Journal(sub sim.Subscription) string {
	b.t.Helper()
	return Text(b.Entries(sub))
}

// Text is a line for each entry of a journal, without its time.
func Text(entries []ledger.JournalEntry) string {
	var s strings.Builder
	for _, e := range entries {
		fmt.Fprintln(&s, e.Actor, e.What, e.Before, "→", e.After, ":", e.Reason)
	}
	return s.String()
}

// Direct is a transport that calls a handler: no sockets, so that it can run in a synctest bubble.
type Direct struct{ http.Handler }

// RoundTrip answers with what the handler answers.
func (d Direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	answered := make(chan *http.Response, 1)
	go func() {
		defer close(answered)
		defer func() {
			p := recover()
			if err, ok := p.(error); p != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
				panic(p) //nolint:forbidigo // a bug of the simulator is to end the test
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
	*Bubble
	next http.RoundTripper
}

// RoundTrip sends a request on, now or later.
func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.Lands == 0 || r.Method != http.MethodPatch {
		return l.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := r.Clone(context.WithoutCancel(r.Context()))
	again.Body = io.NopCloser(bytes.NewReader(body))
	time.AfterFunc(l.Lands, func() {
		if answer, err := l.next.RoundTrip(again); err == nil {
			_ = answer.Body.Close()
		}
	})
	l.Lands = 0
	return nil, context.DeadlineExceeded
}
