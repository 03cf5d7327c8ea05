// Package counter owns the rules of a term: what a ledger page and a look at Ordergroove together ask for. It derives the
// counter from facts and never counts down, so that running a rule twice does nothing the second time.
//
// It is pure: no input or output, clock, context, log or randomness.
package counter

import "fmt"

// Decide compares what we know with what Ordergroove says, and names the one next thing to do. The term is the one of the
// remote SKU, or, where that is not termed, the one the subscription started with.
func Decide(term Term, ledger Ledger, remote Remote) Plan {
	counter := readCounter(remote.Extra, term.Keys.Counter)
	switch {
	case ledger.State == Released && (!remote.Termed || ledger.ExemptFrom(term.Name, remote.SKU)):
		return Plan{Do: Rest, State: Released, Reason: ledger.Reason, Exempt: ledger.Exempt}
	case ledger.ExemptFrom(term.Name, remote.SKU):
		return release(term, ledger, remote, ledger.Exempt, "released by an operator")
	case !remote.Termed && remote.SKU != ledger.SKU:
		return release(term, ledger, remote, "", fmt.Sprintf("its product is %s, which no term names", remote.SKU))
	case remote.Prepaid:
		return decidePrepaid(term, remote)
	case remote.Broken:
		return attention("extra_data is not an object: nothing can be added to it without losing what is there")
	case counter.kind == junk:
		return attention("the counter in extra_data is not a number: set it right there, or remove it")
	case swapped(term, ledger, remote):
		return decideSwapped(term, ledger, remote)
	case counter.kind == number && !ledger.Knows(counter.n):
		return decideUnknown(ledger, remote, counter.n)
	case counter.kind == missing && ledger.Fresh() && !remote.Recounted:
		return Plan{Do: Recount, State: ledger.State, What: "recounted", Why: "orders may have been placed before we knew of it"}
	}
	return decideLevel(term, ledger, remote, counter)
}

// decideUnknown is about a counter that we never sent. First our own facts are brought up to date, since our database may
// be older than the truth; what then still differs is somebody's wish.
func decideUnknown(ledger Ledger, remote Remote, found int) Plan {
	if !remote.Recounted {
		return Plan{Do: Recount, State: ledger.State, What: "recounted", Why: fmt.Sprintf("the counter is %d, which we never sent", found)}
	}
	plan := Plan{Do: Adopt, State: ledger.State, Counter: &found, Adjustment: ledger.Adjustment, What: "adopted"}
	behind := found - ledger.Remaining()
	asCounted := found - ledger.Due + ledger.Made // with all orders placed counted in what was found
	unwritten := 0                                // boxes since the counter that we wrote last
	if ledger.Written != nil {
		unwritten = *ledger.Written - ledger.Remaining()
	}
	switch {
	case behind == 0:
		plan.Why = "it agrees with our count"
	case ledger.Fresh() && behind > 0 && behind <= ledger.Announced && found <= ledger.Due:
		// A counter that was there before us may be one that nobody took down for the orders whose webhooks brought us
		// here: adopting it would ship as many boxes too many.
		plan.Why = "there before us, and not taken down for the orders just placed"
	case ledger.Fresh():
		plan.Adjustment = asCounted
		plan.Why = "there before us; the orders already placed are taken as counted"
	case unwritten > 1 && behind > 0 && found < *ledger.Written:
		// Boxes are a month apart: several that we never wrote mean that our database is older than the truth, and what we
		// wrote after it stands there.
		plan.Why = "written by ourselves, before the database was brought back from a copy"
	default:
		plan.Adjustment = asCounted
		if unwritten == 1 {
			// Whoever set it saw what we had written last, and changed it by the difference: the order placed since, before or
			// after the edit, is counted on top of it.
			plan.Adjustment -= unwritten
		}
		plan.Why = fmt.Sprintf("somebody set it; by our count it was %d", ledger.Remaining())
	}
	return plan
}

// decideLevel brings extra_data, then the subscription, to the level that the facts ask for.
func decideLevel(term Term, ledger Ledger, remote Remote, counter reading) Plan {
	remaining := ledger.Remaining()
	ends := endsByCancel(term, ledger, remote.Live)
	state, reason := Active, ""
	switch {
	case remaining == 0 && remote.Live && !ends && !ledger.Fresh(): // what is fresh shows first that it is ours
		return goOn(term, ledger, remote)
	case remaining == 0 && remote.Live:
		state = Completing
	case remaining == 0 && ends:
		state = Completed
	case !remote.Live && ledger.Completed:
		state, reason = Ended, fmt.Sprintf("made longer after its end, with %d to go: it goes on when it is reactivated", remaining)
	case !remote.Live:
		state, reason = Ended, fmt.Sprintf("cancelled by somebody else with %d to go", remaining)
	}
	if (state == Ended) != (ledger.State == Ended) && !ledger.Fresh() && !remote.Recounted {
		// An order whose news is lost is found by comparing what is live; nobody compares what is not.
		return Plan{Do: Recount, State: ledger.State, What: "recounted", Why: "it was cancelled early, or is live again: what was placed until then counts"}
	}
	plan := Plan{Do: Rest, State: state, Reason: reason, Counter: &remaining}
	plan.Set, plan.Unset = differences(term, ledger, remote)
	switch {
	case len(plan.Set)+len(plan.Unset) > 0:
		plan.Do = Write
		plan.What, plan.Why = wording(ledger, counter)
		if plan.State == Completed {
			plan.State = Completing
		}
	case remaining == 0 && remote.Live:
		plan.Do, plan.Cancel = Cancel, term.CancelReason
		plan.What, plan.Why = "cancel", fmt.Sprintf("all %d recurring orders are placed", ledger.Total())
		if plan.Blocks = ledger.takenBack(); plan.Blocks {
			plan.Cancel = blockReason(term.CancelReason)
			plan.What, plan.Why = "blocked", "it was reactivated after its term was complete"
		}
	}
	return plan
}

func wording(ledger Ledger, counter reading) (what, why string) {
	switch {
	case counter.kind == missing && ledger.Written == nil:
		return "started", fmt.Sprintf("%d recurring orders due, %d placed", ledger.Total(), ledger.Made)
	case counter.kind == missing:
		return "restored", "somebody overwrote extra_data without the counter"
	case ledger.wentBack(counter.n):
		return "restored", "somebody wrote an older counter back; to extend a term use `termed subscriptions set`"
	case counter.n == ledger.Remaining():
		return "marked", "the counter was right; its companions were not as the recipe has them"
	}
	return "counter", fmt.Sprintf("%d of %d recurring orders placed", ledger.Made, ledger.Total())
}

// decidePrepaid leaves counting to Ordergroove, which refuses to cancel a prepaid subscription (contract, section 2): it is
// made to end by itself where the term says so, and hidden when it has.
func decidePrepaid(term Term, remote Remote) Plan {
	hidden := remote.Extra[term.Keys.Hide] == hideValue
	switch {
	case remote.Live && remote.RenewalBehavior != "cancel" && !term.KeepRenewal:
		return Plan{Do: Renew, State: Active, What: "renewal behavior", Why: "prepaid: Ordergroove counts, and ends it when what was paid for is used up"}
	case remote.Live:
		return Plan{Do: Rest, State: Active}
	case hidden:
		return Plan{Do: Rest, State: Completed}
	case remote.Broken:
		return attention("extra_data is not an object: nothing can be added to it without losing what is there")
	}
	return Plan{
		Do: Write, State: Completing, Set: map[string]string{term.Keys.Hide: hideValue},
		What: "hidden", Why: "prepaid, and what was paid for is used up",
	}
}

func attention(why string) Plan {
	return Plan{Do: Rest, State: Attention, Reason: why}
}
