package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// EditSubscription makes an operator's change, with its line in the journal, and makes the subscription due: the sync
// carries it out. A change that changes nothing leaves everything as it is. ledger.ErrLeased: a sync is in progress;
// ledger.ErrUnknown: there is no such subscription; or Change's own error. It answers the subscription before and
// after.
func (s *Store) EditSubscription(
	ctx context.Context, edit ledger.Edit,
) (before, after counter.Subscription, err error) {
	var was, is counter.Subscription
	var changed bool
	err = s.writer.change(ctx, []string{edit.Subscription}, func(tx *sqlx.Tx) error {
		row, found, err := s.dialect.current(tx, edit.Subscription)
		if err == nil && !found {
			err = ledger.ErrUnknown
		}
		if err != nil {
			return err
		}
		// safeguard: operator-waits
		if row.leaseUntil > edit.At {
			return ledger.ErrLeased
		}
		was = row.Subscription.Subscription
		if is, err = edit.Change(was); err != nil {
			return err
		}
		if changed = counter.Changed(was.Enrollment, is.Enrollment); !changed {
			return nil
		}
		return saveEdit(tx, is, edit.At, edit.Entry(was, is))
	})
	if err != nil {
		return counter.Subscription{}, counter.Subscription{}, wrap("changing "+edit.Subscription, err)
	}
	if changed {
		s.wake(kindSubscriptions)
	}
	return was, is, nil
}

func saveEdit(tx *sqlx.Tx, sub counter.Subscription, at int64, entry ledger.JournalEntry) error {
	if err := saveEnrollment(tx, sub.ID, sub.Enrollment); err != nil {
		return err
	}
	if _, err := assign(tx, sub.ID); err != nil {
		return err
	}
	// A sync whose lease expired in its middle must not write what it saw before: its lease goes.
	// safeguard: operator-fence
	if _, err := tx.Exec(tx.Rebind(`
		update subscriptions
		set due = ?, attempts = 0, revision = revision + 1, lease = '', lease_until = 0
		where id = ?`), at, sub.ID); err != nil {
		return err
	}
	if err := prioritize(tx, sub.ID, ledger.Normal); err != nil {
		return err
	}
	return write(tx, entry)
}
