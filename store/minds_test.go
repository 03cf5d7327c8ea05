package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// amend is an operator's wish to make a subscription so long.
func amend(t *testing.T, s *store.Store, at int64, change func(counter.Ledger) (counter.Ledger, error)) error {
	t.Helper()
	_, _, err := s.Amend(t.Context(), store.Amendment{Subscription: "s1", At: at, Change: change, Entry: func(before, after counter.Ledger) counter.Entry {
		return counter.Entry{Subscription: "s1", At: at, Actor: "grace", What: "length", Before: fmt.Sprint(before.Length()), After: fmt.Sprint(after.Length()), Reason: "why"}
	}})
	return err
}

// An operator's wish waits for a look that is under way, is journalled, and makes the subscription due; a look that lost its lease in
// its middle writes nothing over it.
func TestAmend(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		longer := func(l counter.Ledger) (counter.Ledger, error) { l.Adjustment = 4; return l, nil }
		if err := amend(t, s, 50, longer); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("of an unknown one: %v", err)
		}
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 100)
		lease := claim(t, s, 100, 1)[0]
		if err := amend(t, s, 200, longer); !errors.Is(err, counter.ErrHeld) {
			t.Errorf("during a look: %v, want ErrHeld", err)
		}
		refused := func(l counter.Ledger) (counter.Ledger, error) { return l, counter.ErrRefused }
		if err := amend(t, s, 1200, refused); !errors.Is(err, counter.ErrRefused) {
			t.Errorf("a refused one: %v", err)
		}
		if err := amend(t, s, 1200, longer); err != nil {
			t.Fatal(err)
		}
		// The look's lease has run out by now, and the look does not know.
		late := counter.Outcome{At: 1300, Ledger: lease.Ledger}
		late.Ledger.State = counter.Active
		if err := s.Finish(t.Context(), lease, late); !errors.Is(err, counter.ErrLeaseLost) {
			t.Errorf("the late look: %v, want ErrLeaseLost", err)
		}
		again := claim(t, s, 1200, 1)[0]
		if again.Adjustment != 4 || again.Length() != 6 {
			t.Errorf("page = %+v", again.Ledger)
		}
		finish(t, s, again, 0)
		if err := amend(t, s, 1400, longer); err != nil { // as it is already
			t.Fatal(err)
		}
		claim(t, s, 1e6, 0)
		lines, err := s.JournalSince(t.Context(), "s1", 0, 0, 10)
		if err != nil || len(lines) != 2 || lines[1].Actor != "grace" || lines[1].Before != "2" || lines[1].After != "6" {
			t.Errorf("journal = %+v, %v", lines, err)
		}
		if lines, err = s.JournalSince(t.Context(), "", 1200, 0, 10); err != nil || len(lines) != 1 {
			t.Errorf("since the wish: %+v, %v", lines, err)
		}
		if lines, err = s.JournalSince(t.Context(), "", 0, lines[0].Sequence, 10); err != nil || len(lines) != 0 {
			t.Errorf("after its line: %+v, %v", lines, err)
		}
	})
}

// A released subscription opens again for a term that it was not released from; its boxes so far are past, and those from before
// that come late do not count.
func TestReopenPages(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		box := func(order string, at int64) counter.Facts {
			b := shipment("s1", order)
			b.At = at
			return counter.Facts{Shipments: []counter.Shipment{b}}
		}
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 1000)
		learn(t, s, "b1", box("o1", 1500), 1500)
		lease := claim(t, s, 1500, 1)[0]
		counted := 1
		if _, err := s.Record(t.Context(), lease, counter.Step{Page: lease.Ledger, Counter: &counted, Put: map[string]string{"gift": "1"}}); err != nil {
			t.Fatal(err)
		}
		page := lease.Ledger
		page.State, page.Exempt, page.Put = counter.Released, "Gift", map[string]string{"gift": "1"}
		if err := s.Finish(t.Context(), lease, counter.Outcome{At: 1600, Ledger: page}); err != nil {
			t.Fatal(err)
		}
		learn(t, s, "b2", box("o2", 2000), 2000)
		learn(t, s, "e2", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}}, 3000)
		renamed := enrolment("s1")
		renamed.Term = "Presents"
		learn(t, s, "e2b", counter.Facts{Enrolments: []counter.Enrolment{renamed}}, 3100)
		claim(t, s, 1e6, 0) // of the term that it was released from, whatever it is called by now

		other := enrolment("s1")
		other.SKU, other.Term, other.Due, other.AtCheckout, other.How, other.At = "SIX", "Six", 5, 1, ordergroove.SubscriptionSKUSwap, 4321
		learn(t, s, "e3", counter.Facts{Enrolments: []counter.Enrolment{other}}, 5000)
		learn(t, s, "b3", box("o2", 2000), 5100) // from when it was released
		learn(t, s, "b4", box("o4", 4000), 5200) // in the second of the swap
		got := claim(t, s, 5300, 1)[0].Ledger
		want := counter.Ledger{
			Subscription: "s1", SKU: "SIX", Term: "Six", Customer: "c1", AtCheckout: 1, Due: 5, Made: 1, Past: 1, Announced: 1, State: counter.Enrolled,
			Live: true, LastShipment: 4000, TermedFrom: 4000, Reopened: true, Untold: 2,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("page (-want +got):\n%s", diff)
		}
	})
}

// A new term is refused where there is news since it was worked out; else its page is the ledger's from then on.
func TestNextTerm(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}, Shipments: []counter.Shipment{shipment("s1", "o1"), shipment("s1", "o2")}}, 100)
		lease := claim(t, s, 100, 1)[0]
		seen := lease.Ledger
		learn(t, s, "e2", counter.Facts{Shipments: []counter.Shipment{shipment("s1", "o3")}}, 110)
		next := seen.Anew(counter.Term{Name: "Gift", Shipments: 3}, "GIFT", 2)
		if _, err := s.Record(t.Context(), lease, counter.Step{Page: seen, Next: &next}); !errors.Is(err, counter.ErrStale) {
			t.Fatalf("with news since: %v", err)
		}
		seen.Made = 3
		next = seen.Anew(counter.Term{Name: "Gift", Shipments: 3}, "GIFT", 2)
		posts := []counter.Post{{ID: "msg_1", Endpoint: "a", Type: counter.TermStarted, Subscription: "s1", At: 120, Body: []byte("{}")}}
		got, err := s.Record(t.Context(), lease, counter.Step{Page: seen, Next: &next, Dispatch: counter.Dispatch{Posts: posts, Told: []string{"o1", "o2"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got.Past != 2 || got.Made != 1 || got.Due != 3 || got.Remaining() != 2 || got.Untold != 1 {
			t.Errorf("page = %+v", got)
		}
		notices, err := s.Notices(t.Context(), "", 10)
		if err != nil || len(notices) != 1 {
			t.Errorf("outbox = %+v, %v", notices, err)
		}
	})
}

// What a look has to tell is in the outbox exactly when its outcome is in the ledger.
func TestToldWithItsCause(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		learn(t, s, "e1", counter.Facts{Enrolments: []counter.Enrolment{enrolment("s1")}, Shipments: []counter.Shipment{shipment("s1", "o1")}}, 100)
		lease := claim(t, s, 100, 1)[0]
		outcome := counter.Outcome{At: 110, Ledger: lease.Ledger, Remind: 500, Dispatch: counter.Dispatch{
			Posts: []counter.Post{{ID: "msg_1", Endpoint: "a", Type: counter.TermShipment, Subscription: "s1", At: 110, Body: []byte("{}")}}, Told: []string{"o1"},
		}}
		lost := lease
		lost.Claim = "another"
		if err := s.Finish(t.Context(), lost, outcome); !errors.Is(err, counter.ErrLeaseLost) {
			t.Fatal(err)
		}
		if notices, err := s.Notices(t.Context(), "", 10); err != nil || len(notices) != 0 {
			t.Errorf("without its cause: %+v, %v", notices, err)
		}
		if err := s.Finish(t.Context(), lease, outcome); err != nil {
			t.Fatal(err)
		}
		notices, err := s.Notices(t.Context(), store.NoticePending, 10)
		if err != nil || len(notices) != 1 || notices[0].Subscription != "s1" {
			t.Errorf("outbox = %+v, %v", notices, err)
		}
		if boxes, err := s.Untold(t.Context(), "s1"); err != nil || len(boxes) != 0 {
			t.Errorf("untold = %+v, %v", boxes, err)
		}
		for _, reminder := range []struct {
			at  int64
			due int
		}{{499, 0}, {500, 1}, {600, 0}} { // once, at its time
			if err := s.Remind(t.Context(), reminder.at); err != nil {
				t.Fatal(err)
			}
			for _, lease := range claim(t, s, reminder.at, reminder.due) {
				finish(t, s, lease, 0)
			}
		}
	})
}

// A notice waits, is claimed by one at a time, is delivered or dead, and can be sent again.
func TestOutbox(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		var posts []counter.Post
		for i, endpoint := range []string{"a", "b", "c"} {
			posts = append(posts, counter.Post{ID: "msg_1", Endpoint: endpoint, Type: counter.Silence, At: int64(100 + i), Body: []byte(`{"n":1}`)})
		}
		for range 2 { // the same id is the same notice
			if err := s.Post(ctx, posts); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-s.NoticesDue():
		default:
			t.Error("nobody was woken")
		}
		if early, err := s.ClaimPosts(ctx, 99, 199, 10); err != nil || len(early) != 0 {
			t.Errorf("before their time: %+v, %v", early, err)
		}
		claimed, err := s.ClaimPosts(ctx, 102, 200, 10)
		if err != nil || len(claimed) != 3 || string(claimed[0].Body) != `{"n":1}` {
			t.Fatalf("claimed = %+v, %v", claimed, err)
		}
		if again, err := s.ClaimPosts(ctx, 199, 300, 10); err != nil || len(again) != 0 {
			t.Errorf("claimed twice: %+v, %v", again, err)
		}
		for _, p := range claimed {
			switch p.Endpoint {
			case "a":
				err = s.SettlePost(ctx, p, "", 0)
			case "b":
				err = s.SettlePost(ctx, p, "it answered 500", 400)
			case "c":
				err = s.SettlePost(ctx, p, "given up", 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		show := func() string {
			t.Helper()
			all, err := s.Notices(ctx, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, n := range all {
				rows = append(rows, fmt.Sprint(n.Endpoint, " ", n.Status, " ", n.Attempts, " ", n.Due.Int64, " ", n.LastError))
			}
			return strings.Join(rows, "; ")
		}
		if got, want := show(), "c dead 1 0 given up; b pending 1 400 it answered 500; a delivered 0 0 "; got != want {
			t.Errorf("outbox = %s\nwant     %s", got, want)
		}
		if n, err := s.RetryNotices(ctx, "", 500); err != nil || n != 1 {
			t.Errorf("retried %d, %v; want the dead one", n, err)
		}
		if n, err := s.RetryNotices(ctx, "msg_1", 500); err != nil || n != 3 {
			t.Errorf("retried %d, %v; want all of the id", n, err)
		}
		if gone, err := s.Prune(ctx, 1000, 10); err != nil || gone != 0 {
			t.Fatal(gone, err)
		}
		if got := strings.Count(show(), "pending 0 500"); got != 3 {
			t.Errorf("outbox = %s; what waits is not forgotten", show())
		}
		claimed, err = s.ClaimPosts(ctx, 500, 600, 1)
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		if err := s.SettlePost(ctx, claimed[0], "", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prune(ctx, 1000, 10); err != nil {
			t.Fatal(err)
		}
		if got := show(); strings.Contains(got, "delivered") || strings.Count(got, "pending") != 2 {
			t.Errorf("outbox = %s; what was delivered is forgotten", got)
		}
	})
}
