package counter

import (
	"encoding/json"
	"strconv"
)

// Remote is what Ordergroove says of a subscription at one moment.
type Remote struct {
	SKU    string
	Termed bool // the SKU belongs to a term
	Live   bool

	Prepaid         bool   // Ordergroove itself counts and ends it
	RenewalBehavior string // of a prepaid one

	Extra     map[string]string // our members of extra_data by name, as raw JSON; absent ones are absent
	Broken    bool              // extra_data is no object: nothing can be added without losing what is there
	Recounted bool              // the placed orders were asked for in this look and are in the ledger
}

// reading is the counter as it stands in extra_data.
type reading struct {
	kind readingKind
	n    int
}

type readingKind int

const (
	missing readingKind = iota
	number
	junk
)

// maxCounter is far beyond any term; a number above it is taken for a mistake.
const maxCounter = 100_000

// readCounter reads the recipe's string of a decimal integer, and the bare number that home-made applications write. Any
// other value is somebody's mistake, for a person to look at.
func readCounter(extra map[string]string, key string) reading {
	raw, ok := extra[key]
	if !ok || raw == "null" {
		return reading{kind: missing}
	}
	text := raw
	if raw[0] == '"' && json.Unmarshal([]byte(raw), &text) != nil {
		return reading{kind: junk}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxCounter {
		return reading{kind: junk}
	}
	return reading{number, n}
}

// Agrees says whether the counter in extra_data is what so many shipments in all make of a page: whoever wrote it counted those.
func Agrees(ledger Ledger, remote Remote, keys Keys, shipments int) bool {
	found := readCounter(remote.Extra, keys.Counter)
	return found.kind == number && found.n == max(0, ledger.Total()-max(0, shipments-ledger.Past))
}

// Recipe values, exact (contract, section 3).
const (
	termedValue = `"true"` // a string
	hideValue   = `true`   // a boolean
)

func counterValue(n int) string {
	return `"` + strconv.Itoa(n) + `"` // a string
}
