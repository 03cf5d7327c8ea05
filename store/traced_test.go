package store_test

import (
	"testing"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// What a delivery, and the work on its event, are part of is kept for whoever continues it: the event's worker, and the
// sync of what it made due, until that is settled. News during a sync is part of its own trace.
func TestTraceIsStored(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		news := func(id, trace string, f ledger.Facts, at int64) {
			t.Helper()
			e := event(id, at)
			e.Trace = "delivery of " + id
			if _, err := s.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			claimed, err := s.ClaimEvents(t.Context(), at+10, at+20, 10, 10)
			if err != nil || len(claimed) != 1 || claimed[0].Trace != e.Trace {
				t.Fatalf("claimed %+v, error %v; want the trace of the delivery", claimed, err)
			}
			if err := s.SettleEvent(t.Context(), e, ledger.Settlement{Facts: f, At: at, Trace: trace}); err != nil {
				t.Fatal(err)
			}
		}
		sync := func(at int64, want string) ledger.Lease {
			t.Helper()
			lease := claim(t, s, at, 1)[0]
			if lease.Trace != want {
				t.Errorf("the sync at %d is part of %q, want %q", at, lease.Trace, want)
			}
			return lease
		}
		finish := func(lease ledger.Lease, o ledger.Outcome) {
			t.Helper()
			o.Subscription = lease.Subscription.Subscription
			if err := s.Finish(t.Context(), lease, o); err != nil {
				t.Fatal(err)
			}
		}
		news("e1", "work on e1", enrolled("s1"), 100)
		finish(sync(200, "work on e1"), ledger.Outcome{At: 200, Next: 300, Attempts: 1, Trace: "work on e1"})
		during := sync(300, "work on e1")
		news("e2", "work on e2", shipped(shipment("s1", "o1")), 310)
		finish(during, ledger.Outcome{At: 320})
		finish(sync(400, "work on e2"), ledger.Outcome{At: 400, Next: 500})
		finish(sync(500, ""), ledger.Outcome{At: 500})
	})
}
