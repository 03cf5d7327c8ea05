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
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/store"
)

// TestSoak lets everything happen at random for a while: lives of subscriptions, announced or made in silence, counted or
// prepaid; duplicates, disorder, deliveries that come late or never; an API that fails in every way, other hands on extra_data,
// customers, operators and agents who change their minds, one-time swaps, comparisons all the time, and a process that is killed, stopped and ended.
// After a last comparison each subscription must be exactly as the simulator's own record asks for.
//
// TERMED_SOAK is how long (default 5s), TERMED_SEED what the dice start from (default the time, or 1 for the short one); the
// seed is printed, and the same seed throws the same dice. What the machine's scheduling makes of them is not ours to repeat.
func TestSoak(t *testing.T) {
	t.Log("FAULT | soak: kill -9 at random moments under load and in the middle of comparisons, random faults, deliveries late, lost for ever and doubled, subscriptions that are never announced, prepaid ones, customers, operators and agents who change their minds before and after the end, in a real process, judged by the simulator's record | I1 I2 I3 I4 I7 I10")
	long, seed := soakSettings(t)
	t.Logf("TERMED_SOAK=%s TERMED_SEED=%d", long, seed)
	s := &soak{
		nursed: newNursed(t, ogsim.Options{Snapshot: "top", ItemEvents: true}), dice: rand.New(rand.NewPCG(seed, 1)),
		taken: map[string]bool{},
	}
	s.rewrite("reconcile: { every: off }", "reconcile: { every: 1s, full: 2s }")
	s.watch()
	defer s.close()
	s.sender.OnReply = s.heard
	ctx, cancel := context.WithTimeout(t.Context(), long+3*time.Minute)
	defer cancel()
	for end := time.Now().Add(long); time.Now().Before(end) && !t.Failed(); {
		s.something(ctx)
	}
	s.atRest(ctx)
	s.judge()
	t.Logf("%d subscriptions, %d boxes, %d deliveries, %d events lost, %d faults, %d kills, %d API calls", len(s.lives), s.boxes, s.deliveries,
		s.lost, s.faults, s.died(), len(s.sim.Calls()))
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

// soak is a world in which anything may happen.
type soak struct {
	*nursed
	dice  *rand.Rand
	lives []*soaked
	late  []ogsim.Event

	under sync.WaitGroup // deliveries under way
	note  sync.Mutex
	taken map[string]bool // ids of the events that were answered 2xx

	boxes, deliveries, lost, faults int

	beside *store.Store // an operator's
}

// soaked is one subscription of it.
type soaked struct {
	id        string
	due       int
	first     json.RawMessage
	cancelled bool // by its customer, for good
	prepaid   bool
	blocked   int       // times that somebody reactivated it after its end
	boxed     time.Time // when its last order was placed
}

func (s *soak) heard(e ogsim.Event, r ogsim.Reply) {
	if r.OK() {
		s.note.Lock()
		defer s.note.Unlock()
		s.taken[e.ID] = true
	}
}

// something throws the dice once.
func (s *soak) something(ctx context.Context) {
	switch n := s.dice.IntN(200); {
	case n < 20:
		s.begin()
	case n < 100:
		s.box()
	case n < 110:
		s.hands()
	case n < 118:
		s.mind(ctx)
	case n < 142:
		s.spoil()
	case n < 144:
		s.kill([]syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM}[s.dice.IntN(3)])
	case n < 145:
		s.kill(syscall.SIGSTOP)
		time.AfterFunc(time.Duration(s.dice.IntN(300))*time.Millisecond, func() { s.kill(syscall.SIGCONT) })
	default:
		s.send(ctx)
	}
	time.Sleep(time.Duration(s.dice.IntN(20)) * time.Millisecond)
}

func (s *soak) begin() {
	if len(s.lives) > 4000 {
		return
	}
	kinds := []struct {
		sku string
		due int
	}{{"GIFT-3MO", 2}, {"SIX", 5}, {"COFFEE", ogsim.Evergreen}}
	kind := kinds[s.dice.IntN(len(kinds))]
	first := json.RawMessage(fmt.Sprintf(`{"mine <&>":%d.10,"":null,"long":90071992547409931234,"deep":{"a":[1,{"b":"\u2028"}]}}`, s.dice.IntN(100)))
	n := ogsim.NewSubscription{
		Customer: canaryName, Product: kind.sku, ExtraData: first, Silent: s.dice.IntN(10) == 0 && kind.due != ogsim.Evergreen,
	}
	prepaid := s.dice.IntN(20) == 0 && kind.due != ogsim.Evergreen
	if prepaid {
		n.Prepaid = prepaidFor(1 + s.dice.IntN(8))
	}
	sub, err := s.sim.Subscribe(n)
	if err != nil {
		s.t.Fatal(err)
	}
	s.lives = append(s.lives, &soaked{id: sub.ID, due: kind.due, first: first, prepaid: prepaid})
}

// box places an order for one or two subscriptions that have a box to come.
func (s *soak) box() {
	var on []string
	for range 1 + s.dice.IntN(2) {
		if len(s.lives) == 0 {
			return
		}
		l := s.lives[s.dice.IntN(len(s.lives))]
		sub, _ := s.sim.Subscription(l.id)
		if l.due != ogsim.Evergreen && sub.Placed >= l.due && !l.prepaid || !sub.Live || len(on) > 0 && on[0] == l.id {
			continue
		}
		// A first box of another product cannot be told from a swap for good, if nothing else was ever announced; and the
		// orders of one second have no order.
		if l.due != ogsim.Evergreen && sub.Placed > 0 && time.Since(l.boxed) > 2*time.Second && s.dice.IntN(3) == 0 {
			if err := s.sim.SwapOnce(l.id, "COFFEE"); err != nil {
				s.t.Fatal(err)
			}
		}
		on, l.boxed = append(on, l.id), time.Now()
	}
	if len(on) == 0 {
		return
	}
	if _, err := s.sim.Place(on, "MUG"); err != nil {
		s.t.Fatal(err)
	}
	s.boxes += len(on)
}

// hands wipes our members, or writes an older counter back.
func (s *soak) hands() {
	if len(s.lives) == 0 {
		return
	}
	l := s.lives[s.dice.IntN(len(s.lives))]
	sub, _ := s.sim.Subscription(l.id)
	var members map[string]json.RawMessage
	if l.due == ogsim.Evergreen || json.Unmarshal(sub.ExtraData, &members) != nil || members["fulfillment_counter"] == nil {
		return
	}
	if s.dice.IntN(2) == 0 {
		if err := s.sim.Edit(l.id, l.first); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	delete(members, "termed")
	data, err := json.Marshal(members)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.sim.Edit(l.id, data); err != nil {
		s.t.Fatal(err)
	}
}

// mind lets somebody change it: a customer cancels early, for good or for a while, or comes back after the end; an operator makes
// a term longer; a gift is swapped for a programme.
func (s *soak) mind(ctx context.Context) {
	if len(s.lives) == 0 {
		return
	}
	l := s.lives[s.dice.IntN(len(s.lives))]
	sub, _ := s.sim.Subscription(l.id)
	if l.due == ogsim.Evergreen || l.prepaid {
		return
	}
	var err error
	switch n := s.dice.IntN(4); {
	case sub.Placed >= l.due:
		if !sub.Live && !l.cancelled && sub.Cancels == 1+l.blocked {
			l.blocked++ // it is to be cancelled once more
			err = s.sim.Reactivate(l.id)
		}
	case n == 0:
		s.lengthen(ctx, l, sub)
	case n == 1 && sub.Product == "GIFT-3MO" && sub.Placed < 1:
		if err = s.sim.Swap(l.id, "SIX"); err == nil {
			l.due = 5
		}
	case l.cancelled || !sub.Live:
		l.cancelled, err = false, s.sim.Reactivate(l.id)
	default:
		l.cancelled, err = true, s.sim.CancelByAgent(l.id)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// lengthen makes a term longer, as termed subscriptions set does beside the service. It may be refused, or have to wait.
func (s *soak) lengthen(ctx context.Context, l *soaked, sub ogsim.Subscription) {
	if s.beside == nil {
		db, err := store.Open(ctx, store.Options{Database: filepath.Join(s.dir, "termed.db")})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { db.Close() })
		s.beside = db
	}
	shipments := sub.Placed + 3 + s.dice.IntN(4)
	_, after, err := s.beside.Amend(ctx, store.Amendment{
		Subscription: l.id, At: time.Now().UnixMilli(),
		Change: func(l counter.Ledger) (counter.Ledger, error) { return counter.Resize(l, shipments) },
		Entry: func(counter.Ledger, counter.Ledger) counter.Entry {
			return counter.Entry{Subscription: l.id, At: time.Now().UnixMilli(), Actor: "dice", What: "length"}
		},
	})
	switch {
	case err == nil && after.SKU == sub.Product:
		l.due = shipments - 1
	case err == nil:
		l.due = map[string]int{"GIFT-3MO": 2, "SIX": 5}[sub.Product] // its swap is not seen yet, and takes its term's length
	case !errors.Is(err, counter.ErrHeld) && !errors.Is(err, counter.ErrRefused) && !errors.Is(err, store.ErrUnknown):
		s.t.Errorf("lengthening: %v", err)
	}
}

func (s *soak) spoil() {
	if s.sim.Faults() > 200 {
		return
	}
	s.faults++
	bodies := []string{"", "<html>", `{"detail":"x"}`, `{"public_id":"another","live":true}`}
	s.sim.Break(ogsim.Fault{
		Method: []string{"", "GET", "PATCH"}[s.dice.IntN(3)], Path: []string{"", "", "/subscriptions/", "/update/", "/cancel/"}[s.dice.IntN(5)],
		Times: 1 + s.dice.IntN(3), Status: []int{0, 200, 423, 429, 500, 503, 504}[s.dice.IntN(7)], Body: bodies[s.dice.IntN(4)],
		RetryAfter: []string{"", "0", "1", "soon"}[s.dice.IntN(4)], TakesEffect: s.dice.IntN(2) == 0,
	})
}

// send delivers what was announced: some of it late, some twice, in no order.
func (s *soak) send(ctx context.Context) {
	events := append(s.sim.Take(), s.late...)
	s.late = nil
	s.dice.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, e := range events {
		if s.dice.IntN(4) == 0 {
			s.late = append(s.late, e)
			continue
		}
		if s.dice.IntN(10) == 0 {
			s.lost++
			continue
		}
		for range 1 + s.dice.IntN(4)/3 {
			s.deliveries++
			s.under.Go(func() {
				if err := s.sender.Send(ctx, e); err != nil {
					s.t.Errorf("never taken: %v", err)
				}
			})
		}
	}
}

// atRest ends the trouble, delivers what is late, and lets every subscription be looked at once more: what other hands did
// shows at the next look.
func (s *soak) atRest(ctx context.Context) {
	s.t.Helper()
	s.under.Wait()
	s.kill(syscall.SIGCONT)
	s.sim.ClearFaults()
	s.pending = append(s.pending, s.late...)
	s.patient(ctx)
	for range 5 { // the service compares, too: then this one waits for its turn
		out, code, err := s.termed(ctx, "reconcile", "--requests-per-minute", "60000")
		if err != nil || code != 0 && !strings.Contains(out, "another reconciliation") {
			s.t.Fatalf("termed reconcile: %d, %v\n%s", code, err, out)
		}
		if code == 0 {
			s.t.Log(out)
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	s.patient(ctx)
	db, err := store.Open(ctx, store.Options{Database: filepath.Join(s.dir, "termed.db")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	for _, l := range s.lives {
		if _, err := db.RetrySubscriptions(ctx, l.id, time.Now().UnixMilli()); err != nil {
			s.t.Fatal(err)
		}
	}
	s.patient(ctx)
}

func (s *soak) judge() {
	s.t.Helper()
	for _, l := range s.lives {
		sub, _ := s.sim.Subscription(l.id)
		sub.Cancels -= l.blocked
		faults := ogsim.Judge(sub, l.due, l.first)
		switch {
		case l.prepaid:
			faults = ogsim.JudgePrepaid(sub, l.first)
		case l.cancelled:
			faults = judgeEnded(sub, l)
		}
		for _, fault := range faults {
			s.t.Errorf("%s (%s, due %d, placed %d): %s", l.id, sub.Product, l.due, sub.Placed, fault)
		}
	}
	s.kept(s.taken)
}

// judgeEnded is for one that its customer cancelled early: all as it must be, had it been live, but that it is not.
func judgeEnded(sub ogsim.Subscription, l *soaked) []string {
	if sub.Live || sub.Cancels > 0 {
		return []string{fmt.Sprintf("its customer cancelled it, and it is live %v after %d cancels of ours", sub.Live, sub.Cancels)}
	}
	if counter, _ := sub.Counter(); counter == "" {
		return nil // it was cancelled before we ever knew of it
	}
	sub.Live = true
	return ogsim.Judge(sub, l.due, l.first)
}
