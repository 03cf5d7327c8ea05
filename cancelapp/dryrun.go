package cancelapp

import (
	"context"
	"slices"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// DryRun is what a sync would do now: the subscription as it would leave it, and the lines that it would write into the
// journal.
type DryRun struct {
	Subscription counter.Subscription
	Journal      []ledger.JournalEntry
}

// DryRun goes through a sync of a subscription, by the same code as a real one, without changing anything anywhere.
// What it asks it asks for real, except for the subscription itself where the caller has it. Found are shipments that
// are not recorded yet.
func (a *App) DryRun(
	ctx context.Context, sub counter.Subscription, found []counter.Shipment, remote *ordergroove.Subscription,
) (DryRun, error) {
	enrollments, err := a.store.Enrollments(ctx, sub.ID)
	if err != nil {
		return DryRun{}, err
	}
	shipments, err := a.store.Shipments(ctx, sub.ID)
	if err != nil {
		return DryRun{}, err
	}
	if remote == nil {
		asked, err := a.api.Subscription(ctx, sub.ID)
		if err != nil {
			return DryRun{}, err
		}
		remote = &asked
	}
	d := &dryRun{
		API:         a.api,
		Store:       a.store,
		remote:      *remote,
		sub:         sub,
		enrollments: enrollments,
		shipments:   shipments,
	}
	d.add(found)
	d.save(sub.Enrollment)
	d.assign()
	s := a.newSync(ledger.Lease{Subscription: ledger.Subscription{Subscription: d.sub}})
	s.api = d
	s.store = d
	s.paused = a.brake.paused() // in a real sync the store refuses the change
	s.Messages = func(counter.Notification) []ledger.Message { return nil }
	err = s.run(ctx)
	return DryRun{s.sub, append(d.journal, s.journal...)}, err
}

// Plan says what the one next action of a sync would be, and leaves the subscription as the sync sees it. It only
// decides.
func (a *App) Plan(
	rules Rules, sub counter.Subscription, remote ordergroove.Subscription,
) (counter.Subscription, counter.Plan) {
	s := a.newSync(ledger.Lease{Subscription: ledger.Subscription{Subscription: sub}})
	s.Rules = rules
	s.paused = a.brake.paused()
	_, plan := s.decide(remote)
	return s.sub, plan
}

// Find asks Ordergroove for a subscription's placed orders and says what is new about them.
func (a *App) Find(
	ctx context.Context, rules Rules, sub counter.Subscription, remote ordergroove.Subscription,
) (counter.Found, error) {
	s := a.newSync(ledger.Lease{Subscription: ledger.Subscription{Subscription: sub}})
	s.Rules = rules
	s.observe(remote)
	return s.find(ctx, s.term())
}

// dryRun stands in for the store, and for Ordergroove where a call would change something.
type dryRun struct {
	API
	Store
	remote      ordergroove.Subscription
	sub         counter.Subscription
	enrollments []counter.Enrollment
	shipments   []counter.Shipment
	journal     []ledger.JournalEntry
}

func (d *dryRun) Subscription(context.Context, string) (ordergroove.Subscription, error) {
	return d.remote, nil
}

func (d *dryRun) Do(_ context.Context, change ordergroove.Change) (ordergroove.Answer, error) {
	d.remote = change.Apply(d.remote)
	return ordergroove.Answer{Subscription: d.remote}, nil
}

func (d *dryRun) Shipments(context.Context, string) ([]counter.Shipment, error) {
	return slices.Clone(d.shipments), nil
}

// Record does what the store's does, in memory.
func (d *dryRun) Record(_ context.Context, _ ledger.Lease, step ledger.Step) (counter.Subscription, error) {
	for _, shipment := range counter.Without(step.Shipments, d.shipments) {
		d.journal = append(d.journal, ledger.ShipmentEntry(shipment))
	}
	d.add(step.Shipments)
	d.save(step.Enrollment)
	if step.OpenedAt != nil {
		d.open(*step.OpenedAt)
	}
	if step.Next != nil {
		d.save(*step.Next)
	}
	d.assign()
	d.journal = append(d.journal, step.Journal...)
	return d.sub, nil
}

func (d *dryRun) add(found []counter.Shipment) {
	d.shipments = append(d.shipments, counter.Without(found, d.shipments)...)
}

// open moves the beginning of the current enrollment. From its beginning, nothing is excluded by its product.
func (d *dryRun) open(at int64) {
	d.enrollments[len(d.enrollments)-1].OpenedAt = at
	if at != 0 {
		return
	}
	for i := range d.shipments {
		d.shipments[i].Excluded = ""
	}
}

func (d *dryRun) save(e counter.Enrollment) {
	if last := len(d.enrollments) - 1; last >= 0 && d.enrollments[last].Number == e.Number {
		d.enrollments[last] = e
		return
	}
	d.enrollments = append(d.enrollments, e)
}

func (d *dryRun) assign() {
	d.shipments = counter.Assign(d.enrollments, d.shipments)
	last := &d.enrollments[len(d.enrollments)-1]
	last.Placed = counter.Tally(last.Number, d.shipments)
	d.sub.Enrollment = *last
}
