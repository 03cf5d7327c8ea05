package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
)

// reconciliation is the one row that says which comparison is under way.
type reconciliation struct {
	Scope      string `db:"scope"`
	Started    int64  `db:"started"`
	Claim      string `db:"claim"`
	ClaimUntil int64  `db:"claim_until"`
	AllAt      int64  `db:"all_at"`
	RecentAt   int64  `db:"recent_at"`
}

const selectReconciliation = `select scope, started, claim, claim_until, all_at, recent_at from reconciliation where one = 1 `

// Compared says when the last comparisons began that came to their end.
func (s *Store) Compared(ctx context.Context) (counter.Compared, error) {
	var r reconciliation
	err := s.reads.GetContext(ctx, &r, selectReconciliation)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return counter.Compared{All: r.AllAt, Recent: r.RecentAt}, wrap("reading when was compared last", err)
}

// BeginReconciliation takes the right to compare, until the given time: with the places that one of the same scope had come to
// when it was interrupted, less than an age ago (milliseconds), or with none. It is false while somebody else compares.
func (s *Store) BeginReconciliation(ctx context.Context, scope string, at, until, age int64) (_ counter.Reconciliation, ok bool, err error) {
	var run counter.Reconciliation
	err = s.writer.do(ctx, func(tx *sqlx.Tx) error {
		run, ok = counter.Reconciliation{}, false
		if _, err := tx.Exec(`insert into reconciliation (one) values (1) on conflict do nothing`); err != nil {
			return err
		}
		var r reconciliation
		if err := tx.Get(&r, selectReconciliation+s.dialect.lockRow); err != nil || r.ClaimUntil > at {
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
		run = counter.Reconciliation{
			Claim: s.claims + rand.Text(), Started: at, Lists: map[string]counter.Place{},
			Compared: counter.Compared{All: r.AllAt, Recent: r.RecentAt},
		}
		for _, l := range lists {
			run.Lists[l.SKU] = counter.Place{Next: l.Next, Done: l.Done}
		}
		ok = true
		_, err := tx.Exec(tx.Rebind(`update reconciliation set scope = ?, started = ?, claim = ?, claim_until = ? where one = 1`),
			scope, run.Started, run.Claim, until)
		return err
	})
	if err != nil {
		return counter.Reconciliation{}, false, wrap("beginning to compare", err)
	}
	return run, ok, nil
}

// KeepPlace records what a comparison learned from one page of a list, and the page to go on with, in one transaction: after a
// crash nothing is passed over. It holds the right to compare until the given time. counter.ErrLeaseLost: somebody else
// compares by now.
func (s *Store) KeepPlace(ctx context.Context, run counter.Reconciliation, sku string, place counter.Place, until int64, learned ...counter.Listed) error {
	return wrap("keeping the place in the list of "+sku, s.writer.do(ctx, func(tx *sqlx.Tx) error {
		if err := compares(tx, `update reconciliation set claim_until = ? where one = 1 and claim = ?`, until, run.Claim); err != nil {
			return err
		}
		if err := list(tx, learned); err != nil {
			return err
		}
		_, err := tx.Exec(tx.Rebind(`
			insert into reconciliation_lists (sku, next, done)
			values (?, ?, ?)
			on conflict (sku) do update set next = excluded.next, done = excluded.done`), sku, place.Next, asInteger(place.Done))
		return err
	}))
}

// EndReconciliation lets go of the right to compare: at its end, or where it has come to. A comparison of everything or of what
// is recent that came to its end is remembered as such.
func (s *Store) EndReconciliation(ctx context.Context, run counter.Reconciliation, to counter.Compared, finished bool) error {
	return wrap("ending the comparison", s.writer.do(ctx, func(tx *sqlx.Tx) error {
		if !finished {
			return compares(tx, `update reconciliation set claim = '', claim_until = 0 where one = 1 and claim = ?`, run.Claim)
		}
		if err := compares(tx, `
			update reconciliation
			set claim = '', claim_until = 0, scope = '', started = 0, all_at = ?, recent_at = ?
			where one = 1 and claim = ?`, to.All, to.Recent, run.Claim); err != nil {
			return err
		}
		_, err := tx.Exec(`delete from reconciliation_lists`)
		return err
	}))
}

// compares runs a statement that changes the one row, if the claim is still its.
func compares(tx *sqlx.Tx, query string, args ...any) error {
	result, err := tx.Exec(tx.Rebind(query), args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return counter.ErrLeaseLost
}

func list(tx *sqlx.Tx, listed []counter.Listed) error {
	for _, l := range listed {
		if _, err := tx.Exec(tx.Rebind(`update subscriptions set listed_at = ?, upcoming = coalesce(?, upcoming) where id = ?`),
			l.At, l.Upcoming, l.Subscription); err != nil {
			return err
		}
	}
	return nil
}

// Learn puts facts into the ledger that no event told of: they were found by asking.
func (s *Store) Learn(ctx context.Context, f counter.Facts, at int64) error {
	var news bool
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		l := learning{tx: tx, at: at}
		err := l.learn(f)
		news = l.news
		return err
	})
	if err == nil && news {
		signal(s.subscriptionsDue)
	}
	return wrap("recording what was found", err)
}

// Known returns what the ledger knows of the given subscriptions, by id; those that are not in it are not there.
func (s *Store) Known(ctx context.Context, ids []string) (map[string]counter.Known, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	query, args, err := sqlx.In(selectPage+`where id in (?)`, ids)
	if err != nil {
		return nil, wrap("reading the ledger", err)
	}
	pages, err := s.known(ctx, query, args...)
	known := make(map[string]counter.Known, len(pages))
	for _, p := range pages {
		known[p.Subscription] = p
	}
	return known, err
}

// stillLive are the pages that we believe to be live.
const stillLive = `live = 1 and state not in ('released', 'completed', 'ended') `

// Unlisted returns the subscriptions of a SKU that we believe to be live, were enrolled before a time, UTC unix milliseconds,
// and that no comparison has come by since.
func (s *Store) Unlisted(ctx context.Context, sku string, since int64) ([]counter.Known, error) {
	return s.known(ctx, selectPage+`where `+stillLive+`and sku = ? and listed_at < ? and enrolled_at < ? order by id`, sku, since, since)
}

// Running returns how many subscriptions we believe to be live, by SKU.
func (s *Store) Running(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		SKU string `db:"sku"`
		N   int    `db:"n"`
	}
	err := s.reads.SelectContext(ctx, &rows, `select sku, count(*) as n from subscriptions where `+stillLive+`group by sku`)
	running := map[string]int{}
	for _, r := range rows {
		running[r.SKU] = r.N
	}
	return running, wrap("counting running subscriptions", err)
}

func (s *Store) known(ctx context.Context, query string, args ...any) ([]counter.Known, error) {
	var pages []page
	if err := s.reads.SelectContext(ctx, &pages, s.reads.Rebind(query), args...); err != nil {
		return nil, wrap("reading the ledger", err)
	}
	known := make([]counter.Known, len(pages))
	for i, p := range pages {
		known[i] = counter.Known{Ledger: p.ledger(), Next: p.DueAt.Int64, Attempts: p.Attempts, Upcoming: p.Upcoming}
	}
	return known, nil
}
