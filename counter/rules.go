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
	how := fmt.Sprintf("all of them recurring orders; the counter starts at %d", t.OrdersDue())
	if t.FirstShipment != Recurring {
		how = fmt.Sprintf("1 at checkout and %s; the counter starts at %d",
			count(t.OrdersDue(), "recurring order"), t.OrdersDue())
	}
	return fmt.Sprintf("%s: %s: %s; %s", sku, count(t.Shipments, "shipment"), how, t.end())
}

// end is what comes after the last shipment.
func (t Term) end() string {
	switch {
	case t.OnComplete == RenewAtEnd:
		return fmt.Sprintf("then a new term of %s starts", count(t.Shipments, "recurring order"))
	case t.OnComplete == ReleaseAtEnd:
		return "then it continues without a term"
	case t.OnComplete == SwapAtEnd:
		return fmt.Sprintf("then it continues as %s, without a term", t.SwapTo)
	case t.OrdersDue() == 0:
		return "hidden and canceled at once"
	}
	return "then hidden and canceled"
}

// EveryTerm is what all terms do, whatever their settings. docs/terms.md has it word for word.
var EveryTerm = []Rule{
	{
		"",
		"swapped for a product in no term: released; termed's keys are removed from extra_data and it continues unmanaged",
	},
	{"", "swapped from a product in no term: the term starts now, as for a new subscription"},
	{"", "canceled early: it has ended, its counter stays, and a reactivation resumes it"},
	{"", "another quantity, frequency, address, payment or date: nothing changes"},
	{"", "length changed by an operator: not below the shipments already made; equal to them, the term is complete"},
	{"", "released by an operator: termed's keys are removed from extra_data and it continues unmanaged"},
	{"", "a release is taken back: recounted from the order history, so what was placed meanwhile counts"},
	{"", "`shipments` changed in termed.yaml: running subscriptions keep their old length until you run `termed apply`"},
}

// Rules are what the term does about everything that can happen besides its shipments. docs/terms.md has them word for
// word.
func (t Term) Rules() []Rule {
	rules := []Rule{
		{"on_complete", "complete: " + strings.TrimPrefix(t.end(), "then ")},
		{"on_reactivation", "reactivated after it was complete: " + t.reactivated()},
		{"on_swap", "swapped for a product of another term: " + t.swapped()},
		{"prepaid_renewal", "prepaid: " + t.prepaid()},
	}
	if len(t.Set) > 0 {
		text := "added to extra_data:"
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
		return "it continues without a term"
	}
	return "it is hidden and canceled again, once for each reactivation"
}

func (t Term) swapped() string {
	if t.OnSwap == Restart {
		return fmt.Sprintf("this term restarts, with %s", count(t.Shipments, "recurring order"))
	}
	return "the shipments made count, and it takes this term's length"
}

func (t Term) prepaid() string {
	if t.KeepRenewal {
		return "Ordergroove counts it, its renewal behavior is left as it is, and it is hidden when it has ended"
	}
	return "Ordergroove counts it and ends it when the prepaid orders are used up; then it is hidden"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func sortedNames(keys map[string]string) []string {
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
