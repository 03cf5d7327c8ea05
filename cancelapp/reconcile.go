package cancelapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// errNotNeeded says that somebody else compared just now.
var errNotNeeded = errors.New("compared by somebody else")

// ErrReconciling says that somebody else compares with Ordergroove at the moment.
var ErrReconciling = errors.New("another reconciliation of this database is under way")

const (
	inFlight    = 5               // calls at a time while going through lists (contract, section 2)
	maxTries    = 6               // of one call, on its way through
	maxPages    = 100_000         // of one list
	holdFor     = 2 * time.Minute // how long the right to compare is held without a page done
	resumeUntil = 12 * time.Hour  // how old an interrupted comparison may be to be gone on with
	needsBulk   = "listing subscriptions needs an API key with Bulk Operations; make one in the Ordergroove Admin"
)

// runs is who may compare, and how far it has come; store satisfies it.
type runs interface {
	BeginReconciliation(ctx context.Context, scope string, at, until, age int64) (counter.Reconciliation, bool, error)
	KeepPlace(ctx context.Context, run counter.Reconciliation, sku string, place counter.Place, until int64, listed ...counter.Listed) error
	EndReconciliation(ctx context.Context, run counter.Reconciliation, to counter.Compared, finished bool) error
}

// pages is what a comparison needs to know of the ledger; store satisfies it.
type pages interface {
	Known(ctx context.Context, ids []string) (map[string]counter.Known, error)
	Unlisted(ctx context.Context, sku string, since int64) ([]counter.Known, error)
	Running(ctx context.Context) (map[string]int, error)
}

// history is what the ledger holds, and takes, beyond its pages; store satisfies it.
type history interface {
	Learn(ctx context.Context, f counter.Facts, at int64) error
	Shipments(ctx context.Context, subscription string) ([]counter.Shipment, error)
	Compared(ctx context.Context) (counter.Compared, error)
}

// lister goes through what Ordergroove has of all customers.
type lister interface {
	Subscriptions(ctx context.Context, q ordergroove.SubscriptionQuery, from string) (ordergroove.Page[ordergroove.Subscription], error)
	UpcomingItems(ctx context.Context, from string) (ordergroove.Page[ordergroove.Item], error)
}

// Reconcile compares every subscription of the scope with Ordergroove, and puts what was never announced into the ledger as
// facts: what they make due is brought to its level by the looks, like everything else. Progress, if not nil, is told of the
// report as it grows. What was found before an error is in the report, too, and is repaired all the same.
func (a *App) Reconcile(ctx context.Context, scope Scope, progress func(Report)) (Report, error) {
	return a.reconcile(ctx, scope, progress, func(counter.Compared) bool { return true })
}

// reconcile is Reconcile unless, once it may begin, it is needed no more: another instance may have compared meanwhile.
func (a *App) reconcile(ctx context.Context, scope Scope, progress func(Report), needed func(counter.Compared) bool) (Report, error) {
	start := a.o.Now()
	ctx = ordergroove.WithUrgency(ctx, ordergroove.Background)
	r := &reconciliation{App: a, terms: a.rules().Terms, scope: scope, progress: progress, seen: map[string]bool{}, slots: make(chan struct{}, inFlight)}
	err := r.begin(ctx)
	if err != nil {
		return Report{}, err
	}
	if !needed(r.run.Compared) {
		return Report{}, errors.Join(errNotNeeded, a.runs.EndReconciliation(ctx, r.run, r.run.Compared, true))
	}
	err = r.compareAll(ctx)
	if !scope.DryRun {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
		defer cancel()
		err = errors.Join(err, a.runs.EndReconciliation(closing, r.run, r.compared(), err == nil))
	}
	slices.SortFunc(r.report.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(Kinds, x.Kind), slices.Index(Kinds, y.Kind)), strings.Compare(x.Subscription, y.Subscription))
	})
	r.report.Took = a.o.Now().Sub(start)
	if errors.Is(err, ordergroove.ErrUnauthorized) {
		err = fmt.Errorf("%w: %s", err, needsBulk)
	}
	return r.report, err
}

// reconciliation is one comparison under way.
type reconciliation struct {
	*App
	terms    counter.Terms
	scope    Scope
	run      counter.Reconciliation
	skus     []string
	running  int               // subscriptions of these SKUs that we believe to be live
	upcoming map[string]string // the orders that each subscription's next boxes are on; nil: not known
	slots    chan struct{}     // one for each call in flight
	progress func(Report)

	mu     sync.Mutex
	seen   map[string]bool // in this process
	report Report
}

func (r *reconciliation) begin(ctx context.Context) error {
	running, err := r.pages.Running(ctx)
	if err != nil {
		return err
	}
	if r.skus = slices.Clone(r.scope.SKUs); len(r.skus) == 0 {
		r.skus = r.terms.SKUs()
		for sku := range running {
			r.skus = append(r.skus, sku)
		}
	}
	slices.Sort(r.skus)
	r.skus = slices.Compact(r.skus)
	for _, sku := range r.skus {
		r.running += running[sku]
	}
	at := r.now()
	if r.scope.DryRun {
		r.run = counter.Reconciliation{Started: at}
		r.run.Compared, err = r.history.Compared(ctx)
		return err
	}
	run, ok, err := r.runs.BeginReconciliation(ctx, r.scope.String(), at, at+holdFor.Milliseconds(), resumeUntil.Milliseconds())
	if err == nil && !ok {
		err = ErrReconciling
	}
	r.run, r.report.Resumed = run, len(run.Lists) > 0
	return err
}

// compared is what is remembered of this comparison when it has come to its end.
func (r *reconciliation) compared() counter.Compared {
	to := r.run.Compared
	if len(r.scope.SKUs) == 0 {
		to.Recent = r.run.Started
		if r.scope.whole() {
			to.All = r.run.Started
		}
	}
	return to
}

func (r *reconciliation) compareAll(ctx context.Context) error {
	if r.scope.whole() && !r.scope.Recount {
		if err := r.readUpcoming(ctx); err != nil {
			return err
		}
	}
	if err := r.eachSKU(ctx, r.compareSKU); err != nil || !r.scope.whole() {
		return err
	}
	return r.eachSKU(ctx, r.compareUnlisted) // once all lists are read: one may stand in another SKU's by now
}

func (r *reconciliation) eachSKU(ctx context.Context, do func(context.Context, string) error) error {
	all, within := errgroup.WithContext(ctx)
	all.SetLimit(inFlight)
	for _, sku := range r.skus {
		all.Go(func() error { return do(within, sku) })
	}
	return all.Wait()
}

// readUpcoming reads which order each subscription's next box is on. A subscription has one upcoming order at a time, and the
// next one is created when that one is placed (contract, section 2, "Data model"): where it is still the same, nothing was
// placed since, and the placed orders need not be asked for. In a shop of many other subscriptions this costs more calls than
// it saves, and is given up.
func (r *reconciliation) readUpcoming(ctx context.Context) error {
	upcoming, from := map[string][]string{}, ""
	for range r.running / 2 {
		page, err := ask(ctx, r, func() (ordergroove.Page[ordergroove.Item], error) { return r.api.UpcomingItems(ctx, from) })
		if err != nil {
			return err
		}
		for _, item := range page.Results {
			if item.Subscription != "" {
				upcoming[item.Subscription] = append(upcoming[item.Subscription], item.Order)
			}
		}
		if from = page.Next; from == "" {
			r.upcoming = map[string]string{}
			for id, orders := range upcoming {
				r.upcoming[id] = strings.Join(slices.Compact(slices.Sorted(slices.Values(orders))), " ")
			}
			return nil
		}
	}
	return nil
}

// compareSKU goes through the list of one SKU. One that was interrupted goes on where it stopped; what had been compared by
// then comes last, since it may have changed meanwhile. That costs the pages of it again and no more, as what agrees costs no
// call.
func (r *reconciliation) compareSKU(ctx context.Context, sku string) error {
	left := r.run.Lists[sku]
	until := left.Next
	if !left.Done {
		err := r.compareList(ctx, sku, left.Next, "")
		if left.Next != "" && (errors.Is(err, ordergroove.ErrRejected) || errors.Is(err, ordergroove.ErrNotFound)) {
			err, until = nil, "" // the address from before the interruption is none any more
		}
		if err != nil {
			return err
		}
	}
	if left != (counter.Place{}) {
		return r.compareList(ctx, sku, "", until)
	}
	return nil
}

// compareList compares what is listed from one page to another, or to the end.
func (r *reconciliation) compareList(ctx context.Context, sku, from, until string) error {
	query := ordergroove.SubscriptionQuery{Product: sku, UpdatedSince: r.scope.Since}
	// What has ended is compared once in a database's life, in case it was made anew in the middle of everything.
	query.LiveOnly = r.scope.whole() && r.run.All != 0
	for range maxPages {
		page, err := ask(ctx, r, func() (ordergroove.Page[ordergroove.Subscription], error) {
			return r.api.Subscriptions(ctx, query, from)
		})
		if err != nil {
			return err
		}
		listed, err := r.comparePage(ctx, page)
		if err != nil {
			return err
		}
		from = page.Next
		ended := from == "" || from == until
		if !r.scope.DryRun {
			place := counter.Place{Next: from, Done: ended}
			if err := r.runs.KeepPlace(ctx, r.run, sku, place, r.now()+holdFor.Milliseconds(), listed...); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
	}
	return fmt.Errorf("the list of %s does not end", sku)
}

// comparePage compares each subscription of a page and puts what was found into the ledger.
func (r *reconciliation) comparePage(ctx context.Context, page ordergroove.Page[ordergroove.Subscription]) ([]counter.Listed, error) {
	ids := make([]string, len(page.Results))
	for i, s := range page.Results {
		ids[i] = s.ID
	}
	known, err := r.pages.Known(ctx, ids)
	if err != nil {
		return nil, err
	}
	listed := make([]counter.Listed, len(ids))
	found := make([]found, len(ids))
	each, within := errgroup.WithContext(ctx)
	each.SetLimit(inFlight)
	for i, entry := range page.Results {
		each.Go(func() (err error) {
			page, ours := known[entry.ID]
			if found[i], err = r.compare(within, entry, page, ours); err == nil {
				listed[i] = counter.Listed{Subscription: entry.ID, At: r.run.Started, Upcoming: found[i].upcoming}
			}
			return err
		})
	}
	if err := each.Wait(); err != nil {
		return nil, err
	}
	return listed, r.learn(ctx, page.Unreadable, ids, found)
}

// compareUnlisted asks for the subscriptions that we believe to be live and that the list of their SKU was without: they were
// cancelled or swapped without our hearing of it, or are gone.
func (r *reconciliation) compareUnlisted(ctx context.Context, sku string) error {
	missing, err := r.pages.Unlisted(ctx, sku, r.run.Started)
	if err != nil {
		return err
	}
	missing = slices.DeleteFunc(missing, func(k counter.Known) bool { return r.hasSeen(k.Subscription) })
	for chunk := range slices.Chunk(missing, 100) {
		found := make([]found, len(chunk))
		each, within := errgroup.WithContext(ctx)
		each.SetLimit(inFlight)
		for i, page := range chunk {
			each.Go(func() (err error) {
				entry, err := ask(within, r, func() (ordergroove.Subscription, error) {
					return r.api.Subscription(within, page.Subscription)
				})
				if errors.Is(err, ordergroove.ErrNotFound) {
					found[i] = gone(page, r.now())
					return nil
				}
				if err == nil {
					found[i], err = r.compare(within, entry, page, true)
				}
				return err
			})
		}
		if err := each.Wait(); err != nil {
			return err
		}
		if err := r.learn(ctx, 0, nil, found); err != nil {
			return err
		}
	}
	return nil
}

// learn puts what was found into the ledger, the worst first, and into the report.
func (r *reconciliation) learn(ctx context.Context, unreadable int, ids []string, all []found) error {
	loom, rest := counter.Facts{Urgency: counter.Looming}, counter.Facts{Urgency: counter.Background}
	for _, f := range all {
		if f.Finding == nil {
			continue
		}
		into := &rest
		if f.Kind == ExtraOrder {
			into = &loom
		}
		into.Enrolments = append(into.Enrolments, f.facts.Enrolments...)
		into.Shipments = append(into.Shipments, f.facts.Shipments...)
		into.Changed = append(into.Changed, f.facts.Changed...)
	}
	if !r.scope.DryRun {
		for _, facts := range []counter.Facts{loom, rest} {
			if err := r.history.Learn(ctx, facts, r.now()); err != nil {
				return err
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range all {
		if f.Finding != nil {
			r.report.Findings = append(r.report.Findings, *f.Finding)
		}
		if f.asked {
			r.report.Asked++
		}
	}
	for _, id := range ids {
		r.seen[id] = true
	}
	r.report.Listed += len(all)
	r.report.Unreadable += unreadable
	if r.progress != nil {
		r.progress(r.report)
	}
	return nil
}

func (r *reconciliation) hasSeen(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[id]
}

// ask makes one call of at most inFlight at a time, and makes it again when it may work later.
func ask[T any](ctx context.Context, r *reconciliation, call func() (T, error)) (answer T, err error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return answer, ctx.Err()
	}
	for try := 1; ; try++ {
		answer, err = call()
		if err == nil || try == maxTries || !ordergroove.Temporary(err) {
			return answer, err
		}
		pause := time.NewTimer(Delay(try, ordergroove.RetryAfter(err), counter.Background, r.o.Jitter()))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return answer, err
		}
	}
}
