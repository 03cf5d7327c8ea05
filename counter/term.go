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

	OnComplete     OnComplete
	SwapTo         string // for SwapAtEnd: the product that it goes on as, which no term names
	OnReactivation OnReactivation
	OnSwap         OnSwap
	Set            map[string]string // members of extra_data that all its subscriptions have: raw JSON by name

	Keys Keys
}

// OnComplete says what happens when the last box is on its way. The zero value is CancelAtEnd.
type OnComplete string

const (
	CancelAtEnd  OnComplete = "cancel"  // hidden and cancelled
	RenewAtEnd   OnComplete = "renew"   // a new term starts
	ReleaseAtEnd OnComplete = "release" // it goes on without a term
	SwapAtEnd    OnComplete = "swap"    // it goes on as another product, without a term
)

// OnReactivation says what happens when somebody reactivates a subscription that was cancelled at the end of its term. The
// zero value is Block.
type OnReactivation string

const (
	Block               OnReactivation = "block" // hidden and cancelled again
	NewTerm             OnReactivation = "new_term"
	ReleaseReactivation OnReactivation = "release"
)

// OnSwap says what happens when the product is swapped for one of another term. The zero value is KeepShipments.
type OnSwap string

const (
	KeepShipments OnSwap = "keep"    // the boxes made count for the new term
	Restart       OnSwap = "restart" // the new term starts from its first box
)

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

	// What a theme can show; "" is off.
	Total string // the boxes of the term, in all
	Made  string // the boxes made of them
	Last  string // "true" when the next box is the last, and when it is on its way
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
	return t.Shipments - t.AtCheckout()
}

// AtCheckout is the number of boxes that the checkout ships: 1 or 0.
func (t Term) AtCheckout() int {
	if t.FirstShipment == Recurring {
		return 0
	}
	return 1
}

// cancels says whether a term ends by a cancellation.
func (t Term) cancels() bool {
	return t.OnComplete == "" || t.OnComplete == CancelAtEnd
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
	sorted, termed := t.byTime(shipments)
	first := slices.IndexFunc(sorted, func(s Shipment) bool { return termed[s.Order] || s.At >= from })
	if first < 0 {
		return nil
	}
	return sorted[first:]
}

// SinceReopened leaves out, of the shipments of a subscription that was released and is termed again since a time (UTC unix
// milliseconds), those from before: what counts are the last ones, as far back as they carry a termed SKU or are later.
func (t Terms) SinceReopened(shipments []Shipment, from int64) []Shipment {
	sorted, termed := t.byTime(shipments)
	first := len(sorted)
	for first > 0 && (termed[sorted[first-1].Order] || sorted[first-1].At >= from) {
		first--
	}
	return sorted[first:]
}

// byTime sorts shipments by their times, and says which orders carry a termed SKU; of those of one time, these come last.
func (t Terms) byTime(shipments []Shipment) (sorted []Shipment, termed map[string]bool) {
	termed = map[string]bool{}
	for _, s := range shipments {
		if _, ok := t.bySKU[s.SKU]; ok {
			termed[s.Order] = true
		}
	}
	rank := func(s Shipment) int {
		if termed[s.Order] {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(shipments), func(a, b Shipment) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Order, b.Order))
	}), termed
}

// Of returns the term of a SKU, and whether the SKU is termed at all.
func (t Terms) Of(sku string) (Term, bool) {
	term, ok := t.bySKU[sku]
	return term, ok
}
