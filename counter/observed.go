package counter

import (
	"encoding/json"
	"strconv"
)

// Observed is what Ordergroove says of a subscription at one moment.
type Observed struct {
	SKU    string
	Termed bool // the SKU belongs to a term
	Live   bool

	CreatedAt int64 // when the subscription was created, UTC unix milliseconds; 0: unknown
	ListedAt  int64 // since when the SKU has been listed in termed.yaml without a break; 0: always
	Hold      Hold  // why nothing may be changed now

	Prepaid         bool   // Ordergroove itself counts and ends it
	RenewalBehavior string // of a prepaid one

	ReactivatedAt int64 // when somebody last reactivated it, by Ordergroove's clock; 0: never

	Extra     map[string]string // our keys of extra_data by name, as raw JSON; absent ones are absent
	Broken    bool              // extra_data is not an object: nothing can be added without losing what it is
	Recounted bool              // the placed orders were asked for in this sync and are recorded

	// JustCreated says that its creation was announced, and is so recent that an order placed since is still on its way to
	// us, or just as likely to be missed by asking now.
	JustCreated bool

	Previous Enrollment // the one before a new one; the zero value: there is none

	// Restored says that the recount found orders that our own database should have known: it was brought back from a
	// copy, and the counter may be one that we wrote after that.
	Restored bool
	// Respelled says that a value of the recipe that was right, and spelled otherwise, was rewritten within the last day.
	Respelled    bool
	WriteRefused string // in this sync, in Ordergroove's words: extra_data cannot be written
}

// Hold says why nothing may be changed at Ordergroove. The zero value lets changes through.
type Hold string

// The holds.
const (
	Observing Hold = "observe mode" // everything is counted and nothing is changed, until the mode is live
	Paused    Hold = "paused"       // an operator paused all changes
)

// reading is the counter as extra_data has it.
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

// readCounter reads the recipe's string of a decimal integer, and the bare number that home-made applications write.
// Any other value is somebody's mistake, for a person to look at.
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

// Recipe values, exact (contract, section 3).
const (
	termedValue = `"true"` // a string
	hideValue   = `true`   // a boolean
)

func counterValue(n int) string {
	return `"` + strconv.Itoa(n) + `"` // a string
}
