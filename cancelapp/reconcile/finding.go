package reconcile

import (
	"slices"
	"strings"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// Scope says which subscriptions are compared. The zero value is all of them.
type Scope struct {
	SKUs     []string // of these; none: of every termed SKU, and of every one that a subscription of ours still has
	Since    string   // YYYY-MM-DD: only what was updated since
	Upcoming bool     // with Since: also every other one whose upcoming order has changed
	Recount  bool     // ask for the placed orders of each, whatever its upcoming order says
	DryRun   bool     // find, and change nothing, neither at Ordergroove nor in the database
}

// String names the scope: an interrupted reconciliation is resumed by one of the same name.
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

// What a reconciliation can find.
const (
	PendingExtraOrder Kind = "complete, and still live"
	NotEnrolled       Kind = "not enrolled"
	Unannounced       Kind = "shipments never announced"
	Differs           Kind = "extra_data differs"
	Swapped           Kind = "product changed"
	LiveAgain         Kind = "live again"
	NotLive           Kind = "no longer live"
	NotFound          Kind = "not found at Ordergroove"
	WouldRenew        Kind = "prepaid, and would renew"
	NeedsAttention    Kind = "needs attention"
)

// Kinds are all there are, the worst first.
var Kinds = []Kind{
	PendingExtraOrder, NotEnrolled, Unannounced, Differs, Swapped, LiveAgain, NotLive, NotFound, WouldRenew,
	NeedsAttention,
}

// Finding is a subscription of which Ordergroove and the database do not say the same, or that is not in its desired
// state.
type Finding struct {
	Subscription string
	SKU          string
	Kind         Kind
	Why          string
	Would        []ledger.JournalEntry // dry run: what a sync would do
	After        counter.Subscription  // dry run: the subscription as that would leave it
}

// Report is what a reconciliation did.
type Report struct {
	Listed     int // subscriptions compared
	Asked      int // of which the placed orders were asked for
	Unreadable int // entries of lists
	Resumed    bool
	Found      int
	Findings   []Finding // those found; a reconciliation by schedule keeps none
	Took       time.Duration
}

// notFound is a subscription that Ordergroove does not know anymore.
func notFound(sub ledger.Subscription, at int64) found {
	const why = "Ordergroove does not know this subscription anymore"
	f := found{Finding: &Finding{
		Subscription: sub.ID,
		SKU:          sub.SKU,
		Kind:         NotFound,
		Why:          why,
		After:        sub.Subscription,
	}}
	f.After.State = counter.Attention
	f.After.Reason = why
	f.Would = []ledger.JournalEntry{{
		Subscription: sub.ID,
		At:           at,
		Actor:        ledger.ByTermed,
		What:         string(counter.Attention),
		Before:       string(sub.State),
		After:        string(counter.Attention),
		Reason:       why,
	}}
	f.facts.Changed = []string{sub.ID}
	return f
}
