package cancelapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ordergroove"
)

// maxActions bounds a look. The longest way is recount, begin, adopt, write, cancel; the rest is for somebody who keeps changing it
// under our hands.
const maxActions = 8

// takeSubscriptions claims due subscriptions, each a piece of work of its own. While the gate to the API is shut none is
// claimed, but for the one that finds out.
func (a *App) takeSubscriptions(ctx context.Context, n int) ([]piece, error) {
	if !a.gate.open() {
		return nil, nil
	}
	if a.gate.reason() != nil {
		n = 1
	}
	now := a.o.Now()
	claimed, err := a.ledger.Claim(ctx, now.UnixMilli(), now.Add(a.o.Lease).UnixMilli(), n)
	if err != nil {
		return nil, err
	}
	return pieces(claimed, a.workTime(), a.look), nil
}

// look brings one subscription to its level and lets go of its lease.
func (a *App) look(ctx context.Context, lease counter.Lease) {
	ctx = ordergroove.WithUrgency(ctx, ordergroove.Urgency(lease.Urgency)) // their values are the same, the greater the sooner
	l := a.newLook(lease)
	err := l.level(ctx)
	outcome := counter.Outcome{At: a.now(), Urgency: lease.Urgency}
	switch {
	case err == nil:
	case errors.Is(err, counter.ErrLeaseLost):
		a.o.Log.Warn("a lease ran out in the middle of a look; whoever holds it now goes on", "subscription", lease.Subscription)
		return
	case errors.Is(err, ordergroove.ErrNotFound):
		l.page.Live = false
		l.rest(counter.Plan{State: counter.Attention, Reason: "Ordergroove does not know it any more"})
	case errors.Is(err, ordergroove.ErrRejected):
		l.rest(counter.Plan{State: counter.Attention, Reason: err.Error()})
		if l.page.Looming() {
			outcome.Next, outcome.Attempts = outcome.At+guardEvery.Milliseconds(), lease.Attempts+1
		}
	default:
		outcome.Next, outcome.Attempts = a.again(err, lease.Attempts, l.urgency(), outcome.At)
		if wholeAPI(err) {
			outcome.Next = outcome.At // the gate holds it back, and it goes on as soon as that opens
		}
		a.o.Log.Warn("a subscription has to wait", "subscription", lease.Subscription, "attempts", outcome.Attempts, "error", err)
	}
	if err != nil {
		outcome.Error = err.Error()
	}
	if l.page.Looming() && (l.page.State == counter.Attention || outcome.Attempts >= guardAfter) {
		l.guard(ctx, outcome.Attempts)
	}
	if l.rested {
		if failed := l.tellAll(ctx); failed != nil {
			a.trouble(failed) // the lease runs out, and it is due again
			return
		}
	}
	outcome.Ledger, outcome.Entries, outcome.Dispatch, outcome.Remind = l.page, l.entries, l.news, l.remind
	if l.page.State == counter.Attention {
		a.o.Log.Error("a subscription needs attention", "subscription", lease.Subscription, "reason", l.page.Reason)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	failpoint.Hit("before-release")
	if err := a.ledger.Finish(closing, lease, outcome); err != nil {
		a.trouble(err) // the lease runs out, and it is due again
	}
}

// look is one subscription in hand.
type look struct {
	*App
	Rules          // that it began with
	api     api    // Ordergroove, or what stands in for it in a rehearsal
	ledger  ledger // the store, or what stands in for it
	lease   counter.Lease
	before  counter.Ledger // as the last notices told of it
	page    counter.Ledger
	remote  ordergroove.Subscription
	extra   ordergroove.ExtraData
	broken  bool // extra_data is no object
	counted bool // the placed orders were asked for in this look
	rested  bool // it came to rest
	entries []counter.Entry
	news    counter.Dispatch
	remind  int64
}

func (a *App) newLook(lease counter.Lease) *look {
	return &look{App: a, Rules: a.rules(), api: a.api, ledger: a.ledger, lease: lease, before: lease.Ledger, page: lease.Ledger}
}

// level reads the subscription and does the one next thing until there is none: every answer is the ground of the next
// decision, so that what an answer says is checked by deciding again.
func (l *look) level(ctx context.Context) error {
	remote, err := l.api.Subscription(ctx, l.page.Subscription)
	if err != nil {
		return err
	}
	failpoint.Hit("after-get")
	var done counter.Action
	for range maxActions {
		term, plan := l.decide(remote)
		if plan.Do == counter.Rest {
			l.rest(plan)
			return nil
		}
		if plan.Do == done && done != counter.Begin {
			return fmt.Errorf("the answer does not show what was asked of it (%s): %w", done, ordergroove.ErrUnavailable)
		}
		done = plan.Do
		if l.page.Looming() {
			ctx = ordergroove.WithUrgency(ctx, ordergroove.Urgent)
		}
		if remote, err = l.act(ctx, term, plan); err != nil {
			return err
		}
	}
	return fmt.Errorf("it does not stay as we leave it: %w", ordergroove.ErrUnavailable)
}

// decide takes an answer for what the subscription is now, and says what to do.
func (l *look) decide(remote ordergroove.Subscription) (counter.Term, counter.Plan) {
	l.see(remote)
	term := l.term()
	return term, counter.Decide(term, l.page, l.view(term))
}

// urgency is the look's by now: the last box may have been counted in it.
func (l *look) urgency() counter.Urgency {
	if l.page.Looming() {
		return counter.Looming
	}
	return l.lease.Urgency
}

func (l *look) see(remote ordergroove.Subscription) {
	extra, err := ordergroove.ParseExtraData(remote.ExtraData)
	l.remote, l.extra, l.broken = remote, extra, err != nil
	l.page.Live, l.page.Prepaid = remote.Live, remote.Prepaid != nil
	if term, ok := l.Terms.Of(remote.Product); ok && l.page.Fresh() {
		l.page = l.page.Under(term, remote.Product) // what an item said of the SKU was provisional
	}
}

// term is the one of the product; where that is not termed, what the subscription started with goes on.
func (l *look) term() counter.Term {
	if term, ok := l.Terms.Of(l.remote.Product); ok {
		return term
	}
	if term, ok := l.Terms.Of(l.page.SKU); ok {
		return term
	}
	return l.Terms.Unlisted(l.page.Term)
}

func (l *look) view(term counter.Term) counter.Remote {
	_, termed := l.Terms.Of(l.remote.Product)
	view := counter.Remote{
		SKU: l.remote.Product, Termed: termed, Live: l.remote.Live,
		Extra: map[string]string{}, Broken: l.broken, Recounted: l.counted,
	}
	if l.remote.Prepaid != nil {
		view.Prepaid, view.RenewalBehavior = true, l.remote.Prepaid.RenewalBehavior
	}
	for _, key := range counter.Members(term, l.page) {
		if value, ok := l.extra.Get(key); ok {
			view.Extra[key] = string(value)
		}
	}
	return view
}

// act does one thing and answers the subscription as it is then.
func (l *look) act(ctx context.Context, term counter.Term, plan counter.Plan) (ordergroove.Subscription, error) {
	switch plan.Do {
	case counter.Recount:
		return l.recount(ctx)
	case counter.Adopt:
		return l.adopt(ctx, plan)
	case counter.Write:
		return l.write(ctx, term, plan)
	case counter.Cancel:
		l.page.State = counter.Completing
		if err := l.record(ctx, counter.Step{Cancelling: true, Blocking: plan.Blocks}); err != nil {
			return ordergroove.Subscription{}, err
		}
		answer, err := l.api.Cancel(ctx, l.page.Subscription, plan.Cancel)
		if err == nil {
			failpoint.Hit("cancel-answered")
			l.enter(plan.What, "live", liveness(answer.Live), plan.Why)
		}
		return answer, err
	case counter.Renew:
		answer, err := l.api.EndAtRenewal(ctx, l.page.Subscription)
		if err == nil {
			l.enter(plan.What, l.remote.Prepaid.RenewalBehavior, "cancel", plan.Why)
		}
		return answer, err
	case counter.Begin:
		return l.begin(ctx, plan)
	case counter.Swap:
		answer, err := l.api.ChangeProduct(ctx, l.page.Subscription, plan.SKU)
		if err == nil {
			l.enter(plan.What, l.remote.Product, answer.Product, plan.Why)
		}
		return answer, err
	}
	return ordergroove.Subscription{}, fmt.Errorf("no such action: %s", plan.Do)
}

// recount asks for the placed orders; those that no webhook told of become facts.
func (l *look) recount(ctx context.Context) (ordergroove.Subscription, error) {
	items, err := l.api.PlacedItems(ctx, l.page.Subscription)
	if err != nil {
		return ordergroove.Subscription{}, err
	}
	all := byOrder(foundByAsking(l.page.Subscription, items, l.now()))
	found, err := l.sinceTermed(ctx, all)
	if err != nil {
		return ordergroove.Subscription{}, err
	}
	if term := l.term(); counter.Agrees(l.page, l.view(term), term.Keys, len(all)) && !l.page.Reopened {
		found = all
	}
	l.counted = true
	for _, s := range without(all, found) {
		l.enter("left out", "", s.Order, "it carried "+s.SKU+", and was placed before the product was swapped for a termed one")
	}
	history := l.page.Fresh() && l.page.TermedFrom != 0 // of one that we know from its creation, nothing is
	return l.remote, l.record(ctx, counter.Step{Shipments: found, History: history})
}

// foundByAsking makes a shipment of each item that is the subscription's part in an order.
func foundByAsking(subscription string, items []ordergroove.Item, at int64) []counter.Shipment {
	var shipments []counter.Shipment
	for _, item := range items {
		if item.Subscription == subscription && item.Order != "" {
			shipments = append(shipments, shipment(item, counter.Reconciled, at))
		}
	}
	return shipments
}

// sinceTermed leaves out the orders from before the subscription's product was swapped for a termed one. Items carry no date,
// so where that may have been, and some are of untermed products, their orders are asked for.
func (l *look) sinceTermed(ctx context.Context, shipments []counter.Shipment) ([]counter.Shipment, error) {
	if !l.page.Reopened && (l.page.TermedFrom == 0 || !slices.ContainsFunc(shipments, l.untermed)) {
		return shipments, nil
	}
	orders, err := l.api.Orders(ctx, l.page.Subscription, ordergroove.StatusSuccess)
	if err != nil {
		return nil, err
	}
	for _, o := range orders {
		for i := range shipments {
			if shipments[i].Order == o.ID && !o.Place.IsZero() {
				shipments[i].At = o.Place.UnixMilli()
			}
		}
	}
	if l.page.Reopened {
		return l.Terms.SinceReopened(shipments, l.page.TermedFrom), nil
	}
	return l.Terms.SinceTermed(shipments, l.page.TermedFrom), nil
}

func (l *look) untermed(s counter.Shipment) bool {
	_, termed := l.Terms.Of(s.SKU)
	return !termed
}

func (l *look) adopt(ctx context.Context, plan counter.Plan) (ordergroove.Subscription, error) {
	entry := l.entry(plan.What, fmt.Sprint(l.page.Remaining()), fmt.Sprint(*plan.Counter), plan.Why)
	entry.Actor = counter.ByOrdergroove
	err := l.record(ctx, counter.Step{
		Counter: plan.Counter, Adjustment: &plan.Adjustment, Entries: []counter.Entry{entry},
	})
	l.page.Written = plan.Counter
	return l.remote, err
}

// write overwrites extra_data with what was read and our members. The counter is committed as sent before the call: after
// a crash in between, it tells our own half-done write from somebody else's edit.
func (l *look) write(ctx context.Context, term counter.Term, plan counter.Plan) (ordergroove.Subscription, error) {
	if err := l.record(ctx, counter.Step{Counter: plan.Counter, Put: l.page.Putting(term.Keys, plan.Set)}); err != nil {
		return ordergroove.Subscription{}, err
	}
	failpoint.Hit("counter-stored")
	data := l.extra
	for _, key := range slices.Sorted(maps.Keys(plan.Set)) {
		data = data.With(key, json.RawMessage(plan.Set[key]))
	}
	for _, key := range plan.Unset {
		data = data.Without(key)
	}
	answer, err := l.api.UpdateExtraData(ctx, l.page.Subscription, data)
	if err != nil {
		return answer, err
	}
	failpoint.Hit("patch-answered")
	maps.DeleteFunc(l.page.Put, func(name, _ string) bool { return slices.Contains(plan.Unset, name) })
	if plan.Counter == nil {
		l.enter(plan.What, strings.Join(plan.Unset, ", "), strings.Join(slices.Sorted(maps.Keys(plan.Set)), ", "), plan.Why)
		return answer, nil
	}
	l.page.Written = plan.Counter
	before, _ := l.extra.Get(term.Keys.Counter)
	l.enter(plan.What, string(before), fmt.Sprintf("%q", fmt.Sprint(*plan.Counter)), plan.Why)
	return answer, nil
}

// record commits a step and takes the page as it is then, but for what only Finish keeps.
func (l *look) record(ctx context.Context, step counter.Step) error {
	step.Page = l.page
	after, err := l.ledger.Record(ctx, l.lease, step)
	if err != nil {
		return err
	}
	after.Written, after.Live, after.Prepaid, after.State, after.LastTold = l.page.Written, l.page.Live, l.page.Prepaid, l.page.State, l.page.LastTold
	l.page = after
	return nil
}

// rest takes the plan's state for the subscription's own.
func (l *look) rest(plan counter.Plan) {
	before := l.page.State
	l.rested = true
	if l.remote.Product != "" {
		l.page.SKU = l.remote.Product
	}
	if term, ok := l.Terms.Of(l.page.SKU); ok && plan.State != counter.Released {
		l.page.Term = term.Name // it may be called something else by now
	}
	l.page = l.page.Resting(plan)
	if plan.State != before {
		l.enter(string(plan.State), string(before), string(plan.State), plan.Reason)
	}
}

func (l *look) enter(what, before, after, why string) {
	l.entries = append(l.entries, l.entry(what, before, after, why))
}

func (l *look) entry(what, before, after, why string) counter.Entry {
	return counter.Entry{Subscription: l.page.Subscription, At: l.now(), Actor: counter.ByTermed,
		What: what, Before: before, After: after, Reason: why}
}

func liveness(live bool) string {
	if live {
		return "live"
	}
	return "cancelled"
}
