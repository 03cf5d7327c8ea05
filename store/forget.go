package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Forgotten says what was removed about a customer.
type Forgotten struct {
	Subscriptions int64 // that no longer name the customer; what is counted of them stays
	Events        int64 // whose bodies were removed
	Messages      int64 // delivered or given up, that were removed
	Waiting       int64 // events and messages that name the customer and are still to be processed: forget again later
}

// Forget removes a customer from what is recorded: from its subscriptions, from the bodies of events that name it, and
// from notifications that were sent. What is counted stays: subscriptions, shipments and journal do not name it. What
// is still to be processed needs its body, and is left.
func (s *Store) Forget(ctx context.Context, customer string) (Forgotten, error) {
	var f Forgotten
	quoted, err := json.Marshal(customer)
	if err != nil {
		return f, wrap("forgetting a customer", err)
	}
	err = s.writer.do(ctx, func(tx *sqlx.Tx) error {
		f = Forgotten{}
		run := func(n *int64, query string, args ...any) error {
			result, err := tx.Exec(tx.Rebind(query), args...)
			if err == nil {
				*n, err = result.RowsAffected()
			}
			return err
		}
		names := fmt.Sprintf(s.dialect.bodyHas, "body")
		if err := run(&f.Events, `update events set body = ? where due is null and `+names, []byte{}, quoted); err != nil {
			return err
		}
		if err := run(&f.Messages, `delete from messages where due is null and `+names, quoted); err != nil {
			return err
		}
		// safeguard: forget-addresses
		if err := forgetAddresses(ctx, tx, customer, time.Now().UnixMilli()); err != nil {
			return err
		}
		if err := run(&f.Subscriptions, `update subscriptions set customer = '' where customer = ?`, customer); err != nil {
			return err
		}
		return tx.Get(&f.Waiting, tx.Rebind(`
			select (select count(*) from events where due is not null and `+names+`) +
			       (select count(*) from messages where due is not null and `+names+`)`), quoted, quoted)
	})
	return f, wrap("forgetting a customer", err)
}
