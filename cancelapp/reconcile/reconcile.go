// Package reconcile compares all subscriptions with Ordergroove and records what was never announced as facts: what
// they make due is synced like everything else. It decides nothing itself: what is wrong with a subscription is what a
// sync of it would do.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// errNotNeeded says that another instance reconciled just now.
var errNotNeeded = errors.New("reconciled by another instance")

// ErrReconciling says that another reconciliation of this database is in progress.
var ErrReconciling = errors.New("another reconciliation of this database is in progress")

const (
	inFlight    = 5               // calls at a time while going through lists (contract, section 2)
	maxAttempts = 6               // of one call
	maxPages    = 100_000         // of one list
	leaseTime   = 2 * time.Minute // how long the right to reconcile lasts unless it is renewed
	leaseMargin = 5 * time.Second // how long before its right expires a reconciliation stops
	resumeUntil = 12 * time.Hour  // how old an interrupted reconciliation may be to be resumed
	closingTime = 7 * time.Second // what the write that ends a reconciliation may take, as long as work at a shutdown
	needsBulk   = "listing subscriptions needs an API key with Bulk Operations; create one in the Ordergroove Admin"
)

// Store is what a reconciliation needs of the database; store satisfies it. Times are UTC unix milliseconds.
type Store interface {
	// BeginReconciliation takes the exclusive right to reconcile until the given time; false while somebody else has it.
	BeginReconciliation(ctx context.Context, scope string, at, until, age int64) (ledger.Reconciliation, bool, error)
	// SaveProgress records how far the list of a SKU is: ledger.ErrLeaseLost.
	SaveProgress(
		ctx context.Context, run ledger.Reconciliation, sku string, progress ledger.ListProgress, until int64,
		listed ...ledger.Listed,
	) error
	// RenewReconciliation extends the right until the given time: ledger.ErrLeaseLost.
	RenewReconciliation(ctx context.Context, run ledger.Reconciliation, until int64) error
	// EndReconciliation gives the right back: ledger.ErrLeaseLost.
	EndReconciliation(ctx context.Context, run ledger.Reconciliation, last ledger.LastReconciled, finished bool) error
	// LastReconciled says when the last finished reconciliations began.
	LastReconciled(ctx context.Context) (ledger.LastReconciled, error)

	// Known returns the given subscriptions by id; those that are not recorded are not there.
	Known(ctx context.Context, ids []string) (map[string]ledger.Subscription, error)
	// SaveListed records what was learned about subscriptions without a list: ledger.ErrLeaseLost.
	SaveListed(ctx context.Context, run ledger.Reconciliation, listed ...ledger.Listed) error
	// Unlisted returns subscriptions of a SKU that are believed to be live and were not listed since a time: a limited
	// number, in the order of their ids, behind one.
	Unlisted(ctx context.Context, sku string, since int64, after string, limit int) ([]ledger.Subscription, error)
	// Upcoming returns which order the next shipment of each live subscription was on when its placed orders were last
	// asked for: a limited number, in the order of their ids, behind one.
	Upcoming(ctx context.Context, after string, limit int) ([]ledger.Upcoming, error)
	// Running returns how many subscriptions are believed to be live, by SKU.
	Running(ctx context.Context) (map[string]int, error)
	// RecordFacts records facts that no event announced.
	RecordFacts(ctx context.Context, f ledger.Facts, at int64) error
}

// Options of a Reconciler. The zero value of a field means the default it names.
type Options struct {
	Schedule Schedule
	Now      func() time.Time // default time.Now
	Jitter   func() float64   // in [0, 1); default random
	Log      *slog.Logger     // default none
}

// Reconciler compares; make it with New.
type Reconciler struct {
	app   *cancelapp.App
	store Store
	o     Options
}

// New makes a Reconciler on top of an App's syncs; it does nothing until it is told to.
func New(app *cancelapp.App, store Store, o Options) *Reconciler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Schedule.PerMinute == 0 {
		o.Schedule.PerMinute = 5400
	}
	if o.Schedule.All == 0 {
		o.Schedule.All = 24 * time.Hour
	}
	return &Reconciler{app: app, store: store, o: o}
}

func (r *Reconciler) now() int64 { return r.o.Now().UnixMilli() }

// Reconcile compares every subscription of the scope with Ordergroove, and records what was never announced. Progress,
// if not nil, is called with the report as it grows. What was found before an error is in the report, too, and is
// repaired all the same.
func (r *Reconciler) Reconcile(ctx context.Context, scope Scope, progress func(Report)) (Report, error) {
	return r.reconcile(ctx, &run{scope: scope, progress: progress, keep: true}, func(ledger.LastReconciled) bool {
		return true
	})
}

// reconcile is Reconcile unless, once it may begin, it is not needed: another instance may have reconciled meanwhile.
func (r *Reconciler) reconcile(
	ctx context.Context, run *run, needed func(ledger.LastReconciled) bool,
) (Report, error) {
	start := r.o.Now()
	ctx = ordergroove.WithPriority(ctx, ordergroove.Background)
	run.Reconciler = r
	run.rules = r.app.Rules()
	run.api = r.app.API()
	// safeguard: in-flight
	run.slots = make(chan struct{}, inFlight)
	run.seen = map[string]struct{}{}
	err := run.begin(ctx)
	if err != nil {
		return Report{}, err
	}
	if !needed(run.claim.LastReconciled) {
		return Report{}, errors.Join(errNotNeeded, r.store.EndReconciliation(ctx, run.claim, run.claim.LastReconciled, true))
	}
	// safeguard: renewed-reconciliation
	err = run.whileRenewed(ctx, run.compareAll)
	if !run.scope.DryRun {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
		defer cancel()
		err = errors.Join(err, r.store.EndReconciliation(closing, run.claim, run.finished(), err == nil))
	}
	slices.SortFunc(run.report.Findings, func(x, y Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Kinds, x.Kind), slices.Index(Kinds, y.Kind)),
			strings.Compare(x.Subscription, y.Subscription))
	})
	run.report.Took = r.o.Now().Sub(start)
	if errors.Is(err, ordergroove.ErrUnauthorized) {
		err = fmt.Errorf("%w: %s", err, needsBulk)
	}
	return run.report, err
}

// run is one reconciliation in progress.
type run struct {
	*Reconciler
	rules    cancelapp.Rules
	api      cancelapp.API
	scope    Scope
	claim    ledger.Reconciliation
	skus     []string
	running  int            // subscriptions of these SKUs that are believed to be live
	upcoming upcomingOrders // of each subscription; empty: not known
	slots    chan struct{}  // one for each call in flight
	progress func(Report)   // may be nil
	keep     bool           // the findings, and not only their number

	readAt    int64 // when the list of upcoming items was read; 0: it was not
	readPages int

	mu     sync.Mutex
	seen   map[string]struct{} // by a dry run, which records nothing
	report Report
}

func (r *run) begin(ctx context.Context) error {
	running, err := r.store.Running(ctx)
	if err != nil {
		return err
	}
	if r.skus = slices.Clone(r.scope.SKUs); len(r.skus) == 0 {
		r.skus = r.rules.Terms.SKUs()
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
		r.claim = ledger.Reconciliation{Started: at}
		r.claim.LastReconciled, err = r.store.LastReconciled(ctx)
		return err
	}
	claim, ok, err := r.store.BeginReconciliation(ctx, r.scope.String(), at, at+leaseTime.Milliseconds(),
		resumeUntil.Milliseconds())
	if err == nil && !ok {
		err = ErrReconciling
	}
	r.claim = claim
	r.report.Resumed = len(claim.Lists) > 0
	return err
}

// finished is what is remembered of this reconciliation once it is finished.
func (r *run) finished() ledger.LastReconciled {
	to := r.claim.LastReconciled
	if len(r.scope.SKUs) == 0 {
		to.Recent = r.claim.Started
		if r.scope.whole() {
			to.All = r.claim.Started
			to.Recounted = r.scope.Recount
		}
	}
	if r.readAt != 0 {
		to.Upcoming = r.readAt
		if to.UpcomingPages = int64(r.readPages); !r.upcoming.known() { // it was given up
			to.UpcomingPages = max(to.UpcomingPages, r.claim.UpcomingPages)
		}
	}
	return to
}

func (r *run) compareAll(ctx context.Context) error {
	switch {
	case r.scope.whole() && !r.scope.Recount:
		if err := r.readUpcoming(ctx, r.running/2); err != nil {
			return err
		}
	// safeguard: lost-orders-hourly
	case r.scope.Upcoming:
		// safeguard: without-upcoming
		if err := r.readUpcoming(ctx, maxPages); err != nil && ctx.Err() == nil {
			r.o.Log.Error("upcoming items could not be read: what was updated is compared without them", "error", err)
		}
	}
	if err := r.eachSKU(ctx, r.compareSKU); err != nil {
		return err
	}
	if r.scope.whole() {
		// safeguard: unlisted
		return r.eachSKU(ctx, r.compareUnlisted) // once all lists are read: one may stand in another SKU's by now
	}
	return r.compareUpcoming(ctx)
}

func (r *run) eachSKU(ctx context.Context, do func(context.Context, string) error) error {
	all, within := errgroup.WithContext(ctx)
	all.SetLimit(inFlight)
	for _, sku := range r.skus {
		all.Go(func() error { return do(within, sku) })
	}
	return all.Wait()
}

// compareSKU goes through the list of one SKU. One that was interrupted goes on where it stopped; what had been
// compared by then comes last, since it may have changed meanwhile. That costs the pages of it again and no more, as
// what agrees costs no call.
func (r *run) compareSKU(ctx context.Context, sku string) error {
	left := r.claim.Lists[sku]
	until := left.Next
	if !left.Done {
		err := r.compareList(ctx, sku, left.Next, "")
		if left.Next != "" && (errors.Is(err, ordergroove.ErrRejected) || errors.Is(err, ordergroove.ErrNotFound)) {
			err, until = nil, "" // the address from before the interruption has expired
		}
		if err != nil {
			return err
		}
	}
	// safeguard: stale-cursor
	if left != (ledger.ListProgress{}) {
		return r.compareList(ctx, sku, "", until)
	}
	return nil
}

// compareList compares what is listed from one page to another, or to the end.
func (r *run) compareList(ctx context.Context, sku, from, until string) error {
	query := ordergroove.SubscriptionQuery{Product: sku, UpdatedSince: r.scope.Since}
	// What has ended is compared once in a database's life, in case it was made anew in the middle of everything.
	query.LiveOnly = r.scope.whole() && r.claim.All != 0
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
			progress := ledger.ListProgress{Next: from, Done: ended}
			if err := r.store.SaveProgress(ctx, r.claim, sku, progress, r.now()+leaseTime.Milliseconds(),
				listed...); err != nil {
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
func (r *run) comparePage(
	ctx context.Context, page ordergroove.Page[ordergroove.Subscription],
) ([]ledger.Listed, error) {
	ids := make([]string, len(page.Results))
	for i, s := range page.Results {
		ids[i] = s.ID
	}
	known, err := r.store.Known(ctx, ids)
	if err != nil {
		return nil, err
	}
	listed := make([]ledger.Listed, len(ids))
	found := make([]found, len(ids))
	each, within := errgroup.WithContext(ctx)
	each.SetLimit(inFlight)
	for i, entry := range page.Results {
		each.Go(func() (err error) {
			page, ours := known[entry.ID]
			if found[i], err = r.compare(within, entry, page, ours); err == nil {
				listed[i] = ledger.Listed{Subscription: entry.ID, At: r.claim.Started, Upcoming: found[i].upcoming}
			}
			return err
		})
	}
	if err := each.Wait(); err != nil {
		return nil, err
	}
	return listed, r.record(ctx, page.Unreadable, ids, found)
}

// record records what was found, the worst first, and adds it to the report.
func (r *run) record(ctx context.Context, unreadable int, ids []string, all []found) error {
	urgent := ledger.Facts{Priority: ledger.Urgent}
	rest := ledger.Facts{Priority: ledger.Background}
	for _, f := range all {
		if f.Finding == nil {
			continue
		}
		into := &rest
		if f.Kind == PendingExtraOrder {
			into = &urgent
		}
		into.Enrollments = append(into.Enrollments, f.facts.Enrollments...)
		into.Openings = append(into.Openings, f.facts.Openings...)
		into.Shipments = append(into.Shipments, f.facts.Shipments...)
		into.Changed = append(into.Changed, f.facts.Changed...)
	}
	if !r.scope.DryRun {
		for _, facts := range []ledger.Facts{urgent, rest} {
			if err := r.store.RecordFacts(ctx, facts, r.now()); err != nil {
				return err
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range all {
		if f.Finding != nil {
			r.report.Found++
		}
		if f.Finding != nil && r.keep {
			r.report.Findings = append(r.report.Findings, *f.Finding)
		}
		if f.asked {
			r.report.Asked++
		}
	}
	if r.scope.DryRun {
		for _, id := range ids {
			r.seen[id] = struct{}{}
		}
	}
	r.report.Listed += len(all)
	r.report.Unreadable += unreadable
	if r.progress != nil {
		r.progress(r.report)
	}
	return nil
}

// ask makes one call of at most inFlight at a time, and makes it again when it may work later.
func ask[T any](ctx context.Context, r *run, call func() (T, error)) (answer T, err error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return answer, ctx.Err()
	}
	for try := 1; ; try++ {
		answer, err = call()
		if err == nil || try == maxAttempts || !ordergroove.Temporary(err) {
			return answer, err
		}
		pause := time.NewTimer(cancelapp.Delay(try, ordergroove.RetryAfter(err), ledger.Background, r.o.Jitter()))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return answer, err
		}
	}
}
