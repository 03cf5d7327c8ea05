package counter_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/termed/termed/counter"
)

// six is the other term that there is, and coffee the product that no term names.
var six = counter.Term{
	Name:          "Six",
	SKUs:          []string{"SIX"},
	Shipments:     6,
	FirstShipment: counter.Checkout,
	Keys:          counter.Keys{}.WithDefaults(),
}

// situation is where a subscription is: what is recorded, and what Ordergroove says.
type situation struct {
	term     counter.Term
	sub      counter.Subscription
	observed counter.Observed
}

// isPrepaid is not a state, but is treated like one here: Ordergroove counts.
const isPrepaid counter.State = "prepaid"

// situations are a gift of three shipments, one of them at its checkout, in each state.
var situations = map[counter.State]func() situation{
	counter.Enrolled: func() situation { return situation{gift, subscribed(enrolled), observed("")} },
	counter.Active: func() situation {
		return situation{gift, subscribed(placed(1), sent(2, 1), confirmed(1)), observed(`"1"`)}
	},
	counter.Completing: func() situation {
		s := subscribed(placed(2), sent(2, 1, 0), confirmed(0), cancelRequested(1))
		s.State = counter.Completing
		return situation{gift, s, observed(`"0"`, hidden)}
	},
	counter.Completed: func() situation {
		s := subscribed(placed(2), sent(2, 1, 0), confirmed(0), cancelRequested(1), completed)
		s.Live = false
		return situation{gift, s, observed(`"0"`, hidden, notLive)}
	},
	counter.Ended: func() situation {
		s := subscribed(placed(1), sent(2, 1), confirmed(1), ended)
		s.Live = false
		return situation{gift, s, observed(`"1"`, notLive)}
	},
	counter.Released: func() situation {
		s := subscribed(placed(1), sent(2, 1), confirmed(1), released)
		s.ClosedAs = counter.ClosedReleased
		s.Reason = "released by an operator"
		return situation{gift, s, observed("")}
	},
	isPrepaid: func() situation {
		s := subscribed()
		s.Prepaid = true
		return situation{gift, s, observed("", prepaid("cancel"))}
	},
	counter.Attention: func() situation {
		s := subscribed(placed(1), sent(2, 1), confirmed(1))
		s.State = counter.Attention
		return situation{gift, s, observed(`"two"`)}
	},
}

// events are all that can happen to a subscription. An operator's may be refused.
var events = []struct {
	name string
	do   func(*situation) error
}{
	{"order", func(s *situation) error { s.sub.Placed.Orders++; return nil }},
	{"canceled by somebody", func(s *situation) error { s.observed.Live = false; return nil }},
	{"reactivated", reactivate("")},
	{"reactivated, new_term", reactivate(counter.NewTerm)},
	{"reactivated, release", reactivate(counter.ReleaseReactivation)},
	{"swapped in its term", func(s *situation) error { s.observed.SKU = "GIFT-DECAF"; return nil }},
	{"swapped to a term", swapTo(counter.KeepShipments)},
	{"swapped to a term, restart", swapTo(counter.Restart)},
	{"swapped to no term", func(s *situation) error { s.observed.SKU, s.observed.Termed = "COFFEE", false; return nil }},
	{"last order", lastOrder("")},
	{"last order, renew", lastOrder(counter.RenewAtEnd)},
	{"last order, release", lastOrder(counter.ReleaseAtEnd)},
	{"last order, swap", lastOrder(counter.SwapAtEnd)},
	{"set to 5", setLength(5)},
	{"set to what was made", func(s *situation) error { return setLength(s.sub.ShipmentsMade())(s) }},
	{"set below what was made", func(s *situation) error { return setLength(s.sub.ShipmentsMade() - 1)(s) }},
	{"released by an operator", func(s *situation) (err error) {
		s.sub, err = counter.Release(s.sub)
		return err
	}},
	{"its term made 5 long, and applied", func(s *situation) (err error) {
		s.term.Shipments = 5
		s.sub, err = counter.ApplyTerm(s.sub, s.term)
		return err
	}},
	{"its term made 5 long", func(s *situation) error { s.term.Shipments = 5; return nil }},
	{"its term left termed.yaml", func(s *situation) error {
		s.term = counter.Term{Name: "Gift", Keys: gift.Keys, Removed: true}
		s.observed.Termed = false
		return nil
	}},
	{"its term renamed", func(s *situation) error { s.term.Name = "Presents"; return nil }},
	{"quantity, frequency, address", func(*situation) error { return nil }},
}

func reactivate(how counter.OnReactivation) func(*situation) error {
	return func(s *situation) error {
		s.term.OnReactivation = how
		if !s.observed.Live {
			s.observed.Live = true
			s.sub.ReactivatedAt = 11
		}
		return nil
	}
}

func swapTo(how counter.OnSwap) func(*situation) error {
	return func(s *situation) error {
		s.term = six
		s.observed.SKU = "SIX"
		s.observed.Termed = true
		s.term.OnSwap = how
		if next, ok := counter.Reenroll(s.sub.Enrollment, s.term.Open("SIX", "subscription.sku_swap", 9)); ok {
			s.sub.Enrollment = next // as the store does
		}
		return nil
	}
}

func lastOrder(what counter.OnComplete) func(*situation) error {
	return func(s *situation) error {
		s.term.OnComplete, s.term.SwapTo = what, "COFFEE"
		if s.observed.Live && s.sub.Placed.Orders < 2 {
			s.sub.Placed.Orders = 2
		}
		return nil
	}
}

func setLength(shipments int) func(*situation) error {
	return func(s *situation) (err error) {
		s.sub, err = counter.SetLength(s.sub, shipments)
		return err
	}
}

// settle goes from plan to plan until there is nothing to do, as a sync does, and says what was changed at Ordergroove.
func (s *situation) settle(t *testing.T) (counter.Plan, []string) {
	t.Helper()
	var changes []string
	s.observed.Extra = maps.Clone(s.observed.Extra)
	for range 12 {
		if s.observed.Termed && s.sub.IsNew() && s.sub.State != counter.Released {
			s.sub.Enrollment = s.sub.WithTerm(s.term, s.observed.SKU) // a term begins as its product's term is
		}
		s.observed.ReactivatedAt = s.sub.ReactivatedAt
		plan := counter.Decide(s.term, s.sub.Enrollment, s.observed)
		prepared := counter.Prepare(s.term, s.sub.Enrollment, plan, s.observed, 100)
		s.sub.Enrollment = counter.Advance(s.term, prepared, plan, s.observed, 100)
		switch plan.Do {
		case counter.Settle:
			return plan, changes
		case counter.Recount:
			s.observed.Recounted = true
		case counter.Write:
			for _, key := range slices.Sorted(maps.Keys(plan.Set)) {
				s.observed.Extra[key] = plan.Set[key]
				changes = append(changes, strings.TrimPrefix(key, "fulfillment_")+"="+strings.Trim(plan.Set[key], `"`))
			}
			for _, key := range plan.Unset {
				delete(s.observed.Extra, key)
				changes = append(changes, "-"+strings.TrimPrefix(key, "fulfillment_"))
			}
		case counter.Cancel:
			s.observed.Live = false
			changes = append(changes, plan.What)
		case counter.Swap:
			s.observed.SKU = plan.SKU
			s.observed.Termed = false
			changes = append(changes, "product="+plan.SKU)
		}
	}
	t.Fatal("it does not settle")
	return counter.Plan{}, nil
}

// The policy: what becomes of a subscription in each state when each thing happens. A gift of three shipments (one at
// its checkout); "made of all: state; changes at Ordergroove", or why it is refused.
var policy = map[counter.State]map[string]string{
	counter.Enrolled: {
		"order":                             "2 of 3: active; counter=1, termed=true",
		"canceled by somebody":              "1 of 3: ended; counter=2, termed=true",
		"reactivated":                       "1 of 3: active; counter=2, termed=true",
		"reactivated, new_term":             "1 of 3: active; counter=2, termed=true",
		"reactivated, release":              "1 of 3: active; counter=2, termed=true",
		"swapped in its term":               "1 of 3: active; counter=2, termed=true",
		"swapped to a term":                 "1 of 6: active; counter=5, termed=true",
		"swapped to a term, restart":        "1 of 6: active; counter=5, termed=true",
		"swapped to no term":                "released",
		"last order":                        "3 of 3: completed; counter=0, hide=true, termed=true, cancel",
		"last order, renew":                 "0 of 3: active; counter=0, termed=true, counter=3",
		"last order, release":               "released; counter=0, termed=true, -counter, -termed",
		"last order, swap":                  "released; counter=0, termed=true, product=COFFEE, -counter, -termed",
		"set to 5":                          "refused: it was not synced yet: try again in a moment, or see `termed explain`",
		"set to what was made":              "refused: it was not synced yet: try again in a moment, or see `termed explain`",
		"set below what was made":           "refused: it was not synced yet: try again in a moment, or see `termed explain`",
		"released by an operator":           "released",
		"its term made 5 long, and applied": "1 of 5: active; counter=4, termed=true",
		"its term made 5 long":              "1 of 5: active; counter=4, termed=true",
		"its term left termed.yaml":         "1 of 3: active; counter=2, termed=true",
		"its term renamed":                  "1 of 3: active; counter=2, termed=true",
		"quantity, frequency, address":      "1 of 3: active; counter=2, termed=true",
	},
	counter.Active: {
		"order":                             "3 of 3: completed; counter=0, hide=true, cancel",
		"canceled by somebody":              "2 of 3: ended",
		"reactivated":                       "2 of 3: active",
		"reactivated, new_term":             "2 of 3: active",
		"reactivated, release":              "2 of 3: active",
		"swapped in its term":               "2 of 3: active",
		"swapped to a term":                 "2 of 6: active; counter=4",
		"swapped to a term, restart":        "0 of 6: active; counter=6",
		"swapped to no term":                "released; -counter, -termed",
		"last order":                        "3 of 3: completed; counter=0, hide=true, cancel",
		"last order, renew":                 "0 of 3: active; counter=3",
		"last order, release":               "released; -counter, -termed",
		"last order, swap":                  "released; product=COFFEE, -counter, -termed",
		"set to 5":                          "2 of 5: active; counter=3",
		"set to what was made":              "2 of 2: completed; counter=0, hide=true, cancel",
		"set below what was made":           "refused: 2 shipments already made; 2 would complete the term now",
		"released by an operator":           "released; -counter, -termed",
		"its term made 5 long, and applied": "2 of 5: active; counter=3",
		"its term made 5 long":              "2 of 3: active",
		"its term left termed.yaml":         "2 of 3: active",
		"its term renamed":                  "2 of 3: active",
		"quantity, frequency, address":      "2 of 3: active",
	},
	counter.Completing: {
		"order":                             "4 of 3: completed; cancel",
		"canceled by somebody":              "3 of 3: completed",
		"reactivated":                       "3 of 3: completed; cancel",
		"reactivated, new_term":             "3 of 3: completed; cancel",
		"reactivated, release":              "3 of 3: completed; cancel",
		"swapped in its term":               "3 of 3: completed; cancel",
		"swapped to a term":                 "3 of 6: active; counter=3, -hide",
		"swapped to a term, restart":        "0 of 6: active; counter=6, -hide",
		"swapped to no term":                "released; -counter, -hide, -termed",
		"last order":                        "3 of 3: completed; cancel",
		"last order, renew":                 "0 of 3: active; counter=3, -hide",
		"last order, release":               "released; -counter, -hide, -termed",
		"last order, swap":                  "released; product=COFFEE, -counter, -hide, -termed",
		"set to 5":                          "3 of 5: active; counter=2, -hide",
		"set to what was made":              "3 of 3: completed; cancel",
		"set below what was made":           "refused: 3 shipments already made; 3 would complete the term now",
		"released by an operator":           "released; -counter, -hide, -termed",
		"its term made 5 long, and applied": "3 of 5: active; counter=2, -hide",
		"its term made 5 long":              "3 of 3: completed; cancel",
		"its term left termed.yaml":         "3 of 3: completed; cancel",
		"its term renamed":                  "3 of 3: completed; cancel",
		"quantity, frequency, address":      "3 of 3: completed; cancel",
	},
	counter.Completed: {
		"order":                             "4 of 3: completed",
		"canceled by somebody":              "3 of 3: completed",
		"reactivated":                       "3 of 3: completed; blocked",
		"reactivated, new_term":             "0 of 3: active; counter=3, -hide",
		"reactivated, release":              "released; -counter, -hide, -termed",
		"swapped in its term":               "3 of 3: completed",
		"swapped to a term":                 "3 of 6: ended; counter=3, -hide",
		"swapped to a term, restart":        "0 of 6: ended; counter=6, -hide",
		"swapped to no term":                "released; -counter, -hide, -termed",
		"last order":                        "3 of 3: completed",
		"last order, renew":                 "3 of 3: completed",
		"last order, release":               "3 of 3: completed",
		"last order, swap":                  "3 of 3: completed",
		"set to 5":                          "3 of 5: ended; counter=2, -hide",
		"set to what was made":              "3 of 3: completed",
		"set below what was made":           "refused: 3 shipments already made; 3 would complete the term now",
		"released by an operator":           "released; -counter, -hide, -termed",
		"its term made 5 long, and applied": "refused: it is completed",
		"its term made 5 long":              "3 of 3: completed",
		"its term left termed.yaml":         "3 of 3: completed",
		"its term renamed":                  "3 of 3: completed",
		"quantity, frequency, address":      "3 of 3: completed",
	},
	counter.Ended: {
		"order":                             "3 of 3: completed; counter=0, hide=true",
		"canceled by somebody":              "2 of 3: ended",
		"reactivated":                       "2 of 3: active",
		"reactivated, new_term":             "2 of 3: active",
		"reactivated, release":              "2 of 3: active",
		"swapped in its term":               "2 of 3: ended",
		"swapped to a term":                 "2 of 6: ended; counter=4",
		"swapped to a term, restart":        "0 of 6: ended; counter=6",
		"swapped to no term":                "released; -counter, -termed",
		"last order":                        "2 of 3: ended",
		"last order, renew":                 "2 of 3: ended",
		"last order, release":               "2 of 3: ended",
		"last order, swap":                  "2 of 3: ended",
		"set to 5":                          "2 of 5: ended; counter=3",
		"set to what was made":              "2 of 2: completed; counter=0, hide=true",
		"set below what was made":           "refused: 2 shipments already made; 2 would complete the term now",
		"released by an operator":           "released; -counter, -termed",
		"its term made 5 long, and applied": "refused: it is ended",
		"its term made 5 long":              "2 of 3: ended",
		"its term left termed.yaml":         "2 of 3: ended",
		"its term renamed":                  "2 of 3: ended",
		"quantity, frequency, address":      "2 of 3: ended",
	},
	counter.Released: {
		"order":                             "released",
		"canceled by somebody":              "released",
		"reactivated":                       "released",
		"reactivated, new_term":             "released",
		"reactivated, release":              "released",
		"swapped in its term":               "released",
		"swapped to a term":                 "1 of 6: active; counter=5, termed=true",
		"swapped to a term, restart":        "1 of 6: active; counter=5, termed=true",
		"swapped to no term":                "released",
		"last order":                        "released",
		"last order, renew":                 "released",
		"last order, release":               "released",
		"last order, swap":                  "released",
		"set to 5":                          "refused: it is released, so it has no term to extend or shorten",
		"set to what was made":              "refused: it is released, so it has no term to extend or shorten",
		"set below what was made":           "refused: it is released, so it has no term to extend or shorten",
		"released by an operator":           "refused: it is already released",
		"its term made 5 long, and applied": "refused: it is released",
		"its term made 5 long":              "released",
		"its term left termed.yaml":         "released",
		"its term renamed":                  "released",
		"quantity, frequency, address":      "released",
	},
	isPrepaid: {
		"order":                             "prepaid: active",
		"canceled by somebody":              "prepaid: completed; hide=true",
		"reactivated":                       "prepaid: active",
		"reactivated, new_term":             "prepaid: active",
		"reactivated, release":              "prepaid: active",
		"swapped in its term":               "prepaid: active",
		"swapped to a term":                 "prepaid: active",
		"swapped to a term, restart":        "prepaid: active",
		"swapped to no term":                "released",
		"last order":                        "prepaid: active",
		"last order, renew":                 "prepaid: active",
		"last order, release":               "prepaid: active",
		"last order, swap":                  "prepaid: active",
		"set to 5":                          "refused: it is prepaid: Ordergroove counts it",
		"set to what was made":              "refused: it is prepaid: Ordergroove counts it",
		"set below what was made":           "refused: it is prepaid: Ordergroove counts it",
		"released by an operator":           "released",
		"its term made 5 long, and applied": "refused: it is prepaid: Ordergroove counts it",
		"its term made 5 long":              "prepaid: active",
		"its term left termed.yaml":         "prepaid: active",
		"its term renamed":                  "prepaid: active",
		"quantity, frequency, address":      "prepaid: active",
	},
	counter.Attention: {
		"order":                             "3 of 3: attention",
		"canceled by somebody":              "2 of 3: attention",
		"reactivated":                       "2 of 3: attention",
		"reactivated, new_term":             "2 of 3: attention",
		"reactivated, release":              "2 of 3: attention",
		"swapped in its term":               "2 of 3: attention",
		"swapped to a term":                 "2 of 3: attention",
		"swapped to a term, restart":        "2 of 3: attention",
		"swapped to no term":                "released; -counter, -termed",
		"last order":                        "3 of 3: attention",
		"last order, renew":                 "3 of 3: attention",
		"last order, release":               "3 of 3: attention",
		"last order, swap":                  "3 of 3: attention",
		"set to 5":                          "2 of 5: attention",
		"set to what was made":              "2 of 2: attention",
		"set below what was made":           "refused: 2 shipments already made; 2 would complete the term now",
		"released by an operator":           "released; -counter, -termed",
		"its term made 5 long, and applied": "2 of 5: attention",
		"its term made 5 long":              "2 of 3: attention",
		"its term left termed.yaml":         "2 of 3: attention",
		"its term renamed":                  "2 of 3: attention",
		"quantity, frequency, address":      "2 of 3: attention",
	},
}

func TestPolicy(t *testing.T) {
	for state, start := range situations {
		for _, h := range events {
			want, there := policy[state][h.name]
			if !there {
				t.Errorf("nothing says what becomes of one that is %s: %s", state, h.name)
			}
			s := start()
			got := ""
			if err := h.do(&s); errors.Is(err, counter.ErrRefused) {
				got = err.Error()
			} else if err != nil {
				t.Fatal(err)
			} else {
				plan, writes := s.settle(t)
				got = s.sub.Progress() + ": " + string(plan.State)
				if plan.State == counter.Released {
					got = string(plan.State)
				}
				if len(writes) > 0 {
					got += "; " + strings.Join(writes, ", ")
				}
			}
			if got != want {
				t.Errorf("%s: %q: %q,\nwant %q", state, h.name, got, want)
			}
		}
		if len(policy[state]) != len(events) {
			t.Errorf("%s has %d rows for %d events", state, len(policy[state]), len(events))
		}
	}
}
