package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// The part of the soak that is about the brake: subscriptions that ran before their SKU was listed, observe mode,
// pauses and approvals.

// beginOld makes subscriptions that ran before the service listed their SKU.
func (s *soak) beginOld(n int) {
	s.ahead.Store(-int64(90 * 24 * time.Hour))
	defer s.ahead.Store(0)
	for i := range n {
		sub, err := s.sim.Subscribe(sim.NewSubscription{Customer: canaryName, Product: "OLD", Silent: true})
		if err != nil {
			s.t.Fatal(err)
		}
		s.old = append(s.old, &soakSubscription{id: sub.ID, due: 2})
		for range i % 4 {
			s.placeOld(sub.ID)
		}
	}
	s.sim.Take() // nobody announced them
}

func (s *soak) placeOld(id string) {
	if _, err := s.sim.Place([]string{id}); err != nil {
		s.t.Fatal(err)
	}
}

// brake lets an operator pause, resume, approve, or switch the mode, and orders of what ran before be placed.
func (s *soak) brake(ctx context.Context) {
	now := ledger.Pause{Since: time.Now().UnixMilli(), Actor: "soak", Reason: "at random"}
	var err error
	switch s.random.IntN(6) {
	case 0:
		_, err = s.database(ctx).Pause(ctx, now)
	case 1:
		_, err = s.database(ctx).Resume(ctx, now)
	case 2:
		s.setMode(!s.observed)
	case 3:
		l := s.old[s.random.IntN(len(s.old))]
		if _, failed := s.edit(ctx, l.id, counter.Approve); failed == nil {
			l.approved = true
		}
	default:
		l := s.old[s.random.IntN(len(s.old))]
		if sub, _ := s.sim.Subscription(l.id); sub.Live && (!l.approved || sub.Placed < l.due) {
			s.placeOld(l.id)
		}
	}
	if err != nil {
		s.t.Error(err)
	}
}

// setMode edits the file, and tells the service.
func (s *soak) setMode(observe bool) {
	modes := map[bool]string{false: "mode: live", true: "mode: observe"}
	path := filepath.Join(s.dir, "termed.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	edited := strings.Replace(string(text), modes[s.observed], modes[observe], 1)
	if err := os.WriteFile(path+".new", []byte(edited), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // a service that starts now reads the one or the other
		s.t.Fatal(err)
	}
	s.observed = observe
	s.signal(syscall.SIGHUP)
}

// release ends observe mode and the pause.
func (s *soak) release(ctx context.Context) {
	s.setMode(false)
	if _, err := s.database(ctx).Resume(ctx, ledger.Pause{Since: time.Now().UnixMilli(), Actor: "soak"}); err != nil {
		s.t.Fatal(err)
	}
}

// approveHeldBack approves the ends that observe mode held back. What ran before its SKU was listed goes on waiting.
func (s *soak) approveHeldBack(ctx context.Context) {
	subs, err := s.database(ctx).Subscriptions(ctx, "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, sub := range subs {
		isOld := slices.ContainsFunc(s.old, func(l *soakSubscription) bool { return l.id == sub.ID })
		if isOld || !counter.NeedsApproval(sub.Subscription) {
			continue
		}
		if _, err := s.edit(ctx, sub.ID, counter.Approve); err != nil {
			s.t.Errorf("approving %s: %v", sub.ID, err)
		}
	}
}

// judgeOld judges what ran before its SKU was listed: nothing is written or ended that nobody approved.
func (s *soak) judgeOld() {
	s.t.Helper()
	for _, l := range s.old {
		sub, _ := s.sim.Subscription(l.id)
		complete := sub.Placed >= l.due
		switch {
		case !l.approved && (!sub.Live || sub.Writes > 0):
			s.t.Errorf("%s ran before its SKU was listed, and nobody approved it: live %v after %d writes",
				l.id, sub.Live, sub.Writes)
		case l.approved && (sub.Live == complete || sub.Writes == 0):
			s.t.Errorf("%s was approved with %d of %d orders: live %v after %d writes",
				l.id, sub.Placed, l.due, sub.Live, sub.Writes)
		}
	}
}

// database is an operator's connection.
func (s *soak) database(ctx context.Context) *store.Store {
	s.t.Helper()
	if s.operator == nil {
		db, err := store.Open(ctx, store.Options{Database: filepath.Join(s.dir, "termed.db")})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { db.Close() })
		s.operator = db
	}
	return s.operator
}

// edit makes an operator's change, as the commands do next to the service. It waits a little for a sync in progress.
func (s *soak) edit(
	ctx context.Context, id string, change func(counter.Subscription) (counter.Subscription, error),
) (counter.Subscription, error) {
	var after counter.Subscription
	err := ledger.ErrLeased
	for range 20 {
		at := time.Now().UnixMilli()
		_, after, err = s.database(ctx).EditSubscription(ctx, ledger.Edit{
			Subscription: id,
			At:           at,
			Change:       change,
			Entry: func(counter.Subscription, counter.Subscription) ledger.JournalEntry {
				return ledger.JournalEntry{Subscription: id, At: at, Actor: "soak", What: "edited"}
			},
		})
		if !errors.Is(err, ledger.ErrLeased) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return after, err
}
