package store

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
)

// SQLiteConn and SQLiteStatement are what the driver's connections and statements can do.
type (
	SQLiteConn      = sqliteConn
	SQLiteStatement = preparedStatement
)

// UseDriver opens SQLite databases with another driver from now on, until the answered function is called.
func UseDriver(name string) (restore func()) {
	before := driverSQLite
	driverSQLite = name
	return func() { driverSQLite = before }
}

// Do runs work in a transaction.
func (s *Store) Do(ctx context.Context, work func(*sqlx.Tx) error) error {
	return s.writer.do(ctx, work)
}

// Restrict runs a statement on the write connection of a SQLite store: tests make it read-only or full.
func (s *Store) Restrict(ctx context.Context, statement string) error {
	_, err := s.writer.db.ExecContext(ctx, statement)
	return err
}

// Synchronous returns the setting of that name of the connection that a SQLite store writes on.
func (s *Store) Synchronous(ctx context.Context) (level int, err error) {
	err = s.writer.db.GetContext(ctx, &level, `pragma synchronous`)
	return level, err
}

// Beat says on PostgreSQL that one more process is running, until stop is called, and renews that at another interval.
func (s *Store) Beat(ctx context.Context, o Options, every time.Duration) (id string, stop func(), err error) {
	h, err := startHeartbeat(ctx, s.writer.db, o, every)
	if err != nil {
		return "", nil, err
	}
	return h.id, h.Close, nil
}

// WrongSummaries returns the subscriptions whose summary is not what the enrollments and shipments say.
func (s *Store) WrongSummaries(ctx context.Context) ([]string, error) {
	var ids []string
	err := s.reads.SelectContext(ctx, &ids,
		`select id from subscriptions where (state, term, sku, made, total, last_next) <> (`+summary+`)`)
	return ids, err
}

// IsPooled says within a time whether a store on PostgreSQL has noticed that a pooler stands in between.
func (s *Store) IsPooled(within time.Duration) bool {
	select {
	case <-s.wakeups.pooled:
		return true
	case <-time.After(within):
		return false
	}
}
