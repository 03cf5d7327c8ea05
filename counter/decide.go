// Package counter owns the rules of a term: what an enrollment and what Ordergroove says together ask for (Decide), and
// what a decision makes of the enrollment (Prepare, Advance). It derives the counter from facts and never counts down,
// so that applying a rule twice changes nothing the second time.
//
// It is pure: no input or output, clock, context, log or randomness.
package counter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Action is the one next thing to do.
type Action string

// The actions of a sync.
const (
	Settle     Action = "settle"      // nothing to do: the desired state is reached, or only a person can go on
	Recount    Action = "recount"     // ask for the placed orders, then decide again
	Adopt      Action = "adopt"       // take over a counter that somebody else set
	Write      Action = "write"       // overwrite extra_data: what was read, with Set and without Unset
	Cancel     Action = "cancel"      // cancel the subscription, with CancelReason
	Renew      Action = "renew"       // make a prepaid subscription end by itself
	Swap       Action = "swap"        // give the subscription another product, SKU
	SwitchTerm Action = "switch term" // go on with the same enrollment under another term
	OpenNext   Action = "open next"   // close the enrollment, and open the next
)

// Plan is what Decide answers. After each action one decides again on the state that the action left, until Settle.
type Plan struct {
	Do Action

	State  State   // of the enrollment now, before the action
	Reason string  // why, for attention, ended and released
	Close  Closing // for Settle and OpenNext: how the enrollment is closed; "": as it follows from State

	Counter      *int              // for Write and Adopt: the counter; nil: this write is not about it
	Set          map[string]string // for Write: our keys that differ, as raw JSON
	Unset        []string          // for Write: keys to remove
	Adjustment   int               // for Adopt: the whole adjustment from now on
	CancelReason string            // for Cancel: "<code>|<details>"
	SKU          string            // for Swap: the product
	OpenBy       string            // for OpenNext: why the next enrollment is opened

	Respells    bool     // for Write: it only changes how values are spelled
	Ends        bool     // the action begins or completes the end of the term: hide and cancel, or the product at its end
	Unexplained bool     // for one that ends: nobody saw it run, so the store admits only so many of them an hour
	Withheld    string   // for Settle: the change that is held back; "": none
	Approval    Approval // for Settle: the approval that the enrollment needs from now on; "": as before

	What string // for the journal: what the action is
	Why  string // for the journal and for people
}

// Decide compares an enrollment with what Ordergroove says of its subscription, and names the one next thing to do. The
// term is the one of the observed SKU, or, where that is not termed, the one that the enrollment has.
func Decide(term Term, e Enrollment, o Observed) Plan {
	return permit(term, e, o, desired(term, e, o))
}

// desired is what there is to do, whether or not it may be done now.
func desired(term Term, e Enrollment, o Observed) Plan {
	counter := readCounter(o.Extra, term.Keys.Counter)
	switch {
	// A release comes first: whatever else is true of a released subscription is no business of ours.
	// safeguard: stays-released
	case staysReleased(term, e, o):
		return Plan{Do: Settle, State: Released, Reason: e.Reason, Close: e.ClosedAs}
	case e.State == Released:
		return openNext(OpenedByRetry, "enrolled", "it is of a termed SKU again", ClosedSwapped)
	case e.IsReleasing() || e.IsReleasedFrom(term.Name, o.SKU):
		return release(term, e, o, ClosedReleased, "released by an operator")
	// What opened it may have happened before the release, and come late.
	// safeguard: late-news
	case e.IsNew() && o.Termed && o.Previous.IsReleasedFrom(term.Name, o.SKU):
		return release(term, e, o, ClosedReleased, "released before: what announced it again is older than that")
	// A product without a term, before anything that counts: there is nothing left to count for.
	case leftItsTerm(e, o):
		return release(term, e, o, ClosedSwapped, fmt.Sprintf("its product is %s, which is in no term", o.SKU))
	// Ordergroove counts prepaid subscriptions: our counter, right or wrong, does not matter for them.
	// safeguard: prepaid-not-canceled
	case o.Prepaid:
		return decidePrepaid(term, e, o)
	// What cannot be read cannot be written safely either, so these two come before every write.
	case o.Broken:
		return attention("extra_data is not an object: nothing can be added to it without losing what it is")
	case counter.kind == junk:
		return attention("the counter in extra_data is not a number: set it to a number, or remove it")
	// Another term changes what the counter should be, so it comes before judging the counter.
	case swappedTerms(term, e, o):
		return decideSwapped(term, e, o)
	// Somebody else's number is understood before anything is written over it.
	// safeguard: older-counter
	case counter.kind == number && !e.HasSent(counter.n):
		return decideUnknown(e, o, counter.n)
	// Nothing is written for the first time before the orders that we may have missed are known. There are none where
	// its creation was announced just now.
	// safeguard: first-look
	case counter.kind == missing && e.IsNew() && !o.Recounted && !o.JustCreated:
		return recount(e, "orders may have been placed before we knew of it")
	}
	return decideDesired(term, e, o, counter)
}

// staysReleased says whether a released subscription is still out of its term: its product is in no term, or in the one
// that it was released from.
func staysReleased(term Term, e Enrollment, o Observed) bool {
	return e.State == Released && (!o.Termed || e.IsReleasedFrom(term.Name, o.SKU))
}

// leftItsTerm says whether the product was swapped for one that is in no term. A SKU that left termed.yaml is not that:
// those enrolled keep what they started with.
func leftItsTerm(e Enrollment, o Observed) bool {
	return !o.Termed && o.SKU != e.SKU
}

// swappedTerms says whether the product was swapped for one of another term. Another SKU of the same term is the same
// to us.
func swappedTerms(term Term, e Enrollment, o Observed) bool {
	return o.Termed && !e.IsNew() && o.SKU != e.SKU && term.Name != e.Term && !slices.Contains(term.SKUs, e.SKU)
}

// decideUnknown is about a counter that we never sent. First our own facts are brought up to date, since our database
// may be older than the truth; what still differs then is somebody's intention.
func decideUnknown(e Enrollment, o Observed, found int) Plan {
	if !o.Recounted {
		return recount(e, fmt.Sprintf("the counter is %d, which we never sent", found))
	}
	// safeguard: unshipped-zero
	if found == 0 && o.Live && e.Placed.Orders == 0 && e.OrdersDue > 0 && e.Permission.Approval != ApprovalGiven {
		return attention(UnshippedZero)
	}
	plan := Plan{
		Do:         Adopt,
		State:      e.State,
		Counter:    &found,
		Adjustment: e.Adjustment,
		What:       "adopted",
	}
	behind := found - e.Remaining()
	asCounted := found - e.OrdersDue + e.Placed.Orders // all placed orders are in the number found
	switch {
	case behind == 0:
		plan.Why = "it agrees with our count"
	case e.IsNew() && behind > 0 && behind <= e.Placed.ByWebhook && found <= e.OrdersDue:
		// A counter from before us that nobody took down for the orders whose webhooks brought us here: adopting it would
		// ship as many too many.
		plan.Why = "there before us, and not taken down for the orders just placed"
	case e.IsNew():
		plan.Adjustment = asCounted
		plan.Why = "there before us; the orders already placed are taken as counted"
	// safeguard: restored-database
	case o.Restored && behind > 0 && e.CounterConfirmed != nil && found < *e.CounterConfirmed:
		plan.Why = "written by ourselves, before the database was restored from a copy"
	case o.Restored:
		plan.Adjustment = asCounted
		plan.Why = "there when the database was restored from a copy; the orders already placed are taken as counted"
	default:
		// Whoever set it saw what we had written last and changed it by the difference: the orders placed since count on top
		// of it, whether they came before or after the edit.
		// safeguard: edit-is-difference
		plan.Adjustment = max(asCounted-e.Unwritten(), e.Placed.Orders-e.OrdersDue)
		plan.Why = fmt.Sprintf("somebody set it; by our count it was %d", e.Remaining())
	}
	return plan
}

// decideDesired brings extra_data, then the subscription, to the state that the facts ask for.
func decideDesired(term Term, e Enrollment, o Observed, counter reading) Plan {
	remaining := e.Remaining()
	// What comes after a term that is gone nobody knows; a guess could cancel what was sold to go on. What was begun goes
	// on.
	// safeguard: gone-term
	if remaining == 0 && term.Removed && (o.Live || e.ClosedAs != ClosedCompleted) && !endBegun(term, e, o) {
		return attention(TermRemoved)
	}
	// A complete term that does not end goes on as something else. A new enrollment first shows that it is ours.
	if remaining == 0 && o.Live && !e.IsNew() && !endsByCancel(term, e, o) {
		return continueAfterEnd(term, e, o)
	}
	state, reason := stateOf(term, e, o)
	// An order whose webhook was lost is found by reconciling what is live; nobody reconciles what is not.
	// safeguard: early-end-recounted
	if (state == Ended) != (e.State == Ended) && !e.IsNew() && !o.Recounted {
		return recount(e, "it was canceled early, or is live again: what was placed until then counts")
	}
	plan := Plan{Do: Settle, State: state, Reason: reason, Counter: &remaining}
	plan.Set, plan.Unset = differences(term, e, o)
	differs := len(plan.Set)+len(plan.Unset) > 0
	switch {
	// Hidden before canceled: between the two nobody can reactivate it by mistake. Where it cannot be hidden, canceling
	// cannot wait: the next order would be one too many.
	// safeguard: hide-before-cancel
	case differs && (o.WriteRefused == "" || remaining > 0):
		plan.Do = Write
		plan.Respells = respells(o, plan.Set, plan.Unset)
		plan.What, plan.Why = wording(e, counter)
		if plan.State == Completed {
			plan.State = Completing
		}
	case remaining == 0 && o.Live && state == BlockingReactivation:
		plan.Do = Cancel
		plan.CancelReason = blockReason(term.CancelReason)
		plan.What = "blocked"
		plan.Why = reactivatedWhy
	case remaining == 0 && o.Live:
		plan.Do = Cancel
		plan.CancelReason = term.CancelReason
		plan.What = "cancel"
		plan.Why = completeWhy(e)
	case differs:
		return attention("it is canceled, and could not be hidden: " + o.WriteRefused)
	}
	return plan
}

// endBegun says whether the end was begun and nobody took it back: it is hidden, by us.
func endBegun(term Term, e Enrollment, o Observed) bool {
	begun := e.Permission.AdmittedAt != 0 || e.CancelRequestedAt != 0
	return begun && sameSpoken(o.Extra[term.Keys.Hide], hideValue) && !e.reactivatedAfterEnd(o.ReactivatedAt)
}

// stateOf says where an enrollment is, by its facts.
func stateOf(term Term, e Enrollment, o Observed) (State, string) {
	remaining := e.Remaining()
	switch {
	case remaining == 0 && o.Live && e.reactivatedAfterEnd(o.ReactivatedAt):
		return BlockingReactivation, ""
	case remaining == 0 && o.Live:
		return Completing, ""
	case remaining == 0 && endsByCancel(term, e, o):
		return Completed, ""
	case !o.Live && e.ClosedAs == ClosedCompleted:
		return Ended, fmt.Sprintf("extended after its end, with %d to go: it continues when it is reactivated", remaining)
	case !o.Live:
		return Ended, fmt.Sprintf("canceled by %s with %d to go", cmp.Or(e.CanceledBy, "somebody else"), remaining)
	}
	return Active, ""
}

// endsByCancel says whether a complete subscription is to be canceled, or was.
func endsByCancel(term Term, e Enrollment, o Observed) bool {
	switch {
	case !o.Live:
		return e.ClosedAs == ClosedCompleted || term.endsByCancel()
	case e.reactivatedAfterEnd(o.ReactivatedAt):
		return term.OnReactivation == "" || term.OnReactivation == Block
	}
	return term.endsByCancel()
}

// continueAfterEnd is about a complete subscription that is live and does not end: the next enrollment, or none, or
// another product.
func continueAfterEnd(term Term, e Enrollment, o Observed) Plan {
	if e.reactivatedAfterEnd(o.ReactivatedAt) {
		if term.OnReactivation == NewTerm {
			return openNext(OpenedByReactivation, "new term", reactivatedWhy, ClosedCompleted)
		}
		return release(term, e, o, ClosedCompleted, reactivatedWhy)
	}
	switch term.OnComplete {
	case RenewAtEnd:
		return openNext(OpenedByRenewal, "renewed", completeWhy(e), ClosedCompleted)
	case SwapAtEnd:
		return Plan{
			Do:    Swap,
			State: e.State,
			SKU:   term.SwapTo,
			What:  "product",
			Why:   completeWhy(e),
		}
	}
	return release(term, e, o, ClosedCompleted, completeWhy(e))
}

// decideSwapped goes on under another term.
func decideSwapped(term Term, e Enrollment, o Observed) Plan {
	why := fmt.Sprintf("its product was %s and is %s", e.SKU, o.SKU)
	if !o.Recounted {
		// An order of the term before that we missed would belong to the next one, and one that completes a shorter term
		// completes it now.
		return recount(e, why)
	}
	if term.OnSwap == Restart {
		return openNext(OpenedByRestart, "restarted", why+"; this term restarts", ClosedSwapped)
	}
	return Plan{Do: SwitchTerm, State: Active, What: "swapped", Why: why + "; the shipments made count"}
}

// decidePrepaid leaves counting to Ordergroove, which refuses to cancel a prepaid subscription (contract, section 2):
// it is made to end by itself where the term says so, and hidden when it has.
func decidePrepaid(term Term, e Enrollment, o Observed) Plan {
	hidden := o.Extra[term.Keys.Hide] == hideValue
	switch {
	case o.Live && o.RenewalBehavior != "cancel" && !term.KeepRenewal:
		return Plan{
			Do:    Renew,
			State: Active,
			What:  "renewal behavior",
			Why:   "prepaid: Ordergroove counts it, and ends it when the prepaid orders are used up",
		}
	case o.Live && hidden && e.ClosedAs == ClosedCompleted:
		return Plan{
			Do:    Write,
			State: Active,
			Unset: []string{term.Keys.Hide},
			What:  "shown",
			Why:   "prepaid, and live again",
		}
	case o.Live:
		return Plan{Do: Settle, State: Active}
	case hidden:
		return Plan{Do: Settle, State: Completed}
	case o.Broken:
		return attention("extra_data is not an object: nothing can be added to it without losing what it is")
	}
	return Plan{
		Do:    Write,
		State: Completing,
		Set:   map[string]string{term.Keys.Hide: hideValue},
		What:  "hidden",
		Why:   "prepaid, and its prepaid orders are used up",
	}
}

// release removes our keys and lets the subscription continue without a term. One that we never wrote to is left as it
// is: a one-time swap may have brought it in.
func release(term Term, e Enrollment, o Observed, as Closing, why string) Plan {
	if ours := keysToRemove(term.Keys, e, o); len(ours) > 0 && !e.IsNew() && !o.Broken {
		return Plan{
			Do:    Write,
			State: e.State,
			Unset: ours,
			What:  "released",
			Why:   why,
		}
	}
	return Plan{Do: Settle, State: Released, Reason: why, Close: as}
}

func openNext(by, what, why string, as Closing) Plan {
	return Plan{
		Do:     OpenNext,
		State:  Active,
		OpenBy: by,
		Close:  as,
		What:   what,
		Why:    why,
	}
}

// permit lets a plan through, or turns one that would change something at Ordergroove into one that waits.
func permit(term Term, e Enrollment, o Observed, plan Plan) Plan {
	switch plan.Do {
	case Write, Cancel, Renew, Swap:
	default:
		return plan // ours alone
	}
	plan.Ends = o.Live && (plan.Do == Cancel || plan.Do == Swap || plan.Do == Write && plan.Set[term.Keys.Hide] != "")
	switch {
	// A missing approval comes first: it is still missing when observe mode or a pause is over.
	// safeguard: approval
	case needsApproval(term, e, o):
		if e.IsNew() && ranBefore(e, o) {
			return awaitApproval(term, e, o, plan, RanBefore)
		}
		return awaitApproval(term, e, o, plan, observedEnd)
	// safeguard: observe-approval
	case o.Hold == Observing && plan.Ends && e.Permission.Approval != ApprovalGiven:
		return awaitApproval(term, e, o, plan, observedEnd)
	// safeguard: hold
	case o.Hold != "":
		return withhold(term, plan, string(o.Hold))
	}
	plan.Unexplained = plan.Ends && !isExplained(e)
	return plan
}

// needsApproval says whether nothing may be written before a person has approved it: observe mode held back its end, or
// it ran before its SKU was listed and nobody has ever counted it.
func needsApproval(term Term, e Enrollment, o Observed) bool {
	switch e.Permission.Approval {
	case ApprovalNeeded:
		return true
	case ApprovalGiven:
		return false
	}
	return e.IsNew() && ranBefore(e, o) && readCounter(o.Extra, term.Keys.Counter).kind == missing
}

// ranBefore says whether the subscription had the product before its SKU was listed. Times of creation are in seconds,
// so one of the very second is not before. That it was swapped to the product later is known where an event said so.
func ranBefore(e Enrollment, o Observed) bool {
	since := o.CreatedAt
	if e.OpenedBy == OpenedBySwap {
		since = max(since, e.OpenedAt)
	}
	return second(since) < second(o.ListedAt)
}

// isExplained says whether a person could check why the term ends now: it was seen running, and what completed it is
// known. What was begun goes on.
func isExplained(e Enrollment) bool {
	p := e.Permission
	seen := e.OpenedBy == OpenedByCreation || p.SeenRunning
	shipped := e.Placed.Orders > 0 || e.OrdersDue == 0 // by a webhook or the order history; or the checkout completes it
	return seen && shipped || p.Approval == ApprovalGiven || p.AdmittedAt != 0
}

// awaitApproval settles an enrollment until a person has approved it. Orders are counted all the same.
func awaitApproval(term Term, e Enrollment, o Observed, plan Plan, why string) Plan {
	held := withhold(term, plan, why)
	held.Approval = ApprovalNeeded
	if o.Live && (e.Remaining() == 0 || o.Prepaid) {
		held.State = AwaitingApproval
	}
	return held
}

// Throttle settles an enrollment whose end the store did not admit yet.
func Throttle(term Term, plan Plan) Plan {
	held := withhold(term, plan, "its end waits for the throttle: it was complete when termed first saw it")
	held.State = Throttled
	return held
}

func withhold(term Term, plan Plan, why string) Plan {
	return Plan{
		Do:       Settle,
		State:    plan.State,
		Reason:   why,
		Withheld: plan.change(term),
	}
}

// change names what the plan would change at Ordergroove.
func (p Plan) change(term Term) string {
	switch {
	case p.Do == Renew:
		return "make it end at renewal"
	case p.Do == Swap:
		return "change its product to " + p.SKU
	case p.Ends:
		return "hide and cancel"
	case p.Set[term.Keys.Counter] != "":
		return fmt.Sprintf("set the counter to %d", *p.Counter)
	case len(p.Set) == 0:
		return "remove " + strings.Join(p.Unset, ", ")
	}
	return "set " + strings.Join(sortedNames(p.Set), ", ")
}

// RanBefore is why an enrollment needs approval that was met for the first time because its SKU was listed.
const RanBefore = "it ran before its SKU was listed in termed.yaml, so nothing is written until it is approved"

const observedEnd = "observe mode held back its end, so it ends only once that is approved"

// UnshippedZero is why a counter of 0 is not believed: a finished subscription's extra_data was copied, for example.
const UnshippedZero = "the counter in extra_data is 0, and no order was ever placed: " +
	"set it right, remove it, or approve the end"

// TermRemoved is why a complete enrollment needs a person whose term termed.yaml no longer has.
const TermRemoved = "it is complete, and its term is no longer in termed.yaml, which said what comes then: " +
	"list the term again, or release the subscription"

func recount(e Enrollment, why string) Plan {
	return Plan{Do: Recount, State: e.State, What: "recounted", Why: why}
}

func attention(why string) Plan {
	return Plan{Do: Settle, State: Attention, Reason: why}
}

const reactivatedWhy = "it was reactivated after its term was complete"

func completeWhy(e Enrollment) string {
	return fmt.Sprintf("%d of %d recurring orders placed", e.Placed.Orders, e.OrdersTotal())
}

func wording(e Enrollment, counter reading) (what, why string) {
	switch {
	case counter.kind == missing && e.CounterConfirmed == nil:
		return "started", fmt.Sprintf("%d recurring orders due, %d placed", e.OrdersTotal(), e.Placed.Orders)
	case counter.kind == missing:
		return "restored", "somebody overwrote extra_data without the counter"
	case e.isStale(counter.n):
		return "restored", "somebody wrote an older counter back; to extend a term use `termed subscriptions set`"
	case counter.n == e.Remaining():
		return "corrected", "the counter was right; the keys beside it were not as the recipe has them"
	}
	return "counter", fmt.Sprintf("%d of %d recurring orders placed", e.Placed.Orders, e.OrdersTotal())
}

// blockReason is the code that the merchant chose for the end of a term, with what happened.
func blockReason(reason string) string {
	code, _, _ := strings.Cut(reason, "|")
	if code == "" {
		code = "1" // other, with free text (contract, section 3)
	}
	return code + "|Reactivated after the term was complete"
}
