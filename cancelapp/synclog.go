package cancelapp

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// logResult says what a sync did, in one line: at level info if it changed something, at level debug if not. A sync
// that failed before it changed anything has its own warning. What it says of extra_data is our counter and whether the
// subscription is hidden, and nothing else: the rest is the merchant's.
func (s *subscriptionSync) logResult(ctx context.Context) {
	level := slog.LevelDebug
	did := s.changes()
	if len(did) > 0 {
		level = slog.LevelInfo
	}
	if len(did) == 0 && !s.settled || !s.o.Log.Enabled(ctx, level) {
		return
	}
	s.o.Log.Log(ctx, level, "subscription synced",
		"subscription", s.sub.ID,
		"term", s.sub.Term,
		"cause", s.cause(ctx),
		"counter", s.counterChange(),
		"did", strings.Join(did, ", "),
		"state", s.sub.State,
		"duration", s.o.Now().Sub(s.started).Round(time.Microsecond).String(),
	)
}

// changes names what the sync changed, in the order in which it did: at Ordergroove, or else in the enrollment.
func (s *subscriptionSync) changes() []string {
	before := s.lease.Enrollment
	switch {
	case len(s.did) > 0:
		return s.did
	case before.State != s.sub.State:
		return []string{"state " + string(before.State) + " → " + string(s.sub.State)}
	case s.settled && s.lease.Attempts > 0 && s.foundSent(before):
		return []string{"counter found as sent"}
	}
	return nil
}

// foundSent says whether a write whose answer was lost had taken effect.
func (s *subscriptionSync) foundSent(before counter.Enrollment) bool {
	found := s.counterNow()
	return found != nil && number(found) != number(before.CounterConfirmed) && before.HasSent(*found)
}

// counterNow is the counter in extra_data, by the last answer; nil: there is none, or it is not a number.
func (s *subscriptionSync) counterNow() *int {
	raw, _ := s.extra.Get(s.term().Keys.Counter)
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err != nil {
		return nil
	}
	return &n
}

// counterChange shows the counter in extra_data before and after the sync.
func (s *subscriptionSync) counterChange() string {
	if len(s.counters) == 0 {
		return number(nil)
	}
	return change(s.counters[0], s.counters[len(s.counters)-1])
}

// actionDone names an action that was done, as the log shows it. Found is the counter that extra_data had before it.
func actionDone(term counter.Term, plan counter.Plan, found *int) []string {
	switch plan.Do {
	case counter.Write:
		return keysWritten(term.Keys, plan, found)
	case counter.Cancel:
		return []string{"canceled"}
	case counter.Renew:
		return []string{"made to end at renewal"}
	case counter.Swap:
		return []string{"product " + plan.SKU}
	case counter.Adopt:
		return []string{"adopted counter " + number(plan.Counter)}
	case counter.SwitchTerm, counter.OpenNext:
		return []string{plan.What}
	}
	return nil
}

func keysWritten(keys counter.Keys, plan counter.Plan, found *int) []string {
	_, writesCounter := plan.Set[keys.Counter]
	_, hides := plan.Set[keys.Hide]
	var did []string
	if plan.What != "counter" && plan.What != "hidden" {
		did = append(did, plan.What)
	}
	if writesCounter {
		did = append(did, "counter "+change(found, plan.Counter))
	}
	if hides {
		did = append(did, "hidden")
	}
	return did
}

// change shows a counter before and after, or once if it is the same.
func change(before, after *int) string {
	if number(before) == number(after) {
		return number(after)
	}
	return number(before) + " → " + number(after)
}

func number(n *int) string {
	if n == nil {
		return "none"
	}
	return strconv.Itoa(*n)
}

// cause says what made the sync due, as far as this process can know: another one may have processed the event.
func (s *subscriptionSync) cause(ctx context.Context) string {
	before := s.lease.Enrollment
	eventType := s.causes.take(s.lease.ID, s.lease.Due, s.o.Lease)
	switch {
	case s.lease.Attempts > 0:
		return "retry"
	case s.lease.Priority == ledger.Background:
		return "reconcile"
	case eventType != "":
		return eventType
	case s.editedByOperator(ctx):
		return "operator"
	case before.IsNew():
		return before.OpenedBy
	case before.CounterConfirmed != nil && before.Remaining() < *before.CounterConfirmed:
		return "shipment"
	}
	return "unknown"
}

// editTime is how long an operator's change may take to be committed: its line in the journal may be so much later than
// the time at which it makes the subscription due.
const editTime = 5 * time.Second

// editedByOperator says whether an operator's line in the journal is about what made the subscription due.
func (s *subscriptionSync) editedByOperator(ctx context.Context) bool {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	entries, err := s.store.Journal(asking, s.lease.ID)
	if err != nil {
		return false // the line in the log is not worth an error of its own
	}
	for _, e := range entries {
		since := e.At - s.lease.Due
		if since >= 0 && since <= editTime.Milliseconds() && e.Actor != ledger.ByTermed && e.Actor != ledger.ByOrdergroove {
			return true
		}
	}
	return false
}
