package store

import (
	"strings"

	"github.com/jmoiron/sqlx"
)

// summarize brings up to date what lists over all subscriptions select by: the state, term and product of the current
// enrollment, and how many shipments of how many it has made. It is written in the transaction of what it sums up, and
// nothing but lists and figures reads it: what decides reads the enrollments and the shipments themselves.
func summarize(tx *sqlx.Tx, subscriptions []string) error {
	if len(subscriptions) == 0 {
		return nil
	}
	args := make([]any, len(subscriptions))
	for i, id := range subscriptions {
		args[i] = id
	}
	_, err := tx.Exec(tx.Rebind(`
		update subscriptions
		set (state, term, sku, made, total, last_next) = (`+summary+`)
		where id in (?`+strings.Repeat(", ?", len(args)-1)+`)`), args...)
	return wrap("summing up subscriptions", err)
}

const summary = `
	select state, term, sku, made, total,
	       case when state = 'active' and subscriptions.prepaid = 0 and total - made = 1 then 1 else 0 end
	from (
		select e.subscription, e.number, e.state, e.term, e.sku,
		       e.checkout_shipments + (
			select count(*) from shipments where subscription = e.subscription and enrollment = e.number) as made,
		       e.checkout_shipments +
		       case when e.orders_due + e.adjustment > 0 then e.orders_due + e.adjustment else 0 end as total
		from enrollments e
		where e.subscription = subscriptions.id
		order by e.number desc
		limit 1) as latest`
