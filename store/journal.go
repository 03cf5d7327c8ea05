package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

// write appends to the journal. Nothing in this package changes or removes a line of it.
func write(tx *sqlx.Tx, e ledger.JournalEntry) error {
	_, err := tx.Exec(tx.Rebind(`
		insert into journal (subscription, at, actor, what, before, after, reason)
		values (?, ?, ?, ?, ?, ?, ?)`), e.Subscription, e.At, e.Actor, e.What, e.Before, e.After, e.Reason)
	return wrap("writing the journal", err)
}

func writeAll(tx *sqlx.Tx, entries []ledger.JournalEntry) error {
	for _, e := range entries {
		if err := write(tx, e); err != nil {
			return err
		}
	}
	return nil
}

// Journal returns what happened to a subscription, oldest first.
func (s *Store) Journal(ctx context.Context, subscription string) ([]ledger.JournalEntry, error) {
	var entries []ledger.JournalEntry
	err := s.reads.SelectContext(ctx, &entries, s.reads.Rebind(`
		select subscription, at, actor, what, before, after, reason
		from journal
		where subscription = ?
		order by sequence`), subscription)
	return entries, wrap("reading the journal", err)
}

// Line is a line of the journal with its place in it.
type Line struct {
	Sequence int64
	ledger.JournalEntry
}

// JournalSince returns up to n lines since a time, UTC unix milliseconds, that come after a place in the journal,
// oldest first: of one subscription, or of all for "".
func (s *Store) JournalSince(ctx context.Context, subscription string, since, after int64, n int) ([]Line, error) {
	clause, args := "sequence > ?", []any{after}
	switch {
	case subscription != "":
		clause, args = "subscription = ? and sequence > ?", []any{subscription, after}
	case after == 0: // + 0: else it looks for a line of that time from the very first on
		clause, args = "sequence >= (select min(sequence + 0) from journal where at >= ?)", []any{since}
	}
	var lines []Line
	err := s.reads.SelectContext(ctx, &lines, s.reads.Rebind(`
		select sequence, subscription, at, actor, what, before, after, reason
		from journal
		where at >= ? and `+clause+`
		order by sequence
		limit ?`), append(append([]any{since}, args...), n)...)
	return lines, wrap("reading the journal", err)
}
