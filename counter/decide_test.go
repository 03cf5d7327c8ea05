package counter_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
)

var gift = counter.Term{
	Name:          "Gift",
	SKUs:          []string{"GIFT", "GIFT-DECAF"},
	Shipments:     3,
	FirstShipment: counter.Checkout,
	CancelReason:  "1|Gift complete",
	Keys:          counter.Keys{}.WithDefaults(),
}

const blocked = "1|Reactivated after the term was complete"

// subscribed is a subscription of a gift: 2 recurring orders due. The functions say what is different.
func subscribed(changes ...func(*counter.Subscription)) counter.Subscription {
	s := counter.Subscription{ID: "s1", Live: true, Enrollment: counter.Enrollment{
		Number:            1,
		SKU:               "GIFT",
		Term:              "Gift",
		CheckoutShipments: 1,
		OrdersDue:         2,
		State:             counter.Active,
	}}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func placed(n int) func(*counter.Subscription) {
	return func(s *counter.Subscription) { s.Placed.Orders = n }
}
func announced(n int) func(*counter.Subscription) {
	return func(s *counter.Subscription) { s.Placed.Orders, s.Placed.ByWebhook = n, n }
}
func sent(counters ...int) func(*counter.Subscription) {
	return func(s *counter.Subscription) { s.CountersSent = counters }
}
func confirmed(n int) func(*counter.Subscription) {
	return func(s *counter.Subscription) { s.CounterConfirmed = &n }
}
func adjusted(n int) func(*counter.Subscription) {
	return func(s *counter.Subscription) { s.Adjustment = n }
}
func completed(s *counter.Subscription) {
	s.State = counter.Completed
	s.ClosedAs = counter.ClosedCompleted
	s.ClosedAt = 1
}
func reactivated(at int64) func(*counter.Subscription) {
	return func(s *counter.Subscription) { s.ReactivatedAt = at }
}
func shippedAt(at int64) func(*counter.Subscription) {
	return func(s *counter.Subscription) { s.Placed.LastAt = at }
}
func cancelRequested(at int64) func(*counter.Subscription) {
	return func(s *counter.Subscription) { s.CancelRequestedAt = at }
}
func released(s *counter.Subscription) {
	s.State = counter.Released
	s.ClosedAs = counter.ClosedSwapped
	s.ClosedAt = 1
}
func ended(s *counter.Subscription) {
	s.State = counter.Ended
	s.ClosedAs = counter.ClosedCanceled
	s.ClosedAt = 1
}
func enrolled(s *counter.Subscription) { s.State = counter.Enrolled }

// observed is a live gift at Ordergroove whose keys of ours are given as JSON, "" for none.
func observed(counterJSON string, changes ...func(*counter.Observed)) counter.Observed {
	o := counter.Observed{SKU: "GIFT", Termed: true, Live: true, Extra: map[string]string{}}
	if counterJSON != "" {
		o.Extra["fulfillment_counter"] = counterJSON
		o.Extra["termed"] = `"true"`
	}
	for _, change := range changes {
		change(&o)
	}
	return o
}

func recounted(o *counter.Observed)   { o.Recounted = true }
func justCreated(o *counter.Observed) { o.JustCreated = true }
func restored(o *counter.Observed)    { o.Recounted, o.Restored = true, true }
func respelled(o *counter.Observed)   { o.Respelled = true }
func refused(o *counter.Observed)     { o.WriteRefused = "Too large." }
func notLive(o *counter.Observed)     { o.Live = false }
func hidden(o *counter.Observed)      { o.Extra["hide"] = "true" }
func broken(o *counter.Observed)      { o.Broken = true }
func untermed(o *counter.Observed)    { o.SKU, o.Termed = "COFFEE", false }
func unlisted(o *counter.Observed)    { o.Termed = false }
func swapped(o *counter.Observed)     { o.SKU = "GIFT-DECAF" }
func prepaid(b string) func(*counter.Observed) {
	return func(o *counter.Observed) { o.Prepaid, o.RenewalBehavior = true, b }
}
func termedIs(v string) func(*counter.Observed) {
	return func(o *counter.Observed) { o.Extra["termed"] = v }
}

// The rules, one a row: what we know, what Ordergroove says, what is done, and where that leaves the subscription. What
// is not to be touched comes first.
func TestDecide(t *testing.T) {
	write := func(set ...string) string { return "write " + strings.Join(set, " ") }
	tests := []struct {
		rule     string
		sub      counter.Subscription
		observed counter.Observed
		do       string // the action, and what it writes, adopts or cancels with
		state    counter.State
	}{
		{
			"the product is in no term: a one-time swap had brought it in", subscribed(enrolled, announced(1)),
			observed("", untermed), "settle", counter.Released,
		},
		{
			"the product is no longer in a term", subscribed(sent(2), confirmed(2)), observed(`"2"`, untermed),
			"write -fulfillment_counter -termed", counter.Active,
		},
		{
			"the product is no longer in a term, and our keys are gone", subscribed(sent(2), confirmed(2)),
			observed("", untermed), "settle", counter.Released,
		},
		{
			"released before, and synced again",
			subscribed(placed(2), sent(2, 1), released, func(s *counter.Subscription) { s.SKU = "COFFEE" }),
			observed(`"1"`, untermed), "settle", counter.Released,
		},
		{"extra_data is not an object", subscribed(enrolled), observed("", broken), "settle", counter.Attention},
		{"the counter is text", subscribed(sent(2), confirmed(2)), observed(`"two"`), "settle", counter.Attention},
		{"the counter is empty text", subscribed(sent(2), confirmed(2)), observed(`""`), "settle", counter.Attention},
		{"the counter is a list", subscribed(sent(2), confirmed(2)), observed(`[2]`), "settle", counter.Attention},
		{"the counter is below zero", subscribed(sent(2), confirmed(2)), observed(`"-1"`), "settle", counter.Attention},
		{"the counter is a fraction", subscribed(sent(2), confirmed(2)), observed(`1.5`), "settle", counter.Attention},
		{
			"the counter is beyond any term", subscribed(sent(2), confirmed(2)), observed(`"100001"`), "settle",
			counter.Attention,
		},
		{
			"reactivated after its end", subscribed(placed(2), sent(2, 1, 0), confirmed(0), completed), observed(`"0"`, hidden),
			"cancel " + blocked, counter.BlockingReactivation,
		},
		{
			"reactivated after its end, and made to show: hidden first",
			subscribed(placed(2), sent(2, 1, 0), confirmed(0), completed), observed(`"0"`), write(`hide=true`),
			counter.BlockingReactivation,
		},
		{
			"our cancel took effect, its answer was lost, and somebody reactivated it",
			subscribed(placed(2), sent(2, 1, 0), confirmed(0), cancelRequested(1), shippedAt(10), reactivated(11)),
			observed(`"0"`, hidden), "cancel " + blocked, counter.BlockingReactivation,
		},
		{
			"our cancel was refused for now; the reactivation was before it",
			subscribed(placed(2), sent(2, 1, 0), confirmed(0), shippedAt(10), reactivated(11), cancelRequested(11)),
			observed(`"0"`, hidden), "cancel 1|Gift complete", counter.Completing,
		},

		{"new: orders may have been placed before we knew", subscribed(enrolled), observed(""), "recount", counter.Enrolled},
		{
			"just created: nothing can have been placed", subscribed(enrolled), observed("", justCreated),
			write(`fulfillment_counter="2"`, `termed="true"`), counter.Active,
		},
		{
			"new", subscribed(enrolled), observed("", recounted), write(`fulfillment_counter="2"`, `termed="true"`),
			counter.Active,
		},
		{
			"new, an order placed already", subscribed(enrolled, announced(1)), observed("", recounted),
			write(`fulfillment_counter="1"`, `termed="true"`), counter.Active,
		},
		{
			"new, all orders placed already", subscribed(enrolled, placed(5)), observed("", recounted),
			write(`fulfillment_counter="0"`, `hide=true`, `termed="true"`), counter.Completing,
		},
		{
			"new, a null counter is a missing one", subscribed(enrolled), observed(`null`, recounted),
			write(`fulfillment_counter="2"`), counter.Active,
		},
		{"new, half done before a crash", subscribed(enrolled, sent(2)), observed(`"2"`), "settle", counter.Active},

		{"a counter before us: ask first", subscribed(enrolled), observed(`"2"`), "recount", counter.Enrolled},
		{
			"a counter before us that agrees", subscribed(enrolled, placed(1)), observed(`"1"`, recounted),
			"adopt 1 adjusting 0", counter.Enrolled,
		},
		{
			"a counter before us: a length chosen at checkout", subscribed(enrolled), observed(`"11"`, recounted),
			"adopt 11 adjusting 9", counter.Enrolled,
		},
		{
			"a counter before us, orders taken as counted", subscribed(enrolled, placed(1)), observed(`"4"`, recounted),
			"adopt 4 adjusting 3", counter.Enrolled,
		},
		{
			"a counter before us that the order bringing us here did not take down", subscribed(enrolled, announced(1)),
			observed(`"2"`, recounted), "adopt 2 adjusting 0", counter.Enrolled,
		},
		{
			"a counter before us, shortened", subscribed(enrolled), observed(`"1"`, recounted), "adopt 1 adjusting -1",
			counter.Enrolled,
		},
		{
			"a counter before us as a number", subscribed(enrolled), observed(`2`, recounted), "adopt 2 adjusting 0",
			counter.Enrolled,
		},
		{
			"more orders placed than due, and zero", subscribed(enrolled, placed(4)), observed(`"0"`, recounted),
			"adopt 0 adjusting 0", counter.Enrolled,
		},

		{"nothing new", subscribed(sent(2), confirmed(2)), observed(`"2"`), "settle", counter.Active},
		{
			"a shipment", subscribed(placed(1), sent(2), confirmed(2)), observed(`"2"`), write(`fulfillment_counter="1"`),
			counter.Active,
		},
		{
			"a shipment, our write landed and its answer was lost", subscribed(placed(1), sent(2, 1), confirmed(2)),
			observed(`"1"`), "settle", counter.Active,
		},
		{
			"the last shipment: hidden first", subscribed(placed(2), sent(2, 1), confirmed(1)), observed(`"1"`),
			write(`fulfillment_counter="0"`, `hide=true`), counter.Completing,
		},
		{
			"then canceled", subscribed(placed(2), sent(2, 1, 0), confirmed(0)), observed(`"0"`, hidden),
			"cancel 1|Gift complete", counter.Completing,
		},
		{
			"our cancel was lost on its way", subscribed(placed(2), sent(2, 1, 0), confirmed(0), cancelRequested(1)),
			observed(`"0"`, hidden), "cancel 1|Gift complete", counter.Completing,
		},
		{
			"canceled by the customer and reactivated long before its end",
			subscribed(placed(2), sent(2, 1, 0), confirmed(0), cancelRequested(1), reactivated(9), shippedAt(10)),
			observed(`"0"`, hidden), "cancel 1|Gift complete", counter.Completing,
		},
		{
			"then it has ended", subscribed(placed(2), sent(2, 1, 0), confirmed(0)), observed(`"0"`, hidden, notLive), "settle",
			counter.Completed,
		},
		{
			"canceled by somebody else at the last moment: hidden all the same",
			subscribed(placed(2), sent(2, 1), confirmed(1)), observed(`"1"`, notLive),
			write(`fulfillment_counter="0"`, `hide=true`), counter.Completing,
		},
		{
			"one shipment too many is still zero", subscribed(placed(3), sent(2, 1, 0), confirmed(0)),
			observed(`"0"`, hidden, notLive), "settle", counter.Completed,
		},
		{
			"another SKU of the same term", subscribed(placed(1), sent(2), confirmed(2)), observed(`"2"`, swapped),
			write(`fulfillment_counter="1"`), counter.Active,
		},
		{
			"its term left the configuration: it keeps what it started with", subscribed(placed(1), sent(2), confirmed(2)),
			observed(`"2"`, unlisted), write(`fulfillment_counter="1"`), counter.Active,
		},
		{
			"spelled otherwise, and rewritten today: right is right", subscribed(sent(2), confirmed(2)),
			observed(`2`, termedIs("true"), respelled), "settle", counter.Active,
		},
		{
			"the last shipment, hide spelled otherwise: canceled all the same",
			subscribed(placed(2), sent(2, 1, 0), confirmed(0)),
			observed(`"0"`, respelled, func(o *counter.Observed) { o.Extra["hide"] = `"true"` }), "cancel 1|Gift complete",
			counter.Completing,
		},
		{
			"the last shipment, and writing is refused: canceled all the same",
			subscribed(placed(2), sent(2, 1), confirmed(1)), observed(`"1"`, refused), "cancel 1|Gift complete",
			counter.Completing,
		},
		{
			"canceled, and hiding it is refused", subscribed(placed(2), sent(2, 1), confirmed(1), cancelRequested(1)),
			observed(`"1"`, refused, notLive), "settle", counter.Attention,
		},

		{
			"the counter as a number of ours", subscribed(sent(2), confirmed(2)), observed(`2`),
			write(`fulfillment_counter="2"`), counter.Active,
		},
		{
			"termed as a boolean", subscribed(sent(2), confirmed(2)), observed(`"2"`, termedIs("true")), write(`termed="true"`),
			counter.Active,
		},
		{"hide of the merchant's own", subscribed(sent(2), confirmed(2)), observed(`"2"`, hidden), "settle", counter.Active},
		{
			"hide of ours, from an end that was taken back", subscribed(placed(2), adjusted(1), sent(2, 1, 0), confirmed(0)),
			observed(`"0"`, hidden), write(`fulfillment_counter="1"`, `-hide`), counter.Active,
		},

		{
			"wiped", subscribed(placed(1), sent(2, 1), confirmed(1)), observed(""),
			write(`fulfillment_counter="1"`, `termed="true"`), counter.Active,
		},
		{
			"gone back", subscribed(placed(1), sent(2, 1), confirmed(1)), observed(`"2"`), write(`fulfillment_counter="1"`),
			counter.Active,
		},
		{
			"set by somebody: ask first", subscribed(placed(1), sent(2, 1), confirmed(1)), observed(`"4"`), "recount",
			counter.Active,
		},
		{
			"set by somebody", subscribed(placed(1), sent(2, 1), confirmed(1)), observed(`"4"`, recounted),
			"adopt 4 adjusting 3", counter.Active,
		},
		{
			"set by somebody, an order placed since: counted on top", subscribed(placed(1), sent(2), confirmed(2)),
			observed(`"5"`, recounted), "adopt 5 adjusting 3", counter.Active,
		},
		{
			"set by somebody to less, an order placed since: counted on top",
			subscribed(placed(1), sent(6), confirmed(6), adjusted(4)), observed(`"3"`, recounted), "adopt 3 adjusting 1",
			counter.Active,
		},
		{
			"our database is older than the truth: what we wrote after it",
			subscribed(placed(4), sent(5), confirmed(5), adjusted(4)), observed(`"3"`, restored), "adopt 3 adjusting 4",
			counter.Active,
		},
		{
			"our database is older than the truth, and somebody made it less",
			subscribed(placed(4), sent(5), confirmed(5), adjusted(4)), observed(`"1"`, restored), "adopt 1 adjusting 3",
			counter.Active,
		},
		{
			"our database is older than the truth, and somebody made it more",
			subscribed(placed(4), sent(5), confirmed(5), adjusted(4)), observed(`"7"`, restored), "adopt 7 adjusting 9",
			counter.Active,
		},
		{
			"set by somebody, two orders placed since: both counted on top",
			subscribed(placed(2), sent(5), confirmed(5), adjusted(3)), observed(`"7"`, recounted), "adopt 7 adjusting 5",
			counter.Active,
		},
		{
			"taken down by an application of before, for each of the orders placed since",
			subscribed(placed(2), sent(5), confirmed(5), adjusted(3)), observed(`"3"`, recounted), "adopt 3 adjusting 3",
			counter.Active,
		},
		{
			"set by somebody to less than was placed since: complete, and no less",
			subscribed(placed(3), sent(5), confirmed(5), adjusted(3)), observed(`"1"`, recounted), "adopt 1 adjusting 1",
			counter.Active,
		},
		{
			"set to zero by somebody", subscribed(placed(1), sent(2, 1), confirmed(1)), observed(`"0"`, recounted),
			"adopt 0 adjusting -1", counter.Active,
		},
		{
			"set to zero, and no order was ever placed", subscribed(sent(2), confirmed(2)), observed(`"0"`, recounted),
			"settle", counter.Attention,
		},
		{
			"a copy of a finished one", subscribed(), observed(`"0"`, recounted), "settle", counter.Attention,
		},
		{
			"a count that we had missed", subscribed(placed(2), sent(3, 2), confirmed(2), adjusted(1)),
			observed(`"1"`, recounted), "adopt 1 adjusting 1", counter.Active,
		},

		{
			"canceled early: ask for the last time", subscribed(placed(1), sent(2, 1), confirmed(1)), observed(`"1"`, notLive),
			"recount", counter.Active,
		},
		{
			"canceled early", subscribed(placed(1), sent(2, 1), confirmed(1)), observed(`"1"`, notLive, recounted), "settle",
			counter.Ended,
		},
		{
			"canceled early, and synced again", subscribed(placed(1), sent(2, 1), confirmed(1), ended),
			observed(`"1"`, notLive), "settle", counter.Ended,
		},
		{
			"canceled early, a shipment not written yet", subscribed(placed(1), sent(2), confirmed(2), ended),
			observed(`"2"`, notLive), write(`fulfillment_counter="1"`), counter.Ended,
		},
		{
			"reactivated: ask what was placed meanwhile", subscribed(placed(1), sent(2, 1), confirmed(1), ended),
			observed(`"1"`), "recount", counter.Ended,
		},
		{
			"reactivated: it resumes where it was", subscribed(placed(1), sent(2, 1), confirmed(1), ended),
			observed(`"1"`, recounted), "settle", counter.Active,
		},

		{
			"prepaid: Ordergroove counts, and is to end it", subscribed(enrolled), observed("", prepaid("autorenew")), "renew",
			counter.Active,
		},
		{"prepaid, ending by itself", subscribed(enrolled), observed("", prepaid("cancel")), "settle", counter.Active},
		{
			"prepaid, with a counter of somebody's: not ours to touch", subscribed(enrolled),
			observed(`"7"`, prepaid("cancel")), "settle", counter.Active,
		},
		{
			"prepaid, more orders than the term has: never cancelled by us", subscribed(enrolled, placed(9)),
			observed("", prepaid("cancel")), "settle", counter.Active,
		},
		{
			"prepaid, ended by itself", subscribed(enrolled, placed(9)), observed("", prepaid("cancel"), notLive),
			write(`hide=true`), counter.Completing,
		},
		{
			"prepaid, ended by itself, and hidden", subscribed(enrolled, placed(9)),
			observed("", prepaid("cancel"), notLive, hidden), "settle", counter.Completed,
		},
		{
			"prepaid, ended by itself, and extra_data is not an object", subscribed(enrolled),
			observed("", prepaid("cancel"), notLive, broken), "settle", counter.Attention,
		},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			test.observed.ReactivatedAt = test.sub.ReactivatedAt
			plan := counter.Decide(gift, test.sub.Enrollment, test.observed)
			if got := show(plan); got != test.do || plan.State != test.state {
				t.Errorf("Decide: %s, %s; want %s, %s", got, plan.State, test.do, test.state)
			}
			if why := plan.Reason + plan.Why; why == "" && plan.Do != counter.Settle {
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
		s += " " + p.CancelReason
	}
	return s
}

func TestSentences(t *testing.T) {
	tests := []struct {
		term counter.Term
		want string
	}{
		{gift, "GIFT: 3 shipments: 1 at checkout and 2 recurring orders; the counter starts at 2; then hidden and canceled"},
		{
			counter.Term{Shipments: 2, FirstShipment: counter.Checkout},
			"GIFT: 2 shipments: 1 at checkout and 1 recurring order; the counter starts at 1; then hidden and canceled",
		},
		{
			counter.Term{Shipments: 1, FirstShipment: counter.Checkout},
			"GIFT: 1 shipment: 1 at checkout and 0 recurring orders; the counter starts at 0; hidden and canceled at once",
		},
		{
			counter.Term{Shipments: 3, FirstShipment: counter.Recurring},
			"GIFT: 3 shipments: all of them recurring orders; the counter starts at 3; then hidden and canceled",
		},
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
	if _, err := counter.NewTerms(counter.Keys{},
		[]counter.Term{gift, {Name: "Other", SKUs: []string{"GIFT"}, Shipments: 1}}); err == nil {
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
	if plan := counter.Decide(term, subscribed(enrolled).Enrollment,
		observed("", prepaid("autorenew"))); plan.Do != counter.Settle || plan.State != counter.Active {
		t.Errorf("Decide = %+v, want it left alone", plan)
	}
}

// Orders from before a product was swapped for a termed one do not count; one-time swaps after it do.
func TestRecountLeavesOutOrdersBeforeTheTerm(t *testing.T) {
	terms, err := counter.NewTerms(counter.Keys{}, []counter.Term{gift})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		openedAt     int64
		orders, want string // order@time=SKU
	}{
		{9, "", ""},
		{9, "a@1=GIFT b@2=GIFT", "a b"},
		{9, "b@2=GIFT a@1=GIFT", "a b"},
		{9, "a@1=GIFT b@2=MUG c@3=GIFT-DECAF", "a b c"},
		{9, "c@3=GIFT a@1=COFFEE b@2=COFFEE", "c"},
		{9, "a@1=COFFEE b@2=GIFT c@3=MUG", "b c"},
		{9, "a@1=COFFEE b@2=TEA", ""},
		{9, "z@1=COFFEE a@1=GIFT", "a"},          // at the same moment: the one that would end it early does not count
		{2, "a@1=COFFEE b@2=MUG c@3=TEA", "b c"}, // swapped once, after it was opened
		{0, "a@1=COFFEE b@2=MUG", "a b"},         // in the term from its beginning
	}
	for _, test := range tests {
		e := gift.Open("GIFT", "subscription.sku_swap", test.openedAt)
		found := terms.Recount(gift, e, 0, observed(""), nil, shipments(test.orders))
		e.OpenedAt = found.OpenedAt
		if got := strings.Join(orders(counter.Assign([]counter.Enrollment{e}, found.Shipments), 1), " "); got != test.want {
			t.Errorf("Recount(%s) since %d counts %q, want %q", test.orders, test.openedAt, got, test.want)
		}
	}
}

// shipments reads order@time=SKU, or order@time=SKU#enrollment, one after the other.
func shipments(text string) []counter.Shipment {
	var all []counter.Shipment
	for _, field := range strings.Fields(text) {
		order, rest, _ := strings.Cut(field, "@")
		at, sku, _ := strings.Cut(rest, "=")
		sku, enrollment, _ := strings.Cut(sku, "#")
		n, _ := strconv.ParseInt(at, 10, 64)
		number, _ := strconv.Atoi(enrollment)
		all = append(all, counter.Shipment{Order: order, At: n, SKU: sku, Enrollment: number})
	}
	return all
}

// orders are those of the shipments that belong to an enrollment.
func orders(shipments []counter.Shipment, enrollment int) []string {
	var all []string
	for _, s := range shipments {
		if s.Enrollment == enrollment {
			all = append(all, s.Order)
		}
	}
	return all
}

// Of two readings of the history, the one that the counter in extra_data agrees with is right.
func TestRecountBelievesACounterThatCountedAll(t *testing.T) {
	terms, err := counter.NewTerms(counter.Keys{}, []counter.Term{gift})
	if err != nil {
		t.Fatal(err)
	}
	e := gift.Open("GIFT", counter.Reconciled, 9)
	for found, want := range map[string]int{`"1"`: 1, `1`: 1, `"2"`: 0, `"two"`: 0, "": 0} {
		all := terms.Recount(gift, e, 0, observed(found), nil, shipments("a@1=COFFEE"))
		if got := len(all.Counting()); got != want {
			t.Errorf("with the counter %s %d orders count, want %d", found, got, want)
		}
	}
}

func TestAtOvershipRisk(t *testing.T) {
	tests := []struct {
		what string
		sub  counter.Subscription
		want bool
	}{
		{"shipments to come", subscribed(placed(1)), false},
		{"complete, live", subscribed(placed(2)), true},
		{
			"complete, live, given up on", subscribed(placed(2), func(l *counter.Subscription) { l.State = counter.Attention }),
			true,
		},
		{"complete, not live", subscribed(placed(2), func(l *counter.Subscription) { l.Live = false }), false},
		{"prepaid", subscribed(placed(2), func(l *counter.Subscription) { l.Prepaid = true }), false},
		{"released", subscribed(placed(2), func(l *counter.Subscription) { l.State = counter.Released }), false},
	}
	for _, test := range tests {
		if got := test.sub.AtOvershipRisk(); got != test.want {
			t.Errorf("%s: AtOvershipRisk = %v, want %v", test.what, got, test.want)
		}
	}
}

// The end of a term that is gone from termed.yaml is not guessed. What was begun goes on.
func TestGoneTerm(t *testing.T) {
	gone := counter.Term{Name: "Gift", Keys: gift.Keys, Removed: true}
	for _, test := range []struct {
		name     string
		sub      counter.Subscription
		observed counter.Observed
		do       string
		state    counter.State
	}{
		{"under way", subscribed(placed(1), sent(2), confirmed(2)), observed(`"2"`, unlisted),
			`write fulfillment_counter="1"`, counter.Active},
		{"complete", subscribed(placed(2), sent(2, 1), confirmed(1)), observed(`"1"`, unlisted), "settle", counter.Attention},
		{"complete, and hidden by us", subscribed(placed(2), sent(2, 1, 0), confirmed(0), cancelRequested(1)),
			observed(`"0"`, unlisted, hidden), "cancel ", counter.Completing},
		{"canceled by somebody at zero", subscribed(placed(2), sent(2, 1), confirmed(1)),
			observed(`"1"`, unlisted, notLive), "settle", counter.Attention},
		{"reactivated after its end", subscribed(placed(2), sent(2, 1, 0), confirmed(0), completed),
			observed(`"0"`, unlisted, hidden), "settle", counter.Attention},
		{"completed before", subscribed(placed(2), sent(2, 1, 0), confirmed(0), completed),
			observed(`"0"`, unlisted, hidden, notLive), "settle", counter.Completed},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := counter.Decide(gone, test.sub.Enrollment, test.observed)
			if show(plan) != test.do || plan.State != test.state {
				t.Errorf("Decide: %s, %s; want %s, %s", show(plan), plan.State, test.do, test.state)
			}
		})
	}
}

// An enrollment keeps its own term while its product stays the same, whatever becomes of the SKU in termed.yaml.
func TestTermOfAnEnrollment(t *testing.T) {
	presents := counter.Term{Name: "Presents", SKUs: []string{"GIFT"}, Shipments: 5}
	rest := counter.Term{Name: "Gift", SKUs: []string{"OTHER"}, Shipments: 3, OnComplete: counter.RenewAtEnd}
	for _, test := range []struct {
		name string
		file []counter.Term
		sku  string
		want string
		gone bool
	}{
		{"listed as before", []counter.Term{{Name: "Gift", SKUs: []string{"GIFT"}, Shipments: 3}}, "GIFT", "Gift", false},
		{"its SKU left the term", []counter.Term{rest}, "GIFT", "Gift", false},
		{"its SKU moved to another term", []counter.Term{rest, presents}, "GIFT", "Gift", false},
		{"its term was renamed", []counter.Term{presents}, "GIFT", "Presents", false},
		{"its product was swapped", []counter.Term{rest, presents}, "OTHER", "Gift", false},
		{"its term is gone", []counter.Term{six}, "GIFT", "Gift", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			terms, err := counter.NewTerms(counter.Keys{}, test.file)
			if err != nil {
				t.Fatal(err)
			}
			e := subscribed(sent(2), confirmed(2)).Enrollment
			e.Term, e.SKU = "Gift", "GIFT"
			if got := terms.For(e, test.sku); got.Name != test.want || got.Removed != test.gone {
				t.Errorf("For = %q, gone %v; want %q, gone %v", got.Name, got.Removed, test.want, test.gone)
			}
		})
	}
}

// A cancel that was requested for an end that somebody took back says nothing about the next end.
func TestExtendedTerm(t *testing.T) {
	sub := subscribed(placed(2), sent(2, 1, 0), confirmed(0), cancelRequested(7), adjusted(1))
	now := observed(`"1"`)
	after := counter.Advance(gift, sub.Enrollment, counter.Plan{Do: counter.Settle, State: counter.Active}, now, 9)
	if after.CancelRequestedAt != 0 {
		t.Errorf("the cancel requested at %d is still on record", after.CancelRequestedAt)
	}
}
