package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// What a sync has to notify is in the outbox exactly when its outcome is recorded.
func TestNotificationIsWrittenWithItsCause(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		facts := enrolled("s1")
		facts.Shipments = []counter.Shipment{shipment("s1", "o1")}
		record(t, s, "e1", facts, 100)
		lease := claim(t, s, 100, 1)[0]
		if all := unnotified(t, s); len(all) != 1 {
			t.Errorf("not notified: %+v; want the one", all)
		}
		message := ledger.Message{
			ID:           "msg_1",
			Endpoint:     "a",
			Type:         counter.TermShipment,
			Subscription: "s1",
			At:           110,
			Body:         []byte("{}"),
		}
		outcome := ledger.Outcome{
			At:           110,
			Subscription: lease.Subscription.Subscription,
			RemindAt:     500,
			Notify:       ledger.Notify{Messages: []ledger.Message{message}, Notified: []string{"o1"}},
		}
		lost := lease
		lost.Token = "another"
		if err := s.Finish(t.Context(), lost, outcome); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Fatal(err)
		}
		if messages, err := s.Messages(t.Context(), "", 10); err != nil || len(messages) != 0 {
			t.Errorf("without its cause: %+v, %v", messages, err)
		}
		if err := s.Finish(t.Context(), lease, outcome); err != nil {
			t.Fatal(err)
		}
		messages, err := s.Messages(t.Context(), ledger.MessagePending, 10)
		if err != nil || len(messages) != 1 || messages[0].Subscription != "s1" {
			t.Errorf("outbox = %+v, %v", messages, err)
		}
		if all := unnotified(t, s); len(all) != 0 {
			t.Errorf("not notified: %+v; want none", all)
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

// A message waits, is claimed by one sender at a time, is delivered or dead, and can be sent again.
func TestOutbox(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		var messages []ledger.Message
		for i, endpoint := range []string{"a", "b", "c"} {
			messages = append(messages, ledger.Message{
				ID:       "msg_1",
				Endpoint: endpoint,
				Type:     counter.NoDeliveries,
				At:       int64(100 + i),
				Body:     []byte(`{"n":1}`),
			})
		}
		for range 2 { // the same id is the same message
			if err := s.EnqueueMessages(ctx, messages); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-s.MessagesDue():
		default:
			t.Error("no wake-up")
		}
		if early, err := s.ClaimMessagesExcept(ctx, nil, 99, 199, 10); err != nil || len(early) != 0 {
			t.Errorf("before they are due: %+v, %v", early, err)
		}
		claimed, err := s.ClaimMessagesExcept(ctx, nil, 102, 200, 10)
		if err != nil || len(claimed) != 3 || string(claimed[0].Body) != `{"n":1}` {
			t.Fatalf("claimed = %+v, %v", claimed, err)
		}
		if again, err := s.ClaimMessagesExcept(ctx, nil, 199, 300, 10); err != nil || len(again) != 0 {
			t.Errorf("claimed twice: %+v, %v", again, err)
		}
		for _, m := range claimed {
			switch m.Endpoint {
			case "a":
				err = s.SettleMessage(ctx, m, "", 0)
			case "b":
				err = s.SettleMessage(ctx, m, "it answered 500", 400)
			case "c":
				err = s.SettleMessage(ctx, m, "given up", 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		show := func() string {
			t.Helper()
			all, err := s.Messages(ctx, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, m := range all {
				rows = append(rows, fmt.Sprint(m.Endpoint, " ", m.Status, " ", m.Attempts, " ", m.Due.Int64, " ", m.LastError))
			}
			return strings.Join(rows, "; ")
		}
		if got, want := show(), "c dead 1 0 given up; b pending 1 400 it answered 500; a delivered 0 0 "; got != want {
			t.Errorf("outbox = %s\nwant     %s", got, want)
		}
		if n, err := s.RetryMessages(ctx, "", 500); err != nil || n != 1 {
			t.Errorf("retried %d, %v; want the dead one", n, err)
		}
		if n, err := s.RetryMessages(ctx, "msg_1", 500); err != nil || n != 3 {
			t.Errorf("retried %d, %v; want all of the id", n, err)
		}
		if gone, err := s.Prune(ctx, 1000, 10); err != nil || gone != 0 {
			t.Fatal(gone, err)
		}
		if got := strings.Count(show(), "pending 0 500"); got != 3 {
			t.Errorf("outbox = %s; what is pending is kept", show())
		}
		claimed, err = s.ClaimMessages(ctx, "b", 500, 600, 10)
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		if err := s.SettleMessage(ctx, claimed[0], "", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prune(ctx, 1000, 10); err != nil {
			t.Fatal(err)
		}
		if got := show(); strings.Contains(got, "delivered") || strings.Count(got, "pending") != 2 {
			t.Errorf("outbox = %s; what was delivered is deleted", got)
		}
	})
}

// The messages to one endpoint are claimed apart from those to others, and so are those to endpoints that nobody names.
func TestClaimMessagesByEndpoint(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		for i, endpoint := range []string{"a", "a", "b", "c", "a"} {
			message := ledger.Message{ID: fmt.Sprint("msg_", i), Endpoint: endpoint, At: int64(200 - i), Body: []byte("{}")}
			if err := s.EnqueueMessages(ctx, []ledger.Message{message}); err != nil {
				t.Fatal(err)
			}
		}
		check := func(what, want string) func([]ledger.Message, error) {
			t.Helper()
			return func(claimed []ledger.Message, err error) {
				t.Helper()
				var ids []string
				for _, m := range claimed {
					ids = append(ids, m.Endpoint+" "+m.ID)
				}
				slices.Sort(ids)
				if got := strings.Join(ids, ", "); err != nil || got != want {
					t.Errorf("%s: claimed %q, %v; want %q", what, got, err, want)
				}
			}
		}
		check("an endpoint without messages", "")(s.ClaimMessages(ctx, "d", 300, 400, 10))
		check("two of a's, oldest due first", "a msg_1, a msg_4")(s.ClaimMessages(ctx, "a", 300, 400, 2))
		check("to others than a and b", "c msg_3")(s.ClaimMessagesExcept(ctx, []string{"a", "b"}, 300, 400, 10))
		check("the rest of a's", "a msg_0")(s.ClaimMessages(ctx, "a", 300, 400, 10))
		check("to any", "b msg_2")(s.ClaimMessagesExcept(ctx, nil, 300, 400, 10))
		check("all are claimed", "")(s.ClaimMessagesExcept(ctx, nil, 399, 500, 10))
	})
}

// unnotified are the shipments of s1 that belong to an enrollment and that no notification has told about.
func unnotified(t *testing.T, s *store.Store) []counter.Shipment {
	t.Helper()
	all, err := s.Shipments(t.Context(), "s1")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(x counter.Shipment) bool { return x.Notified || x.Enrollment == 0 })
}

// A message that was delivered is not pending again because a worker that lost its claim says so.
func TestSettledMessageIsSettledOnce(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		messages := []ledger.Message{{ID: "m1", Endpoint: "crm", Type: "t", Body: []byte("{}")}}
		if err := s.EnqueueMessages(t.Context(), messages); err != nil {
			t.Fatal(err)
		}
		if err := s.SettleMessage(t.Context(), messages[0], "", 0); err != nil {
			t.Fatal(err)
		}
		if err := s.SettleMessage(t.Context(), messages[0], "timed out", 50); err != nil {
			t.Fatal(err)
		}
		if again, err := s.ClaimMessages(t.Context(), "crm", 100, 200, 10); err != nil || len(again) != 0 {
			t.Errorf("due again after it was delivered: %v, %v", again, err)
		}
	})
}
