package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

// reconciliation is the one row that says which reconciliation is in progress.
type reconciliation struct {
	Scope      string `db:"scope"`
	Started    int64  `db:"started"`
	Lease      string `db:"lease"`
	LeaseUntil int64  `db:"lease_until"`
	AllAt      int64  `db:"all_at"`
	RecentAt   int64  `db:"recent_at"`

	UpcomingAt    int64 `db:"upcoming_at"`
	UpcomingPages int64 `db:"upcoming_pages"`
}

// last says when the last finished reconciliations began.
func (r reconciliation) last() ledger.LastReconciled {
	return ledger.LastReconciled{
		All:           r.AllAt,
		Recent:        r.RecentAt,
		Upcoming:      r.UpcomingAt,
		UpcomingPages: r.UpcomingPages,
	}
}

const selectReconciliation = `select scope, started, lease, lease_until, all_at, recent_at, upcoming_at, ` +
	`upcoming_pages from reconciliation where one = 1 `

// LastReconciled says when the last finished reconciliations began.
func (s *Store) LastReconciled(ctx context.Context) (ledger.LastReconciled, error) {
	var r reconciliation
	err := s.reads.GetContext(ctx, &r, selectReconciliation)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return r.last(), wrap("reading the last reconciliation", err)
}

// BeginReconciliation takes the exclusive right to reconcile, until the given time: with the progress of one of the
// same scope that was interrupted less than an age ago (milliseconds), or with none. It is false while somebody else
// reconciles.
func (s *Store) BeginReconciliation(
	ctx context.Context, scope string, at, until, age int64,
) (ledger.Reconciliation, bool, error) {
	var run ledger.Reconciliation
	var ok bool
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		run, ok = ledger.Reconciliation{}, false
		if _, err := tx.Exec(`insert into reconciliation (one) values (1) on conflict do nothing`); err != nil {
			return err
		}
		var r reconciliation
		// safeguard: one-reconciliation
		if err := tx.Get(&r, selectReconciliation+s.dialect.lockRow); err != nil || r.LeaseUntil > at {
			return err
		}
		if r.Scope != scope || r.Started <= at-age {
			if _, err := tx.Exec(`delete from reconciliation_lists`); err != nil {
				return err
			}
		}
		var lists []struct {
			SKU  string `db:"sku"`
			Next string `db:"next"`
			Done bool   `db:"done"`
		}
		if err := tx.Select(&lists, `select sku, next, done from reconciliation_lists`); err != nil {
			return err
		}
		run = ledger.Reconciliation{
			Token: s.tokens + rand.Text(), Started: at, Lists: map[string]ledger.ListProgress{},
			LastReconciled: r.last(),
		}
		for _, l := range lists {
			run.Lists[l.SKU] = ledger.ListProgress{Next: l.Next, Done: l.Done}
		}
		ok = true
		_, err := tx.Exec(tx.Rebind(
			`update reconciliation set scope = ?, started = ?, lease = ?, lease_until = ? where one = 1`,
		),
			scope, run.Started, run.Token, until)
		return err
	})
	if err != nil {
		return ledger.Reconciliation{}, false, wrap("beginning to reconcile", err)
	}
	return run, ok, nil
}

// SaveProgress records what a reconciliation learned from one page of a list, and the page to continue with, in one
// transaction: after a crash nothing is skipped. It extends the right to reconcile until the given time.
// ledger.ErrLeaseLost: somebody else reconciles by now.
func (s *Store) SaveProgress(
	ctx context.Context, run ledger.Reconciliation, sku string, progress ledger.ListProgress, until int64,
	learned ...ledger.Listed,
) error {
	ids := listedIDs(learned)
	return wrap("saving the progress in the list of "+sku, s.writer.change(ctx, ids, func(tx *sqlx.Tx) error {
		if err := oneRow(tx, `update reconciliation set lease_until = ? where one = 1 and lease = ?`,
			until, run.Token); err != nil {
			return err
		}
		if err := list(tx, learned); err != nil {
			return err
		}
		_, err := tx.Exec(tx.Rebind(`
			insert into reconciliation_lists (sku, next, done)
			values (?, ?, ?)
			on conflict (sku) do update set next = excluded.next, done = excluded.done`), sku, progress.Next,
			flag(progress.Done))
		return err
	}))
}

// RenewReconciliation extends the right to reconcile until the given time. ledger.ErrLeaseLost: somebody else
// reconciles by now.
func (s *Store) RenewReconciliation(ctx context.Context, run ledger.Reconciliation, until int64) error {
	return wrap("renewing the right to reconcile", s.writer.do(ctx, func(tx *sqlx.Tx) error {
		return oneRow(tx, `update reconciliation set lease_until = ? where one = 1 and lease = ?`,
			until, run.Token)
	}))
}

// EndReconciliation gives the right to reconcile back, whether it was finished or interrupted. A finished one is
// remembered.
func (s *Store) EndReconciliation(
	ctx context.Context, run ledger.Reconciliation, to ledger.LastReconciled, finished bool,
) error {
	if to.Recounted {
		defer s.wake(kindSubscriptions)
	}
	return wrap("ending the reconciliation", s.writer.do(ctx, func(tx *sqlx.Tx) error {
		if !finished {
			return oneRow(tx, `update reconciliation set lease = '', lease_until = 0 where one = 1 and lease = ?`,
				run.Token)
		}
		if err := oneRow(tx, `
			update reconciliation
			set lease = '', lease_until = 0, scope = '', started = 0, all_at = ?, recent_at = ?, upcoming_at = ?,
			    upcoming_pages = ?
			where one = 1 and lease = ?`, to.All, to.Recent, to.Upcoming, to.UpcomingPages, run.Token); err != nil {
			return err
		}
		if _, err := tx.Exec(`delete from reconciliation_lists`); err != nil {
			return err
		}
		if !to.Recounted {
			return nil
		}
		return s.endRestored(ctx, tx, to.All)
	}))
}

// SaveListed records what a reconciliation learned about subscriptions without a list. ledger.ErrLeaseLost: somebody
// else reconciles by now.
func (s *Store) SaveListed(ctx context.Context, run ledger.Reconciliation, learned ...ledger.Listed) error {
	return wrap("saving what was compared", s.writer.change(ctx, listedIDs(learned), func(tx *sqlx.Tx) error {
		if err := oneRow(tx, `update reconciliation set lease = lease where one = 1 and lease = ?`, run.Token); err != nil {
			return err
		}
		return list(tx, learned)
	}))
}

func listedIDs(listed []ledger.Listed) []string {
	ids := make([]string, len(listed))
	for i, l := range listed {
		ids[i] = l.Subscription
	}
	return ids
}

func list(tx *sqlx.Tx, listed []ledger.Listed) error {
	for _, l := range listed {
		if _, err := tx.Exec(tx.Rebind(
			`update subscriptions set listed_at = ?, upcoming = coalesce(?, upcoming) where id = ?`,
		),
			l.At, l.Upcoming, l.Subscription); err != nil {
			return err
		}
	}
	return nil
}

// RecordFacts records facts that no event announced: they were found by asking.
func (s *Store) RecordFacts(ctx context.Context, f ledger.Facts, at int64) error {
	var r recorder
	err := s.writer.change(ctx, f.Subscriptions(), func(tx *sqlx.Tx) error {
		r = recorder{dialect: s.dialect, tx: tx, at: at}
		return r.record(f)
	})
	if err == nil {
		s.recorded(r)
	}
	return wrap("recording what was found", err)
}

// Known returns the given subscriptions by id; those that are not recorded are not there.
func (s *Store) Known(ctx context.Context, ids []string) (map[string]ledger.Subscription, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	clause, args, err := sqlx.In(`where s.id in (?)`, ids)
	if err != nil {
		return nil, wrap("reading subscriptions", err)
	}
	found, err := s.find(ctx, clause, args...)
	known := make(map[string]ledger.Subscription, len(found))
	for _, sub := range found {
		known[sub.ID] = sub
	}
	return known, err
}

// stillLive are the subscriptions that are believed to be live.
const stillLive = `s.live = 1 and e.state not in ('released', 'completed', 'ended') `

// Unlisted returns the subscriptions of a SKU that are believed to be live, were first recorded before a time, UTC unix
// milliseconds, and that no reconciliation has seen since: a limited number, in the order of their ids, behind one.
func (s *Store) Unlisted(
	ctx context.Context, sku string, since int64, after string, limit int,
) ([]ledger.Subscription, error) {
	// safeguard: enrolled-later
	return s.find(ctx, `where `+stillLive+`and e.sku = ? and s.listed_at < ? and s.created < ? and s.id > ?
		order by s.id limit ?`, sku, since, since, after, limit)
}

// Upcoming returns which order the next shipment of each live subscription was on when its placed orders were last
// asked for: a limited number, in the order of their ids, behind one.
func (s *Store) Upcoming(ctx context.Context, after string, limit int) ([]ledger.Upcoming, error) {
	var all []ledger.Upcoming
	err := s.reads.SelectContext(ctx, &all, s.reads.Rebind(`
		select id as subscription, upcoming as orders
		from subscriptions
		where id > ? and live = 1 and upcoming <> ''
		order by id
		limit ?`), after, limit)
	return all, wrap("reading upcoming orders", err)
}

// Running returns how many subscriptions are believed to be live, by SKU.
func (s *Store) Running(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		SKU string `db:"sku"`
		N   int    `db:"n"`
	}
	err := s.reads.SelectContext(ctx, &rows, `
		select e.sku, count(*) as n
		from subscriptions s
		join enrollments e on e.subscription = s.id
		 and e.number = (select max(number) from enrollments where subscription = s.id)
		where `+stillLive+`
		group by e.sku`)
	running := map[string]int{}
	for _, r := range rows {
		running[r.SKU] = r.N
	}
	return running, wrap("counting running subscriptions", err)
}
