package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

// The brake: since when SKUs are listed, which ends nobody saw coming, and whether an operator has paused all changes.

const (
	throttleWindow = time.Hour
	// throttleMoment is how long an unexplained end waits in line before it is admitted: others that come to light
	// together with it may have less time left.
	throttleMoment = 2 * time.Second
	// throttleRecheck bounds the time until an end that is held back asks again: the limit, or the line, may have changed.
	throttleRecheck = 10 * time.Minute
)

// ListSKUs records which SKUs are listed as of a time, and answers since when each has been listed without a break.
// What is not among them any more counts as taken out; it is listed again from when it comes back.
func (s *Store) ListSKUs(ctx context.Context, skus []string, at int64) (map[string]int64, error) {
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		var listed []string
		if err := tx.Select(&listed, `select sku from listed_skus where removed_at = 0 order by sku`); err != nil {
			return err
		}
		for _, sku := range slices.Sorted(slices.Values(skus)) {
			if _, err := tx.Exec(tx.Rebind(`
				insert into listed_skus (sku, listed_at)
				values (?, ?)
				on conflict (sku) do update set listed_at = excluded.listed_at, removed_at = 0
				where listed_skus.removed_at > 0`), sku, at); err != nil {
				return err
			}
		}
		for _, sku := range listed {
			if slices.Contains(skus, sku) {
				continue
			}
			if _, err := tx.Exec(tx.Rebind(`update listed_skus set removed_at = ? where sku = ?`), at, sku); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap("recording the listed SKUs", err)
	}
	return s.ListedSKUs(ctx)
}

// ListedSKUs answers since when each listed SKU has been listed without a break, UTC unix milliseconds.
func (s *Store) ListedSKUs(ctx context.Context) (map[string]int64, error) {
	var rows []struct {
		SKU string `db:"sku"`
		At  int64  `db:"listed_at"`
	}
	err := s.reads.SelectContext(ctx, &rows, `select sku, listed_at from listed_skus where removed_at = 0`)
	listed := make(map[string]int64, len(rows))
	for _, r := range rows {
		listed[r.SKU] = r.At
	}
	return listed, wrap("reading the listed SKUs", err)
}

// permit refuses a change at Ordergroove while changes are paused, and an end that nobody saw coming while it has to
// wait. What it decides on cannot change before the transaction is committed.
func (d dialect) permit(tx *sqlx.Tx, subscription string, intent *ledger.Intent) error {
	if intent == nil {
		return nil
	}
	lock := d.shareBrake
	if intent.Unexplained {
		lock = d.lockBrake
	}
	if lock != "" {
		if _, err := tx.Exec(lock); err != nil {
			return err
		}
	}
	// safeguard: pause
	if paused, err := pauseOf(context.Background(), tx); err != nil || paused.Since != 0 {
		return errors.Join(err, pausedError(paused))
	}
	// safeguard: throttle
	if intent.Unexplained {
		return admit(tx, subscription, *intent)
	}
	return nil
}

func pausedError(p ledger.Pause) error {
	if p.Since == 0 {
		return nil
	}
	return ledger.ErrPaused
}

// admit admits an unexplained end, or says until when it has to wait: the soonest next order goes first.
func admit(tx *sqlx.Tx, subscription string, intent ledger.Intent) error {
	var line struct {
		State    string `db:"state"`
		Unsynced int    `db:"unsynced"` // subscriptions that nobody has synced yet: they may belong into the line
		Sooner   int    `db:"sooner"`   // those in the line whose next order is sooner
		Active   int    `db:"active"`
		Used     int    `db:"used"` // ends of the last hour
	}
	if err := tx.Get(&line, tx.Rebind(admission), intent.At, intent.At-throttleWindow.Milliseconds(),
		subscription); err != nil {
		return err
	}
	if line.State != "throttled" || line.Unsynced > 0 {
		return &ledger.ThrottledError{Until: intent.At + throttleMoment.Milliseconds()}
	}
	limit := max(intent.Limit.PerHour, line.Active*intent.Limit.Percent/100)
	if line.Used+line.Sooner >= limit {
		return heldBack(tx, intent.At, line.Used+line.Sooner-limit)
	}
	_, err := tx.Exec(tx.Rebind(`insert into unexplained_ends (subscription, at) values (?, ?) on conflict do nothing`),
		subscription, intent.At)
	return err
}

// admission is what an unexplained end's admission depends on. An order of unknown date comes last.
const admission = `
	select e.state as state,
	       (select count(*)
	        from subscriptions o
	        join enrollments oe on oe.subscription = o.id
	         and oe.number = (select max(number) from enrollments where subscription = o.id)
	        where o.due <= ? and o.attempts = 0 and oe.state = 'enrolled') as unsynced,
	       (select count(*)
	        from subscriptions o
	        join enrollments oe on oe.subscription = o.id
	         and oe.number = (select max(number) from enrollments where subscription = o.id)
	        where oe.state = 'throttled' and oe.admitted_at = 0 and o.id <> s.id
	          and (o.extra_place > 0 and (s.extra_place = 0 or o.extra_place < s.extra_place)
	               or o.extra_place = s.extra_place and o.id < s.id)) as sooner,
	       (select count(*)
	        from subscriptions o
	        join enrollments oe on oe.subscription = o.id
	         and oe.number = (select max(number) from enrollments where subscription = o.id)
	        where oe.state = 'active') as active,
	       (select count(*) from unexplained_ends where at > ?) as used
	from subscriptions s
	join enrollments e on e.subscription = s.id
	 and e.number = (select max(number) from enrollments where subscription = s.id)
	where s.id = ?`

// heldBack says when the end that is so many places behind the limit may be admitted: when as many of the last hour's
// are an hour ago.
func heldBack(tx *sqlx.Tx, at int64, behind int) error {
	var leaves int64
	err := tx.Get(&leaves, tx.Rebind(`
		select at
		from unexplained_ends
		where at > ?
		order by at
		limit 1 offset ?`), at-throttleWindow.Milliseconds(), behind)
	until := at + throttleRecheck.Milliseconds()
	if err == nil {
		until = min(until, leaves+throttleWindow.Milliseconds())
	} else if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return &ledger.ThrottledError{Until: until, HeldBack: true}
}

// Pause pauses all changes at Ordergroove, of every instance on the database, with a line in the journal. It is false
// where they are paused already.
func (s *Store) Pause(ctx context.Context, p ledger.Pause) (bool, error) {
	var began bool
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		began = false
		if err := s.dialect.brake(tx); err != nil {
			return err
		}
		result, err := tx.Exec(tx.Rebind(
			`insert into pause (one, since, actor, reason) values (1, ?, ?, ?) on conflict do nothing`),
			p.Since, p.Actor, p.Reason)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil || n == 0 {
			return err
		}
		began = true
		return write(tx, ledger.JournalEntry{At: p.Since, Actor: p.Actor, What: "paused", Reason: p.Reason})
	})
	if err != nil {
		return false, wrap("pausing", err)
	}
	return began, nil
}

// Resume ends a pause, with a line in the journal, and makes due what was held back. It answers the pause that ended;
// the zero value: there was none.
func (s *Store) Resume(ctx context.Context, by ledger.Pause) (ledger.Pause, error) {
	var was ledger.Pause
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		if err := s.dialect.brake(tx); err != nil {
			return err
		}
		paused, err := pauseOf(ctx, tx)
		if err != nil {
			return err
		}
		was = paused
		if was.Since == 0 {
			return nil
		}
		if _, err := tx.Exec(`delete from pause`); err != nil {
			return err
		}
		if err := retryWithheld(tx, by.Since); err != nil {
			return err
		}
		return write(tx, ledger.JournalEntry{At: by.Since, Actor: by.Actor, What: "resumed", Reason: by.Reason})
	})
	if err != nil {
		return ledger.Pause{}, wrap("resuming", err)
	}
	s.wake(kindSubscriptions)
	return was, nil
}

// RetryWithheld makes due what was held back by something that may be over. What needs an approval still does, but its
// next order has to be known.
func (s *Store) RetryWithheld(ctx context.Context, at int64) error {
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error { return retryWithheld(tx, at) })
	if err == nil {
		s.wake(kindSubscriptions)
	}
	return wrap("retrying what was held back", err)
}

// retryWithheld makes due what is held back, and what a sync in progress may be about to hold back.
func retryWithheld(tx *sqlx.Tx, at int64) error {
	// safeguard: resumed-during-sync
	if _, err := tx.Exec(`update subscriptions set revision = revision + 1 where lease <> ''`); err != nil {
		return err
	}
	_, err := tx.Exec(tx.Rebind(`
		update subscriptions
		set due = ?, revision = revision + 1
		where id in (
			select e.subscription
			from enrollments e
			join subscriptions s on s.id = e.subscription
			where e.withheld <> '' and e.state <> 'throttled'
			  and (e.approval <> 'needed' or e.state = 'awaiting_approval' and s.extra_order = '')
			  and e.number = (select max(number) from enrollments where subscription = e.subscription))`), at)
	return err
}

// brake keeps other transactions from ends and from the pause until this one is committed.
func (d dialect) brake(tx *sqlx.Tx) error {
	if d.lockBrake == "" {
		return nil
	}
	_, err := tx.Exec(d.lockBrake)
	return err
}

func pauseOf(ctx context.Context, q sqlx.QueryerContext) (ledger.Pause, error) {
	var p ledger.Pause
	err := sqlx.GetContext(ctx, q, &p, `select since, actor, reason, restored from pause`)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return p, err
}

// Brake says what holds back changes at the moment.
func (s *Store) Brake(ctx context.Context) (ledger.Brake, error) {
	var b ledger.Brake
	paused, err := pauseOf(ctx, s.reads)
	if err != nil {
		return b, wrap("reading the pause", err)
	}
	b.Pause = paused
	// What is withheld is found first, and then counted: the index by terms would lead through all enrollments.
	if err := s.reads.SelectContext(ctx, &b.Terms, `
		with w as materialized (select subscription, number, term, state, approval from enrollments where withheld <> '')
		select w.term as term,
		       count(case when w.state = 'awaiting_approval' then 1 end) as complete,
		       count(case when w.state <> 'awaiting_approval' then 1 end) as running
		from w
		where w.approval = 'needed' and w.state in ('active', 'awaiting_approval')
		  and w.number = (select max(number) from enrollments where subscription = w.subscription)
		group by w.term
		order by w.term`+s.dialect.bytewise); err != nil {
		return b, wrap("counting what needs approval", err)
	}
	var held struct {
		Throttled int `db:"throttled"`
		Withheld  int `db:"withheld"`
	}
	err = s.reads.GetContext(ctx, &held, `
		select count(case when e.state = 'throttled' and s.attempts > 0 then 1 end) as throttled,
		       count(*) as withheld
		from subscriptions s
		join enrollments e on e.subscription = s.id
		 and e.number = (select max(number) from enrollments where subscription = s.id)
		where e.withheld <> '' and e.state not in ('released', 'completed', 'ended')`)
	b.Throttled = held.Throttled
	b.Withheld = held.Withheld
	return b, wrap("counting what is held back", err)
}
