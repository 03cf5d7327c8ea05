package cancelapp

import (
	"context"
	"fmt"
	"strings"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// found is what came of comparing one subscription; without a Finding all is well.
type found struct {
	*Finding
	facts    counter.Facts
	upcoming *string // its upcoming orders, once the placed ones were asked for
	asked    bool
}

// compare compares what Ordergroove lists with what the ledger knows. What agrees costs no call. That it agrees is not a rule
// of its own: it is what Decide would do about it, which is nothing.
func (r *reconciliation) compare(ctx context.Context, entry ordergroove.Subscription, page counter.Known, ours bool) (found, error) {
	term, termed := r.terms.Of(entry.Product)
	if !ours || page.State == counter.Released {
		if !termed || ours && page.ExemptFrom(term.Name, entry.Product) || !entry.Live && !r.marked(entry, term.Keys) {
			return found{}, nil
		}
		return r.newcomer(ctx, entry, term, page, ours)
	}
	kind, why := r.level(entry, page)
	f, err := r.unannounced(ctx, entry, page, kind)
	if err != nil {
		return f, err
	}
	if kind != "" {
		f.facts.Changed = []string{entry.ID}
	}
	if orders := f.facts.Shipments; len(orders) > 0 {
		placed := "placed, and nobody told us: order " + orders[0].Order
		if len(orders) > 1 {
			placed += fmt.Sprintf(" and %d more", len(orders)-1)
		}
		switch {
		case entry.Live && page.Remaining() <= len(orders):
			kind, why = ExtraOrder, placed
		case kind == "":
			kind, why = Unannounced, placed
		default:
			why += "; " + placed
		}
	}
	if kind == "" {
		return f, nil
	}
	f.Finding = &Finding{Subscription: entry.ID, SKU: entry.Product, Kind: kind, Why: why}
	return f, r.rehearse(ctx, &f, entry, page.Ledger)
}

// look is one at a subscription, under the rules that the comparison began with. It only asks and decides.
func (r *reconciliation) look(page counter.Ledger) *look {
	l := r.newLook(counter.Lease{Ledger: page})
	l.Terms = r.terms
	return l
}

// marked says whether a subscription that is not live was one of ours, or of a predecessor's.
func (r *reconciliation) marked(entry ordergroove.Subscription, keys counter.Keys) bool {
	extra, err := ordergroove.ParseExtraData(entry.ExtraData)
	if err != nil {
		return false
	}
	_, counted := extra.Get(keys.Counter)
	_, hidden := extra.Get(keys.Hide)
	return counted || hidden
}

// newcomer is a subscription that no event told of, or that was not termed when we last looked.
func (r *reconciliation) newcomer(ctx context.Context, entry ordergroove.Subscription, term counter.Term, page counter.Known, ours bool) (found, error) {
	f := found{Finding: &Finding{Subscription: entry.ID, SKU: entry.Product, Kind: NotEnrolled, Why: "it is of a termed SKU, and the ledger does not have it"}}
	if ours {
		f.Kind, f.Why = Swapped, "it is of a termed SKU again"
		page.Ledger = page.Reopen(r.now())
	} else {
		page.Ledger = counter.Ledger{Subscription: entry.ID, Customer: entry.Customer, State: counter.Enrolled, Live: true, TermedFrom: r.now()}
	}
	f.facts.Enrolments = []counter.Enrolment{{
		Subscription: entry.ID, SKU: entry.Product, Term: term.Name, Customer: entry.Customer, AtCheckout: term.AtCheckout(), Due: term.Due(),
		How: counter.Reconciled, OwnProduct: true,
	}}
	return f, r.rehearse(ctx, &f, entry, page.Under(term, entry.Product))
}

// level says what is wrong with a subscription that the ledger has, by what a look at it would do; "" is nothing. One that
// is due is going to be looked at anyhow.
func (r *reconciliation) level(entry ordergroove.Subscription, page counter.Known) (Kind, string) {
	if page.Next != 0 {
		return "", ""
	}
	l := r.look(page.Ledger)
	_, plan := l.decide(entry)
	why := plan.Why
	if why == "" {
		why = plan.Reason
	}
	over := page.State == counter.Completed || page.State == counter.Ended
	switch {
	case plan.Do == counter.Rest && plan.State == page.State && entry.Product == page.SKU && entry.Live == page.Live:
		return "", ""
	case over && entry.Live:
		return Reopened, "it is live again"
	case plan.Do != counter.Renew && l.page.Looming():
		return ExtraOrder, why
	case plan.Do == counter.Rest && plan.State == counter.Attention:
		return ForAPerson, why
	case entry.Product != page.SKU:
		return Swapped, fmt.Sprintf("its product was %s and is %s", page.SKU, entry.Product)
	case !entry.Live && !over:
		return Over, "it was cancelled, or has ended"
	case plan.Do == counter.Renew:
		return Renews, why
	}
	return Differs, why
}

// unannounced asks for the placed orders where something may have been placed since they were last known, and answers those
// that the ledger does not have.
func (r *reconciliation) unannounced(ctx context.Context, entry ordergroove.Subscription, page counter.Known, kind Kind) (f found, err error) {
	upcoming := r.upcoming[entry.ID]
	switch {
	case entry.Prepaid != nil, page.Fresh(), !entry.Live && !page.Live:
		return f, nil // Ordergroove counts it; the first look asks anyhow; it was over before
	case kind == "" && !r.scope.whole() && !r.scope.Recount:
		return f, nil
	case kind == "" && upcoming != "" && upcoming == page.Upcoming:
		return f, nil
	}
	items, err := ask(ctx, r, func() ([]ordergroove.Item, error) { return r.api.PlacedItems(ctx, entry.ID) })
	if err != nil {
		return f, err
	}
	f.asked = true
	if upcoming != "" {
		f.upcoming = &upcoming
	}
	shipments, err := r.history.Shipments(ctx, entry.ID)
	if err != nil {
		return f, err
	}
	all := byOrder(foundByAsking(entry.ID, items, r.now()))
	if f.facts.Shipments = without(all, shipments); len(f.facts.Shipments) == 0 {
		return f, nil
	}
	l := r.look(page.Ledger)
	all, err = ask(ctx, r, func() ([]counter.Shipment, error) { return l.sinceTermed(ctx, all) })
	f.facts.Shipments = without(all, shipments)
	return f, err
}

// rehearse fills in, for a dry run, what a look would do about a finding.
func (r *reconciliation) rehearse(ctx context.Context, f *found, entry ordergroove.Subscription, page counter.Ledger) error {
	if !r.scope.DryRun {
		return nil
	}
	shipments, err := r.history.Shipments(ctx, entry.ID)
	if err != nil {
		return err
	}
	shipments = append(shipments, f.facts.Shipments...)
	page.Made = len(shipments) - page.Past
	would, err := ask(ctx, r, func() (Rehearsal, error) { return r.Rehearse(ctx, page, shipments, &entry) })
	if err != nil {
		return err
	}
	f.Would, f.After = would.Entries, would.Page
	return nil
}

// Words says in one line what a look would do, or what it did, but for the state that it leaves.
func Words(entries []counter.Entry) string {
	var words []string
	for _, e := range entries {
		if e.What == e.After {
			continue
		}
		text := e.What
		switch {
		case e.Before != "" && e.After != "":
			text += " " + e.Before + " → " + e.After
		case e.After != "":
			text += " " + e.After
		}
		words = append(words, text)
	}
	return strings.Join(words, ", ")
}
