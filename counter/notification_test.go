package counter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/termed/termed/counter"
)

// What there is to notify after a sync: what was recorded before, what is recorded now, and the shipments not notified
// yet.
func TestNotifications(t *testing.T) {
	because := func(why string) func(*counter.Subscription) { return func(l *counter.Subscription) { l.Reason = why } }
	is := func(state counter.State) func(*counter.Subscription) {
		return func(l *counter.Subscription) { l.State = state }
	}
	isPrepaid := func(l *counter.Subscription) { l.Prepaid = true }
	blocking := func(l *counter.Subscription) { l.State = counter.BlockingReactivation }
	tests := []struct {
		what          string
		before, after counter.Subscription
		shipments     string
		want          string
	}{
		{"nothing", subscribed(sent(2)), subscribed(sent(2)), "", ""},
		{"evergreen after all", subscribed(enrolled, placed(1)), subscribed(placed(1), is(counter.Released)), "o1", ""},
		{"new", subscribed(enrolled), subscribed(sent(2)), "", "term.started"},
		{
			"new, with its first shipment", subscribed(enrolled, placed(1)), subscribed(placed(1), sent(1)), "o1",
			"term.started, term.shipment 2 o1",
		},
		{"known late: what had happened is not news", subscribed(enrolled), subscribed(placed(1), sent(1)), "", ""},
		{"a shipment", subscribed(sent(2)), subscribed(placed(1), sent(2, 1)), "o1", "term.shipment 2 o1"},
		{
			"the last two", subscribed(sent(2)), subscribed(placed(2), sent(2, 0), is(counter.Completed)), "o1 o2",
			"term.shipment 2 o1, term.shipment 3 o2, term.completed",
		},
		{
			"complete, and not ended yet", subscribed(sent(2)), subscribed(placed(2), sent(2, 0), is(counter.Completing)), "o1",
			"term.shipment 3 o1",
		},
		{"synced again", subscribed(placed(2), sent(0), completed), subscribed(placed(2), sent(0), completed), "", ""},
		{
			"blocked", subscribed(placed(2), sent(0), completed, blocking), subscribed(placed(2), sent(0), completed), "",
			"term.blocked_reactivation",
		},
		{
			"blocked, after it needed attention", subscribed(placed(2), sent(0), completed, is(counter.Attention)),
			subscribed(placed(2), sent(0), completed), "", "term.blocked_reactivation",
		},
		{
			"complete, and continues without a term", subscribed(placed(1), sent(1)),
			subscribed(placed(2), sent(1), is(counter.Released), because("over")), "o2",
			"term.shipment 3 o2, term.completed over",
		},
		{
			"released by an operator", subscribed(placed(1), sent(1)), subscribed(placed(1), sent(1), is(counter.Released)), "",
			"",
		},
		{
			"released after its end", subscribed(placed(2), sent(0), completed),
			subscribed(placed(2), sent(0), is(counter.Released)), "", "",
		},
		{
			"ended early", subscribed(placed(1), sent(1)),
			subscribed(placed(1), sent(1), is(counter.Ended), because("1 to go")), "", "term.ended 1 to go",
		},
		{"ended before", subscribed(placed(1), sent(1), ended), subscribed(placed(1), sent(1), ended), "", ""},
		{
			"needs attention", subscribed(sent(1)), subscribed(sent(1), is(counter.Attention), because("junk")), "",
			"subscription.attention junk",
		},
		{
			"needs attention, notified", subscribed(sent(1), is(counter.Attention), because("junk")),
			subscribed(sent(1), is(counter.Attention), because("junk")), "", "",
		},
		{
			"needs attention for another reason", subscribed(sent(1), is(counter.Attention), because("junk")),
			subscribed(sent(1), is(counter.Attention), because("gone")), "", "subscription.attention gone",
		},
		{"prepaid: Ordergroove counts", subscribed(enrolled, isPrepaid), subscribed(placed(1), isPrepaid), "o1", ""},
		{
			"prepaid, and used up", subscribed(placed(1), isPrepaid), subscribed(placed(1), isPrepaid, is(counter.Completed)),
			"", "term.completed",
		},
	}
	for _, test := range tests {
		var shipments []counter.Shipment
		for i, order := range strings.Fields(test.shipments) {
			shipments = append(shipments, counter.Shipment{Order: order, At: int64(i + 1), Enrollment: 1})
		}
		var got []string
		for _, n := range counter.Notifications(test.before, test.after, shipments, 9) {
			text := n.Type
			if n.Shipment != 0 {
				text += fmt.Sprintf(" %d %s", n.Shipment, n.Order)
			}
			got = append(got, strings.TrimSpace(text+" "+n.Reason))
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: notified %q, want %q", test.what, strings.Join(got, ", "), test.want)
		}
	}
}

// What a merchant's constants and a theme's keys come to, one sync at a time: foreign values are never touched, and
// what is no longer wanted is removed only where it is ours.
func TestManagedKeys(t *testing.T) {
	term := gift
	term.Keys = counter.Keys{ShipmentsTotal: "total", ShipmentsMade: "made", LastShipment: "last"}.WithDefaults()
	term.Set = map[string]string{"gift": `"true"`, "size": "1.10"}
	managed := func(keys ...string) func(*counter.Subscription) {
		return func(l *counter.Subscription) {
			l.ManagedKeys = map[string]string{}
			for _, m := range keys {
				name, value, _ := strings.Cut(m, "=")
				l.ManagedKeys[name] = value
			}
		}
	}
	has := func(keys ...string) counter.Observed {
		r := observed(`"1"`)
		for _, m := range keys {
			name, value, _ := strings.Cut(m, "=")
			r.Extra[name] = value
		}
		return r
	}
	ours := subscribed(placed(1), sent(2, 1), confirmed(1))
	all := []string{`total="3"`, `made="2"`, `last="true"`, `gift="true"`, `size=1.1`}
	tests := []struct {
		what     string
		term     counter.Term
		sub      counter.Subscription
		observed counter.Observed
		set      int
		unset    string
	}{
		{"all there; a number spelled another way is the same", term, ours, has(all...), 0, ""},
		{"none are there", term, ours, has(), 5, ""},
		{"one was changed", term, ours, has(append(all, `gift="no"`)...), 1, ""},
		{
			"switched off, ours", gift, subscribed(placed(1), sent(2, 1), confirmed(1), managed("total=", `gift="true"`)),
			has(`total="9"`, `gift="true"`), 0, "gift total",
		},
		{
			"switched off, changed by somebody", gift, subscribed(placed(1), sent(2, 1), confirmed(1), managed(`gift="true"`)),
			has(`gift="no"`), 0, "",
		},
		{"switched off, and never ours", gift, ours, has(all...), 0, ""},
		{
			"two to come: the next is not the last", term,
			subscribed(sent(2, 1), confirmed(1), adjusted(1), placed(1), managed("last=")), has(all...), 1, "last",
		},
	}
	for _, test := range tests {
		plan := counter.Decide(test.term, test.sub.Enrollment, test.observed)
		set := len(plan.Set)
		if _, counts := plan.Set["fulfillment_counter"]; counts {
			set--
		}
		if set != test.set || strings.Join(plan.Unset, " ") != test.unset {
			t.Errorf("%s: sets %v, removes %v; want %d and %q", test.what, plan.Set, plan.Unset, test.set, test.unset)
		}
	}
}
