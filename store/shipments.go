package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// Shipments returns a subscription's shipments, those of no enrollment too, oldest first.
func (s *Store) Shipments(ctx context.Context, subscription string) ([]counter.Shipment, error) {
	all, err := shipmentsOf(ctx, s.reads, subscription)
	return all, wrap("reading the shipments of "+subscription, err)
}

func shipmentsOf(ctx context.Context, q queryer, subscription string) ([]counter.Shipment, error) {
	rows, err := q.QueryxContext(ctx, q.Rebind(`
		select order_id, enrollment, excluded, sku, source, placed_at, notified
		from shipments
		where subscription = ?
		order by placed_at, order_id`), subscription)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []counter.Shipment
	for rows.Next() {
		s := counter.Shipment{Subscription: subscription}
		if err := rows.Scan(&s.Order, &s.Enrollment, &s.Excluded, &s.SKU, &s.Source, &s.At,
			(*flag)(&s.Notified)); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// insertShipment records a shipment and its line in the journal, once for each (subscription, order). One of an order
// that is already known is no news. Which enrollment it belongs to is worked out by assign.
func insertShipment(tx *sqlx.Tx, s counter.Shipment) (fresh bool, err error) {
	result, err := tx.Exec(tx.Rebind(`
		insert into shipments (subscription, order_id, enrollment, excluded, sku, source, placed_at, notified)
		values (?, ?, 0, ?, ?, ?, ?, ?)
		on conflict do nothing`), s.Subscription, s.Order, s.Excluded, s.SKU, s.Source, s.At,
		flag(s.Notified || s.Excluded != ""))
	if err != nil {
		return false, err
	}
	// safeguard: unique-shipments
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	return true, write(tx, ledger.ShipmentEntry(s))
}
