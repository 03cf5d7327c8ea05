package cancelapp

import (
	"slices"
	"strings"
	"time"

	"github.com/termed/termed/counter"
)

// Scope says which subscriptions are compared. The zero value is all of them.
type Scope struct {
	SKUs    []string // of these; none: of every termed SKU, and of every one that a subscription of ours still has
	Since   string   // YYYY-MM-DD: only what was updated since
	Recount bool     // ask for the placed orders of each, whatever its upcoming order says
	DryRun  bool     // find, and change nothing, neither at Ordergroove nor in the ledger
}

// String names the scope: an interrupted comparison is gone on with by one of the same name.
func (s Scope) String() string {
	name := "all"
	if s.Since != "" {
		name = "updated since " + s.Since
	}
	if len(s.SKUs) > 0 {
		name += " of " + strings.Join(slices.Sorted(slices.Values(s.SKUs)), ", ")
	}
	if s.Recount {
		name += ", recounted"
	}
	return name
}

// whole says whether a subscription that is not listed is a finding.
func (s Scope) whole() bool { return s.Since == "" }

// Kind is what is wrong with a subscription, in words for people.
type Kind string

// What a comparison can find.
const (
	ExtraOrder  Kind = "complete, and still live"
	NotEnrolled Kind = "not enrolled"
	Unannounced Kind = "shipments never announced"
	Differs     Kind = "counter or marks differ"
	Swapped     Kind = "product changed"
	Reopened    Kind = "live again"
	Over        Kind = "no longer live"
	Gone        Kind = "gone from Ordergroove"
	Renews      Kind = "prepaid, and would be renewed"
	ForAPerson  Kind = "needs a person"
)

// Kinds are all there are, the worst first.
var Kinds = []Kind{ExtraOrder, NotEnrolled, Unannounced, Differs, Swapped, Reopened, Over, Gone, Renews, ForAPerson}

// Finding is a subscription of which Ordergroove and the ledger do not say the same, or that is not at its level.
type Finding struct {
	Subscription string
	SKU          string
	Kind         Kind
	Why          string
	Would        []counter.Entry // dry run: what a look would do
	After        counter.Ledger  // dry run: the page as that would leave it
}

// Report is what a comparison did.
type Report struct {
	Listed     int // subscriptions compared
	Asked      int // of which the placed orders were asked for
	Unreadable int // entries of lists
	Resumed    bool
	Findings   []Finding
	Took       time.Duration
}

// gone is a subscription that Ordergroove does not know any more.
func gone(page counter.Known, at int64) found {
	const why = "Ordergroove does not know it any more"
	f := found{Finding: &Finding{Subscription: page.Subscription, SKU: page.SKU, Kind: Gone, Why: why, After: page.Ledger}}
	f.After.State, f.After.Reason = counter.Attention, why
	f.Would = []counter.Entry{{Subscription: page.Subscription, At: at, Actor: counter.ByTermed, What: string(counter.Attention), Before: string(page.State), After: string(counter.Attention), Reason: why}}
	f.facts.Changed = []string{page.Subscription}
	return f
}
