package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// edit is an operator's change of the length of s1.
func edit(
	t *testing.T, s *store.Store, at int64, change func(counter.Subscription) (counter.Subscription, error),
) error {
	t.Helper()
	_, _, err := s.EditSubscription(t.Context(), ledger.Edit{
		Subscription: "s1",
		At:           at,
		Change:       change,
		Entry: func(before, after counter.Subscription) ledger.JournalEntry {
			return ledger.JournalEntry{
				Subscription: "s1",
				At:           at,
				Actor:        "grace",
				What:         "length",
				Before:       fmt.Sprint(before.ShipmentsTotal()),
				After:        fmt.Sprint(after.ShipmentsTotal()),
				Reason:       "why",
			}
		},
	})
	return err
}

// An operator's change waits for a sync in progress, is journaled, and makes the subscription due; a sync that lost its
// lease writes nothing over it.
func TestEdit(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		longer := func(sub counter.Subscription) (counter.Subscription, error) {
			sub.Adjustment = 4
			return sub, nil
		}
		if err := edit(t, s, 50, longer); !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("of an unknown subscription: %v, want ErrUnknown", err)
		}
		record(t, s, "e1", enrolled("s1"), 100)
		lease := claim(t, s, 100, 1)[0]
		if err := edit(t, s, 200, longer); !errors.Is(err, ledger.ErrLeased) {
			t.Errorf("during a sync: %v, want ErrLeased", err)
		}
		refused := func(sub counter.Subscription) (counter.Subscription, error) { return sub, counter.ErrRefused }
		if err := edit(t, s, 1200, refused); !errors.Is(err, counter.ErrRefused) {
			t.Errorf("a refused one: %v, want ErrRefused", err)
		}
		if err := edit(t, s, 1200, longer); err != nil {
			t.Fatal(err)
		}
		// The sync's lease has expired by now, and the sync does not know.
		late := ledger.Outcome{At: 1300, Subscription: lease.Subscription.Subscription}
		late.Subscription.State = counter.Active
		if err := s.Finish(t.Context(), lease, late); !errors.Is(err, ledger.ErrLeaseLost) {
			t.Errorf("the late sync: %v, want ErrLeaseLost", err)
		}
		again := claim(t, s, 1200, 1)[0]
		if again.Adjustment != 4 || again.ShipmentsTotal() != 6 {
			t.Errorf("subscription = %+v", again.Subscription.Subscription)
		}
		finish(t, s, again, 0)
		if err := edit(t, s, 1400, longer); err != nil { // it is so already
			t.Fatal(err)
		}
		claim(t, s, 1e6, 0)
		lines, err := s.JournalSince(t.Context(), "s1", 0, 0, 10)
		if err != nil || len(lines) != 2 ||
			lines[1].Actor != "grace" || lines[1].Before != "2" || lines[1].After != "6" {
			t.Errorf("journal = %+v, %v", lines, err)
		}
		if lines, err = s.JournalSince(t.Context(), "", 1200, 0, 10); err != nil || len(lines) != 1 {
			t.Errorf("since the change: %+v, %v", lines, err)
		}
		if of, err := s.JournalSince(t.Context(), "s1", 1200, 0, 10); err != nil || !slices.Equal(of, lines) {
			t.Errorf("of s1 since the change: %+v, %v, want %+v", of, err, lines)
		}
		if of, err := s.JournalSince(t.Context(), "s2", 0, 0, 10); err != nil || len(of) != 0 {
			t.Errorf("of another: %+v, %v", of, err)
		}
		if none, err := s.JournalSince(t.Context(), "", 1e6, 0, 10); err != nil || len(none) != 0 {
			t.Errorf("since a time that is to come: %+v, %v", none, err)
		}
		if lines, err = s.JournalSince(t.Context(), "", 0, lines[0].Sequence, 10); err != nil || len(lines) != 0 {
			t.Errorf("after its line: %+v, %v", lines, err)
		}
	})
}

// six is a term of another product.
var six = counter.Term{Name: "Six", SKUs: []string{"SIX"}, Shipments: 6, FirstShipment: counter.Checkout}

// enrolledBy is what an event says of s1 that happened after its creation.
func enrolledBy(term counter.Term, event string, at int64) ledger.Facts {
	return ledger.Facts{Enrollments: []ledger.Enrollment{{
		Subscription: "s1",
		Customer:     "c1",
		Enrollment:   term.Open(term.SKUs[0], event, at),
		OwnProduct:   true,
	}}}
}

// released ends a sync of s1 with its release at a time.
func released(t *testing.T, s *store.Store, at int64, as counter.Closing) {
	t.Helper()
	lease := claim(t, s, at, 1)[0]
	sub := lease.Subscription.Subscription
	sub.State = counter.Released
	sub.ClosedAs = as
	sub.ClosedAt = at
	if err := s.Finish(t.Context(), lease, ledger.Outcome{At: at, Subscription: sub}); err != nil {
		t.Fatal(err)
	}
}

// checkAssigned compares which enrollment each order of s1 belongs to, or why it belongs to none, oldest first.
func checkAssigned(t *testing.T, s *store.Store, want ...string) {
	t.Helper()
	shipments, err := s.Shipments(t.Context(), "s1")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range shipments {
		switch {
		case (s.Enrollment == 0) != (s.Excluded != ""):
			t.Errorf("order %s: enrollment %d, excluded for %q; want one of the two", s.Order, s.Enrollment, s.Excluded)
		case s.Excluded != "":
			got = append(got, s.Order+" "+s.Excluded)
		default:
			got = append(got, fmt.Sprint(s.Order, " of ", s.Enrollment))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shipments (-want +got):\n%s", diff)
	}
}

// enrollments reads those of s1.
func enrollments(t *testing.T, s *store.Store, want int) []counter.Enrollment {
	t.Helper()
	all, err := s.Enrollments(t.Context(), "s1")
	if err != nil || len(all) != want {
		t.Fatalf("Enrollments = %+v, %v; want %d", all, err, want)
	}
	return all
}

// A released subscription is enrolled again by a term that it was not released from. Its first enrollment keeps its
// shipments, also one that is announced late; an order placed in between belongs to none, whenever it is announced.
func TestReenrollByAnotherTerm(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 1000)
		record(t, s, "b1", shipped(placed("o1", 1500)), 1500)
		lease := claim(t, s, 1500, 1)[0]
		step := ledger.Step{Enrollment: lease.Enrollment}
		step.Enrollment.CountersSent = []int{1}
		step.Enrollment.ManagedKeys = map[string]string{"gift": "1"}
		if _, err := s.Record(t.Context(), lease, step); err != nil {
			t.Fatal(err)
		}
		first := step.Enrollment
		first.State = counter.Released
		first.ClosedAs = counter.ClosedReleased
		first.ClosedAt = 1600
		sub := lease.Subscription.Subscription
		sub.Enrollment = first
		if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 1600, Subscription: sub}); err != nil {
			t.Fatal(err)
		}

		record(t, s, "b2", shipped(placed("o2", 2000)), 2000)
		record(t, s, "e2", enrolled("s1"), 3000)
		renamed := gift
		renamed.Name = "Presents"
		record(t, s, "e2b", enrolledBy(renamed, ordergroove.SubscriptionSKUSwap, 3100), 3100)
		claim(t, s, 1e6, 0) // the term that it was released from, whatever its name is by now
		checkAssigned(t, s, "o1 of 1")

		record(t, s, "e3", enrolledBy(six, ordergroove.SubscriptionSKUSwap, 4321), 5000)
		record(t, s, "b3", shipped(placed("o2", 2000)), 5100) // while it was released
		record(t, s, "b4", shipped(placed("o4", 4000)), 5200) // in the second of the swap
		record(t, s, "b5", shipped(placed("o3", 3999)), 5250) // just before it
		record(t, s, "b6", shipped(placed("o0", 1200)), 5280) // of the first enrollment
		checkAssigned(t, s,
			"o0 of 1", "o1 of 1", "o2 "+counter.ExcludedLate, "o3 "+counter.ExcludedLate, "o4 of 2")

		// The first enrollment's orders are still to be notified, too.
		want := counter.Subscription{ID: "s1", Customer: "c1", Live: true, Enrollment: counter.Enrollment{
			Number:            2,
			Term:              "Six",
			SKU:               "SIX",
			OpenedAt:          4000,
			OpenedBy:          ordergroove.SubscriptionSKUSwap,
			CheckoutShipments: 1,
			OrdersDue:         5,
			State:             counter.Enrolled,
			Placed:            counter.Placed{Orders: 1, ByWebhook: 1, Unnotified: 3, LastAt: 4000},
		}}
		if diff := cmp.Diff(want, claim(t, s, 5300, 1)[0].Subscription.Subscription); diff != "" {
			t.Errorf("subscription (-want +got):\n%s", diff)
		}
		first.Placed = counter.Placed{Orders: 2, ByWebhook: 2, Unnotified: 2, LastAt: 1500}
		if diff := cmp.Diff([]counter.Enrollment{first, want.Enrollment}, enrollments(t, s, 2)); diff != "" {
			t.Errorf("enrollments (-want +got):\n%s", diff)
		}
		var orders []string
		for _, shipment := range unnotified(t, s) {
			orders = append(orders, shipment.Order)
		}
		if diff := cmp.Diff([]string{"o0", "o1", "o4"}, orders); diff != "" {
			t.Errorf("not notified (-want +got):\n%s", diff)
		}
	})
}

// One whose product was swapped for one in no term is enrolled again by its own term; a further release and a third
// enrollment leave the earlier ones as they are.
func TestReenrollAgain(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 1000)
		record(t, s, "b1", shipped(placed("o1", 1500)), 1500)
		released(t, s, 1600, counter.ClosedSwapped)
		record(t, s, "e2", enrolledBy(gift, ordergroove.SubscriptionSKUSwap, 3000), 3000)
		record(t, s, "b2", shipped(placed("o3", 3500)), 3500)
		released(t, s, 3600, counter.ClosedReleased)
		record(t, s, "e3", enrolledBy(gift, ordergroove.SubscriptionSKUSwap, 4000), 4000)
		claim(t, s, 1e6, 0) // an operator released it from this term
		record(t, s, "e4", enrolledBy(six, ordergroove.SubscriptionSKUSwap, 5000), 5000)
		late := shipped(placed("o5", 5500), placed("o4", 4500), placed("o2", 2000), placed("o0", 1200))
		record(t, s, "b3", late, 6000)
		checkAssigned(t, s,
			"o0 of 1", "o1 of 1", "o2 "+counter.ExcludedLate, "o3 of 2", "o4 "+counter.ExcludedLate, "o5 of 3")
		all := enrollments(t, s, 3)
		if all[0].Placed.Orders != 2 || all[1].Placed.Orders != 1 || all[2].Placed.Orders != 1 {
			t.Errorf("enrollments = %+v; want 2, 1 and 1 orders", all)
		}
		if diff := cmp.Diff([]string{"Gift", "Gift", "Six"}, []string{all[0].Term, all[1].Term, all[2].Term}); diff != "" {
			t.Errorf("terms (-want +got):\n%s", diff)
		}
		if lease := claim(t, s, 6000, 1)[0]; lease.Number != 3 || lease.State != counter.Enrolled || !lease.Live {
			t.Errorf("current = %+v; want the third", lease.Subscription.Subscription)
		}
	})
}

// An event that comes a second time under another id, after the release of the enrollment that it opened, takes no
// shipment from that enrollment; if it enrolls the subscription again, what is placed from then on counts.
func TestReenrollByARepeatedEvent(t *testing.T) {
	events := map[string]ledger.Facts{
		"its creation": enrolled("s1"),
		"a swap":       enrolledBy(gift, ordergroove.SubscriptionSKUSwap, 1000),
	}
	for name, facts := range events {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, s *store.Store) {
				record(t, s, "e1", facts, 1000)
				record(t, s, "b1", shipped(placed("o1", 2500)), 2500)
				released(t, s, 3600, counter.ClosedSwapped)
				record(t, s, "e1 on another route", facts, 5000)
				record(t, s, "b2", shipped(placed("o3", 7500)), 7500)
				sub, err := s.Subscription(t.Context(), "s1")
				if err != nil {
					t.Fatal(err)
				}
				want := []string{"o1 of 1"}
				if sub.State != counter.Released {
					want = append(want, fmt.Sprint("o3 of ", sub.Number))
				}
				checkAssigned(t, s, want...)
			})
		})
	}
}

// next closes the enrollment of a lease and returns it with the one that follows it.
func next(
	lease ledger.Lease, term counter.Term, by string, as counter.Closing, at int64,
) (closed, opened counter.Enrollment) {
	e := lease.Enrollment
	plan := counter.Plan{Do: counter.OpenNext, State: counter.Active, OpenBy: by, Close: as}
	o := counter.Observed{SKU: term.SKUs[0], Termed: true, Live: true, Recounted: true}
	return counter.Close(e, plan, at), counter.Advance(term, e, plan, o, at)
}

// The next enrollment is refused where shipments arrived since it was worked out; else it is the current one from then
// on.
func TestNextTerm(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		facts := enrolled("s1")
		facts.Shipments = []counter.Shipment{shipment("s1", "o1"), shipment("s1", "o2")}
		record(t, s, "e1", facts, 100)
		lease := claim(t, s, 100, 1)[0]
		record(t, s, "e2", shipped(shipment("s1", "o3")), 110)
		three := gift
		three.Shipments = 3
		closed, opened := next(lease, three, counter.OpenedByRenewal, counter.ClosedCompleted, 120)
		step := ledger.Step{Enrollment: closed, Next: &opened, Counted: true}
		if _, err := s.Record(t.Context(), lease, step); !errors.Is(err, ledger.ErrStale) {
			t.Fatalf("with shipments since: %v, want ErrStale", err)
		}
		if all := enrollments(t, s, 1); all[0].ClosedAs != "" {
			t.Errorf("a refused step closed it: %+v", all[0])
		}
		lease.Placed = counter.Placed{Orders: 3, ByWebhook: 3, Unnotified: 3, LastAt: 7}
		closed, opened = next(lease, three, counter.OpenedByRenewal, counter.ClosedCompleted, 120)
		message := ledger.Message{
			ID:           "msg_1",
			Endpoint:     "a",
			Type:         counter.TermStarted,
			Subscription: "s1",
			At:           120,
			Body:         []byte("{}"),
		}
		got, err := s.Record(t.Context(), lease, ledger.Step{
			Enrollment: closed,
			Next:       &opened,
			Counted:    true,
			Notify:     ledger.Notify{Messages: []ledger.Message{message}, Notified: []string{"o1", "o2"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := counter.Placed{Orders: 1, ByWebhook: 1, Unnotified: 1, LastAt: 7}
		if got.Number != 2 || got.OrdersDue != 3 || got.Remaining() != 2 || got.Placed != want {
			t.Errorf("subscription = %+v", got)
		}
		all := enrollments(t, s, 2)
		if all[0].Placed.Orders != 2 || all[0].State != counter.Completed || all[0].ClosedAs != counter.ClosedCompleted {
			t.Errorf("the first = %+v; want it completed, with its 2 orders", all[0])
		}
		messages, err := s.Messages(t.Context(), "", 10)
		if err != nil || len(messages) != 1 {
			t.Errorf("outbox = %+v, %v", messages, err)
		}
	})
}

// openNext opens the next enrollment of s1 in a sync at a time.
func openNext(t *testing.T, s *store.Store, term counter.Term, by string, as counter.Closing, at int64) {
	t.Helper()
	lease := claim(t, s, at, 1)[0]
	closed, opened := next(lease, term, by, as, at)
	step := ledger.Step{Enrollment: closed, Next: &opened, Counted: true}
	after, err := s.Record(t.Context(), lease, step)
	if err != nil {
		t.Fatal(err)
	}
	if after.Placed.Orders != opened.Placed.Orders {
		t.Errorf("%d orders placed, want %d as it was worked out", after.Placed.Orders, opened.Placed.Orders)
	}
	if err := s.Finish(t.Context(), lease, ledger.Outcome{At: at, Subscription: after}); err != nil {
		t.Fatal(err)
	}
}

// A renewed subscription: the first enrollment has as many orders as it needs, the oldest, and the next one those
// beyond. A late order moves the others on.
func TestNextTermByRenewal(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		facts := enrolled("s1")
		facts.Shipments = []counter.Shipment{placed("o3", 3000), placed("o1", 1000), placed("o2", 2000)}
		record(t, s, "e1", facts, 3000)
		openNext(t, s, gift, counter.OpenedByRenewal, counter.ClosedCompleted, 3100)
		checkAssigned(t, s, "o1 of 1", "o2 of 1", "o3 of 2")
		all := enrollments(t, s, 2)
		if all[1].OpenedAt != 0 || all[1].Remaining() != 1 {
			t.Errorf("the second = %+v; want it opened when the first had its orders, with 1 to go", all[1])
		}
		claim(t, s, 3200, 0)

		record(t, s, "late", shipped(placed("o0", 500)), 3300)
		checkAssigned(t, s, "o0 of 1", "o1 of 1", "o2 of 2", "o3 of 2")
		all = enrollments(t, s, 2)
		want := []counter.Placed{
			{Orders: 2, ByWebhook: 2, Unnotified: 2, LastAt: 1000},
			{Orders: 2, ByWebhook: 2, Unnotified: 4, LastAt: 3000}, // with those of the first
		}
		if diff := cmp.Diff(want, []counter.Placed{all[0].Placed, all[1].Placed}); diff != "" {
			t.Errorf("placed (-want +got):\n%s", diff)
		}
		// The late order completes the second enrollment: that is due, and urgent.
		lease := claim(t, s, 3300, 1)[0]
		if lease.Number != 2 || lease.Remaining() != 0 || lease.Priority != ledger.Urgent {
			t.Errorf("lease = %+v; want the second, complete and urgent", lease.Subscription)
		}
		finish(t, s, lease, 3300)

		// A third enrollment begins where the second has its orders; late orders move on through all of them.
		openNext(t, s, gift, counter.OpenedByRenewal, counter.ClosedCompleted, 3400)
		record(t, s, "later", shipped(placed("o00", 400), placed("o000", 300), placed("o4", 4000)), 4000)
		checkAssigned(t, s, "o000 of 1", "o00 of 1", "o0 of 2", "o1 of 2", "o2 of 3", "o3 of 3", "o4 of 3")
	})
}

// A restarted subscription: orders placed before the restart never count for the later enrollment, however many and
// however late they are announced.
func TestNextTermByRestart(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		const minute = 60_000
		facts := enrolled("s1")
		facts.Shipments = []counter.Shipment{placed("o1", minute)}
		record(t, s, "e1", facts, minute)
		openNext(t, s, six, counter.OpenedByRestart, counter.ClosedSwapped, 10*minute)
		opened := enrollments(t, s, 2)[1].OpenedAt
		if opened <= minute || opened > 10*minute {
			t.Fatalf("opened at %d; want it after the last order and not after the restart", opened)
		}
		early := shipped(
			placed("o5", opened-1), placed("o4", opened-2), placed("o3", 3*minute), placed("o2", 2*minute), placed("o0", 1))
		record(t, s, "late", early, 11*minute)
		if lease := claim(t, s, 11*minute, 1)[0]; lease.Number != 2 || lease.Placed.Orders != 0 {
			t.Errorf("lease = %+v; want the second without orders", lease.Subscription)
		} else {
			finish(t, s, lease, 0)
		}
		record(t, s, "new", shipped(placed("o6", opened), placed("o7", opened+1)), 12*minute)
		checkAssigned(t, s,
			"o0 of 1", "o1 of 1", "o2 of 1", "o3 of 1", "o4 of 1", "o5 of 1", "o6 of 2", "o7 of 2")
		all := enrollments(t, s, 2)
		if all[0].Placed.Orders != 6 || all[0].ClosedAs != counter.ClosedSwapped || all[1].Placed.Orders != 2 {
			t.Errorf("enrollments = %+v; want 6 orders of the one closed, and 2", all)
		}
	})
}

// Webhooks count seconds. Of the orders placed in the second in which an enrollment was opened, those known by then
// belong to the one before, and those announced later to the one opened; a late order changes neither.
func TestNextTermInTheSecondOfAnOrder(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		const second = 1000
		facts := enrolled("s1")
		facts.Shipments = []counter.Shipment{placed("o1", 60*second)}
		record(t, s, "e1", facts, 60*second)
		openNext(t, s, six, counter.OpenedByRestart, counter.ClosedSwapped, 60*second+700)
		if opened := enrollments(t, s, 2)[1].OpenedAt; opened/second != 60 {
			t.Fatalf("opened at %d; want it in the second of the order", opened)
		}
		record(t, s, "b1", shipped(placed("o2", 60*second), placed("o3", 61*second)), 62*second)
		record(t, s, "late", shipped(placed("o0", 30*second)), 63*second)
		checkAssigned(t, s, "o0 of 1", "o1 of 1", "o2 of 2", "o3 of 2")
	})
}

// A restart bounds what a renewal before it passes on: late orders move on to the second enrollment and never to the
// third.
func TestNextTermByRestartAfterRenewal(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		const minute = 60_000
		facts := enrolled("s1")
		facts.Shipments = []counter.Shipment{placed("o1", minute), placed("o2", 2*minute)}
		record(t, s, "e1", facts, 2*minute)
		openNext(t, s, gift, counter.OpenedByRenewal, counter.ClosedCompleted, 3*minute)
		record(t, s, "e2", shipped(placed("o3", 4*minute)), 4*minute)
		openNext(t, s, six, counter.OpenedByRestart, counter.ClosedSwapped, 20*minute)
		late := shipped(placed("oa", 1), placed("ob", 2), placed("oc", 5*minute), placed("od", 21*minute))
		record(t, s, "late", late, 21*minute)
		checkAssigned(t, s, "oa of 1", "ob of 1", "o1 of 2", "o2 of 2", "o3 of 2", "oc of 2", "od of 3")
	})
}

// A creation that comes late says that the subscription was termed from its beginning: what was excluded counts, and it
// is due.
func TestLateCreation(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		facts := enrolledBy(six, ordergroove.ItemPlaced, 2999)
		facts.Enrollments[0].OwnProduct = false
		facts.Shipments = []counter.Shipment{placed("o3", 3000)}
		record(t, s, "e1", facts, 3000)
		record(t, s, "b1", shipped(placed("o2", 1999)), 3100)
		lease := claim(t, s, 3100, 1)[0]
		if lease.OpenedAt != 2000 || lease.Placed.Orders != 1 {
			t.Errorf("subscription = %+v; want it opened in the second of the event, with 1 order", lease.Subscription)
		}
		other := placed("o1", 1000)
		other.SKU = "TEA"
		other.Source = counter.Reconciled
		other.Excluded = counter.ExcludedByProduct
		step := ledger.Step{Enrollment: lease.Enrollment, Shipments: []counter.Shipment{other}}
		if _, err := s.Record(t.Context(), lease, step); err != nil {
			t.Fatal(err)
		}
		finish(t, s, lease, 0)
		checkAssigned(t, s, "o1 "+counter.ExcludedByProduct, "o2 "+counter.ExcludedEarly, "o3 of 1")
		claim(t, s, 3500, 0)

		creation := enrolledBy(six, ordergroove.SubscriptionCreate, 0)
		creation.Enrollments[0].FromCreation = true
		record(t, s, "e2", creation, 4000)
		checkAssigned(t, s, "o1 of 1", "o2 of 1", "o3 of 1")
		lease = claim(t, s, 4000, 1)[0]
		if lease.Number != 1 || lease.OpenedAt != 0 || lease.Placed.Orders != 3 || lease.Remaining() != 2 {
			t.Errorf("subscription = %+v; want it from its beginning, with 3 orders placed", lease.Subscription)
		}
		finish(t, s, lease, 0)
		record(t, s, "e3", creation, 5000)
		claim(t, s, 1e6, 0) // known by now
		enrollments(t, s, 1)
	})
}

// A recount moves the beginning of an enrollment, and the shipments since then count; a worker that read it earlier
// does not move it back.
func TestRecordMovesTheOpening(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolledBy(six, ordergroove.SubscriptionSKUSwap, 3000), 3000)
		record(t, s, "b1", shipped(placed("o1", 1000), placed("o2", 2000), placed("o3", 3000)), 3100)
		checkAssigned(t, s, "o1 "+counter.ExcludedEarly, "o2 "+counter.ExcludedEarly, "o3 of 1")
		lease := claim(t, s, 3100, 1)[0]
		earlier := int64(2000)
		got, err := s.Record(t.Context(), lease, ledger.Step{Enrollment: lease.Enrollment, OpenedAt: &earlier})
		if err != nil || got.OpenedAt != 2000 || got.Placed.Orders != 2 {
			t.Errorf("Record = %+v, %v; want it opened at 2000, with 2 orders", got, err)
		}
		finish(t, s, lease, 3200) // with the enrollment that was leased
		checkAssigned(t, s, "o1 "+counter.ExcludedEarly, "o2 of 1", "o3 of 1")
		if lease = claim(t, s, 3200, 1)[0]; lease.OpenedAt != 2000 || lease.OpenedBy != ordergroove.SubscriptionSKUSwap {
			t.Errorf("opened at %d by %s; want 2000, as before", lease.OpenedAt, lease.OpenedBy)
		}
	})
}

// A step that was worked out from an older beginning of the enrollment is refused: a creation that came late meanwhile
// says that everything counts, also what the step would exclude.
func TestRecordIsStaleAfterALateCreation(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolledBy(six, ordergroove.SubscriptionSKUSwap, 3000), 3000)
		lease := claim(t, s, 3000, 1)[0]
		creation := enrolledBy(six, ordergroove.SubscriptionCreate, 0)
		creation.Enrollments[0].FromCreation = true
		record(t, s, "e2", creation, 3100)
		other := placed("o1", 1000)
		other.Excluded = counter.ExcludedByProduct
		earlier := int64(2000)
		step := ledger.Step{Enrollment: lease.Enrollment, Shipments: []counter.Shipment{other}, OpenedAt: &earlier}
		if _, err := s.Record(t.Context(), lease, step); !errors.Is(err, ledger.ErrStale) {
			t.Errorf("Record = %v, want ErrStale", err)
		}
		checkAssigned(t, s)
	})
}

// An enrollment found by reconciling begins at that moment, not at the beginning of its second: an order of the same
// second was placed before, and does not count unless its product says so.
func TestReconciledEnrollmentBeginsNow(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolledBy(six, counter.Reconciled, 5700), 5700)
		before := placed("o1", 5000)
		before.SKU = "COFFEE"
		ours := placed("o2", 5000)
		ours.SKU = "SIX"
		record(t, s, "b1", shipped(before, ours), 5800)
		checkAssigned(t, s, "o1 "+counter.ExcludedEarly, "o2 of 1")
	})
}
