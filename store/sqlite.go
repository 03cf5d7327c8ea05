package store

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver

	"github.com/termed/termed/ordergroove"
)

// openSQLite opens one write connection and a pool that can only read. With a second writer, a transaction that reads
// and then writes fails under load in spite of WAL and busy_timeout.
func openSQLite(ctx context.Context, o Options) (_ *Store, err error) {
	path := strings.TrimPrefix(o.Database, "sqlite://")
	s := &Store{}
	if o.Serve {
		if s.lock, err = lockFile(path); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil && s.lock != nil {
			s.lock.Close()
		}
	}()
	// Bodies hold personal data: the file is its owner's alone. SQLite gives its -wal and -shm the same mode.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	writes, err := connectSQLite(ctx, path, "_txlock=immediate", "_pragma=synchronous(FULL)", "_pragma=journal_size_limit(67108864)")
	if err != nil {
		return nil, err
	}
	writes.SetMaxOpenConns(1)
	if err := (schema{writes, goose.DialectSQLite3, "sqlite", nil}).prepare(ctx, o.Migrate); err != nil {
		writes.Close()
		return nil, err
	}
	reads, err := connectSQLite(ctx, path, "_pragma=query_only(1)")
	if err != nil {
		writes.Close()
		return nil, err
	}
	reads.SetMaxOpenConns(max(4, runtime.NumCPU()))
	s.reads, s.writer = reads, newWriter(writes, appendSQLite)
	s.dialect = dialect{copyInto: "vacuum into ?"}
	if o.Serve {
		return s, releaseAll(ctx, writes)
	}
	s.claims = beside
	return s, nil
}

func connectSQLite(ctx context.Context, path string, settings ...string) (*sqlx.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	address := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(absolute)}
	settings = append(settings, "_pragma=busy_timeout(5000)", "_pragma=journal_mode(WAL)")
	sqlx.BindDriver("sqlite", sqlx.QUESTION)
	return sqlx.ConnectContext(ctx, "sqlite", address.String()+"?"+strings.Join(settings, "&"))
}

// lockFile keeps a second service from the file. The lock is the process's: it goes when the process does, however.
func lockFile(path string) (*flock.Flock, error) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if !held {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	return lock, nil
}

// beside begins the claims of a process that works beside the service, without the file's lock.
const beside = "beside-"

// releaseAll takes up what a dead predecessor held: this process holds the file's lock, so no service works under those
// leases any more. A command that works beside it may still hold its own; those run out by themselves.
func releaseAll(ctx context.Context, db *sqlx.DB) error {
	if _, err := db.ExecContext(ctx, `update subscriptions set claim = '', claim_until = 0 where claim <> '' and claim not like '`+beside+`%'`); err != nil {
		return fmt.Errorf("releasing leases: %w", err)
	}
	if _, err := db.ExecContext(ctx, `update reconciliation set claim = '', claim_until = 0 where claim not like '`+beside+`%'`); err != nil {
		return fmt.Errorf("releasing the right to compare: %w", err)
	}
	if _, err := db.ExecContext(ctx, `update notices set due = created where due is not null and attempts = 0`); err != nil {
		return fmt.Errorf("releasing notices: %w", err)
	}
	_, err := db.ExecContext(ctx, `update events set due = received where due is not null and attempts = 0`)
	return wrap("releasing events", err)
}

func appendSQLite(tx *sqlx.Tx, batch []*ordergroove.Delivery) ([]bool, error) {
	insert, err := tx.Preparex(`
		insert into events (created, id, type, received, body, status, due)
		values (?, ?, ?, ?, ?, ?, ?)
		on conflict do nothing`)
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	fresh := make([]bool, len(batch))
	for i, d := range batch {
		result, err := insert.Exec(d.Created, d.ID, d.Type, d.Received, d.Body, statusOf(d.Verdict), dueOf(d))
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
}
