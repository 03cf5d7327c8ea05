package reconcile

import (
	"context"
	"fmt"
	"strings"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// found is what came of comparing one subscription; without a Finding all is well.
type found struct {
	*Finding
	facts    ledger.Facts
	upcoming *string // its upcoming orders, once the placed ones were asked for
	asked    bool
}

// compare compares what Ordergroove lists with what is recorded. What agrees costs no call. That it agrees is not a
// rule of its own: it is what Decide would do about it, which is nothing.
func (r *run) compare(
	ctx context.Context, entry ordergroove.Subscription, sub ledger.Subscription, ours bool,
) (found, error) {
	term, termed := r.rules.Terms.Of(entry.Product)
	if !ours || sub.State == counter.Released {
		if !termed || ours && sub.IsReleasedFrom(term.Name, entry.Product) || !entry.Live && !r.marked(entry, term.Keys) {
			return found{}, nil
		}
		return r.newcomer(ctx, entry, term, sub, ours)
	}
	kind, why := r.judge(entry, sub)
	f, err := r.unannounced(ctx, entry, sub, kind)
	if err != nil {
		return f, err
	}
	if kind != "" || f.asked && sub.Adjustments > 0 { // its upcoming order may be one that is to be adjusted
		f.facts.Changed = []string{entry.ID}
	}
	if placed := counting(f.facts.Shipments); len(placed) > 0 {
		unknown := "a placed order that was never announced: " + placed[0].Order
		if len(placed) > 1 {
			unknown += fmt.Sprintf(" and %d more", len(placed)-1)
		}
		switch {
		case entry.Live && sub.Remaining() <= len(placed):
			kind = PendingExtraOrder
			why = unknown
		case kind == "":
			kind = Unannounced
			why = unknown
		default:
			why += "; " + unknown
		}
	}
	if kind == "" {
		return f, nil
	}
	f.Finding = &Finding{Subscription: entry.ID, SKU: entry.Product, Kind: kind, Why: why}
	return f, r.dryRun(ctx, &f, entry, sub.Subscription)
}

func counting(shipments []counter.Shipment) []counter.Shipment {
	return counter.Found{Shipments: shipments}.Counting()
}

// marked says whether a subscription that is not live was one of ours, or of a predecessor's.
func (r *run) marked(entry ordergroove.Subscription, keys counter.Keys) bool {
	extra, err := ordergroove.ParseExtraData(entry.ExtraData)
	if err != nil {
		return false
	}
	_, counted := extra.Get(keys.Counter)
	_, hidden := extra.Get(keys.Hide)
	return counted || hidden
}

// newcomer is a subscription that no event announced, or that was not termed when it was last synced.
func (r *run) newcomer(
	ctx context.Context, entry ordergroove.Subscription, term counter.Term, known ledger.Subscription, ours bool,
) (found, error) {
	f := found{Finding: &Finding{
		Subscription: entry.ID,
		SKU:          entry.Product,
		Kind:         NotEnrolled,
		Why:          "its SKU is termed, and it was never announced",
	}}
	enrollment := term.Open(entry.Product, counter.Reconciled, r.now())
	sub := counter.Subscription{ID: entry.ID, Customer: entry.Customer, Live: true, Enrollment: enrollment}
	if ours {
		f.Kind = Swapped
		f.Why = "its SKU is termed again"
		sub = known.Subscription
		sub.Enrollment, _ = counter.Reenroll(known.Enrollment, enrollment)
	}
	f.facts.Enrollments = []ledger.Enrollment{{
		Subscription: entry.ID,
		Customer:     entry.Customer,
		Enrollment:   enrollment,
		OwnProduct:   true,
	}}
	return f, r.dryRun(ctx, &f, entry, sub)
}

// judge says what is wrong with a recorded subscription, by what a sync of it would do; "" is nothing. One that is due
// is going to be synced anyway.
func (r *run) judge(entry ordergroove.Subscription, sub ledger.Subscription) (Kind, string) {
	// safeguard: due-is-no-finding
	if sub.Due != 0 {
		return "", ""
	}
	seen, plan := r.app.Plan(r.rules, sub.Subscription, entry)
	why := plan.Why
	if why == "" {
		why = plan.Reason
	}
	over := sub.State == counter.Completed || sub.State == counter.Ended
	switch {
	case plan.Do == counter.Settle && plan.State == sub.State && entry.Live == sub.Live &&
		(entry.Product == sub.SKU || plan.State == counter.Attention):
		return "", ""
	case plan.Do == counter.Recount && isWaiting(entry, sub):
		return "", "" // its placed orders are asked for where it may have had one
	case over && entry.Live:
		return LiveAgain, "it is live again"
	case plan.Do != counter.Renew && seen.AtOvershipRisk():
		return PendingExtraOrder, why
	case plan.Do == counter.Settle && plan.State == counter.Attention:
		return NeedsAttention, why
	case entry.Product != sub.SKU:
		return Swapped, fmt.Sprintf("its product was %s and is %s", sub.SKU, entry.Product)
	case !entry.Live && !over:
		return NotLive, "it was canceled, or has ended"
	case plan.Do == counter.Renew:
		return WouldRenew, why
	}
	return Differs, why
}

// isWaiting says whether a subscription that was never written to waits for an approval or the end of a hold, as it
// was.
func isWaiting(entry ordergroove.Subscription, sub ledger.Subscription) bool {
	return sub.IsNew() && sub.Permission.Withheld != "" && entry.Product == sub.SKU && entry.Live == sub.Live
}

// unannounced asks for the placed orders where something may have been placed since they were last known, and answers
// those that are not recorded.
func (r *run) unannounced(
	ctx context.Context, entry ordergroove.Subscription, sub ledger.Subscription, kind Kind,
) (f found, err error) {
	upcoming := r.upcoming.of(entry.ID)
	switch {
	case entry.Prepaid != nil, sub.IsNew() && sub.Permission.Withheld == "", !entry.Live && !sub.Live:
		return f, nil // Ordergroove counts it; the first sync asks anyway; it was over before
	case kind == "" && !r.scope.whole() && !r.scope.Recount && upcoming == "":
		return f, nil
	// safeguard: changed-upcoming
	case kind == "" && upcoming != "" && upcoming == sub.Upcoming:
		return f, nil
	}
	placed, err := ask(ctx, r, func() (counter.Found, error) { return r.app.Find(ctx, r.rules, sub.Subscription, entry) })
	if err != nil {
		return f, err
	}
	f.asked = true
	if upcoming != "" {
		f.upcoming = &upcoming
	}
	f.facts.Shipments = placed.Shipments
	if placed.OpenedAt != sub.OpenedAt {
		f.facts.Openings = []ledger.Opening{{Subscription: sub.ID, Enrollment: sub.Number, At: placed.OpenedAt}}
	}
	return f, nil
}

// dryRun fills in, for a dry run, what a sync would do about a finding.
func (r *run) dryRun(ctx context.Context, f *found, entry ordergroove.Subscription, sub counter.Subscription) error {
	if !r.scope.DryRun {
		return nil
	}
	would, err := ask(ctx, r,
		func() (cancelapp.DryRun, error) { return r.app.DryRun(ctx, sub, f.facts.Shipments, &entry) })
	if err != nil {
		return err
	}
	f.Would = would.Journal
	f.After = would.Subscription
	return nil
}

// Words says in one line what a sync would do, or what it did, except for the state that it leaves.
func Words(journal []ledger.JournalEntry) string {
	var words []string
	for _, e := range journal {
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
