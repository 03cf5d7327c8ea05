package counter

import (
	"cmp"
	"fmt"
	"slices"
)

// Term is what a merchant sells: a subscription of one of the SKUs ends after so many shipments.
type Term struct {
	Name          string
	SKUs          []string // Ordergroove product ids
	Shipments     int      // boxes in all, at least 1
	FirstShipment First
	CancelReason  string // "<code>|<details>", or "" for none
	KeepRenewal   bool   // leave the renewal behaviour of a prepaid subscription as it is; else it is made to end by itself
	Keys          Keys
}

// First says where the first box comes from.
type First string

const (
	// Checkout is the documented recipe: the checkout that creates the subscription ships box 1 and is not an
	// Ordergroove order (contract, section 2, "Data model").
	Checkout First = "checkout"
	// Recurring means that box 1 is the first recurring order.
	Recurring First = "recurring"
)

// Keys names our members of extra_data. The zero value of a field means the recipe's name (contract, section 3).
type Keys struct {
	Counter string // default fulfillment_counter
	Termed  string // default termed
	Hide    string // default hide
}

// WithDefaults fills in the recipe's names.
func (k Keys) WithDefaults() Keys {
	for _, f := range []struct {
		name   *string
		recipe string
	}{{&k.Counter, "fulfillment_counter"}, {&k.Termed, "termed"}, {&k.Hide, "hide"}} {
		if *f.name == "" {
			*f.name = f.recipe
		}
	}
	return k
}

// Due is the number of recurring orders that the term lasts: the counter's first value.
func (t Term) Due() int {
	if t.FirstShipment == Recurring {
		return t.Shipments
	}
	return t.Shipments - 1
}

// Sentence says what happens to a subscription of the SKU, in words a merchant can check.
func (t Term) Sentence(sku string) string {
	how := fmt.Sprintf("all of them recurring orders; the counter starts at %d", t.Due())
	if t.FirstShipment != Recurring {
		how = fmt.Sprintf("1 at checkout and %s; the counter starts at %d", count(t.Due(), "recurring order"), t.Due())
	}
	end := "then hidden and cancelled"
	if t.Due() == 0 {
		end = "hidden and cancelled at once"
	}
	if t.KeepRenewal {
		end += "; the renewal of a prepaid one is left as it is"
	}
	return fmt.Sprintf("%s: %s: %s; %s", sku, count(t.Shipments, "shipment"), how, end)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Terms finds the term of a SKU.
type Terms struct {
	bySKU map[string]Term
	keys  Keys
}

// NewTerms indexes terms by SKU, all of them under the same names in extra_data. A SKU belongs to one term at most: one that
// stands in two is an error.
func NewTerms(keys Keys, terms []Term) (Terms, error) {
	index := Terms{bySKU: map[string]Term{}, keys: keys.WithDefaults()}
	for _, term := range terms {
		if term.Shipments < 1 {
			return Terms{}, fmt.Errorf("term %q: shipments must be 1 or more", term.Name)
		}
		term.Keys = index.keys
		for _, sku := range term.SKUs {
			if other, taken := index.bySKU[sku]; taken {
				return Terms{}, fmt.Errorf("SKU %q is in two terms: %q and %q", sku, other.Name, term.Name)
			}
			index.bySKU[sku] = term
		}
	}
	return index, nil
}

// Unlisted is a term that the configuration no longer names: what is left of it is in the ledger.
func (t Terms) Unlisted(name string) Term {
	return Term{Name: name, Keys: t.keys}
}

// SKUs returns every SKU that belongs to a term, in order.
func (t Terms) SKUs() []string {
	var skus []string
	for sku := range t.bySKU {
		skus = append(skus, sku)
	}
	slices.Sort(skus)
	return skus
}

// SinceTermed leaves out, of a subscription's shipments with the time of their placing, those from before somebody swapped its
// product for a termed one: from before the first that carried a termed SKU, and before we learned that it is termed (UTC unix
// milliseconds; 0: it is from its beginning). Later ones of another SKU are boxes all the same, since a one-time swap changes
// one order alone.
func (t Terms) SinceTermed(shipments []Shipment, from int64) []Shipment {
	termed := map[string]int{} // by order: 1 if any line of it is
	for _, s := range shipments {
		if _, ok := t.bySKU[s.SKU]; ok {
			termed[s.Order] = 1
		}
	}
	sorted := slices.SortedStableFunc(slices.Values(shipments), func(a, b Shipment) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(termed[a.Order], termed[b.Order]), cmp.Compare(a.Order, b.Order))
	})
	first := slices.IndexFunc(sorted, func(s Shipment) bool { return termed[s.Order] == 1 || s.At >= from })
	if first < 0 {
		return nil
	}
	return sorted[first:]
}

// Of returns the term of a SKU, and whether the SKU is termed at all.
func (t Terms) Of(sku string) (Term, bool) {
	term, ok := t.bySKU[sku]
	return term, ok
}
