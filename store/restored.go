package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

// A database that was brought back from a copy does not know what happened since the copy was made.

// notRestored holds unless the database was brought back from a copy and is not recounted yet: a sync would take what
// termed wrote since the copy was made for somebody's edit.
const notRestored = `not exists (select 1 from pause where restored = 1)`

// MarkRestored pauses all changes at Ordergroove until all subscriptions have been recounted.
func (s *Store) MarkRestored(ctx context.Context, by ledger.Pause) error {
	return wrap("marking the database as brought back from a copy", s.writer.do(ctx, func(tx *sqlx.Tx) error {
		if err := s.dialect.brake(tx); err != nil {
			return err
		}
		// safeguard: restored-paused
		if _, err := tx.Exec(tx.Rebind(`
			insert into pause (one, since, actor, reason, restored)
			values (1, ?, ?, ?, 1)
			on conflict (one) do update set since = excluded.since, restored = excluded.restored`),
			by.Since, by.Actor, by.Reason); err != nil {
			return err
		}
		for _, forget := range []string{
			`update reconciliation
			 set all_at = 0, recent_at = 0, upcoming_at = 0, scope = '', started = 0, lease = '', lease_until = 0`,
			`delete from reconciliation_lists`,
			`update subscriptions set lease = '', lease_until = 0 where lease <> ''`,
		} {
			if _, err := tx.Exec(forget); err != nil {
				return err
			}
		}
		return write(tx, ledger.JournalEntry{At: by.Since, Actor: by.Actor, What: "restored", Reason: by.Reason})
	}))
}

// endRestored ends that pause, when all subscriptions have been recounted since it began.
func (s *Store) endRestored(ctx context.Context, tx *sqlx.Tx, recounted int64) error {
	if err := s.dialect.brake(tx); err != nil {
		return err
	}
	paused, err := pauseOf(ctx, tx)
	if err != nil || !paused.Restored || paused.Since > recounted {
		return err
	}
	if err := doubtAdjustments(ctx, tx, recounted); err != nil {
		return err
	}
	// safeguard: restored-counters
	if err := s.assumeSent(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(`delete from pause`); err != nil {
		return err
	}
	if err := retryWithheld(tx, recounted); err != nil {
		return err
	}
	return write(tx, ledger.JournalEntry{
		At:     recounted,
		Actor:  paused.Actor,
		What:   "resumed",
		Reason: "all subscriptions were recounted",
	})
}

// assumeSent lets every running enrollment know which counters may have been sent since the copy was made.
func (s *Store) assumeSent(ctx context.Context, tx *sqlx.Tx) error {
	const atATime = 500
	for after := ""; ; {
		rows, err := read(ctx, tx, `
			where e.closed_at = 0 and s.id`+s.dialect.bytewise+` > ?
			order by s.id`+s.dialect.bytewise+`
			limit ?`, after, atATime)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			after = r.ID
			assumed := r.Enrollment.AssumeSent()
			if len(assumed.CountersSent) == len(r.CountersSent) {
				continue
			}
			if err := saveEnrollment(tx, r.ID, assumed); err != nil {
				return err
			}
		}
	}
}

// doubtAdjustments leaves to a person what was pending in the copy and may have been applied since: a discount cannot
// be taken back. A shipment that is behind the upcoming one cannot have been changed yet.
func doubtAdjustments(ctx context.Context, tx *sqlx.Tx, at int64) error {
	open, err := adjustments(ctx, tx, `where status = 'pending' order by created, id`)
	if err != nil {
		return err
	}
	for _, a := range open {
		var made int
		if err := tx.GetContext(ctx, &made, tx.Rebind(`select made from subscriptions where id = ?`),
			a.Subscription); err != nil {
			return wrap("reading how many shipments were made of "+a.Subscription, err)
		}
		// safeguard: restored-adjustments
		if a.Spec.Matcher.Shipment > made+1 {
			continue
		}
		a.Status = ledger.AdjustmentAttention
		a.Reason = "the database was brought back from a copy: it may have been applied since"
		a.Updated = at
		if err := saveAdjustment(tx, &a); err != nil {
			return err
		}
	}
	return nil
}
