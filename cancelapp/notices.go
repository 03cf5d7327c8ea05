package cancelapp

import (
	"context"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// outbox is where notices wait to be sent; store satisfies it.
type outbox interface {
	Post(ctx context.Context, posts []counter.Post) error
	Remind(ctx context.Context, at int64) error
}

// remindEvery is how often is asked whose last shipment is to be announced by now.
const remindEvery = time.Minute

// remind makes subscriptions due whose last shipment is to be announced so long before its order.
func (a *App) remind(ctx context.Context) {
	clock := time.NewTicker(remindEvery)
	defer clock.Stop()
	for {
		if a.rules().RemindBefore > 0 {
			if err := a.outbox.Remind(ctx, a.now()); err != nil && ctx.Err() == nil {
				a.trouble(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// tellAll works out what there is to tell of at the end of a look. It goes into the outbox with the look's outcome.
func (l *look) tellAll(ctx context.Context) error {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	if err := l.tell(asking, l.page); err != nil {
		return err
	}
	l.page.Blocking = false
	l.tellOfTheLast(asking)
	return nil
}

// tell tells of what happened up to a page.
func (l *look) tell(ctx context.Context, page counter.Ledger) error {
	var boxes []counter.Shipment
	if page.Untold > 0 {
		var err error
		if boxes, err = l.ledger.Untold(ctx, page.Subscription); err != nil {
			return err
		}
	}
	for _, n := range counter.Tell(l.before, page, boxes, l.now()) {
		l.post(n)
	}
	for _, box := range boxes {
		l.news.Told = append(l.news.Told, box.Order)
	}
	return nil
}

func (l *look) post(n counter.Notice) {
	l.news.Posts = append(l.news.Posts, l.Announce(n)...)
}

// tellOfTheLast announces, once, that the next shipment is the last: when one is left, or so long before its order is placed
// as the settings say. Until then it sees to it that the subscription is looked at again.
func (l *look) tellOfTheLast(ctx context.Context) {
	left := l.page.Remaining() == 1 && !l.page.Prepaid
	l.page.LastTold = l.page.LastTold && left
	if !left || l.page.LastTold || l.page.State != counter.Active {
		return
	}
	n := counter.Notice{Type: counter.LastShipmentNext, At: l.now(), Page: l.page}
	if len(l.Announce(n)) == 0 {
		return // nobody wants to know: no call is spent on it
	}
	if l.RemindBefore > 0 {
		orders, err := l.api.Orders(ctx, l.page.Subscription, ordergroove.StatusUnsent)
		if err != nil {
			l.remind = l.now() + time.Hour.Milliseconds()
			return
		}
		n.Order, n.Place = firstToCome(orders)
		if from := n.Place - l.RemindBefore.Milliseconds(); n.Place != 0 && from > l.now() {
			l.remind = from
			return
		}
	}
	l.page.LastTold = true
	l.post(n)
}

// begin takes the plan's page for the ledger's own: what it ends is told of first.
func (l *look) begin(ctx context.Context, plan counter.Plan) (ordergroove.Subscription, error) {
	ended := l.page
	if plan.Anew && ended.Remaining() == 0 {
		ended.State = counter.Completed
	}
	if err := l.tell(ctx, ended); err != nil {
		return ordergroove.Subscription{}, err
	}
	if plan.Anew {
		started := *plan.Page
		started.State = counter.Active
		l.post(counter.Notice{Type: counter.TermStarted, At: l.now(), Page: started})
	}
	entry := l.entry(plan.What, l.page.Show(), plan.Page.Show(), plan.Why)
	step := counter.Step{Next: plan.Page, Entries: []counter.Entry{entry}, Dispatch: l.news}
	if err := l.record(ctx, step); err != nil {
		return ordergroove.Subscription{}, err
	}
	l.news = counter.Dispatch{}
	l.page.LastTold = l.page.LastTold && !plan.Anew
	l.before = l.page
	l.before.State = counter.Active
	return l.remote, nil
}
