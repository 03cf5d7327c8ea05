package counter

import (
	"fmt"
	"slices"
	"strings"
)

// release takes our members away and lets the subscription go on without a term. What we never wrote to is left as it is: a
// one-time swap may have brought it in. Exempt is the term that its product belongs to, or "".
func release(term Term, ledger Ledger, remote Remote, exempt, why string) Plan {
	if ours := ourMembers(term.Keys, ledger, remote); len(ours) > 0 && !ledger.Fresh() && !remote.Broken {
		return Plan{Do: Write, State: ledger.State, Unset: ours, What: "released", Why: why}
	}
	return Plan{Do: Rest, State: Released, Reason: why, Exempt: exempt}
}

// swapped says whether the product was swapped for one of another term. Another SKU of the same term is the same to us.
func swapped(term Term, ledger Ledger, remote Remote) bool {
	return remote.Termed && !ledger.Fresh() && remote.SKU != ledger.SKU && term.Name != ledger.Term && !slices.Contains(term.SKUs, ledger.SKU)
}

// decideSwapped goes on under another term.
func decideSwapped(term Term, ledger Ledger, remote Remote) Plan {
	why := fmt.Sprintf("its product was %s and is %s", ledger.SKU, remote.SKU)
	if !remote.Recounted {
		// A box of the term before whose news comes later would be one of a term that starts anew, and one that completes a
		// shorter term completes it now.
		return Plan{Do: Recount, State: ledger.State, What: "recounted", Why: why}
	}
	if term.OnSwap != Restart {
		page := ledger.Lasting(term)
		page.SKU, page.Adjustment = remote.SKU, 0
		return Plan{Do: Begin, State: Active, Page: &page, What: "swapped", Why: why + "; the shipments made count"}
	}
	return begin("restarted", why+"; this term starts anew", ledger.Anew(term, remote.SKU, ledger.Made))
}

// begin starts a new term.
func begin(what, why string, page Ledger) Plan {
	return Plan{Do: Begin, State: Active, Page: &page, Anew: true, What: what, Why: why}
}

// endsByCancel says whether a complete subscription is to be cancelled, or was.
func endsByCancel(term Term, ledger Ledger, live bool) bool {
	switch {
	case !live:
		return ledger.Completed || term.cancels()
	case ledger.takenBack():
		return term.OnReactivation == "" || term.OnReactivation == Block
	}
	return term.cancels()
}

// goOn is about a complete subscription that is live and does not end: a new term, or none, or another product.
func goOn(term Term, ledger Ledger, remote Remote) Plan {
	anew := ledger.Anew(term, remote.SKU, ledger.Total()) // a box beyond the term is the first of the next
	if ledger.takenBack() {
		const why = "it was reactivated after its term was complete"
		if term.OnReactivation == NewTerm {
			return begin("new term", why, anew)
		}
		return release(term, ledger, remote, term.Name, why)
	}
	why := fmt.Sprintf("all %d recurring orders are placed", ledger.Total())
	switch term.OnComplete {
	case RenewAtEnd:
		return begin("renewed", why, anew)
	case SwapAtEnd:
		return Plan{Do: Swap, State: ledger.State, SKU: term.SwapTo, What: "product", Why: why}
	}
	return release(term, ledger, remote, term.Name, why)
}

// blockReason is the code that the merchant chose for the end of a term, with what happened.
func blockReason(reason string) string {
	code, _, _ := strings.Cut(reason, "|")
	if code == "" {
		code = "1" // other, with free text (contract, section 3)
	}
	return code + "|Reactivated after the term was complete"
}
