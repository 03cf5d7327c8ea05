package counter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rule says in a sentence what becomes of a term's subscriptions when something happens.
type Rule struct {
	Setting  string // that decides it, by its name in termed.yaml; "" where none does
	Sentence string
}

// Sentence says how long a subscription of the SKU lasts, in words a merchant can check.
func (t Term) Sentence(sku string) string {
	how := fmt.Sprintf("all of them recurring orders; the counter starts at %d", t.Due())
	if t.FirstShipment != Recurring {
		how = fmt.Sprintf("1 at checkout and %s; the counter starts at %d", count(t.Due(), "recurring order"), t.Due())
	}
	return fmt.Sprintf("%s: %s: %s; %s", sku, count(t.Shipments, "shipment"), how, t.end())
}

// end is what comes after the last box.
func (t Term) end() string {
	switch {
	case t.OnComplete == RenewAtEnd:
		return fmt.Sprintf("then a new term of %s starts", count(t.Shipments, "recurring order"))
	case t.OnComplete == ReleaseAtEnd:
		return "then it goes on without a term"
	case t.OnComplete == SwapAtEnd:
		return fmt.Sprintf("then it goes on as %s, without a term", t.SwapTo)
	case t.Due() == 0:
		return "hidden and cancelled at once"
	}
	return "then hidden and cancelled"
}

// EveryTerm is what all terms do, and no setting changes. docs/terms.md has it word for word.
var EveryTerm = []Rule{
	{"", "swapped for a product of no term: released; our members are taken out of extra_data, and nothing ends it"},
	{"", "swapped from a product of no term: it starts now, as a new one does"},
	{"", "cancelled early: it has ended, its counter stays, and a reactivation goes on where it was"},
	{"", "another quantity, frequency, address, payment or date: nothing changes"},
	{"", "made longer or shorter by an operator: never below what was made; as many as were made is complete"},
	{"", "released by an operator: our members are taken out of extra_data, and nothing ends it"},
	{"", "its length was edited in termed.yaml: what is under way keeps the length that it started with, unless it is applied"},
}

// Rules are what the term does about what can happen besides its boxes. docs/terms.md has them word for word.
func (t Term) Rules() []Rule {
	rules := []Rule{
		{"on_complete", "complete: " + strings.TrimPrefix(t.end(), "then ")},
		{"on_reactivation", "reactivated after it was complete: " + t.reactivated()},
		{"on_swap", "swapped for a product of another term: " + t.swapped()},
		{"prepaid_renewal", "prepaid: " + t.prepaid()},
	}
	if len(t.Set) > 0 {
		text := "each has in its extra_data:"
		for i, name := range sortedNames(t.Set) {
			if i > 0 {
				text += ","
			}
			text += " " + strconv.Quote(name) + ": " + t.Set[name]
		}
		rules = append(rules, Rule{"set", text})
	}
	return rules
}

func (t Term) reactivated() string {
	switch t.OnReactivation {
	case NewTerm:
		return fmt.Sprintf("a new term of %s starts", count(t.Shipments, "recurring order"))
	case ReleaseReactivation:
		return "it goes on without a term"
	}
	return "it is hidden and cancelled again, once for each reactivation"
}

func (t Term) swapped() string {
	if t.OnSwap == Restart {
		return fmt.Sprintf("this term starts anew, with %s", count(t.Shipments, "recurring order"))
	}
	return "the shipments made count, and it takes the length of this term"
}

func (t Term) prepaid() string {
	if t.KeepRenewal {
		return "Ordergroove counts it, its renewal is left as it is, and it is hidden when it has ended"
	}
	return "Ordergroove counts it and ends it when what was paid for is used up, then it is hidden"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func sortedNames(members map[string]string) []string {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
