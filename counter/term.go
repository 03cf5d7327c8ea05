package counter

import (
	"fmt"
	"slices"
)

// Term is what a merchant sells: a subscription of one of the SKUs ends after so many shipments.
type Term struct {
	Name          string
	SKUs          []string // Ordergroove product ids
	Shipments     int      // in all, at least 1
	FirstShipment First
	CancelReason  string // "<code>|<details>", or "" for none
	KeepRenewal   bool   // leave the renewal behavior of a prepaid subscription as it is; else it is made to end by itself

	OnComplete     OnComplete
	SwapTo         string // for SwapAtEnd: the product that it continues as, which is in no term
	OnReactivation OnReactivation
	OnSwap         OnSwap
	Set            map[string]string // keys of extra_data that all its subscriptions have: raw JSON by name

	Keys    Keys
	Removed bool // termed.yaml no longer has it: what is to become of its enrollments at their end is not known
}

// OnComplete says what happens when the last order is placed. The zero value is CancelAtEnd.
type OnComplete string

const (
	CancelAtEnd  OnComplete = "cancel"  // hidden and canceled
	RenewAtEnd   OnComplete = "renew"   // a new enrollment starts
	ReleaseAtEnd OnComplete = "release" // it continues without a term
	SwapAtEnd    OnComplete = "swap"    // it continues as another product, without a term
)

// OnReactivation says what happens when somebody reactivates a subscription that was canceled at the end of its term.
// The zero value is Block.
type OnReactivation string

const (
	Block               OnReactivation = "block" // hidden and canceled again
	NewTerm             OnReactivation = "new_term"
	ReleaseReactivation OnReactivation = "release"
)

// OnSwap says what happens when the product is swapped for one of another term. The zero value is KeepShipments.
type OnSwap string

const (
	KeepShipments OnSwap = "keep"    // the shipments made count for the new term
	Restart       OnSwap = "restart" // the new term starts from its first shipment
)

// First says where the first shipment comes from.
type First string

const (
	// Checkout is the documented recipe: the checkout that creates the subscription makes shipment 1 and is not an
	// Ordergroove order (contract, section 2, "Data model").
	Checkout First = "checkout"
	// Recurring means that shipment 1 is the first recurring order.
	Recurring First = "recurring"
)

// Keys names our keys of extra_data. The zero value of a field means the recipe's name (contract, section 3).
type Keys struct {
	Counter string // default fulfillment_counter
	Termed  string // default termed
	Hide    string // default hide

	// What a theme can show; "" is off.
	ShipmentsTotal string // the shipments of the term, in all
	ShipmentsMade  string // the shipments made of them
	LastShipment   string // "true" when the next shipment is the last, and when it is made
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

// OrdersDue is the number of recurring orders that the term lasts: the counter's first value.
func (t Term) OrdersDue() int {
	return t.Shipments - t.CheckoutShipments()
}

// CheckoutShipments is the number of shipments that the checkout makes: 1 or 0.
func (t Term) CheckoutShipments() int {
	if t.FirstShipment == Recurring {
		return 0
	}
	return 1
}

// endsByCancel says whether a term ends by a cancellation.
func (t Term) endsByCancel() bool {
	return t.OnComplete == "" || t.OnComplete == CancelAtEnd
}

// Terms finds the term of a SKU.
type Terms struct {
	bySKU  map[string]Term
	byName map[string]Term
	keys   Keys
	all    []Term // in the configuration's order
}

// All returns all terms, in the configuration's order.
func (t Terms) All() []Term { return t.all }

// Keys returns the names of the managed keys in extra_data.
func (t Terms) Keys() Keys { return t.keys }

// NewTerms indexes terms by SKU, all of them under the same names in extra_data. A SKU belongs to one term at most: one
// that is in two is an error.
func NewTerms(keys Keys, terms []Term) (Terms, error) {
	index := Terms{bySKU: map[string]Term{}, byName: map[string]Term{}, keys: keys.WithDefaults()}
	for _, term := range terms {
		if term.Shipments < 1 {
			return Terms{}, fmt.Errorf("term %q: shipments must be 1 or more", term.Name)
		}
		term.Keys = index.keys
		index.byName[term.Name] = term
		index.all = append(index.all, term)
		for _, sku := range term.SKUs {
			if other, taken := index.bySKU[sku]; taken {
				return Terms{}, fmt.Errorf("SKU %q is in two terms: %q and %q", sku, other.Name, term.Name)
			}
			index.bySKU[sku] = term
		}
	}
	return index, nil
}

// For returns the term that rules an enrollment whose product is the given one. That is the product's, but for an
// enrollment that goes on with the product it had: it keeps its own, also where the SKU left that, or moved to another.
// Of a term that the configuration no longer has, only its enrollments are left.
func (t Terms) For(e Enrollment, sku string) Term {
	// safeguard: own-term
	if own, ok := t.byName[e.Term]; ok && sku == e.SKU && !e.IsNew() && e.State != Released {
		return own
	}
	for _, product := range []string{sku, e.SKU} {
		if term, ok := t.bySKU[product]; ok {
			return term
		}
	}
	if own, ok := t.byName[e.Term]; ok {
		return own
	}
	return Term{Name: e.Term, Keys: t.keys, Removed: true}
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

// has says whether a SKU belongs to a term.
func (t Terms) has(sku string) bool {
	_, ok := t.bySKU[sku]
	return ok
}

// Of returns the term of a SKU, and whether the SKU is termed at all.
func (t Terms) Of(sku string) (Term, bool) {
	term, ok := t.bySKU[sku]
	return term, ok
}
