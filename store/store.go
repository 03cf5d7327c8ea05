// Package store owns every SQL statement and the schema: the inbox of events, the ledger of subscriptions and
// shipments, and the journal, on SQLite or PostgreSQL with the same tables. Times are UTC unix milliseconds.
//
// Uniqueness is the database's job, and an answer without an error means committed and synced. It never calls
// Ordergroove and never decides what a fact means; other packages declare the few methods of it that they need.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel/trace"
)

// ErrClosed says that the store is shut.
var ErrClosed = errors.New("the store is closed")

// ErrInUse says that another process serves the same database.
var ErrInUse = errors.New("another termed process uses this database")

// ErrNoDatabase says that a database that must exist does not.
var ErrNoDatabase = errors.New("the database does not exist")

// Migrate is what Open does with an older schema.
type Migrate int

const (
	Auto     Migrate = iota // bring it up to date; create the database if it does not exist
	Upgrade                 // bring it up to date, but create nothing: ErrNoDatabase, ErrNoSchema
	Manual                  // refuse, with ErrOldSchema: somebody migrates by hand; create nothing
	LookOnly                // leave it as it is, and create nothing
)

// ErrNoSchema says that the database exists and termed has never written to it.
var ErrNoSchema = errors.New("the database has no tables of termed")

// ErrOldSchema says that the schema waits for `termed migrate up`.
var ErrOldSchema = errors.New("the database's schema is older than this termed")

// ErrNewSchema says that a newer termed has been here: this one would not know what it reads.
var ErrNewSchema = errors.New("the database's schema is newer than this termed")

// Options of a Store.
type Options struct {
	// Database is a file (SQLite), or postgres://… (PostgreSQL).
	Database string
	// Serve opens the database as a service does. It takes the SQLite file for this process alone, and takes up at once
	// what its dead predecessor held. On PostgreSQL, where there may be several services, it says until Close that one
	// is running. Without it the store is one reader or writer among others.
	Serve bool
	// Group names the outgoing address of this process, and Share is told among how many processes of that address the
	// limit of API calls is to be divided, and until when that holds; 0: make no call yet. It is called again and again,
	// on PostgreSQL alone. Services divide among themselves, and so do commands.
	Group string
	Share func(among int, until time.Time)
	// Migrate says what to do with a schema that is older than this program's: bring it up to date (default), refuse, or
	// look only. Only the default creates a database.
	Migrate Migrate
	// MustExist refuses a SQLite file that does not exist, with ErrNoDatabase. Otherwise it is created.
	MustExist bool

	// Traces makes the spans of its statements; nil: none.
	Traces trace.TracerProvider

	exclusive bool // takes the SQLite file for this process alone, and leaves what a predecessor held as it is
	mustBeNew bool // refuses a SQLite file that exists
}

// Store is the open database.
type Store struct {
	reads     *sqlx.DB
	dialect   dialect
	writer    *writer // of all but new events: one transaction at a time
	inbox     *writer // of new events
	lock      io.Closer
	heartbeat *heartbeat
	tokens    string   // what the tokens of our leases begin with
	discard   []string // files that Close removes
	path      string   // of a SQLite file
	shipments atomic.Int64

	due     map[string]chan struct{} // one place each: a wake-up that finds one waiting changes nothing
	wakeups *wakeups                 // of other processes; nil on SQLite
}

// Open opens the database, brings its schema up to date and starts its writer.
func Open(ctx context.Context, o Options) (*Store, error) {
	open := openSQLite
	if isPostgres(o.Database) {
		open = openPostgres
	}
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", Name(o.Database), err)
	}
	s.due = map[string]chan struct{}{}
	for _, kind := range []string{kindEvents, kindSubscriptions, kindMessages} {
		s.due[kind] = make(chan struct{}, 1)
	}
	if isPostgres(o.Database) {
		if s.wakeups, err = startWakeups(s.reads, o.Database, rand.Text(), s.due, o.Serve); err != nil {
			return nil, errors.Join(err, s.reads.Close())
		}
	}
	s.writer.start(1)
	if s.inbox != s.writer {
		s.inbox.start(inboxLoops)
	}
	return s, nil
}

// Close waits for the writes in hand and shuts the database.
func (s *Store) Close() error {
	s.writer.close()
	s.inbox.close()
	if s.heartbeat != nil {
		s.heartbeat.Close()
	}
	if s.wakeups != nil {
		s.wakeups.close()
	}
	errs := []error{s.writer.db.Close()}
	if s.reads != s.writer.db {
		errs = append(errs, s.reads.Close())
	}
	errs = append(errs, removeFiles(s.discard)) // while the lock keeps others out
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.reads.PingContext(ctx)
}

// EventsDue is signaled when an event was filed that can be worked on at once.
func (s *Store) EventsDue() <-chan struct{} { return s.due[kindEvents] }

// SubscriptionsDue is signaled when facts made a subscription due.
func (s *Store) SubscriptionsDue() <-chan struct{} { return s.due[kindSubscriptions] }

// MessagesDue is signaled when notices were put into the outbox.
func (s *Store) MessagesDue() <-chan struct{} { return s.due[kindMessages] }

// ShipmentsRecorded is how many shipments this process has recorded since it opened the database.
func (s *Store) ShipmentsRecorded() int64 { return s.shipments.Load() }

// Backlog is what is still to be done, at any time.
type Backlog struct {
	Events        int `db:"events" json:"events"`
	Subscriptions int `db:"subscriptions" json:"subscriptions"`
}

// Backlog counts the events to be processed and the subscriptions to be synced. One that needs a person, or that the
// throttle holds back, is not work to be done, even where it is asked now and then whether it can be done by now.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	err := s.reads.GetContext(ctx, &b, `
		select (select count(*) from events where due is not null) as events,
		       (select count(*)
		        from subscriptions s
		        join enrollments e on e.subscription = s.id
		         and e.number = (select max(number) from enrollments where subscription = s.id)
		        where s.due is not null and (e.state not in ('attention', 'throttled') or s.attempts = 0)) as subscriptions`)
	return b, wrap("counting the backlog", err)
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
