package counter

// Action is the one next thing to do.
type Action string

const (
	Rest    Action = "rest"    // nothing: the level is reached, or only a person can go on
	Recount Action = "recount" // ask for the placed orders, then decide again
	Adopt   Action = "adopt"   // take over a counter that somebody else set
	Write   Action = "write"   // overwrite extra_data: what was read, with Set and without Unset
	Cancel  Action = "cancel"  // end it, with Reason
	Renew   Action = "renew"   // make a prepaid subscription end by itself
	Begin   Action = "begin"   // take Page for what the ledger says: a new term, or another length
	Swap    Action = "swap"    // give it another product, SKU
)

// Plan is Decide's answer. After each action one decides again on the remote state that the action left, until Rest.
type Plan struct {
	Do Action

	State  State  // where the subscription stands now, before the action
	Reason string // why, for attention, ended and released

	Counter    *int              // for Write and Adopt: the counter written or adopted; nil: this write is about none
	Set        map[string]string // for Write: our members that differ, as raw JSON
	Unset      []string          // for Write: members to take away
	Adjustment int               // for Adopt: the term's whole adjustment from now on
	Cancel     string            // for Cancel: "<code>|<details>"
	Blocks     bool              // for Cancel: it was reactivated after its end
	Page       *Ledger           // for Begin
	Anew       bool              // for Begin: a new term starts, rather than the same under another name or length
	SKU        string            // for Swap
	Exempt     string            // for Rest: as in Ledger, of one that is released

	What string // for the journal: what the action is
	Why  string // for the journal and for people
}
