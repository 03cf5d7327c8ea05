package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
)

// Amendment is an operator's wish about one subscription.
type Amendment struct {
	Subscription string
	At           int64 // UTC unix milliseconds
	// Change answers the page as it is to be, or why it cannot be. It may be asked more than once.
	Change func(counter.Ledger) (counter.Ledger, error)
	// Entry is the journal's line about it.
	Entry func(before, after counter.Ledger) counter.Entry
}

// Amend changes a page of the ledger on an operator's wish, with its line in the journal, and makes the subscription due: the
// look brings it to its level. A wish that changes nothing leaves everything as it is. counter.ErrHeld: a look is under way;
// ErrUnknown: there is no such page; or Change's own error. It answers the page before and after.
func (s *Store) Amend(ctx context.Context, a Amendment) (before, after counter.Ledger, err error) {
	var changed bool
	var was, is counter.Ledger
	err = s.writer.do(ctx, func(tx *sqlx.Tx) error {
		var pages []page
		if err := tx.Select(&pages, tx.Rebind(selectPage+`where id = ? `+s.dialect.lockRow), a.Subscription); err != nil {
			return err
		}
		if len(pages) == 0 {
			return ErrUnknown
		}
		if pages[0].ClaimUntil > a.At {
			return counter.ErrHeld
		}
		was = pages[0].ledger()
		var err error
		if is, err = a.Change(was); err != nil {
			return err
		}
		if changed = counter.Amended(was, is); !changed {
			return nil
		}
		// A look whose lease ran out in its middle must not write what it saw before: its claim goes.
		if _, err := tx.Exec(tx.Rebind(`
			update subscriptions
			set term = ?, shipments_due = ?, adjustment = ?, exempt = ?, due = ?, attempts = 0, revision = revision + 1, claim = '', claim_until = 0
			where id = ?`), is.Term, is.Due, is.Adjustment, is.Exempt, a.At, a.Subscription); err != nil {
			return err
		}
		if _, err := tx.Exec(tx.Rebind(`update subscriptions set urgency = `+urgencyNow+` where id = ?`), counter.News, counter.News, a.Subscription); err != nil {
			return err
		}
		return write(tx, a.Entry(was, is))
	})
	if err != nil {
		return counter.Ledger{}, counter.Ledger{}, wrap("changing "+a.Subscription, err)
	}
	if changed {
		signal(s.subscriptionsDue)
	}
	return was, is, nil
}
