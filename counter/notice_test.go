package counter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/termed/termed/counter"
)

// What there is to tell of at the end of a look: what was known before, what is known now, and the boxes not told of.
func TestTell(t *testing.T) {
	because := func(why string) func(*counter.Ledger) { return func(l *counter.Ledger) { l.Reason = why } }
	is := func(state counter.State) func(*counter.Ledger) { return func(l *counter.Ledger) { l.State = state } }
	isPrepaid := func(l *counter.Ledger) { l.Prepaid = true }
	blocking := func(l *counter.Ledger) { l.Blocking = true }
	tests := []struct {
		what          string
		before, after counter.Ledger
		boxes         string
		want          string
	}{
		{"nothing", page(sent(2)), page(sent(2)), "", ""},
		{"evergreen after all", page(enrolled, made(1)), page(made(1), is(counter.Released)), "o1", ""},
		{"new", page(enrolled), page(sent(2)), "", "term.started"},
		{"new, with its first box", page(enrolled, made(1)), page(made(1), sent(1)), "o1", "term.started, term.shipment 2 o1"},
		{"known late: what had happened is no news", page(enrolled), page(made(1), sent(1)), "", ""},
		{"a box", page(sent(2)), page(made(1), sent(2, 1)), "o1", "term.shipment 2 o1"},
		{"the last two", page(sent(2)), page(made(2), sent(2, 0), is(counter.Completed)), "o1 o2", "term.shipment 2 o1, term.shipment 3 o2, term.completed"},
		{"complete, and not ended yet", page(sent(2)), page(made(2), sent(2, 0), is(counter.Completing)), "o1", "term.shipment 3 o1"},
		{"looked at again", page(made(2), sent(0), completed), page(made(2), sent(0), completed), "", ""},
		{"blocked", page(made(2), sent(0), completed), page(made(2), sent(0), completed, blocking), "", "term.blocked_reactivation"},
		{"complete, and goes on without a term", page(made(1), sent(1)), page(made(2), sent(1), is(counter.Released), because("over")), "o2", "term.shipment 3 o2, term.completed over"},
		{"released by an operator", page(made(1), sent(1)), page(made(1), sent(1), is(counter.Released)), "", ""},
		{"released after its end", page(made(2), sent(0), completed), page(made(2), sent(0), is(counter.Released)), "", ""},
		{"ended early", page(made(1), sent(1)), page(made(1), sent(1), is(counter.Ended), because("1 to go")), "", "term.ended 1 to go"},
		{"ended before", page(made(1), sent(1), ended), page(made(1), sent(1), ended), "", ""},
		{"for a person", page(sent(1)), page(sent(1), is(counter.Attention), because("junk")), "", "subscription.attention junk"},
		{"for a person, told", page(sent(1), is(counter.Attention), because("junk")), page(sent(1), is(counter.Attention), because("junk")), "", ""},
		{"for a person, for another reason", page(sent(1), is(counter.Attention), because("junk")), page(sent(1), is(counter.Attention), because("gone")), "", "subscription.attention gone"},
		{"prepaid: Ordergroove counts", page(enrolled, isPrepaid), page(made(1), isPrepaid), "o1", ""},
		{"prepaid, and used up", page(made(1), isPrepaid), page(made(1), isPrepaid, is(counter.Completed)), "", "term.completed"},
	}
	for _, test := range tests {
		var boxes []counter.Shipment
		for i, order := range strings.Fields(test.boxes) {
			boxes = append(boxes, counter.Shipment{Order: order, At: int64(i + 1)})
		}
		var got []string
		for _, n := range counter.Tell(test.before, test.after, boxes, 9) {
			text := n.Type
			if n.Box != 0 {
				text += fmt.Sprintf(" %d %s", n.Box, n.Order)
			}
			got = append(got, strings.TrimSpace(text+" "+n.Reason))
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: told %q, want %q", test.what, strings.Join(got, ", "), test.want)
		}
	}
}

// What a merchant's constants and a theme's members come to, one look at a time: foreign values are never touched, and what is no
// longer wanted goes only where it is ours.
func TestMembers(t *testing.T) {
	term := gift
	term.Keys = counter.Keys{Total: "total", Made: "made", Last: "last"}.WithDefaults()
	term.Set = map[string]string{"gift": `"true"`, "size": "1.10"}
	put := func(members ...string) func(*counter.Ledger) {
		return func(l *counter.Ledger) {
			l.Put = map[string]string{}
			for _, m := range members {
				name, value, _ := strings.Cut(m, "=")
				l.Put[name] = value
			}
		}
	}
	has := func(members ...string) counter.Remote {
		r := remote(`"1"`)
		for _, m := range members {
			name, value, _ := strings.Cut(m, "=")
			r.Extra[name] = value
		}
		return r
	}
	ours := page(made(1), sent(2, 1), written(1))
	all := []string{`total="3"`, `made="2"`, `last="true"`, `gift="true"`, `size=1.1`}
	tests := []struct {
		what   string
		term   counter.Term
		ledger counter.Ledger
		remote counter.Remote
		set    int
		unset  string
	}{
		{"all there; a number spelled another way is the same", term, ours, has(all...), 0, ""},
		{"none there", term, ours, has(), 5, ""},
		{"one was changed", term, ours, has(append(all, `gift="no"`)...), 1, ""},
		{"switched off, ours", gift, page(made(1), sent(2, 1), written(1), put("total=", `gift="true"`)), has(`total="9"`, `gift="true"`), 0, "gift total"},
		{"switched off, changed by somebody", gift, page(made(1), sent(2, 1), written(1), put(`gift="true"`)), has(`gift="no"`), 0, ""},
		{"switched off, and never ours", gift, ours, has(all...), 0, ""},
		{"two to come: the next is not the last", term, page(sent(2, 1), written(1), adjusted(1), made(1), put("last=")), has(all...), 1, "last"},
	}
	for _, test := range tests {
		plan := counter.Decide(test.term, test.ledger, test.remote)
		set := len(plan.Set)
		if _, counts := plan.Set["fulfillment_counter"]; counts {
			set--
		}
		if set != test.set || strings.Join(plan.Unset, " ") != test.unset {
			t.Errorf("%s: sets %v, takes away %v; want %d and %q", test.what, plan.Set, plan.Unset, test.set, test.unset)
		}
	}
}
