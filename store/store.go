// Package store owns every SQL statement and the schema: the inbox of events, the ledger of subscriptions and shipments,
// and the journal, on SQLite or PostgreSQL with the same tables. Times are UTC unix milliseconds.
//
// Uniqueness is the database's job, and an answer without an error means committed and synced. It never calls Ordergroove
// and never decides what a fact means; other packages declare the few methods of it that they need.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jmoiron/sqlx"
)

// ErrClosed says that the store is shut.
var ErrClosed = errors.New("the store is closed")

// ErrInUse says that another process serves the same SQLite file.
var ErrInUse = errors.New("another termed process uses this database")

// Migrate is what Open does with an older schema.
type Migrate int

const (
	Auto     Migrate = iota // bring it up to date
	Manual                  // refuse, with ErrOldSchema: somebody migrates by hand
	LookOnly                // leave it as it is
)

// ErrOldSchema says that the schema waits for `termed migrate up`.
var ErrOldSchema = errors.New("the database's schema is older than this termed")

// ErrNewSchema says that a newer termed has been here: this one would not know what it reads.
var ErrNewSchema = errors.New("the database's schema is newer than this termed")

// Options of a Store.
type Options struct {
	// Database is a file (SQLite), or postgres://… (PostgreSQL).
	Database string
	// Serve takes the SQLite file for this process alone, as a service does, and takes up at once what its dead
	// predecessor held. Without it the store is one reader or writer among others.
	Serve bool
	// Migrate says what to do with a schema that is older than this program's: bring it up to date (default), refuse, or
	// look only.
	Migrate Migrate
}

// Store is the open database.
type Store struct {
	reads   *sqlx.DB
	dialect dialect
	writer  *writer
	lock    io.Closer
	claims  string // what the ids of our claims begin with

	// One place each: a wake-up that finds one waiting changes nothing.
	eventsDue        chan struct{}
	subscriptionsDue chan struct{}
	noticesDue       chan struct{}
}

// Open opens the database, brings its schema up to date and starts its writer.
func Open(ctx context.Context, o Options) (*Store, error) {
	open := openSQLite
	if isPostgres(o.Database) {
		open = openPostgres
	}
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	s.eventsDue = make(chan struct{}, 1)
	s.subscriptionsDue = make(chan struct{}, 1)
	s.noticesDue = make(chan struct{}, 1)
	go s.writer.run()
	return s, nil
}

// Close waits for the writes in hand and shuts the database.
func (s *Store) Close() error {
	s.writer.close()
	errs := []error{s.writer.db.Close()}
	if s.reads != s.writer.db {
		errs = append(errs, s.reads.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.reads.PingContext(ctx)
}

// EventsDue is signalled when an event was filed that can be worked on at once.
func (s *Store) EventsDue() <-chan struct{} { return s.eventsDue }

// SubscriptionsDue is signalled when facts made a subscription due.
func (s *Store) SubscriptionsDue() <-chan struct{} { return s.subscriptionsDue }

// NoticesDue is signalled when notices were put into the outbox.
func (s *Store) NoticesDue() <-chan struct{} { return s.noticesDue }

// Backlog is what is still to be done, at any time.
type Backlog struct {
	Events        int `db:"events" json:"events"`
	Subscriptions int `db:"subscriptions" json:"subscriptions"`
}

// Backlog counts the events to be worked on and the subscriptions to be looked at. One that needs a person is not work to be
// done, even where it is asked now and then whether it can be done by now.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	err := s.reads.GetContext(ctx, &b, `
		select (select count(*) from events where due is not null) as events,
		       (select count(*) from subscriptions where due is not null and (state <> 'attention' or attempts = 0)) as subscriptions`)
	return b, wrap("counting the backlog", err)
}

// Prune forgets events that are settled, orders read, and notices delivered, longer ago than before, at most n of each, and
// says how many events went. Shipments and the journal are for ever.
func (s *Store) Prune(ctx context.Context, before int64, n int) (int64, error) {
	var gone int64
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.Exec(tx.Rebind(`
			delete from events
			where (created, id) in (
				select created, id
				from events
				where received < ? and status in ('done', 'ignored')
				limit ?)`), before, n)
		if err != nil {
			return err
		}
		if gone, err = result.RowsAffected(); err != nil {
			return err
		}
		_, err = tx.Exec(tx.Rebind(`
			delete from orders_read
			where order_id in (select order_id from orders_read where at < ? limit ?)`), before, n)
		if err != nil {
			return err
		}
		_, err = tx.Exec(tx.Rebind(`
			delete from notices
			where (id, endpoint) in (select id, endpoint from notices where created < ? and status = 'delivered' limit ?)`), before, n)
		return err
	})
	if err != nil {
		return 0, wrap("pruning events", err)
	}
	return gone, nil
}

// Backup writes a consistent copy of a SQLite database to a new file, while others go on using it.
func (s *Store) Backup(ctx context.Context, to string) error {
	if s.dialect.copyInto == "" {
		return errors.New("PostgreSQL is backed up with its own tools: pg_dump")
	}
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // as private as the database
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	_, err = s.writer.db.ExecContext(ctx, s.dialect.copyInto, to)
	return wrap("copying the database", err)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
