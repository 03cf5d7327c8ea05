package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/store"
)

const shopYAML = `
listen: 127.0.0.1:0
console: { listen: "127.0.0.1:0" }
ordergroove:
  api_url: ${SIM_URL}
  api_key: ${ORDERGROOVE_API_KEY}
  webhook_keys: [ "${ORDERGROOVE_WEBHOOK_KEY}" ]
  requests_per_minute: 60000
reconcile: { every: off }
terms:
  - { name: Gift, skus: [GIFT-3MO, GIFT-3MO-DECAF], shipments: 3, cancel_reason: { code: 1, details: Gift complete } }
  - { name: Programme, skus: [SIX], shipments: 6 }
`

// shop is a world with subscriptions of every kind, in a time of its own.
type shop struct {
	*world
	t     *testing.T
	dice  *rand.Rand
	clock atomic.Int64 // what the simulator's clock is ahead of ours, nanoseconds
	lives []*shopper
	lost  float64 // the part of all events that is never delivered
}

// shopper is one subscription, what it is, and how its end is judged.
type shopper struct {
	id     string
	kind   string
	due    int
	first  json.RawMessage
	before int // boxes from before it was termed
	judge  func(sub ogsim.Subscription, s *shopper) []string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, dice: rand.New(rand.NewPCG(11, 0))}
	s.world = newWorld(t.TempDir(), ogsim.Options{Now: func() time.Time { return time.Now().Add(time.Duration(s.clock.Load())) }})
	if err := os.WriteFile(filepath.Join(s.dir, "termed.yaml"), []byte(shopYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// ago sets the simulator's clock, later moves it.
func (s *shop) ago(d time.Duration)    { s.clock.Store(-int64(d)) }
func (s *shop) later(by time.Duration) { s.clock.Add(int64(by)) }

// hear delivers what was announced, but for what is lost.
func (s *shop) hear(ctx context.Context) {
	s.t.Helper()
	var events []ogsim.Event
	for _, e := range s.sim.Take() {
		if s.dice.Float64() >= s.lost {
			events = append(events, e)
		}
	}
	if err := s.sender.SendAll(ctx, events, 16); err != nil {
		s.t.Fatal(err)
	}
	if err := settled(ctx, s.console); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) box(l *shopper) {
	s.t.Helper()
	_, err := s.sim.Place([]string{l.id}, "MUG")
	s.must(err)
}

// kinds are what a shop has, each with what happens before the outage and in it. All of it ends as Judge asks for, but where a
// judge of its own says otherwise.
var shopKinds = []struct {
	kind   string
	sku    string
	due    int
	new    ogsim.NewSubscription
	before func(*shop, *shopper)
	during []func(*shop, *shopper) // on a day each
	judge  func(ogsim.Subscription, *shopper) []string
}{
	{kind: "in progress", sku: "SIX", due: 5, before: (*shop).box, during: []func(*shop, *shopper){(*shop).box, (*shop).box}},
	{kind: "nothing happens", sku: "SIX", due: 5, before: (*shop).box},
	{kind: "complete before", sku: "GIFT-3MO", due: 2, before: func(s *shop, l *shopper) { s.box(l); s.later(time.Hour); s.box(l) }},
	{kind: "complete in the outage", sku: "GIFT-3MO", due: 2, before: (*shop).box, during: []func(*shop, *shopper){(*shop).box}},
	{kind: "agent-made before", sku: "SIX", due: 5, new: ogsim.NewSubscription{Silent: true}, during: []func(*shop, *shopper){(*shop).box, (*shop).box}},
	{kind: "agent-made, swapped once at first", sku: "SIX", due: 5, new: ogsim.NewSubscription{Silent: true}, before: (*shop).box, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.must(s.sim.SwapOnce(l.id, "COFFEE")); s.box(l) },
	}},
	{kind: "swapped once", sku: "SIX", due: 5, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.must(s.sim.SwapOnce(l.id, "COFFEE")); s.box(l) },
	}},
	{kind: "cancelled", sku: "SIX", due: 5, before: (*shop).box, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.box(l); s.must(s.sim.CancelByAgent(l.id)) },
	}, judge: judgeCancelled},
	{kind: "cancelled, and back", sku: "SIX", due: 5, before: func(s *shop, l *shopper) { s.must(s.sim.CancelByAgent(l.id)) }, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.must(s.sim.Reactivate(l.id)); s.box(l) },
	}},
	{kind: "swapped to another SKU of its term", sku: "GIFT-3MO", due: 2, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.must(s.sim.Swap(l.id, "GIFT-3MO-DECAF")); s.box(l) },
	}},
	{kind: "swapped to coffee", sku: "GIFT-3MO", due: 2, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.must(s.sim.Swap(l.id, "COFFEE")); s.box(l) }, (*shop).box,
	}, judge: judgeReleased},
	{kind: "swapped from coffee", sku: "COFFEE", due: 2, before: func(s *shop, l *shopper) {
		for range 4 {
			s.box(l)
			s.later(time.Hour)
		}
		l.before = 4
	}, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.must(s.sim.Swap(l.id, "GIFT-3MO")); s.box(l) },
	}},
	{kind: "prepaid", sku: "GIFT-3MO", new: ogsim.NewSubscription{Prepaid: prepaidFor(5)}, before: (*shop).box, during: []func(*shop, *shopper){(*shop).box}, judge: judgePrepaid},
	{kind: "prepaid, agent-made", sku: "SIX", new: ogsim.NewSubscription{Prepaid: prepaidFor(9), Silent: true}, during: []func(*shop, *shopper){(*shop).box}, judge: judgePrepaid},
	{kind: "prepaid, ended in the outage", sku: "GIFT-3MO", new: ogsim.NewSubscription{Prepaid: prepaidFor(2)}, before: (*shop).box, during: []func(*shop, *shopper){(*shop).box}, judge: judgePrepaid},
	{kind: "evergreen", sku: "COFFEE", due: ogsim.Evergreen, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.must(s.sim.SwapOnce(l.id, "SIX")); s.box(l) },
	}},
	{kind: "counter wiped", sku: "SIX", due: 5, before: (*shop).box, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) { s.must(s.sim.Edit(l.id, l.first)) }, (*shop).box,
	}},
	{kind: "an older counter written back", sku: "SIX", due: 5, before: (*shop).box, during: []func(*shop, *shopper){
		func(s *shop, l *shopper) {
			sub, _ := s.sim.Subscription(l.id)
			s.box(l)
			s.must(s.sim.Edit(l.id, sub.ExtraData))
		},
	}},
}

func prepaidFor(orders int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"prepaid_orders_remaining":%d,"prepaid_orders_per_billing":%d,"renewal_behavior":"autorenew"}`, orders, orders))
}

func judgeCancelled(sub ogsim.Subscription, l *shopper) []string {
	return judgeEnded(sub, &soaked{id: l.id, due: l.due, first: l.first})
}

func judgePrepaid(sub ogsim.Subscription, l *shopper) []string {
	return ogsim.JudgePrepaid(sub, l.first)
}

// judgeReleased is for one that is termed no more: it goes on for ever.
func judgeReleased(sub ogsim.Subscription, _ *shopper) []string {
	if !sub.Live || sub.Cancels > 0 {
		return []string{fmt.Sprintf("it is termed no more, and is live %v after %d cancels", sub.Live, sub.Cancels)}
	}
	return nil
}

// open fills the shop with so many subscriptions, spread over the kinds.
func (s *shop) open(ctx context.Context, n int) {
	s.t.Helper()
	s.ago(90 * 24 * time.Hour)
	for i := range n {
		k := shopKinds[i%len(shopKinds)]
		k.new.Customer, k.new.Product = canaryName, k.sku
		k.new.ExtraData = json.RawMessage(fmt.Sprintf(`{"mine <&>":%d.10,"":null,"long":90071992547409931234}`, i))
		sub, err := s.sim.Subscribe(k.new)
		s.must(err)
		s.lives = append(s.lives, &shopper{id: sub.ID, kind: k.kind, due: k.due, first: k.new.ExtraData, judge: k.judge})
	}
	s.hear(ctx)
	s.later(time.Hour)
	for i, l := range s.lives {
		if before := shopKinds[i%len(shopKinds)].before; before != nil {
			before(s, l)
		}
	}
	s.hear(ctx)
}

// outage lets the two days until now pass.
func (s *shop) outage(ctx context.Context, lost float64) {
	s.t.Helper()
	s.lost = lost
	for day := range 2 {
		s.ago(time.Duration(2-day) * 24 * time.Hour)
		for i, l := range s.lives {
			if during := shopKinds[i%len(shopKinds)].during; day < len(during) {
				during[day](s, l)
			}
		}
		s.hear(ctx)
	}
	s.lost = 0
	s.ago(0)
}

func (s *shop) judgeAll() {
	s.t.Helper()
	for _, l := range s.lives {
		sub, _ := s.sim.Subscription(l.id)
		sub.Placed -= l.before
		faults := ogsim.Judge(sub, l.due, l.first)
		if l.judge != nil {
			faults = l.judge(sub, l)
		}
		for _, fault := range faults {
			s.t.Errorf("%s (%s): %s", l.id, l.kind, fault)
		}
	}
	if n := s.sim.Overlaps(); n > 0 {
		s.t.Errorf("%d times a subscription had two changes in hand at once", n)
	}
}

func (s *shop) patches() (n int) {
	for _, c := range s.sim.Calls() {
		if c.Method == "PATCH" {
			n++
		}
	}
	return n
}

// reconcile runs the command and fails unless it ends with the exit code.
func (s *shop) reconcile(ctx context.Context, want int, arguments ...string) string {
	s.t.Helper()
	out, code, err := s.termed(ctx, append([]string{"reconcile", "--requests-per-minute", "60000"}, arguments...)...)
	s.must(err)
	if code != want {
		s.t.Errorf("termed reconcile %v ended with %d, want %d:\n%s", arguments, code, want, out)
	}
	return out
}

// TestReconcileAfterAnOutage lets half of all events of two days go missing, for a thousand subscriptions of every kind: one
// reconcile, beside the service or without it, ends exact by the simulator's record, and a second one finds nothing.
// `go test ./cmd/termed -run TestReconcileAfterAnOutage -v` prints the calls and the time.
func TestReconcileAfterAnOutage(t *testing.T) {
	t.Parallel()
	for name, subscriptions := range map[string]int{"beside the service": 1000, "without it": 180} {
		if underRace {
			subscriptions = 180
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Log("FAULT | two days in which half of all events are never delivered, for subscriptions of every kind | I2 I3 I4 I8 I10")
			s := newShop(t)
			defer s.close()
			s.must(s.serve())
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			s.open(ctx, subscriptions)
			s.outage(ctx, 0.5)
			if name == "without it" {
				s.must(s.end(syscall.SIGTERM))
			}
			dry := s.reconcile(ctx, 3, "--dry-run")
			patches := s.patches()
			out := s.reconcile(ctx, 0)
			t.Logf("the dry run:\n%sthe real one, %d changes:\n%s", dry, s.patches()-patches, out)
			s.judgeAll()
			patches = s.patches()
			if again := s.reconcile(ctx, 0); !strings.Contains(again, "there is nothing to do") || s.patches() != patches {
				t.Errorf("a second one made %d changes:\n%s", s.patches()-patches, again)
			}
			for _, kind := range []string{"complete, and still live", "not enrolled", "shipments never announced", "counter or marks differ", "product changed", "no longer live", "live again"} {
				if !strings.Contains(out, kind) {
					t.Errorf("nothing was found of the kind %q", kind)
				}
			}
		})
	}
}

// standing is what a ledger says of each subscription, in words that do not depend on how it was learned.
func standing(t *testing.T, database string) map[string]string {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Database: database})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pages, err := s.Subscriptions(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, p := range pages {
		if p.State != counter.Released { // one that is not termed is not in a new ledger
			all[p.Subscription] = fmt.Sprintf("%s %s %s, %s, live %v", p.SKU, p.Term, p.State, p.Show(), p.Live)
		}
	}
	return all
}

// TestReconcileALostDatabase deletes the database in mid-life: after a reconcile the ledger says the same of each subscription
// as before, and nothing is changed at Ordergroove.
func TestReconcileALostDatabase(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | the database is deleted in mid-life, and nothing is delivered again | I2 I3 I4: after a reconcile the same of each subscription")
	s := newShop(t)
	defer s.close()
	s.must(s.serve())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s.open(ctx, 180)
	s.outage(ctx, 0)
	s.reconcile(ctx, 0)
	s.must(s.end(syscall.SIGTERM))
	s.judgeAll()
	database := filepath.Join(s.dir, "termed.db")
	before, patches := standing(t, database), s.patches()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(database + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	out := s.reconcile(ctx, 0)
	t.Logf("%s", out)
	after := standing(t, database)
	for id, was := range before {
		if after[id] != was {
			t.Errorf("%s (%s):\nbefore %s\nafter  %s", id, s.kindOf(id), was, after[id])
		}
		delete(after, id)
	}
	for id, is := range after {
		t.Errorf("%s (%s) was not there before: %s", id, s.kindOf(id), is)
	}
	if got := s.patches() - patches; got != 0 {
		t.Errorf("%d changes at Ordergroove, want none", got)
	}
	if len(before) < 150 {
		t.Errorf("only %d subscriptions were in the ledger", len(before))
	}
	// And it goes on from there.
	s.must(s.serve())
	for _, l := range s.lives {
		if l.kind == "nothing happens" {
			s.box(l)
		}
	}
	s.hear(ctx)
	s.judgeAll()
}

func (s *shop) kindOf(id string) string {
	for _, l := range s.lives {
		if l.id == id {
			return l.kind
		}
	}
	return "?"
}

// TestReconcileUnderLoad compares all the time, by schedule and by hand, while a load is played: exact, and nothing is done
// twice. On SQLite beside one service, on PostgreSQL beside two.
func TestReconcileUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) { reconcileUnderLoad(t, "termed.db", 1) })
	t.Run("PostgreSQL", func(t *testing.T) { reconcileUnderLoad(t, newDatabase(t), 2) })
}

// newDatabase makes a PostgreSQL database of the test's own.
func newDatabase(t *testing.T) string {
	t.Helper()
	server := os.Getenv("TERMED_TEST_POSTGRES")
	if server == "" {
		t.Skip("PostgreSQL: set TERMED_TEST_POSTGRES to postgres://user@host/database")
	}
	admin, err := sqlx.Connect("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("termed_test_%d", rand.Uint64())
	if _, err := admin.Exec("create database " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("drop database " + name + " with (force)"); err != nil {
			t.Error(err)
		}
		admin.Close()
	})
	return server[:strings.LastIndex(server, "/")+1] + name
}

func reconcileUnderLoad(t *testing.T, database string, instances int) {
	t.Parallel()
	t.Log("FAULT | everything is compared all the time, by schedule and by hand, while 120 subscriptions are under load | I2 I3 I4 I8 I10: nothing is done twice")
	c := newCluster(t, database, instances, "reconcile: { every: 1s, full: 2s }")
	defer c.close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	playing, over := context.WithCancel(ctx)
	defer over()
	var hands sync.WaitGroup
	var byHand atomic.Int32
	hands.Go(func() {
		for playing.Err() == nil {
			out, code, err := c.instances[0].termed(ctx, "reconcile", "--requests-per-minute", "60000")
			if err != nil || code != 0 && !strings.Contains(out, "another reconciliation") && !strings.Contains(out, "not yet") {
				t.Errorf("termed reconcile: %d, %v\n%s", code, err, out)
				return
			}
			if code == 0 {
				byHand.Add(1)
			}
		}
	})
	var reports []ogsim.Report
	for seed := uint64(9); len(reports) == 0 || byHand.Load() < 3 && len(reports) < 20; seed++ {
		load := ogsim.Load{
			Subscriptions: 120, Duplicates: 0.25, Disorder: 0.33, Seed: seed, AtATime: 8, Calm: true,
			Products: []ogsim.Product{{SKU: "GIFT-3MO", Due: 2}, {SKU: "SIX", Due: 5}, {SKU: "COFFEE", Due: ogsim.Evergreen}},
		}
		report, err := load.Run(ctx, c.sim, c.sender, c.settled)
		if err != nil {
			t.Error(err)
			break
		}
		reports = append(reports, report)
	}
	over()
	hands.Wait()
	lists := 0
	for _, call := range c.sim.Calls() {
		if call.Path == "/subscriptions/" {
			lists++
		}
	}
	t.Logf("%d by hand, %d lists read", byHand.Load(), lists)
	for _, report := range reports {
		t.Logf("%s", report)
		for _, fault := range report.Faults {
			t.Error(fault)
		}
	}
	for _, sub := range c.sim.Subscriptions() {
		if sub.Writes > 1+sub.Placed {
			t.Errorf("%s: %d writes for %d boxes", sub.ID, sub.Writes, sub.Placed)
		}
	}
	if byHand.Load() < 3 || lists < 6 {
		t.Errorf("%d comparisons by hand, %d lists: nothing was compared", byHand.Load(), lists)
	}
}
