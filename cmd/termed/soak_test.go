package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// TestSoak lets everything happen at random for a while: subscriptions that are announced or not, counted or prepaid;
// duplicates, disorder, deliveries that come late or never; an API that fails in every way; others who edit extra_data;
// customers, operators and agents who cancel, reactivate, lengthen and swap; reconciliations all the time; and a
// process that is killed, stopped and ended. After a last reconciliation each subscription must be exactly as the
// simulator's own record asks for.
//
// TERMED_SOAK is how long (default 5s), TERMED_SEED the seed of the random numbers (default 1, or the time if
// TERMED_SOAK is set). The seed is printed. The same seed makes the same choices; what the machine's scheduling makes
// of them differs.
func TestSoak(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | soak: kill -9 at random moments under load and during reconciliations, random faults," +
		" deliveries late, lost for good and sent twice, subscriptions that are never announced, prepaid ones," +
		" customers, operators and agents who cancel, reactivate, lengthen, swap and adjust before and after the end," +
		" in a real process, judged by the simulator's record | I1 I2 I3 I4 I7 I10")
	long, seed := soakSettings(t)
	t.Logf("TERMED_SOAK=%s TERMED_SEED=%d", long, seed)
	s := &soak{
		supervised: newSupervised(t, sim.Options{Snapshot: "top", ItemEvents: true, OrderEvents: true}),
		random:     rand.New(rand.NewPCG(seed, 1)),
	}
	s.rewrite(`console: {`, `console: { actions: [adjust],`)
	s.rewrite("reconcile: { every: off }", "reconcile: { every: 1s, full: 2s }")
	s.rewrite("terms:", "mode: live\nterms:\n  - { name: Old, skus: [OLD], shipments: 3 }")
	s.beginOld(12)
	s.start()
	defer s.close()
	s.accepted = noteAccepted(s.sender)
	ctx, cancel := context.WithTimeout(t.Context(), long+3*time.Minute)
	defer cancel()
	for end := time.Now().Add(long); time.Now().Before(end) && !t.Failed(); {
		s.step(ctx)
	}
	s.settleAll(ctx)
	s.judge()
	s.judgeAdjustments(ctx)
	t.Logf("%d subscriptions, %d shipments, %d deliveries, %d events lost, %d faults, %d kills, %d API calls",
		len(s.all), s.shipments, s.deliveries, s.lost, s.faults, s.died(), len(s.sim.Calls()))
}

func soakSettings(t *testing.T) (time.Duration, uint64) {
	t.Helper()
	long, seed := 5*time.Second, uint64(1)
	if text := os.Getenv("TERMED_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		long, seed = d, uint64(time.Now().UnixNano())
	}
	if text := os.Getenv("TERMED_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	return long, seed
}

// soak is a supervised service to which anything may happen.
type soak struct {
	*supervised
	random   *rand.Rand
	all      []*soakSubscription
	old      []*soakSubscription // that ran before their SKU was listed
	observed bool                // the mode is observe
	late     []sim.Event
	accepted *acceptedEvents

	delivering sync.WaitGroup
	operator   *store.Store // an operator's connection

	adjusting   sync.WaitGroup
	adjustments int // asked for

	shipments, deliveries, lost, faults int // how many
}

// soakSubscription is one subscription, and what happened to it.
type soakSubscription struct {
	id         string
	due        int
	first      json.RawMessage
	canceled   bool // by its customer
	prepaid    bool
	blocked    int // how often somebody reactivated it after its end
	approved   bool
	lastPlaced time.Time
}

// step makes one random thing happen.
func (s *soak) step(ctx context.Context) {
	switch n := s.random.IntN(200); {
	case n < 20:
		s.begin()
	case n < 100:
		s.placeOrder()
	case n < 110:
		s.editExtraData()
	case n < 118:
		s.changeCourse(ctx)
	case n < 142:
		s.breakAPI()
	case n < 143:
		s.brake(ctx)
	case n < 145:
		s.signal([]syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM}[s.random.IntN(3)])
	case n < 158:
		s.adjustOrder(ctx)
	case n < 159:
		s.signal(syscall.SIGSTOP)
		time.AfterFunc(time.Duration(s.random.IntN(300))*time.Millisecond, func() { s.signal(syscall.SIGCONT) })
	default:
		s.send(ctx)
	}
	time.Sleep(time.Duration(s.random.IntN(20)) * time.Millisecond)
}

// begin makes a subscription.
func (s *soak) begin() {
	if len(s.all) > 4000 {
		return
	}
	product := loadProducts[s.random.IntN(len(loadProducts))]
	termed := product.OrdersDue != sim.Evergreen
	n := sim.NewSubscription{
		Customer: canaryName,
		Product:  product.SKU,
		ExtraData: json.RawMessage(fmt.Sprintf(
			`{"mine <&>":%d.10,"":null,"long":90071992547409931234,"deep":{"a":[1,{"b":"\u2028"}]}}`, s.random.IntN(100))),
		Silent: s.random.IntN(10) == 0 && termed,
	}
	prepaid := s.random.IntN(20) == 0 && termed
	if prepaid {
		n.Prepaid = prepaidFor(1 + s.random.IntN(8))
	}
	sub, err := s.sim.Subscribe(n)
	if err != nil {
		s.t.Fatal(err)
	}
	s.all = append(s.all, &soakSubscription{id: sub.ID, due: product.OrdersDue, first: n.ExtraData, prepaid: prepaid})
}

// any returns a random subscription and what Ordergroove has of it, or nil while there is none.
func (s *soak) any() (*soakSubscription, sim.Subscription) {
	if len(s.all) == 0 {
		return nil, sim.Subscription{}
	}
	l := s.all[s.random.IntN(len(s.all))]
	sub, _ := s.sim.Subscription(l.id)
	return l, sub
}

// placeOrder places an order with one or two subscriptions that have a shipment to come.
func (s *soak) placeOrder() {
	var on []string
	for range 1 + s.random.IntN(2) {
		l, sub := s.any()
		if l == nil {
			return
		}
		complete := l.due != sim.Evergreen && sub.Placed >= l.due && !l.prepaid
		if complete || !sub.Live || len(on) > 0 && on[0] == l.id {
			continue
		}
		// A first shipment of another product looks like a lasting swap if no other event was ever announced, and orders of
		// the same second have no sequence.
		swappable := l.due != sim.Evergreen && sub.Placed > 0 && time.Since(l.lastPlaced) > 2*time.Second
		if swappable && s.random.IntN(3) == 0 {
			if err := s.sim.SwapOnce(l.id, "COFFEE"); err != nil {
				s.t.Fatal(err)
			}
		}
		on = append(on, l.id)
		l.lastPlaced = time.Now()
	}
	if len(on) == 0 {
		return
	}
	if _, err := s.sim.Place(on, "MUG"); err != nil {
		s.t.Fatal(err)
	}
	s.shipments += len(on)
}

// editExtraData removes termed's keys, or writes an older counter back.
func (s *soak) editExtraData() {
	l, sub := s.any()
	if l == nil {
		return
	}
	var keys map[string]json.RawMessage
	if l.due == sim.Evergreen || json.Unmarshal(sub.ExtraData, &keys) != nil || keys["fulfillment_counter"] == nil {
		return
	}
	data := l.first
	if s.random.IntN(2) != 0 {
		delete(keys, "termed")
		var err error
		data, err = json.Marshal(keys)
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.sim.Edit(l.id, data); err != nil {
		s.t.Fatal(err)
	}
}

// changeCourse lets a customer cancel early, for good or for a while, or reactivate after the end; an operator lengthen
// a term; or somebody swap a gift for a longer term.
func (s *soak) changeCourse(ctx context.Context) {
	l, sub := s.any()
	if l == nil || l.due == sim.Evergreen || l.prepaid {
		return
	}
	var err error
	switch n := s.random.IntN(4); {
	case sub.Placed >= l.due:
		if !sub.Live && !l.canceled && sub.Cancels == 1+l.blocked {
			l.blocked++ // termed must cancel it once more
			err = s.sim.Reactivate(l.id)
		}
	case n == 0:
		s.lengthen(ctx, l, sub)
	case n == 1 && sub.Product == "GIFT-3MO" && sub.Placed < 1:
		if err = s.sim.Swap(l.id, "SIX"); err == nil {
			l.due = 5
		}
	case l.canceled || !sub.Live:
		l.canceled, err = false, s.sim.Reactivate(l.id)
	default:
		l.canceled, err = true, s.sim.CancelByAgent(l.id)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// lengthen makes a term longer, as `termed subscriptions set` does next to the service. It may be refused, or find a
// sync in progress.
func (s *soak) lengthen(ctx context.Context, l *soakSubscription, sub sim.Subscription) {
	shipments := sub.Placed + 3 + s.random.IntN(4)
	after, err := s.edit(ctx, l.id, func(l counter.Subscription) (counter.Subscription, error) {
		return counter.SetLength(l, shipments)
	})
	switch {
	case err == nil && after.SKU == sub.Product:
		l.due = shipments - 1
	case err == nil: // termed has not seen its swap yet, which gives it the length of the new term
		l.due = map[string]int{"GIFT-3MO": 2, "SIX": 5}[sub.Product]
	case errors.Is(err, ledger.ErrLeased), errors.Is(err, counter.ErrRefused), errors.Is(err, ledger.ErrUnknown):
	default:
		s.t.Errorf("lengthening: %v", err)
	}
}

// breakAPI makes some API calls fail.
func (s *soak) breakAPI() {
	if s.sim.Faults() > 200 {
		return
	}
	s.faults++
	s.sim.Break(sim.Fault{
		Method:      []string{"", "GET", "PATCH"}[s.random.IntN(3)],
		Path:        []string{"", "", "/subscriptions/", "/update/", "/cancel/"}[s.random.IntN(5)],
		Times:       1 + s.random.IntN(3),
		Status:      []int{0, 200, 423, 429, 500, 503, 504}[s.random.IntN(7)],
		Body:        []string{"", "<html>", `{"detail":"x"}`, `{"public_id":"another","live":true}`}[s.random.IntN(4)],
		RetryAfter:  []string{"", "0", "1", "soon"}[s.random.IntN(4)],
		TakesEffect: s.random.IntN(2) == 0,
	})
}

// send delivers what was announced in random order: some of it late, some twice, some never.
func (s *soak) send(ctx context.Context) {
	events := append(s.sim.Take(), s.late...)
	s.late = nil
	s.random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, e := range events {
		if s.random.IntN(4) == 0 {
			s.late = append(s.late, e)
			continue
		}
		if s.random.IntN(10) == 0 {
			s.lost++
			continue
		}
		for range 1 + s.random.IntN(4)/3 {
			s.deliveries++
			s.delivering.Go(func() {
				if err := s.sender.Send(ctx, e); err != nil {
					s.t.Errorf("never accepted: %v", err)
				}
			})
		}
	}
}

// settleAll ends the faults, delivers what is late, and syncs every subscription once more: what others edited shows at
// the next sync.
func (s *soak) settleAll(ctx context.Context) {
	s.t.Helper()
	s.delivering.Wait()
	s.signal(syscall.SIGCONT)
	s.sim.ClearFaults()
	s.adjusting.Wait()
	s.release(ctx)
	s.pending = append(s.pending, s.late...)
	s.settleThroughRestarts(ctx)
	s.reconcile(ctx)
	s.settleThroughRestarts(ctx)
	db, err := store.Open(ctx, store.Options{Database: filepath.Join(s.dir, "termed.db")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	for _, l := range s.all {
		if _, err := db.RetrySubscriptions(ctx, l.id, time.Now().UnixMilli()); err != nil {
			s.t.Fatal(err)
		}
	}
	s.settleThroughRestarts(ctx)
	s.approveHeldBack(ctx)
	s.settleThroughRestarts(ctx)
}

// reconcile runs the command. The service reconciles too, so it tries a few times.
func (s *soak) reconcile(ctx context.Context) {
	s.t.Helper()
	for range 5 {
		out, code, err := s.termed(ctx, "reconcile", "--requests-per-minute", "60000")
		if err != nil || code != 0 && !strings.Contains(out, "another reconciliation") {
			s.t.Fatalf("termed reconcile: %d, %v\n%s", code, err, out)
		}
		if code == 0 {
			s.t.Log(out)
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (s *soak) judge() {
	s.t.Helper()
	for _, l := range s.all {
		sub, _ := s.sim.Subscription(l.id)
		sub.Cancels -= l.blocked
		faults := sim.Judge(sub, l.due, l.first)
		switch {
		case l.prepaid:
			faults = sim.JudgePrepaid(sub, l.first)
		case l.canceled:
			faults = judgeEnded(sub, l.due, l.first)
		}
		for _, fault := range faults {
			s.t.Errorf("%s (%s, due %d, placed %d): %s", l.id, sub.Product, l.due, sub.Placed, fault)
		}
	}
	s.judgeOld()
	s.checkInbox(s.accepted)
}

// judgeEnded judges one that its customer canceled early: except for that, it must be as sim.Judge says of a live one.
func judgeEnded(sub sim.Subscription, due int, first json.RawMessage) []string {
	if sub.Live || sub.Cancels > 0 {
		return []string{fmt.Sprintf("its customer canceled it, and it is live %v after %d cancels of ours",
			sub.Live, sub.Cancels)}
	}
	if counter, _ := sub.Counter(); counter == "" {
		return nil // it was canceled before termed knew of it
	}
	sub.Live = true
	return sim.Judge(sub, due, first)
}
