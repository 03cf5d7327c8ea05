package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

func idsOf(subs []ledger.Subscription) []string {
	ids := []string{}
	for _, s := range subs {
		ids = append(ids, s.ID)
	}
	return ids
}

// A list is read in pages, forwards and backwards, the newest first, and by whatever selects.
func TestList(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		for i := range 7 {
			record(t, s, fmt.Sprint("e", i), enrolled(fmt.Sprint("sub-", i)), int64(10+i/2)) // some at the same time
		}
		record(t, s, "p1", shipped(shipment("sub-3", "order-9")), 20)
		want := []string{"sub-6", "sub-5", "sub-4", "sub-3", "sub-2", "sub-1", "sub-0"}
		var forwards []string
		cursor, pages := "", 0
		for {
			page, err := s.List(t.Context(), store.Query{}, cursor, 3)
			if err != nil {
				t.Fatal(err)
			}
			forwards = append(forwards, idsOf(page.Rows)...)
			pages++
			if page.Next == "" {
				cursor = page.Previous
				break
			}
			cursor = page.Next
		}
		if pages != 3 || cmp.Diff(want, forwards) != "" {
			t.Errorf("forwards in %d pages: %v", pages, forwards)
		}
		back, err := s.List(t.Context(), store.Query{}, cursor, 3)
		if err != nil || cmp.Diff(want[3:6], idsOf(back.Rows)) != "" || back.Previous == "" || back.Next == "" {
			t.Errorf("backwards: %v, %v", idsOf(back.Rows), err)
		}
		first, err := s.List(t.Context(), store.Query{}, back.Previous, 3)
		if err != nil || cmp.Diff(want[:3], idsOf(first.Rows)) != "" || first.Previous != "" {
			t.Errorf("back at the beginning: %v, previous %q, %v", idsOf(first.Rows), first.Previous, err)
		}
		for _, cursor := range []string{"x", "Pg", "fj1", "PjEyMw"} {
			if _, err := s.List(t.Context(), store.Query{}, cursor, 3); !errors.Is(err, store.ErrCursor) {
				t.Errorf("the cursor %q = %v, want ErrCursor", cursor, err)
			}
		}
		var each []string
		if err := s.Each(t.Context(), store.Query{}, func(sub ledger.Subscription) error {
			each = append(each, sub.ID)
			return nil
		}); err != nil || cmp.Diff(want, each) != "" {
			t.Errorf("Each: %v, %v", each, err)
		}
		for _, test := range []struct {
			name string
			q    store.Query
			want []string
		}{
			{"state", store.Query{State: counter.Enrolled}, want},
			{"another state", store.Query{State: counter.Completed}, []string{}},
			{"term and SKU", store.Query{Term: "Gift", SKU: "GIFT"}, want},
			{"another term", store.Query{Term: "Six"}, []string{}},
			{"customer", store.Query{Customer: "c1"}, want},
			{"order", store.Query{Order: "order-9"}, []string{"sub-3"}},
			{"search an ID", store.Query{Search: "sub-4"}, []string{"sub-4"}},
			{"search its beginning", store.Query{Search: "sub-"}, want},
			{"search too short a beginning", store.Query{Search: "sub"}, []string{}},
			{"search an order", store.Query{Search: "order-9"}, []string{"sub-3"}},
			{"search a customer", store.Query{Search: "c1"}, want},
			{"search a SKU", store.Query{Search: "GIFT", State: counter.Enrolled}, want},
			{"search nothing", store.Query{Search: "nobody"}, []string{}},
			{"withheld", store.Query{Withheld: true}, []string{}},
			{"last shipment next", store.Query{LastShipmentNext: true}, []string{}},
		} {
			page, err := s.List(t.Context(), test.q, "", 10)
			if err != nil || cmp.Diff(test.want, idsOf(page.Rows)) != "" {
				t.Errorf("%s: %v, %v; want %v", test.name, idsOf(page.Rows), err, test.want)
			}
		}
		counts, err := s.TermCounts(t.Context())
		wantCounts := []store.TermCount{
			{"Gift", counter.Enrolled, 0, 2, 6},
			{"Gift", counter.Enrolled, 1, 2, 1},
		}
		if err != nil || cmp.Diff(wantCounts, counts) != "" {
			t.Errorf("TermCounts = %+v, %v", counts, err)
		}
		days, err := s.DayCounts(t.Context(), 0)
		if err != nil || len(days) != 1 || days[0].Shipments != 1 || days[0].Completed != 0 {
			t.Errorf("DayCounts = %+v, %v", days, err)
		}
	})
}

// Events are listed by whatever selects, the one received last first.
func TestListEvents(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e0", enrolled("s1"), 10)
		for i := range 4 {
			if _, err := s.Append(t.Context(), event(fmt.Sprint("f", i), int64(100+i))); err != nil {
				t.Fatal(err)
			}
		}
		list := func(q store.EventQuery) []string {
			t.Helper()
			page, err := s.ListEvents(t.Context(), q, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			ids := []string{}
			for _, e := range page.Rows {
				ids = append(ids, e.ID)
			}
			return ids
		}
		for _, test := range []struct {
			name string
			q    store.EventQuery
			want []string
		}{
			{"pending", store.EventQuery{Status: ledger.EventPending}, []string{"f3", "f2", "f1", "f0"}},
			{"done", store.EventQuery{Status: ledger.EventDone}, []string{"e0"}},
			{"dead", store.EventQuery{Status: ledger.EventDead}, []string{}},
			{"no status of ours", store.EventQuery{Status: "x"}, []string{}},
			{"of a subscription", store.EventQuery{Subscription: "s1"}, []string{"e0"}},
			{"of a type, lately", store.EventQuery{Type: "order.success", Since: 107}, []string{"f3", "f2"}},
		} {
			if got := list(test.q); !slices.Equal(got, test.want) {
				t.Errorf("%s: %v, want %v", test.name, got, test.want)
			}
		}
		if e, found, err := s.Event(t.Context(), 101, "f1"); err != nil || !found || e.ID != "f1" {
			t.Errorf("Event = %+v, %v, %v", e, found, err)
		}
		if _, found, err := s.Event(t.Context(), 101, "f2"); err != nil || found {
			t.Errorf("an event that there is not: %v, %v", found, err)
		}
	})
}
