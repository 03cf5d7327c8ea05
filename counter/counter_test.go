package counter_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
)

var gift = counter.Term{
	Name: "Gift", SKUs: []string{"GIFT", "GIFT-DECAF"}, Shipments: 3, FirstShipment: counter.Checkout,
	CancelReason: "1|Gift complete", Keys: counter.Keys{}.WithDefaults(),
}

const blocked = "1|Reactivated after the term was complete"

// page is a ledger page of a gift: 2 recurring orders due. The functions say what is otherwise.
func page(changes ...func(*counter.Ledger)) counter.Ledger {
	l := counter.Ledger{Subscription: "s1", SKU: "GIFT", Term: "Gift", AtCheckout: 1, Due: 2, State: counter.Active, Live: true}
	for _, change := range changes {
		change(&l)
	}
	return l
}

func made(n int) func(*counter.Ledger) { return func(l *counter.Ledger) { l.Made = n } }
func announced(n int) func(*counter.Ledger) {
	return func(l *counter.Ledger) { l.Made, l.Announced = n, n }
}
func sent(counters ...int) func(*counter.Ledger) {
	return func(l *counter.Ledger) { l.Sent = counters }
}
func written(n int) func(*counter.Ledger)  { return func(l *counter.Ledger) { l.Written = &n } }
func adjusted(n int) func(*counter.Ledger) { return func(l *counter.Ledger) { l.Adjustment = n } }
func completed(l *counter.Ledger)          { l.Completed, l.State = true, counter.Completed }
func reactivated(at int64) func(*counter.Ledger) {
	return func(l *counter.Ledger) { l.ReactivatedAt = at }
}
func shipped(at int64) func(*counter.Ledger) { return func(l *counter.Ledger) { l.LastShipment = at } }
func cancelSent(l *counter.Ledger)           { l.CancelSent = true }
func cancelAfter(at int64) func(*counter.Ledger) {
	return func(l *counter.Ledger) { l.CancelAfter = at }
}
func released(l *counter.Ledger) { l.State = counter.Released }
func ended(l *counter.Ledger)    { l.State = counter.Ended }
func swappedTo(sku string) func(*counter.Ledger) {
	return func(l *counter.Ledger) { l.SKU = sku }
}
func enrolled(l *counter.Ledger) { l.State = counter.Enrolled }

// remote is a live gift at Ordergroove whose members of ours are given as JSON, "" for none.
func remote(counterJSON string, changes ...func(*counter.Remote)) counter.Remote {
	r := counter.Remote{SKU: "GIFT", Termed: true, Live: true, Extra: map[string]string{}}
	if counterJSON != "" {
		r.Extra["fulfillment_counter"] = counterJSON
		r.Extra["termed"] = `"true"`
	}
	for _, change := range changes {
		change(&r)
	}
	return r
}

func recounted(r *counter.Remote) { r.Recounted = true }
func notLive(r *counter.Remote)   { r.Live = false }
func hidden(r *counter.Remote)    { r.Extra["hide"] = "true" }
func broken(r *counter.Remote)    { r.Broken = true }
func untermed(r *counter.Remote)  { r.SKU, r.Termed = "COFFEE", false }
func unlisted(r *counter.Remote)  { r.Termed = false }
func swapped(r *counter.Remote)   { r.SKU = "GIFT-DECAF" }
func prepaid(b string) func(*counter.Remote) {
	return func(r *counter.Remote) { r.Prepaid, r.RenewalBehavior = true, b }
}
func termedIs(v string) func(*counter.Remote) {
	return func(r *counter.Remote) { r.Extra["termed"] = v }
}

// The rules, one a row: what we know, what Ordergroove says, what is done, and where that leaves the subscription. What is
// not to be touched comes first.
func TestDecide(t *testing.T) {
	write := func(set ...string) string { return "write " + strings.Join(set, " ") }
	tests := []struct {
		rule   string
		ledger counter.Ledger
		remote counter.Remote
		do     string // the action, and what it writes, adopts or cancels with
		state  counter.State
	}{
		{"the product is none of ours: a one-time swap had brought it in", page(enrolled, announced(1)), remote("", untermed), "rest", counter.Released},
		{"the product is none of ours any more", page(sent(2), written(2)), remote(`"2"`, untermed), "write -fulfillment_counter -termed", counter.Active},
		{"the product is none of ours any more, and our members are gone", page(sent(2), written(2)), remote("", untermed), "rest", counter.Released},
		{"released before, and looked at again", page(made(2), sent(2, 1), released, swappedTo("COFFEE")), remote(`"1"`, untermed), "rest", counter.Released},
		{"extra_data is no object", page(enrolled), remote("", broken), "rest", counter.Attention},
		{"the counter is text", page(sent(2), written(2)), remote(`"two"`), "rest", counter.Attention},
		{"the counter is empty text", page(sent(2), written(2)), remote(`""`), "rest", counter.Attention},
		{"the counter is a list", page(sent(2), written(2)), remote(`[2]`), "rest", counter.Attention},
		{"the counter is below zero", page(sent(2), written(2)), remote(`"-1"`), "rest", counter.Attention},
		{"the counter is a fraction", page(sent(2), written(2)), remote(`1.5`), "rest", counter.Attention},
		{"the counter is beyond any term", page(sent(2), written(2)), remote(`"100001"`), "rest", counter.Attention},
		{"reactivated after its end", page(made(2), sent(2, 1, 0), written(0), completed), remote(`"0"`, hidden), "cancel " + blocked, counter.Completing},
		{"reactivated after its end, and made to show: hidden first", page(made(2), sent(2, 1, 0), written(0), completed), remote(`"0"`), write(`hide=true`), counter.Completing},
		{"our cancel took effect, its answer was lost, and somebody reactivated it", page(made(2), sent(2, 1, 0), written(0), cancelSent, shipped(10), reactivated(11)), remote(`"0"`, hidden), "cancel " + blocked, counter.Completing},
		{"our cancel was refused for now; the reactivation was before it", page(made(2), sent(2, 1, 0), written(0), cancelSent, shipped(10), reactivated(11), cancelAfter(11)), remote(`"0"`, hidden), "cancel 1|Gift complete", counter.Completing},

		{"new: orders may have been placed before we knew", page(enrolled), remote(""), "recount", counter.Enrolled},
		{"new", page(enrolled), remote("", recounted), write(`fulfillment_counter="2"`, `termed="true"`), counter.Active},
		{"new, an order placed already", page(enrolled, announced(1)), remote("", recounted), write(`fulfillment_counter="1"`, `termed="true"`), counter.Active},
		{"new, all orders placed already", page(enrolled, made(5)), remote("", recounted), write(`fulfillment_counter="0"`, `hide=true`, `termed="true"`), counter.Completing},
		{"new, a null counter is none", page(enrolled), remote(`null`, recounted), write(`fulfillment_counter="2"`), counter.Active},
		{"new, half done before a crash", page(enrolled, sent(2)), remote(`"2"`), "rest", counter.Active},

		{"a counter before us: ask first", page(enrolled), remote(`"2"`), "recount", counter.Enrolled},
		{"a counter before us that agrees", page(enrolled, made(1)), remote(`"1"`, recounted), "adopt 1 adjusting 0", counter.Enrolled},
		{"a counter before us: a length chosen at checkout", page(enrolled), remote(`"11"`, recounted), "adopt 11 adjusting 9", counter.Enrolled},
		{"a counter before us, orders taken as counted", page(enrolled, made(1)), remote(`"4"`, recounted), "adopt 4 adjusting 3", counter.Enrolled},
		{"a counter before us that the order bringing us here did not take down", page(enrolled, announced(1)), remote(`"2"`, recounted), "adopt 2 adjusting 0", counter.Enrolled},
		{"a counter before us, shortened", page(enrolled), remote(`"1"`, recounted), "adopt 1 adjusting -1", counter.Enrolled},
		{"a counter before us as a number", page(enrolled), remote(`2`, recounted), "adopt 2 adjusting 0", counter.Enrolled},
		{"more boxes made than due, and zero", page(enrolled, made(4)), remote(`"0"`, recounted), "adopt 0 adjusting 0", counter.Enrolled},

		{"nothing new", page(sent(2), written(2)), remote(`"2"`), "rest", counter.Active},
		{"a box", page(made(1), sent(2), written(2)), remote(`"2"`), write(`fulfillment_counter="1"`), counter.Active},
		{"a box, our write landed and its answer was lost", page(made(1), sent(2, 1), written(2)), remote(`"1"`), "rest", counter.Active},
		{"the last box: hidden first", page(made(2), sent(2, 1), written(1)), remote(`"1"`), write(`fulfillment_counter="0"`, `hide=true`), counter.Completing},
		{"then cancelled", page(made(2), sent(2, 1, 0), written(0)), remote(`"0"`, hidden), "cancel 1|Gift complete", counter.Completing},
		{"our cancel was lost on its way", page(made(2), sent(2, 1, 0), written(0), cancelSent), remote(`"0"`, hidden), "cancel 1|Gift complete", counter.Completing},
		{"cancelled by the customer and reactivated long before its end", page(made(2), sent(2, 1, 0), written(0), cancelSent, reactivated(9), shipped(10)), remote(`"0"`, hidden), "cancel 1|Gift complete", counter.Completing},
		{"then it is over", page(made(2), sent(2, 1, 0), written(0)), remote(`"0"`, hidden, notLive), "rest", counter.Completed},
		{"cancelled by somebody else at the last moment: hidden all the same", page(made(2), sent(2, 1), written(1)), remote(`"1"`, notLive), write(`fulfillment_counter="0"`, `hide=true`), counter.Completing},
		{"a box too many is still zero", page(made(3), sent(2, 1, 0), written(0)), remote(`"0"`, hidden, notLive), "rest", counter.Completed},
		{"another SKU of the same term", page(made(1), sent(2), written(2)), remote(`"2"`, swapped), write(`fulfillment_counter="1"`), counter.Active},
		{"its term left the configuration: it keeps what it started with", page(made(1), sent(2), written(2)), remote(`"2"`, unlisted), write(`fulfillment_counter="1"`), counter.Active},

		{"the counter as a number of ours", page(sent(2), written(2)), remote(`2`), write(`fulfillment_counter="2"`), counter.Active},
		{"termed as a boolean", page(sent(2), written(2)), remote(`"2"`, termedIs("true")), write(`termed="true"`), counter.Active},
		{"hide of the merchant's own", page(sent(2), written(2)), remote(`"2"`, hidden), "rest", counter.Active},
		{"hide of ours, from an end that was taken back", page(made(2), adjusted(1), sent(2, 1, 0), written(0)), remote(`"0"`, hidden), write(`fulfillment_counter="1"`, `-hide`), counter.Active},

		{"wiped", page(made(1), sent(2, 1), written(1)), remote(""), write(`fulfillment_counter="1"`, `termed="true"`), counter.Active},
		{"gone back", page(made(1), sent(2, 1), written(1)), remote(`"2"`), write(`fulfillment_counter="1"`), counter.Active},
		{"set by somebody: ask first", page(made(1), sent(2, 1), written(1)), remote(`"4"`), "recount", counter.Active},
		{"set by somebody", page(made(1), sent(2, 1), written(1)), remote(`"4"`, recounted), "adopt 4 adjusting 3", counter.Active},
		{"set by somebody, an order placed since: counted on top", page(made(1), sent(2), written(2)), remote(`"5"`, recounted), "adopt 5 adjusting 3", counter.Active},
		{"set by somebody to less, an order placed since: counted on top", page(made(1), sent(6), written(6), adjusted(4)), remote(`"3"`, recounted), "adopt 3 adjusting 1", counter.Active},
		{"our database is older than the truth: what we wrote after it", page(made(4), sent(5), written(5), adjusted(4)), remote(`"3"`, recounted), "adopt 3 adjusting 4", counter.Active},
		{"our database is older than the truth, and somebody made it less", page(made(4), sent(5), written(5), adjusted(4)), remote(`"1"`, recounted), "adopt 1 adjusting 3", counter.Active},
		{"our database is older than the truth, and somebody made it more", page(made(4), sent(5), written(5), adjusted(4)), remote(`"7"`, recounted), "adopt 7 adjusting 9", counter.Active},
		{"set to zero by somebody", page(sent(2), written(2)), remote(`"0"`, recounted), "adopt 0 adjusting -2", counter.Active},
		{"a count that we had missed", page(made(2), sent(3, 2), written(2), adjusted(1)), remote(`"1"`, recounted), "adopt 1 adjusting 1", counter.Active},

		{"cancelled early: ask for the last time", page(made(1), sent(2, 1), written(1)), remote(`"1"`, notLive), "recount", counter.Active},
		{"cancelled early", page(made(1), sent(2, 1), written(1)), remote(`"1"`, notLive, recounted), "rest", counter.Ended},
		{"cancelled early, and looked at again", page(made(1), sent(2, 1), written(1), ended), remote(`"1"`, notLive), "rest", counter.Ended},
		{"cancelled early, a box still on its way", page(made(1), sent(2), written(2), ended), remote(`"2"`, notLive), write(`fulfillment_counter="1"`), counter.Ended},
		{"reactivated: ask what was placed meanwhile", page(made(1), sent(2, 1), written(1), ended), remote(`"1"`), "recount", counter.Ended},
		{"reactivated: it resumes where it was", page(made(1), sent(2, 1), written(1), ended), remote(`"1"`, recounted), "rest", counter.Active},

		{"prepaid: Ordergroove counts, and is to end it", page(enrolled), remote("", prepaid("autorenew")), "renew", counter.Active},
		{"prepaid, ending by itself", page(enrolled), remote("", prepaid("cancel")), "rest", counter.Active},
		{"prepaid, with a counter of somebody's: not ours to touch", page(enrolled), remote(`"7"`, prepaid("cancel")), "rest", counter.Active},
		{"prepaid, more orders than the term has: never cancelled by us", page(enrolled, made(9)), remote("", prepaid("cancel")), "rest", counter.Active},
		{"prepaid, ended by itself", page(enrolled, made(9)), remote("", prepaid("cancel"), notLive), write(`hide=true`), counter.Completing},
		{"prepaid, ended by itself, and hidden", page(enrolled, made(9)), remote("", prepaid("cancel"), notLive, hidden), "rest", counter.Completed},
		{"prepaid, ended by itself, and extra_data is no object", page(enrolled), remote("", prepaid("cancel"), notLive, broken), "rest", counter.Attention},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			plan := counter.Decide(gift, test.ledger, test.remote)
			if got := show(plan); got != test.do || plan.State != test.state {
				t.Errorf("Decide: %s, %s; want %s, %s", got, plan.State, test.do, test.state)
			}
			if why := plan.Reason + plan.Why; why == "" && plan.Do != counter.Rest {
				t.Error("it does not say why")
			}
			if plan.State == counter.Attention && plan.Reason == "" {
				t.Error("it does not say what a person must look at")
			}
		})
	}
}

func show(p counter.Plan) string {
	s := string(p.Do)
	switch p.Do {
	case counter.Write:
		for _, key := range []string{"fulfillment_counter", "hide", "termed"} {
			if value, ok := p.Set[key]; ok {
				s += " " + key + "=" + value
			}
		}
		for _, key := range p.Unset {
			s += " -" + key
		}
	case counter.Adopt:
		s += " " + strconv.Itoa(*p.Counter) + " adjusting " + strconv.Itoa(p.Adjustment)
	case counter.Cancel:
		s += " " + p.Cancel
	}
	return s
}

func TestSentences(t *testing.T) {
	tests := []struct {
		term counter.Term
		want string
	}{
		{gift, "GIFT: 3 shipments: 1 at checkout and 2 recurring orders; the counter starts at 2; then hidden and cancelled"},
		{counter.Term{Shipments: 2, FirstShipment: counter.Checkout}, "GIFT: 2 shipments: 1 at checkout and 1 recurring order; the counter starts at 1; then hidden and cancelled"},
		{counter.Term{Shipments: 1, FirstShipment: counter.Checkout}, "GIFT: 1 shipment: 1 at checkout and 0 recurring orders; the counter starts at 0; hidden and cancelled at once"},
		{counter.Term{Shipments: 3, FirstShipment: counter.Recurring}, "GIFT: 3 shipments: all of them recurring orders; the counter starts at 3; then hidden and cancelled"},
	}
	for _, test := range tests {
		if got := test.term.Sentence("GIFT"); got != test.want {
			t.Errorf("Sentence = %s\nwant       %s", got, test.want)
		}
	}
}

func TestTerms(t *testing.T) {
	terms, err := counter.NewTerms(counter.Keys{}, []counter.Term{gift})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := terms.Of("GIFT-DECAF"); !ok || got.Name != "Gift" {
		t.Errorf("Of(GIFT-DECAF) = %v, %v", got, ok)
	}
	if _, ok := terms.Of("gift"); ok {
		t.Error("SKUs are compared as they are spelled")
	}
	if _, err := counter.NewTerms(counter.Keys{}, []counter.Term{gift, {Name: "Other", SKUs: []string{"GIFT"}, Shipments: 1}}); err == nil {
		t.Error("a SKU in two terms was taken")
	}
	if _, err := counter.NewTerms(counter.Keys{}, []counter.Term{{Name: "None", SKUs: []string{"X"}}}); err == nil {
		t.Error("a term of no shipments was taken")
	}
	want := counter.Keys{Counter: "left", Termed: "termed", Hide: "hide"}
	if diff := cmp.Diff(want, counter.Keys{Counter: "left"}.WithDefaults()); diff != "" {
		t.Error(diff)
	}
}

// A term can leave the renewal of prepaid subscriptions to the merchant.
func TestKeepRenewal(t *testing.T) {
	term := gift
	term.KeepRenewal = true
	if plan := counter.Decide(term, page(enrolled), remote("", prepaid("autorenew"))); plan.Do != counter.Rest || plan.State != counter.Active {
		t.Errorf("Decide = %+v, want it left alone", plan)
	}
}

// Orders from before a product was swapped for a termed one are no boxes of the term; one-time swaps after it are.
func TestSinceTermed(t *testing.T) {
	terms, err := counter.NewTerms(counter.Keys{}, []counter.Term{gift})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		from         int64
		orders, want string // order@time=SKU
	}{
		{9, "", ""},
		{9, "a@1=GIFT b@2=GIFT", "a b"},
		{9, "b@2=GIFT a@1=GIFT", "a b"},
		{9, "a@1=GIFT b@2=MUG c@3=GIFT-DECAF", "a b c"},
		{9, "c@3=GIFT a@1=COFFEE b@2=COFFEE", "c"},
		{9, "a@1=COFFEE b@2=GIFT c@3=MUG", "b c"},
		{9, "a@1=COFFEE b@2=TEA", ""},
		{9, "z@1=COFFEE a@1=GIFT", "a"},           // at the same moment: the one that would end it early does not count
		{9, "a@1=COFFEE b@2=MUG b@2=GIFT", "b b"}, // two lines of one order
		{2, "a@1=COFFEE b@2=MUG c@3=TEA", "b c"},  // swapped once, after we knew
		{0, "a@1=COFFEE b@2=MUG", "a b"},          // termed from its beginning
	}
	for _, test := range tests {
		var shipments []counter.Shipment
		for _, text := range strings.Fields(test.orders) {
			order, rest, _ := strings.Cut(text, "@")
			at, sku, _ := strings.Cut(rest, "=")
			n, _ := strconv.ParseInt(at, 10, 64)
			shipments = append(shipments, counter.Shipment{Order: order, At: n, SKU: sku})
		}
		var got []string
		for _, s := range terms.SinceTermed(shipments, test.from) {
			got = append(got, s.Order)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("SinceTermed(%s, %d) = %v, want %s", test.orders, test.from, got, test.want)
		}
	}
}

// Of two readings of the history, the one that the counter agrees with is right.
func TestAgrees(t *testing.T) {
	tests := []struct {
		counter   string
		shipments int
		want      bool
	}{{`"1"`, 1, true}, {`1`, 1, true}, {`"1"`, 2, false}, {`"0"`, 7, true}, {`"two"`, 0, false}, {"", 0, false}}
	for _, test := range tests {
		if got := counter.Agrees(page(), remote(test.counter), gift.Keys, test.shipments); got != test.want {
			t.Errorf("Agrees(%s, %d) = %v, want %v", test.counter, test.shipments, got, test.want)
		}
	}
}

func TestLooming(t *testing.T) {
	tests := []struct {
		what   string
		ledger counter.Ledger
		want   bool
	}{
		{"boxes to come", page(made(1)), false},
		{"complete, live", page(made(2)), true},
		{"complete, live, given up on", page(made(2), func(l *counter.Ledger) { l.State = counter.Attention }), true},
		{"complete, not live", page(made(2), func(l *counter.Ledger) { l.Live = false }), false},
		{"prepaid", page(made(2), func(l *counter.Ledger) { l.Prepaid = true }), false},
		{"released", page(made(2), func(l *counter.Ledger) { l.State = counter.Released }), false},
	}
	for _, test := range tests {
		if got := test.ledger.Looming(); got != test.want {
			t.Errorf("%s: Looming = %v, want %v", test.what, got, test.want)
		}
	}
}
