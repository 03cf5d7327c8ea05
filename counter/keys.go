package counter

import (
	"encoding/json"
	"slices"
	"strings"
)

// differences returns which of our keys of extra_data are not as they must be.
func differences(term Term, e Enrollment, o Observed) (set map[string]string, unset []string) {
	want := desiredKeys(term, e, o)
	if _, there := o.Extra[term.Keys.Hide]; there && want[term.Keys.Hide] == "" && e.HasSent(0) {
		unset = append(unset, term.Keys.Hide) // ours, from an end that was taken back; the merchant's own stays
	}
	for _, name := range sortedNames(e.ManagedKeys) {
		if found, there := o.Extra[name]; there && want[name] == "" && e.manages(name, found) {
			unset = append(unset, name)
		}
	}
	set = map[string]string{}
	recipe := []string{term.Keys.Counter, term.Keys.Termed, term.Keys.Hide}
	for key, value := range want {
		found, there := o.Extra[key]
		switch {
		case there && found == value:
		case there && slices.Contains(recipe, key) && sameSpoken(found, value):
			// safeguard: respelled-once
			if !o.Respelled {
				set[key] = value
			}
		case !there || !sameValue(found, value) || slices.Contains(recipe, key):
			set[key] = value
		}
	}
	return set, unset
}

// respells says whether a write would only change how values are spelled.
func respells(o Observed, set map[string]string, unset []string) bool {
	for key, value := range set {
		if found, there := o.Extra[key]; !there || !sameSpoken(found, value) {
			return false
		}
	}
	return len(unset) == 0 && len(set) > 0
}

// sameSpoken says whether two JSON values read the same, whether they are texts or not: true, "true" and "True".
func sameSpoken(a, b string) bool {
	return strings.EqualFold(strings.Trim(a, `"`), strings.Trim(b, `"`))
}

// sameValue says whether two texts are the same JSON value, a text, a number, true or false: Ordergroove may spell it
// in another way than it was written. The recipe's values are compared as they are spelled.
func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	switch x.(type) {
	case string, float64, bool:
		return x == y
	}
	return false
}

// desiredKeys are the keys that extra_data must have, with their values.
func desiredKeys(term Term, e Enrollment, o Observed) map[string]string {
	remaining := e.Remaining()
	want := map[string]string{}
	for name, value := range term.Set {
		want[name] = value
	}
	if term.Keys.ShipmentsTotal != "" {
		want[term.Keys.ShipmentsTotal] = counterValue(e.ShipmentsTotal())
	}
	if term.Keys.ShipmentsMade != "" {
		want[term.Keys.ShipmentsMade] = counterValue(e.ShipmentsMade())
	}
	if term.Keys.LastShipment != "" && remaining <= 1 {
		want[term.Keys.LastShipment] = termedValue
	}
	want[term.Keys.Counter] = counterValue(remaining)
	want[term.Keys.Termed] = termedValue
	if remaining == 0 && endsByCancel(term, e, o) {
		want[term.Keys.Hide] = hideValue
	}
	return want
}

// OurKeys are the names of the keys of extra_data that Decide needs to see.
func OurKeys(term Term, e Enrollment) []string {
	keys := term.Keys
	names := []string{keys.Counter, keys.Termed, keys.Hide, keys.ShipmentsTotal, keys.ShipmentsMade, keys.LastShipment}
	names = append(names, sortedNames(term.Set)...)
	names = append(names, sortedNames(e.ManagedKeys)...)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// keysToRemove are the keys that we put into extra_data and that are still there.
func keysToRemove(keys Keys, e Enrollment, o Observed) []string {
	var ours []string
	for _, key := range []string{keys.Counter, keys.Hide, keys.Termed} {
		if _, there := o.Extra[key]; there && (key != keys.Hide || e.HasSent(0)) {
			ours = append(ours, key)
		}
	}
	for _, name := range sortedNames(e.ManagedKeys) {
		if found, there := o.Extra[name]; there && e.manages(name, found) {
			ours = append(ours, name)
		}
	}
	return ours
}
