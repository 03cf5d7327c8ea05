package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	_ "modernc.org/sqlite" // the driver

	"github.com/termed/termed/ledger"
)

// driverSQLite is the driver's name; a test puts one before it that keeps the statements.
var driverSQLite = "sqlite"

// openSQLite opens one write connection and a pool that can only read. With a second writer, a transaction that reads
// and then writes fails under load in spite of WAL and busy_timeout.
func openSQLite(ctx context.Context, o Options) (_ *Store, err error) {
	path := filePath(o.Database)
	if err := mayOpen(path, o); err != nil {
		return nil, err
	}
	s := &Store{path: path}
	if o.Serve || o.exclusive {
		if s.lock, err = lockFile(path); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil && s.lock != nil {
			s.lock.Close()
		}
	}()
	if err := createFile(path, o); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && o.mustBeNew {
			err = errors.Join(err, removeFiles(filesOf(path)))
		}
	}()
	// safeguard: synced-commits
	writes, err := connectSQLite(ctx, traced{o.Traces}, path, "_txlock=immediate", "_pragma=synchronous(FULL)",
		"_pragma=journal_size_limit(67108864)")
	if err != nil {
		return nil, err
	}
	writes.SetMaxOpenConns(1)
	if err := (schema{writes, goose.DialectSQLite3, "sqlite", nil}).prepare(ctx, o.Migrate); err != nil {
		writes.Close()
		return nil, err
	}
	reads, err := connectSQLite(ctx, traced{o.Traces}, path, "_pragma=query_only(1)")
	if err != nil {
		writes.Close()
		return nil, err
	}
	reads.SetMaxOpenConns(max(4, runtime.NumCPU()))
	insert, err := appendSQLite(writes)
	if err != nil {
		return nil, errors.Join(err, writes.Close(), reads.Close())
	}
	s.reads, s.writer = reads, newWriter(writes, insert, nil)
	s.inbox = s.writer // SQLite has one writer
	s.dialect = dialect{bodyHas: `instr(%s, cast(? as blob)) > 0`}
	if o.Serve {
		return s, releaseAll(ctx, writes)
	}
	s.tokens = besideService
	return s, nil
}

// filePath is the file of a SQLite database.
func filePath(database string) string {
	return strings.TrimPrefix(database, "sqlite://")
}

// mayOpen refuses a file that does not exist where it must, before anything is created beside it.
func mayOpen(path string, o Options) error {
	if !o.MustExist && o.Migrate == Auto {
		return nil
	}
	_, err := os.Stat(path)
	// safeguard: must-exist
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNoDatabase, Name(o.Database))
	}
	return err
}

// createFile creates the file where there is none. Bodies hold personal data: the file is its owner's alone. SQLite
// gives its -wal and -shm the same mode.
func createFile(path string, o Options) error {
	how := os.O_RDWR | os.O_CREATE
	if o.MustExist {
		how = os.O_RDWR
	}
	if o.mustBeNew {
		how |= os.O_EXCL
	}
	file, err := os.OpenFile(path, how, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// filesOf are the file of a database and those that are beside it while it is open.
func filesOf(path string) []string {
	return []string{path, path + "-wal", path + "-shm", path + ".lock"}
}

// removeFiles removes the files that exist.
func removeFiles(files []string) error {
	var errs []error
	for _, file := range files {
		if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func connectSQLite(ctx context.Context, by traced, path string, settings ...string) (*sqlx.DB, error) {
	return dialSQLite(ctx, by, path, append(settings, "_pragma=busy_timeout(5000)", "_pragma=journal_mode(WAL)")...)
}

func dialSQLite(ctx context.Context, by traced, path string, settings ...string) (*sqlx.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	address := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(absolute)}
	sqlx.BindDriver(driverSQLite, sqlx.QUESTION)
	// The driver by its name: it opens nothing.
	named, err := sql.Open(driverSQLite, "")
	if err != nil {
		return nil, err
	}
	defer named.Close()
	source := address.String() + "?" + strings.Join(settings, "&")
	db := by.open(preparing{named.Driver(), source}, semconv.DBSystemNameSQLite)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close()) // it is open, and does not answer
	}
	return sqlx.NewDb(db, driverSQLite), nil
}

// lockFile keeps a second service from the file. The lock is the process's: it goes when the process does, however.
func lockFile(path string) (*flock.Flock, error) {
	// safeguard: private-lock
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	// safeguard: one-service
	if !held {
		return nil, ErrInUse
	}
	return lock, nil
}

// besideService begins the tokens of a process that works beside the service, without the file's lock.
const besideService = "beside-"

// releaseAll releases what a dead predecessor held: this process holds the file's lock, so no service works under those
// leases any more. A command that works beside it may still hold its own; those expire.
func releaseAll(ctx context.Context, db *sqlx.DB) error {
	if _, err := db.ExecContext(ctx, `
		update subscriptions
		set lease = '', lease_until = 0
		where lease <> '' and lease not like '`+besideService+`%'`); err != nil {
		return fmt.Errorf("releasing leases: %w", err)
	}
	if _, err := db.ExecContext(ctx, `
		update reconciliation
		set lease = '', lease_until = 0
		where lease not like '`+besideService+`%'`); err != nil {
		return fmt.Errorf("releasing the reconciliation: %w", err)
	}
	if _, err := db.ExecContext(ctx,
		`update messages set due = created where due is not null and attempts = 0`); err != nil {
		return fmt.Errorf("releasing messages: %w", err)
	}
	_, err := db.ExecContext(ctx, `update events set due = received where due is not null and attempts = 0`)
	return wrap("releasing events", err)
}

// appendSQLite files events, each by the same statement, which is prepared once: there is one connection that writes.
func appendSQLite(db *sqlx.DB) (func(*sqlx.Tx, []*ledger.Event) ([]bool, error), error) {
	// safeguard: unique-events
	insert, err := db.Preparex(`
		insert into events (created, id, type, received, body, status, due, trace)
		values (?, ?, ?, ?, ?, ?, ?, ?)
		on conflict do nothing`)
	if err != nil {
		return nil, err
	}
	return func(tx *sqlx.Tx, batch []*ledger.Event) ([]bool, error) {
		here := tx.Stmtx(insert)
		fresh := make([]bool, len(batch))
		for i, d := range batch {
			result, err := here.Exec(d.Created, d.ID, d.Type, d.Received, d.Body, string(d.Status), dueOf(d), d.Trace)
			if err != nil {
				return nil, err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return nil, err
			}
			fresh[i] = n == 1
		}
		return fresh, nil
	}, nil
}
