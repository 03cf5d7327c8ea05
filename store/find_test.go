package store_test

import (
	"slices"
	"testing"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// Subscriptions are found by each field, by all of them together, and by the beginning of their id as it is spelled.
func TestFind(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		other := enrollment("b_1")
		other.Customer = "c2"
		other.SKU = "SIX"
		other.Term = "Six"
		facts := enrolled("a1", "a2")
		facts.Enrollments = append(facts.Enrollments, other)
		if err := s.RecordFacts(t.Context(), facts, 1); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			filter store.Filter
			want   []string
		}{
			{"all", store.Filter{}, []string{"a1", "a2", "b_1"}},
			{"state", store.Filter{State: counter.Enrolled}, []string{"a1", "a2", "b_1"}},
			{"no such state", store.Filter{State: counter.Completed}, nil},
			{"term", store.Filter{Term: "Six"}, []string{"b_1"}},
			{"SKU", store.Filter{SKU: "GIFT"}, []string{"a1", "a2"}},
			{"customer", store.Filter{Customer: "c2"}, []string{"b_1"}},
			{"prefix", store.Filter{IDPrefix: "a"}, []string{"a1", "a2"}},
			{"whole ID", store.Filter{IDPrefix: "a2"}, []string{"a2"}},
			{"prefix with a wildcard", store.Filter{IDPrefix: "_"}, nil},
			{"both", store.Filter{SKU: "GIFT", IDPrefix: "a1"}, []string{"a1"}},
			{"neither", store.Filter{SKU: "SIX", IDPrefix: "a1"}, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				found, err := s.Find(t.Context(), c.filter, 100)
				if got := ids(found); err != nil || !slices.Equal(got, c.want) {
					t.Errorf("Find(%+v) = %v, %v; want %v", c.filter, got, err, c.want)
				}
			})
		}
		found, err := s.Find(t.Context(), store.Filter{}, 2)
		if err != nil || !slices.Equal(ids(found), []string{"a1", "a2"}) {
			t.Errorf("the first two are %v, %v", ids(found), err)
		}
		terms, skus, err := s.Names(t.Context())
		slices.Sort(terms)
		slices.Sort(skus)
		if err != nil || !slices.Equal(terms, []string{"Gift", "Six"}) || !slices.Equal(skus, []string{"GIFT", "SIX"}) {
			t.Errorf("Names = %v, %v, %v", terms, skus, err)
		}
	})
}

func ids(subscriptions []ledger.Subscription) []string {
	var all []string
	for _, s := range subscriptions {
		all = append(all, s.ID)
	}
	return all
}
