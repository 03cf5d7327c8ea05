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

	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
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
brake: { ends_per_hour: 100000 }
terms:
  - { name: Gift, skus: [GIFT-3MO, GIFT-3MO-DECAF], shipments: 3, cancel_reason: { code: 1, details: Gift complete } }
  - { name: Program, skus: [SIX], shipments: 6 }
`

// shop is a harness with subscriptions of every kind. Its simulator's clock is set by the test.
type shop struct {
	*harness
	t      *testing.T
	random *rand.Rand
	all    []*shopSubscription
	lost   float64 // the share of all events that is never delivered
}

// shopSubscription is one subscription, of which kind it is, and how its end is judged.
type shopSubscription struct {
	id     string
	kind   string
	due    int
	first  json.RawMessage
	before int // orders placed before a term listed its product
	judge  func(sub sim.Subscription, s *shopSubscription) []string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, random: rand.New(rand.NewPCG(11, 0))}
	s.harness = newHarness(t.TempDir(), sim.Options{})
	if err := os.WriteFile(filepath.Join(s.dir, "termed.yaml"), []byte(shopYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must(s.listedLongAgo(t.Context(), "GIFT-3MO", "GIFT-3MO-DECAF", "SIX"))
	return s
}

// setAgo sets the simulator's clock to a time before now.
func (s *shop) setAgo(d time.Duration) { s.ahead.Store(-int64(d)) }

// advance puts the simulator's clock forward.
func (s *shop) advance(by time.Duration) { s.ahead.Add(int64(by)) }

// deliverRest delivers what was announced, except for the share that is lost.
func (s *shop) deliverRest(ctx context.Context) {
	s.t.Helper()
	var events []sim.Event
	for _, e := range s.sim.Take() {
		if s.random.Float64() >= s.lost {
			events = append(events, e)
		}
	}
	if err := s.sender.SendAll(ctx, events, 16); err != nil {
		s.t.Fatal(err)
	}
	if err := service.WaitIdle(ctx, s.consoleURL); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// placeOrder places an order with a shipment of the subscription.
func (s *shop) placeOrder(l *shopSubscription) {
	s.t.Helper()
	_, err := s.sim.Place([]string{l.id}, "MUG")
	s.must(err)
}

// shopKinds are the kinds of subscriptions, each with what happens before the outage and during it. They all must end
// as sim.Judge says, except for those with a judge of their own.
var shopKinds = []shopKind{
	{
		kind:   "in progress",
		sku:    "SIX",
		due:    5,
		before: (*shop).placeOrder,
		during: []func(*shop, *shopSubscription){(*shop).placeOrder, (*shop).placeOrder},
	},
	{kind: "nothing happens", sku: "SIX", due: 5, before: (*shop).placeOrder},
	{
		kind: "complete before",
		sku:  "GIFT-3MO",
		due:  2,
		before: func(s *shop, l *shopSubscription) {
			s.placeOrder(l)
			s.advance(time.Hour)
			s.placeOrder(l)
		},
	},
	{
		kind:   "complete in the outage",
		sku:    "GIFT-3MO",
		due:    2,
		before: (*shop).placeOrder,
		during: []func(*shop, *shopSubscription){(*shop).placeOrder},
	},
	{
		kind:   "agent-made before",
		sku:    "SIX",
		due:    5,
		new:    sim.NewSubscription{Silent: true},
		during: []func(*shop, *shopSubscription){(*shop).placeOrder, (*shop).placeOrder},
	},
	{
		kind:   "agent-made, swapped once at first",
		sku:    "SIX",
		due:    5,
		new:    sim.NewSubscription{Silent: true},
		before: (*shop).placeOrder,
		during: []func(*shop, *shopSubscription){(*shop).swapOnceToCoffee},
	},
	{
		kind:   "swapped once",
		sku:    "SIX",
		due:    5,
		during: []func(*shop, *shopSubscription){(*shop).swapOnceToCoffee},
	},
	{
		kind:   "canceled",
		sku:    "SIX",
		due:    5,
		before: (*shop).placeOrder,
		during: []func(*shop, *shopSubscription){
			func(s *shop, l *shopSubscription) {
				s.placeOrder(l)
				s.must(s.sim.CancelByAgent(l.id))
			},
		},
		judge: judgeCanceled,
	},
	{
		kind:   "canceled, and reactivated",
		sku:    "SIX",
		due:    5,
		before: func(s *shop, l *shopSubscription) { s.must(s.sim.CancelByAgent(l.id)) },
		during: []func(*shop, *shopSubscription){
			func(s *shop, l *shopSubscription) {
				s.must(s.sim.Reactivate(l.id))
				s.placeOrder(l)
			},
		},
	},
	{
		kind:   "swapped to another SKU of its term",
		sku:    "GIFT-3MO",
		due:    2,
		during: []func(*shop, *shopSubscription){swapTo("GIFT-3MO-DECAF")},
	},
	{
		kind:   "swapped to coffee",
		sku:    "GIFT-3MO",
		due:    2,
		during: []func(*shop, *shopSubscription){swapTo("COFFEE"), (*shop).placeOrder},
		judge:  judgeReleased,
	},
	{
		kind: "swapped from coffee",
		sku:  "COFFEE",
		due:  2,
		before: func(s *shop, l *shopSubscription) {
			for range 4 {
				s.placeOrder(l)
				s.advance(time.Hour)
			}
			l.before = 4
		},
		during: []func(*shop, *shopSubscription){swapTo("GIFT-3MO")},
	},
	{
		kind:   "prepaid",
		sku:    "GIFT-3MO",
		new:    sim.NewSubscription{Prepaid: prepaidFor(5)},
		before: (*shop).placeOrder,
		during: []func(*shop, *shopSubscription){(*shop).placeOrder},
		judge:  judgePrepaid,
	},
	{
		kind:   "prepaid, agent-made",
		sku:    "SIX",
		new:    sim.NewSubscription{Prepaid: prepaidFor(9), Silent: true},
		during: []func(*shop, *shopSubscription){(*shop).placeOrder},
		judge:  judgePrepaid,
	},
	{
		kind:   "prepaid, ended in the outage",
		sku:    "GIFT-3MO",
		new:    sim.NewSubscription{Prepaid: prepaidFor(2)},
		before: (*shop).placeOrder,
		during: []func(*shop, *shopSubscription){(*shop).placeOrder},
		judge:  judgePrepaid,
	},
	{
		kind: "evergreen",
		sku:  "COFFEE",
		due:  sim.Evergreen,
		during: []func(*shop, *shopSubscription){
			func(s *shop, l *shopSubscription) {
				s.must(s.sim.SwapOnce(l.id, "SIX"))
				s.placeOrder(l)
			},
		},
	},
	{
		kind:   "counter removed",
		sku:    "SIX",
		due:    5,
		before: (*shop).placeOrder,
		during: []func(*shop, *shopSubscription){
			func(s *shop, l *shopSubscription) { s.must(s.sim.Edit(l.id, l.first)) },
			(*shop).placeOrder,
		},
	},
	{
		kind:   "an older counter written back",
		sku:    "SIX",
		due:    5,
		before: (*shop).placeOrder,
		during: []func(*shop, *shopSubscription){
			func(s *shop, l *shopSubscription) {
				sub, _ := s.sim.Subscription(l.id)
				s.placeOrder(l)
				s.must(s.sim.Edit(l.id, sub.ExtraData))
			},
		},
	},
}

type shopKind struct {
	kind   string
	sku    string
	due    int
	new    sim.NewSubscription
	before func(*shop, *shopSubscription)
	during []func(*shop, *shopSubscription) // one for each day
	judge  func(sim.Subscription, *shopSubscription) []string
}

func (s *shop) swapOnceToCoffee(l *shopSubscription) {
	s.must(s.sim.SwapOnce(l.id, "COFFEE"))
	s.placeOrder(l)
}

// swapTo swaps the product, and then places an order.
func swapTo(sku string) func(*shop, *shopSubscription) {
	return func(s *shop, l *shopSubscription) {
		s.must(s.sim.Swap(l.id, sku))
		s.placeOrder(l)
	}
}

func prepaidFor(orders int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(
		`{"prepaid_orders_remaining":%d,"prepaid_orders_per_billing":%d,"renewal_behavior":"autorenew"}`, orders, orders))
}

func judgeCanceled(sub sim.Subscription, l *shopSubscription) []string {
	return judgeEnded(sub, l.due, l.first)
}

func judgePrepaid(sub sim.Subscription, l *shopSubscription) []string {
	return sim.JudgePrepaid(sub, l.first)
}

// judgeReleased is for one whose product belongs to no term any more: it renews until somebody cancels it.
func judgeReleased(sub sim.Subscription, _ *shopSubscription) []string {
	if !sub.Live || sub.Cancels > 0 {
		return []string{fmt.Sprintf("it is released, and is live %v after %d cancels", sub.Live, sub.Cancels)}
	}
	return nil
}

// open makes n subscriptions, spread over the kinds.
func (s *shop) open(ctx context.Context, n int) {
	s.t.Helper()
	s.setAgo(90 * 24 * time.Hour)
	for i := range n {
		k := shopKinds[i%len(shopKinds)]
		k.new.Customer, k.new.Product = canaryName, k.sku
		k.new.ExtraData = json.RawMessage(fmt.Sprintf(`{"mine <&>":%d.10,"":null,"long":90071992547409931234}`, i))
		sub, err := s.sim.Subscribe(k.new)
		s.must(err)
		s.all = append(s.all, &shopSubscription{
			id:    sub.ID,
			kind:  k.kind,
			due:   k.due,
			first: k.new.ExtraData,
			judge: k.judge,
		})
	}
	s.deliverRest(ctx)
	s.advance(time.Hour)
	for i, l := range s.all {
		if before := shopKinds[i%len(shopKinds)].before; before != nil {
			before(s, l)
		}
	}
	s.deliverRest(ctx)
}

// outage plays the two days until now.
func (s *shop) outage(ctx context.Context, lost float64) {
	s.t.Helper()
	s.lost = lost
	for day := range 2 {
		s.setAgo(time.Duration(2-day) * 24 * time.Hour)
		for i, l := range s.all {
			if during := shopKinds[i%len(shopKinds)].during; day < len(during) {
				during[day](s, l)
			}
		}
		s.deliverRest(ctx)
	}
	s.lost = 0
	s.setAgo(0)
}

func (s *shop) judgeAll() {
	s.t.Helper()
	for _, l := range s.all {
		sub, _ := s.sim.Subscription(l.id)
		sub.Placed -= l.before
		faults := sim.Judge(sub, l.due, l.first)
		if l.judge != nil {
			faults = l.judge(sub, l)
		}
		for _, fault := range faults {
			s.t.Errorf("%s (%s): %s", l.id, l.kind, fault)
		}
	}
	if n := s.sim.Overlaps(); n > 0 {
		s.t.Errorf("%d times two changes of a subscription ran at once", n)
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

// TestReconcileAfterAnOutage loses half of all events of two days, for a thousand subscriptions of every kind. One
// reconcile, with or without a running service, makes all of them exact by the simulator's record, and a second one
// finds nothing. `go test ./cmd/termed -run TestReconcileAfterAnOutage -v` prints the calls and the time.
func TestReconcileAfterAnOutage(t *testing.T) {
	t.Parallel()
	t.Run("next to the service", func(t *testing.T) { reconcileAfterAnOutage(t, true, 1000) })
	t.Run("without the service", func(t *testing.T) { reconcileAfterAnOutage(t, false, 180) })
}

func reconcileAfterAnOutage(t *testing.T, withService bool, subscriptions int) {
	t.Parallel()
	t.Log("FAULT | two days in which half of all events are never delivered, for subscriptions of every kind" +
		" | I2 I3 I4 I8 I10")
	if underRace {
		subscriptions = 180
	}
	s := newShop(t)
	defer s.close()
	s.must(s.serve())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s.open(ctx, subscriptions)
	s.outage(ctx, 0.5)
	if !withService {
		s.must(s.end(syscall.SIGTERM))
	}
	dry := s.reconcile(ctx, 3, "--dry-run")
	patches := s.patches()
	out := s.reconcile(ctx, 0)
	t.Logf("the dry run:\n%sthe real one, %d changes:\n%s", dry, s.patches()-patches, out)
	s.judgeAll()
	patches = s.patches()
	if again := s.reconcile(ctx, 0); !strings.Contains(again, "nothing to do") || s.patches() != patches {
		t.Errorf("a second one made %d changes:\n%s", s.patches()-patches, again)
	}
	for _, kind := range []reconcile.Kind{
		reconcile.PendingExtraOrder,
		reconcile.NotEnrolled,
		reconcile.Unannounced,
		reconcile.Differs,
		reconcile.Swapped,
		reconcile.NotLive,
		reconcile.LiveAgain,
	} {
		if !strings.Contains(out, string(kind)) {
			t.Errorf("nothing was found of the kind %q", kind)
		}
	}
}

// enrollments is what a database says of each subscription, in words that do not depend on how termed learned it.
func enrollments(t *testing.T, database string) map[string]string {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Database: database})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	subscriptions, err := s.Subscriptions(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, sub := range subscriptions {
		if sub.State != counter.Released { // a new database does not have one that is in no term
			all[sub.ID] = fmt.Sprintf("%s %s %s, %s, live %v", sub.SKU, sub.Term, sub.State, sub.Progress(), sub.Live)
		}
	}
	return all
}

// TestReconcileRestoresALostDatabase deletes the database while subscriptions are running. After a reconcile the new
// one says the same of each subscription as before, and nothing is changed at Ordergroove.
func TestReconcileRestoresALostDatabase(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | the database is deleted while subscriptions are running, and nothing is delivered again" +
		" | I2 I3 I4: after a reconcile the new one says the same of each subscription")
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
	before := enrollments(t, database)
	patches := s.patches()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(database + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	out := s.reconcile(ctx, 0)
	t.Logf("%s", out)
	after := enrollments(t, database)
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
		t.Errorf("only %d subscriptions were enrolled", len(before))
	}
	// The service continues from there.
	s.must(s.serve())
	for _, l := range s.all {
		if l.kind == "nothing happens" {
			s.placeOrder(l)
		}
	}
	s.deliverRest(ctx)
	s.judgeAll()
}

func (s *shop) kindOf(id string) string {
	for _, l := range s.all {
		if l.id == id {
			return l.kind
		}
	}
	return "?"
}

// TestReconcileUnderLoad reconciles all the time, by schedule and by hand, while a load is played: the end is exact,
// and nothing is done twice. On SQLite one service runs, on PostgreSQL two.
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
	t.Log("FAULT | reconciling all the time, by schedule and by hand, while 120 subscriptions are under load" +
		" | I2 I3 I4 I8 I10: nothing is done twice")
	c := newCluster(t, database, instances, "reconcile: { every: 1s, full: 2s }")
	defer c.close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	playing, stop := context.WithCancel(ctx)
	defer stop()
	var reconciling sync.WaitGroup
	var byHand atomic.Int32
	reconciling.Go(func() { c.reconcileByHand(ctx, playing, &byHand) })
	for seed := uint64(9); seed == 9 || byHand.Load() < 3 && seed < 29; seed++ {
		load := sim.Load{
			Subscriptions: 120,
			Duplicates:    0.25,
			Disorder:      0.33,
			Seed:          seed,
			Concurrency:   8,
			WaitPerRound:  true,
			Products:      loadProducts,
		}
		report, err := load.Run(ctx, c.sim, c.sender, c.waitIdle)
		if err != nil {
			t.Error(err)
			break
		}
		t.Logf("%s", report)
		for _, fault := range report.Violations {
			t.Error(fault)
		}
	}
	stop()
	reconciling.Wait()
	lists := 0
	for _, call := range c.sim.Calls() {
		if call.Path == "/subscriptions/" {
			lists++
		}
	}
	t.Logf("%d by hand, %d lists read", byHand.Load(), lists)
	for _, sub := range c.sim.Subscriptions() {
		if sub.Writes > 1+sub.Placed {
			t.Errorf("%s: %d writes for %d orders", sub.ID, sub.Writes, sub.Placed)
		}
	}
	if byHand.Load() < 3 || lists < 6 {
		t.Errorf("%d reconciliations by hand, %d lists: nothing was compared", byHand.Load(), lists)
	}
}

// reconcileByHand runs the command again and again until playing is done, and counts the runs that ended well.
func (c *cluster) reconcileByHand(ctx, playing context.Context, count *atomic.Int32) {
	for playing.Err() == nil {
		out, code, err := c.instances[0].termed(ctx, "reconcile", "--requests-per-minute", "60000")
		waiting := strings.Contains(out, "another reconciliation") || strings.Contains(out, "not yet")
		if err != nil || code != 0 && !waiting {
			c.t.Errorf("termed reconcile: %d, %v\n%s", code, err, out)
			return
		}
		if code == 0 {
			count.Add(1)
		}
	}
}
