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
	Name: "Six", SKUs: []string{"SIX"}, Shipments: 6, FirstShipment: counter.Checkout, Keys: counter.Keys{}.WithDefaults(),
}

// standing is a subscription as it stands: what we know, and what Ordergroove says.
type standing struct {
	term   counter.Term
	ledger counter.Ledger
	remote counter.Remote
}

// isPrepaid is no state, but stands beside them: Ordergroove counts.
const isPrepaid counter.State = "prepaid"

// states are a gift of three boxes, one of them at its checkout, in each state there is.
var states = map[counter.State]func() standing{
	counter.Enrolled: func() standing { return standing{gift, page(enrolled), remote("")} },
	counter.Active: func() standing {
		return standing{gift, page(made(1), sent(2, 1), written(1)), remote(`"1"`)}
	},
	counter.Completing: func() standing {
		l := page(made(2), sent(2, 1, 0), written(0), cancelSent)
		l.State = counter.Completing
		return standing{gift, l, remote(`"0"`, hidden)}
	},
	counter.Completed: func() standing {
		l := page(made(2), sent(2, 1, 0), written(0), cancelSent, completed)
		l.Live = false
		return standing{gift, l, remote(`"0"`, hidden, notLive)}
	},
	counter.Ended: func() standing {
		l := page(made(1), sent(2, 1), written(1), ended)
		l.Live = false
		return standing{gift, l, remote(`"1"`, notLive)}
	},
	counter.Released: func() standing {
		l := page(made(1), sent(2, 1), written(1), released)
		l.Exempt, l.Reason = "Gift", "released by an operator"
		return standing{gift, l, remote("")}
	},
	isPrepaid: func() standing {
		l := page()
		l.Prepaid = true
		return standing{gift, l, remote("", prepaid("cancel"))}
	},
	counter.Attention: func() standing {
		l := page(made(1), sent(2, 1), written(1))
		l.State = counter.Attention
		return standing{gift, l, remote(`"two"`)}
	},
}

// happenings are all that can happen to a subscription. An operator's may be refused.
var happenings = []struct {
	name string
	do   func(*standing) error
}{
	{"box", func(s *standing) error { s.ledger.Made++; return nil }},
	{"cancelled by somebody", func(s *standing) error { s.remote.Live = false; return nil }},
	{"reactivated", reactivate("")},
	{"reactivated, new_term", reactivate(counter.NewTerm)},
	{"reactivated, release", reactivate(counter.ReleaseReactivation)},
	{"swapped in its term", func(s *standing) error { s.remote.SKU = "GIFT-DECAF"; return nil }},
	{"swapped to a term", swapTo(counter.KeepShipments)},
	{"swapped to a term, restart", swapTo(counter.Restart)},
	{"swapped to no term", func(s *standing) error { s.remote.SKU, s.remote.Termed = "COFFEE", false; return nil }},
	{"last box", lastBox("")},
	{"last box, renew", lastBox(counter.RenewAtEnd)},
	{"last box, release", lastBox(counter.ReleaseAtEnd)},
	{"last box, swap", lastBox(counter.SwapAtEnd)},
	{"set to 5", resize(5)},
	{"set to what was made", func(s *standing) error { return resize(s.ledger.Boxes())(s) }},
	{"set below what was made", func(s *standing) error { return resize(s.ledger.Boxes() - 1)(s) }},
	{"released by an operator", func(s *standing) (err error) {
		s.ledger, err = counter.LetGo(s.ledger)
		return err
	}},
	{"its term made 5 long, and applied", func(s *standing) (err error) {
		s.term.Shipments = 5
		s.ledger, err = counter.Apply(s.ledger, s.term)
		return err
	}},
	{"its term made 5 long", func(s *standing) error { s.term.Shipments = 5; return nil }},
	{"its term left termed.yaml", func(s *standing) error {
		s.term = counter.Term{Name: "Gift", Keys: gift.Keys}
		s.remote.Termed = false
		return nil
	}},
	{"its term called otherwise", func(s *standing) error { s.term.Name = "Presents"; return nil }},
	{"quantity, frequency, address", func(*standing) error { return nil }},
}

func reactivate(how counter.OnReactivation) func(*standing) error {
	return func(s *standing) error {
		s.term.OnReactivation = how
		if !s.remote.Live {
			s.remote.Live, s.ledger.ReactivatedAt = true, 11
		}
		return nil
	}
}

func swapTo(how counter.OnSwap) func(*standing) error {
	return func(s *standing) error {
		s.term, s.remote.SKU, s.remote.Termed = six, "SIX", true
		s.term.OnSwap = how
		if s.ledger.State == counter.Released { // the store opens the page again, as of now
			s.ledger = s.ledger.Reopen(9).Under(s.term, "SIX")
		}
		return nil
	}
}

func lastBox(what counter.OnComplete) func(*standing) error {
	return func(s *standing) error {
		s.term.OnComplete, s.term.SwapTo = what, "COFFEE"
		if s.remote.Live && s.ledger.Made < 2 {
			s.ledger.Made = 2
		}
		return nil
	}
}

func resize(shipments int) func(*standing) error {
	return func(s *standing) (err error) {
		s.ledger, err = counter.Resize(s.ledger, shipments)
		return err
	}
}

// settle goes from plan to plan until there is nothing to do, as a look does, and says what was changed at Ordergroove.
func (s *standing) settle(t *testing.T) (counter.Plan, []string) {
	t.Helper()
	var writes []string
	s.remote.Extra = maps.Clone(s.remote.Extra)
	for range 12 {
		if s.remote.Termed && s.ledger.Fresh() { // a term begins as its product's term is
			s.ledger = s.ledger.Under(s.term, s.remote.SKU)
		}
		plan := counter.Decide(s.term, s.ledger, s.remote)
		switch plan.Do {
		case counter.Rest:
			return plan, writes
		case counter.Recount:
			s.remote.Recounted = true
		case counter.Adopt:
			s.ledger = counter.Step{Page: s.ledger, Counter: plan.Counter, Adjustment: &plan.Adjustment}.Apply(s.ledger)
			s.ledger.Written = plan.Counter
		case counter.Write:
			s.ledger = counter.Step{Page: s.ledger, Counter: plan.Counter}.Apply(s.ledger)
			if plan.Counter != nil {
				s.ledger.Written = plan.Counter
			}
			for _, key := range slices.Sorted(maps.Keys(plan.Set)) {
				s.remote.Extra[key] = plan.Set[key]
				writes = append(writes, strings.TrimPrefix(key, "fulfillment_")+"="+strings.Trim(plan.Set[key], `"`))
			}
			for _, key := range plan.Unset {
				delete(s.remote.Extra, key)
				writes = append(writes, "-"+strings.TrimPrefix(key, "fulfillment_"))
			}
		case counter.Cancel:
			s.ledger = counter.Step{Page: s.ledger, Cancelling: true, Blocking: plan.Blocks}.Apply(s.ledger)
			s.remote.Live = false
			writes = append(writes, plan.What)
		case counter.Begin:
			s.ledger = counter.Step{Page: s.ledger, Next: plan.Page}.Apply(s.ledger)
		case counter.Swap:
			s.remote.SKU, s.remote.Termed = plan.SKU, false
			writes = append(writes, "product="+plan.SKU)
		default:
			t.Fatalf("no such action: %s", plan.Do)
		}
	}
	t.Fatal("it does not come to rest")
	return counter.Plan{}, nil
}

// The policy: what becomes of a subscription in each state when each thing happens. A gift of three boxes (one at its checkout);
// "made of all: state; changes at Ordergroove", or why it is refused.
var policy = map[counter.State]map[string]string{
	counter.Enrolled: {
		"box":                               "2 of 3: active; counter=1, termed=true",
		"cancelled by somebody":             "1 of 3: ended; counter=2, termed=true",
		"reactivated":                       "1 of 3: active; counter=2, termed=true",
		"reactivated, new_term":             "1 of 3: active; counter=2, termed=true",
		"reactivated, release":              "1 of 3: active; counter=2, termed=true",
		"swapped in its term":               "1 of 3: active; counter=2, termed=true",
		"swapped to a term":                 "1 of 6: active; counter=5, termed=true",
		"swapped to a term, restart":        "1 of 6: active; counter=5, termed=true",
		"swapped to no term":                "released",
		"last box":                          "3 of 3: completed; counter=0, hide=true, termed=true, cancel",
		"last box, renew":                   "0 of 3: active; counter=0, termed=true, counter=3",
		"last box, release":                 "released; counter=0, termed=true, -counter, -termed",
		"last box, swap":                    "released; counter=0, termed=true, product=COFFEE, -counter, -termed",
		"set to 5":                          "refused: it was not looked at yet: try again in a moment, or see `termed explain`",
		"set to what was made":              "refused: it was not looked at yet: try again in a moment, or see `termed explain`",
		"set below what was made":           "refused: it was not looked at yet: try again in a moment, or see `termed explain`",
		"released by an operator":           "released",
		"its term made 5 long, and applied": "1 of 5: active; counter=4, termed=true",
		"its term made 5 long":              "1 of 5: active; counter=4, termed=true",
		"its term left termed.yaml":         "1 of 3: active; counter=2, termed=true",
		"its term called otherwise":         "1 of 3: active; counter=2, termed=true",
		"quantity, frequency, address":      "1 of 3: active; counter=2, termed=true",
	},
	counter.Active: {
		"box":                               "3 of 3: completed; counter=0, hide=true, cancel",
		"cancelled by somebody":             "2 of 3: ended",
		"reactivated":                       "2 of 3: active",
		"reactivated, new_term":             "2 of 3: active",
		"reactivated, release":              "2 of 3: active",
		"swapped in its term":               "2 of 3: active",
		"swapped to a term":                 "2 of 6: active; counter=4",
		"swapped to a term, restart":        "0 of 6: active; counter=6",
		"swapped to no term":                "released; -counter, -termed",
		"last box":                          "3 of 3: completed; counter=0, hide=true, cancel",
		"last box, renew":                   "0 of 3: active; counter=3",
		"last box, release":                 "released; -counter, -termed",
		"last box, swap":                    "released; product=COFFEE, -counter, -termed",
		"set to 5":                          "2 of 5: active; counter=3",
		"set to what was made":              "2 of 2: completed; counter=0, hide=true, cancel",
		"set below what was made":           "refused: 2 shipments were made already; 2 would end it now",
		"released by an operator":           "released; -counter, -termed",
		"its term made 5 long, and applied": "2 of 5: active; counter=3",
		"its term made 5 long":              "2 of 3: active",
		"its term left termed.yaml":         "2 of 3: active",
		"its term called otherwise":         "2 of 3: active",
		"quantity, frequency, address":      "2 of 3: active",
	},
	counter.Completing: {
		"box":                               "4 of 3: completed; cancel",
		"cancelled by somebody":             "3 of 3: completed",
		"reactivated":                       "3 of 3: completed; cancel",
		"reactivated, new_term":             "3 of 3: completed; cancel",
		"reactivated, release":              "3 of 3: completed; cancel",
		"swapped in its term":               "3 of 3: completed; cancel",
		"swapped to a term":                 "3 of 6: active; counter=3, -hide",
		"swapped to a term, restart":        "0 of 6: active; counter=6, -hide",
		"swapped to no term":                "released; -counter, -hide, -termed",
		"last box":                          "3 of 3: completed; cancel",
		"last box, renew":                   "0 of 3: active; counter=3, -hide",
		"last box, release":                 "released; -counter, -hide, -termed",
		"last box, swap":                    "released; product=COFFEE, -counter, -hide, -termed",
		"set to 5":                          "3 of 5: active; counter=2, -hide",
		"set to what was made":              "3 of 3: completed; cancel",
		"set below what was made":           "refused: 3 shipments were made already; 3 would end it now",
		"released by an operator":           "released; -counter, -hide, -termed",
		"its term made 5 long, and applied": "3 of 5: active; counter=2, -hide",
		"its term made 5 long":              "3 of 3: completed; cancel",
		"its term left termed.yaml":         "3 of 3: completed; cancel",
		"its term called otherwise":         "3 of 3: completed; cancel",
		"quantity, frequency, address":      "3 of 3: completed; cancel",
	},
	counter.Completed: {
		"box":                               "4 of 3: completed",
		"cancelled by somebody":             "3 of 3: completed",
		"reactivated":                       "3 of 3: completed; blocked",
		"reactivated, new_term":             "0 of 3: active; counter=3, -hide",
		"reactivated, release":              "released; -counter, -hide, -termed",
		"swapped in its term":               "3 of 3: completed",
		"swapped to a term":                 "3 of 6: ended; counter=3, -hide",
		"swapped to a term, restart":        "0 of 6: ended; counter=6, -hide",
		"swapped to no term":                "released; -counter, -hide, -termed",
		"last box":                          "3 of 3: completed",
		"last box, renew":                   "3 of 3: completed",
		"last box, release":                 "3 of 3: completed",
		"last box, swap":                    "3 of 3: completed",
		"set to 5":                          "3 of 5: ended; counter=2, -hide",
		"set to what was made":              "3 of 3: completed",
		"set below what was made":           "refused: 3 shipments were made already; 3 would end it now",
		"released by an operator":           "released; -counter, -hide, -termed",
		"its term made 5 long, and applied": "refused: it is completed",
		"its term made 5 long":              "3 of 3: completed",
		"its term left termed.yaml":         "3 of 3: completed",
		"its term called otherwise":         "3 of 3: completed",
		"quantity, frequency, address":      "3 of 3: completed",
	},
	counter.Ended: {
		"box":                               "3 of 3: completed; counter=0, hide=true",
		"cancelled by somebody":             "2 of 3: ended",
		"reactivated":                       "2 of 3: active",
		"reactivated, new_term":             "2 of 3: active",
		"reactivated, release":              "2 of 3: active",
		"swapped in its term":               "2 of 3: ended",
		"swapped to a term":                 "2 of 6: ended; counter=4",
		"swapped to a term, restart":        "0 of 6: ended; counter=6",
		"swapped to no term":                "released; -counter, -termed",
		"last box":                          "2 of 3: ended",
		"last box, renew":                   "2 of 3: ended",
		"last box, release":                 "2 of 3: ended",
		"last box, swap":                    "2 of 3: ended",
		"set to 5":                          "2 of 5: ended; counter=3",
		"set to what was made":              "2 of 2: completed; counter=0, hide=true",
		"set below what was made":           "refused: 2 shipments were made already; 2 would end it now",
		"released by an operator":           "released; -counter, -termed",
		"its term made 5 long, and applied": "refused: it is ended",
		"its term made 5 long":              "2 of 3: ended",
		"its term left termed.yaml":         "2 of 3: ended",
		"its term called otherwise":         "2 of 3: ended",
		"quantity, frequency, address":      "2 of 3: ended",
	},
	counter.Released: {
		"box":                               "released",
		"cancelled by somebody":             "released",
		"reactivated":                       "released",
		"reactivated, new_term":             "released",
		"reactivated, release":              "released",
		"swapped in its term":               "released",
		"swapped to a term":                 "1 of 6: active; counter=5, termed=true",
		"swapped to a term, restart":        "1 of 6: active; counter=5, termed=true",
		"swapped to no term":                "released",
		"last box":                          "released",
		"last box, renew":                   "released",
		"last box, release":                 "released",
		"last box, swap":                    "released",
		"set to 5":                          "refused: it is released: there is no term to be longer or shorter",
		"set to what was made":              "refused: it is released: there is no term to be longer or shorter",
		"set below what was made":           "refused: it is released: there is no term to be longer or shorter",
		"released by an operator":           "refused: it is released already",
		"its term made 5 long, and applied": "refused: it is released",
		"its term made 5 long":              "released",
		"its term left termed.yaml":         "released",
		"its term called otherwise":         "released",
		"quantity, frequency, address":      "released",
	},
	isPrepaid: {
		"box":                               "prepaid: active",
		"cancelled by somebody":             "prepaid: completed; hide=true",
		"reactivated":                       "prepaid: active",
		"reactivated, new_term":             "prepaid: active",
		"reactivated, release":              "prepaid: active",
		"swapped in its term":               "prepaid: active",
		"swapped to a term":                 "prepaid: active",
		"swapped to a term, restart":        "prepaid: active",
		"swapped to no term":                "released",
		"last box":                          "prepaid: active",
		"last box, renew":                   "prepaid: active",
		"last box, release":                 "prepaid: active",
		"last box, swap":                    "prepaid: active",
		"set to 5":                          "refused: it is prepaid: Ordergroove counts it",
		"set to what was made":              "refused: it is prepaid: Ordergroove counts it",
		"set below what was made":           "refused: it is prepaid: Ordergroove counts it",
		"released by an operator":           "released",
		"its term made 5 long, and applied": "refused: it is prepaid: Ordergroove counts it",
		"its term made 5 long":              "prepaid: active",
		"its term left termed.yaml":         "prepaid: active",
		"its term called otherwise":         "prepaid: active",
		"quantity, frequency, address":      "prepaid: active",
	},
	counter.Attention: {
		"box":                               "3 of 3: attention",
		"cancelled by somebody":             "2 of 3: attention",
		"reactivated":                       "2 of 3: attention",
		"reactivated, new_term":             "2 of 3: attention",
		"reactivated, release":              "2 of 3: attention",
		"swapped in its term":               "2 of 3: attention",
		"swapped to a term":                 "2 of 3: attention",
		"swapped to a term, restart":        "2 of 3: attention",
		"swapped to no term":                "released; -counter, -termed",
		"last box":                          "3 of 3: attention",
		"last box, renew":                   "3 of 3: attention",
		"last box, release":                 "3 of 3: attention",
		"last box, swap":                    "3 of 3: attention",
		"set to 5":                          "2 of 5: attention",
		"set to what was made":              "2 of 2: attention",
		"set below what was made":           "refused: 2 shipments were made already; 2 would end it now",
		"released by an operator":           "released; -counter, -termed",
		"its term made 5 long, and applied": "2 of 5: attention",
		"its term made 5 long":              "2 of 3: attention",
		"its term left termed.yaml":         "2 of 3: attention",
		"its term called otherwise":         "2 of 3: attention",
		"quantity, frequency, address":      "2 of 3: attention",
	},
}

func TestPolicy(t *testing.T) {
	for state, stand := range states {
		for _, h := range happenings {
			want, there := policy[state][h.name]
			if !there {
				t.Errorf("nothing says what becomes of one that is %s: %s", state, h.name)
			}
			s := stand()
			got := ""
			if err := h.do(&s); errors.Is(err, counter.ErrRefused) {
				got = err.Error()
			} else if err != nil {
				t.Fatal(err)
			} else {
				plan, writes := s.settle(t)
				got = s.ledger.Show() + ": " + string(plan.State)
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
		if len(policy[state]) != len(happenings) {
			t.Errorf("%s has %d rows for %d happenings", state, len(policy[state]), len(happenings))
		}
	}
}
