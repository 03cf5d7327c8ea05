package counter

import (
	"encoding/json"
	"slices"
)

// differences returns which of our members are not as they must be.
func differences(term Term, ledger Ledger, remote Remote) (set map[string]string, unset []string) {
	want := wanted(term, ledger, remote.Live)
	if _, there := remote.Extra[term.Keys.Hide]; there && want[term.Keys.Hide] == "" && ledger.Knows(0) {
		unset = append(unset, term.Keys.Hide) // ours, from an end that was taken back; the merchant's own stays
	}
	for _, name := range sortedNames(ledger.Put) {
		if found, there := remote.Extra[name]; there && want[name] == "" && ledger.put(name, found) {
			unset = append(unset, name)
		}
	}
	set = map[string]string{}
	recipe := []string{term.Keys.Counter, term.Keys.Termed, term.Keys.Hide}
	for key, value := range want {
		found, there := remote.Extra[key]
		if !there || found != value && (slices.Contains(recipe, key) || !sameValue(found, value)) {
			set[key] = value
		}
	}
	return set, unset
}

// sameValue says whether two texts are the same JSON value, a text, a number, true or false: Ordergroove may spell it in
// another way than it was written. The recipe's members are compared as they are spelled.
func sameValue(a, b string) bool {
	var x, y any
	if a == b {
		return true
	}
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	switch x.(type) {
	case string, float64, bool:
		return x == y
	}
	return false
}

// wanted are the members that must be there.
func wanted(term Term, ledger Ledger, live bool) map[string]string {
	remaining := ledger.Remaining()
	want := map[string]string{}
	for name, value := range term.Set {
		want[name] = value
	}
	for name, value := range map[string]string{
		term.Keys.Total: counterValue(ledger.Length()), term.Keys.Made: counterValue(ledger.Boxes()),
	} {
		if name != "" {
			want[name] = value
		}
	}
	if term.Keys.Last != "" && remaining <= 1 {
		want[term.Keys.Last] = termedValue
	}
	want[term.Keys.Counter], want[term.Keys.Termed] = counterValue(remaining), termedValue
	if remaining == 0 && endsByCancel(term, ledger, live) {
		want[term.Keys.Hide] = hideValue
	}
	return want
}

// Members are the names in extra_data that Decide wants to see of a subscription.
func Members(term Term, ledger Ledger) []string {
	names := []string{term.Keys.Counter, term.Keys.Termed, term.Keys.Hide, term.Keys.Total, term.Keys.Made, term.Keys.Last}
	names = append(append(names, sortedNames(term.Set)...), sortedNames(ledger.Put)...)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// ourMembers are those that we put into extra_data and that still stand there.
func ourMembers(keys Keys, ledger Ledger, remote Remote) []string {
	var ours []string
	for _, key := range []string{keys.Counter, keys.Hide, keys.Termed} {
		if _, there := remote.Extra[key]; there && (key != keys.Hide || ledger.Knows(0)) {
			ours = append(ours, key)
		}
	}
	for _, name := range sortedNames(ledger.Put) {
		if found, there := remote.Extra[name]; there && ledger.put(name, found) {
			ours = append(ours, name)
		}
	}
	return ours
}
