package store

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// learning puts the facts of one event into the ledger. Each is an insert that does nothing the second time; only real
// news makes a subscription due.
type learning struct {
	tx   *sqlx.Tx
	at   int64
	how  counter.Urgency // of what becomes due
	ours bool            // a fact was about a subscription of ours, known already or not
	news bool            // a subscription became due
}

func (l *learning) learn(f counter.Facts) error {
	l.how = f.Urgency
	// Rows are touched in one order everywhere, or two instances deadlock.
	slices.SortFunc(f.Enrolments, func(a, b counter.Enrolment) int { return strings.Compare(a.Subscription, b.Subscription) })
	slices.SortFunc(f.Shipments, func(a, b counter.Shipment) int { return strings.Compare(a.Subscription, b.Subscription) })
	for _, e := range f.Enrolments {
		if err := l.enrol(e); err != nil {
			return fmt.Errorf("enrolling %s: %w", e.Subscription, err)
		}
	}
	for _, s := range f.Shipments {
		if err := l.ship(s); err != nil {
			return fmt.Errorf("recording shipment %s of %s: %w", s.Order, s.Subscription, err)
		}
	}
	for _, id := range f.Changed {
		if err := l.touch(id, counter.Released); err != nil {
			return err
		}
	}
	for _, r := range f.Reactivated {
		if _, err := l.exec(`update subscriptions set reactivated_at = ? where id = ? and reactivated_at < ?`, r.At, r.Subscription, r.At); err != nil {
			return err
		}
		if err := l.touch(r.Subscription, counter.Released); err != nil {
			return err
		}
	}
	for _, id := range f.Cancelled {
		// One that we completed is known to be cancelled: it was us.
		if err := l.touch(id, counter.Completed); err != nil {
			return err
		}
	}
	if f.OrderRead == "" {
		return nil
	}
	_, err := l.exec(`insert into orders_read (order_id, at) values (?, ?) on conflict do nothing`, f.OrderRead, l.at)
	return err
}

func (l *learning) enrol(e counter.Enrolment) error {
	l.ours = true
	n, err := l.exec(`
		insert into subscriptions (id, sku, term, customer, at_checkout, shipments_due, state, due, urgency, revision, enrolled_by, enrolled_at)
		values (?, ?, ?, ?, ?, ?, 'enrolled', ?, ?, 1, ?, ?)
		on conflict do nothing`,
		e.Subscription, e.SKU, e.Term, e.Customer, e.AtCheckout, e.Due, l.at, l.how, e.How, l.at)
	if err != nil {
		return err
	}
	if n == 0 && e.OwnProduct {
		// Since when, by the clock that the boxes are dated by, which counts seconds.
		from := cmp.Or(e.At, l.at)
		from -= from % 1000
		n, err = l.exec(`
			update subscriptions
			set state = 'enrolled', live = 1, sku = ?, term = ?, at_checkout = ?, shipments_due = ?, adjustment = 0, counters_sent = '',
			    counter_written = null, members = '', completed = 0, cancel_sent = 0, blocking = 0, exempt = '', last_told = 0, reopened = 1,
			    past = (select count(*) from shipments where subscription = subscriptions.id),
			    reason = '', revision = revision + 1, due = ?, urgency = ?, enrolled_by = ?, enrolled_at = ?
			where id = ? and state = 'released' and (exempt = '' or exempt <> ? and sku <> ?)`,
			e.SKU, e.Term, e.AtCheckout, e.Due, l.at, l.how, e.How, from, e.Subscription, e.Term, e.SKU)
		if err != nil {
			return err
		}
	}
	if n == 0 && e.How == ordergroove.SubscriptionCreate {
		// A creation that comes late still tells that it was termed from its beginning.
		_, err := l.exec(`update subscriptions set enrolled_by = ? where id = ? and enrolled_by <> ?`, e.How, e.Subscription, e.How)
		return err
	}
	if n == 0 {
		return nil
	}
	l.news = true
	return write(l.tx, counter.Entry{Subscription: e.Subscription, At: l.at, Actor: counter.ByOrdergroove,
		What: "enrolled", After: e.SKU, Reason: e.How})
}

func (l *learning) ship(s counter.Shipment) error {
	var page struct {
		State    counter.State `db:"state"`
		Reopened bool          `db:"reopened"`
		Enrolled int64         `db:"enrolled_at"`
	}
	err := l.tx.Get(&page, l.tx.Rebind(`select state, reopened, enrolled_at from subscriptions where id = ?`), s.Subscription)
	if errors.Is(err, sql.ErrNoRows) || page.State == counter.Released {
		return nil
	}
	if err != nil {
		return err
	}
	l.ours = true
	if page.Reopened && s.At < page.Enrolled && s.Source != counter.Reconciled {
		return nil // from before it was termed again; its first look asks which boxes count
	}
	fresh, err := insertShipment(l.tx, s, false)
	if err != nil || !fresh {
		return err
	}
	return l.touch(s.Subscription, counter.Released)
}

// touch makes a subscription of ours due, unless it stands in the given state. One that failed lately keeps its time: news
// is no reason to try earlier, but for one that waits for a person, who may just have been there.
func (l *learning) touch(id string, unless counter.State) error {
	var state counter.State
	err := l.tx.Get(&state, l.tx.Rebind(`select state from subscriptions where id = ?`), id)
	if errors.Is(err, sql.ErrNoRows) || state == counter.Released {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up %s: %w", id, err)
	}
	l.ours = true
	if state == unless {
		return nil
	}
	l.news = true
	_, err = l.exec(`
		update subscriptions
		set revision = revision + 1, due = case when attempts > 0 and due is not null and state <> 'attention' then due else ? end,
		    attempts = case when state = 'attention' then 0 else attempts end, urgency = `+urgencyNow+`
		where id = ?`, l.at, l.how, l.how, id)
	return err
}

// urgencyNow is how urgent a subscription is on news of a given urgency, which stands in it twice: more where it is complete
// and not known to be ended, and never less than it was.
const urgencyNow = `case
	when live = 1 and prepaid = 0 and state not in ('released', 'completed', 'ended')
	     and shipments_due + adjustment + past <= (select count(*) from shipments where subscription = subscriptions.id) then 1
	when due is not null and urgency > ? then urgency
	else ?
end`

func (l *learning) exec(query string, args ...any) (int64, error) {
	result, err := l.tx.Exec(l.tx.Rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// insertShipment records a shipment and its line in the journal, once for each (subscription, order). One that is told of
// already is no news to anybody.
func insertShipment(tx *sqlx.Tx, s counter.Shipment, told bool) (fresh bool, err error) {
	result, err := tx.Exec(tx.Rebind(`
		insert into shipments (subscription, order_id, sku, source, at, told)
		values (?, ?, ?, ?, ?, ?)
		on conflict do nothing`), s.Subscription, s.Order, s.SKU, s.Source, s.At, asInteger(told))
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	return true, write(tx, counter.Entry{Subscription: s.Subscription, At: s.At, Actor: counter.ByOrdergroove,
		What: "shipment", After: s.Order, Reason: s.Source})
}
