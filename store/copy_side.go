package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// side is the source or the target of a copy, with the transaction that keeps other writers out.
type side struct {
	*Store
	tx       *sqlx.Tx
	database string
}

// openSource opens a database that must exist and hold our schema. Where it does not, nothing is created.
func openSource(ctx context.Context, database string) (*side, error) {
	found, err := inspect(ctx, database)
	if err != nil {
		return nil, err
	}
	// safeguard: copy-source-schema
	if found == empty {
		return nil, fmt.Errorf("%w: it is empty", ErrNotOurs)
	}
	return openSide(ctx, Options{
		Database:  database,
		Migrate:   Manual,
		MustExist: true,
		exclusive: true,
	}, "share")
}

// openTarget opens a database that is created where it does not exist, and removed again unless it is kept.
func openTarget(ctx context.Context, database string) (*side, error) {
	found, err := inspect(ctx, database)
	if err != nil {
		return nil, err
	}
	o := Options{
		Database:  database,
		MustExist: found != missing,
		mustBeNew: found == missing,
		exclusive: true,
	}
	if found == current {
		o.Migrate = Manual
	}
	return openSide(ctx, o, "exclusive")
}

// openSide opens a database and begins the transaction of the copy, which locks the tables on PostgreSQL. On SQLite it
// is the only writer.
func openSide(ctx context.Context, o Options, lock string) (*side, error) {
	s, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.mustBeNew {
		s.discard = filesOf(filePath(o.Database))
	}
	tx, err := s.writer.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	opened := &side{Store: s, tx: tx, database: o.Database}
	if isPostgres(o.Database) {
		if err := lockAll(ctx, tx, lock); err != nil {
			return nil, errors.Join(err, opened.close())
		}
	}
	return opened, nil
}

// close undoes what is not committed.
func (s *side) close() error {
	err := s.tx.Rollback()
	if errors.Is(err, sql.ErrTxDone) {
		err = nil
	}
	return errors.Join(err, s.Close())
}

// lockAll refuses a PostgreSQL database that a service is running on, and keeps all writers out until the transaction
// ends. The locks are the transaction's, so a pooler may be in between.
func lockAll(ctx context.Context, tx *sqlx.Tx, mode string) error {
	var alone bool
	if err := tx.GetContext(ctx, &alone, `select pg_try_advisory_xact_lock(5284113)`); err != nil {
		return err
	}
	if !alone {
		return errors.New("it is being copied by another process, or is both source and target")
	}
	for _, statement := range []string{
		lockPatience,
		`set local statement_timeout = 0`,
		`set local idle_in_transaction_session_timeout = 0`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if err := lockTables(ctx, tx, mode, "services"); err != nil {
		return err
	}
	var running int
	if err := tx.GetContext(ctx, &running,
		`select count(*) from services where kind = $1 and until > `+databaseTime, isService); err != nil {
		return err
	}
	// safeguard: copy-running-service
	if running > 0 {
		return fmt.Errorf("%w; stop it first (one that was killed counts as running for %v)", ErrInUse, runningFor)
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.name
	}
	return lockTables(ctx, tx, mode, names...)
}

func lockTables(ctx context.Context, tx *sqlx.Tx, mode string, names ...string) error {
	_, err := tx.ExecContext(ctx, `lock table `+strings.Join(names, ", ")+` in `+mode+` mode`)
	if isLockTimeout(err) {
		return ErrInUse
	}
	return err
}
