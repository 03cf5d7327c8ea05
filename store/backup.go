package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

// ErrServer says that a PostgreSQL database is backed up and restored with the server's own tools.
var ErrServer = errors.New("PostgreSQL has tools of its own for that: pg_dump, pg_restore")

// IsServer says whether a database is on a PostgreSQL server.
func IsServer(database string) bool { return isPostgres(database) }

// Backup writes a consistent copy of a SQLite database to a new file, while others go on using it, and remembers when.
// After an error there is no file.
func (s *Store) Backup(ctx context.Context, to string, at int64) error {
	if s.path == "" {
		return ErrServer
	}
	// safeguard: private-backup
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // as private as the database
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	// By a connection of its own: whoever writes does not wait for it.
	db, err := connectSQLite(ctx, traced{}, s.path)
	if err != nil {
		return errors.Join(err, os.Remove(to))
	}
	defer db.Close()
	if err := copyInto(ctx, db, to); err != nil {
		return errors.Join(wrap("copying the database", err), os.Remove(to))
	}
	if err := s.remember(ctx, "backup_at", at); err != nil {
		return errors.Join(wrap("remembering the backup", err), os.Remove(to))
	}
	return nil
}

// copyInto copies a whole database to an empty file.
func copyInto(ctx context.Context, db *sqlx.DB, to string) error {
	if _, err := db.ExecContext(ctx, `vacuum into ?`, to); err != nil {
		return err
	}
	return syncFile(to)
}

// syncFile makes what was written survive a crash of the machine, its name included.
func syncFile(path string) error {
	for _, name := range []string{path, filepath.Dir(path)} {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// remember sets a time of the one row about the database itself.
func (s *Store) remember(ctx context.Context, column string, at int64) error {
	return s.writer.do(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.Exec(tx.Rebind(`
			insert into installation (one, `+column+`)
			values (1, ?)
			on conflict (one) do update set `+column+` = excluded.`+column), at)
		return err
	})
}

// LastBackup is when the last backup was made by termed, UTC unix milliseconds; 0: never.
func (s *Store) LastBackup(ctx context.Context) (at int64, err error) {
	err = s.reads.GetContext(ctx, &at, `select coalesce(max(backup_at), 0) from installation`)
	return at, wrap("reading when the last backup was made", err)
}

// BackupContents is what a backup holds.
type BackupContents struct {
	Subscriptions int   `db:"subscriptions"`
	Events        int   `db:"events"`
	LastEvent     int64 `db:"last_event"` // when the last event was received, UTC unix milliseconds; 0: none
}

// CheckBackup reads a whole backup and says what it holds. An error says what is wrong with it.
func CheckBackup(ctx context.Context, path string) (found BackupContents, err error) {
	what, err := inspectSQLite(ctx, path)
	switch {
	case err != nil:
		return found, err
	case what == missing:
		return found, ErrNoDatabase
	case what == empty:
		return found, ErrNoSchema
	}
	db, err := lookInto(ctx, path)
	if err != nil {
		return found, err
	}
	defer db.Close()
	var faults []string
	if err := db.SelectContext(ctx, &faults, `pragma integrity_check(1)`); err != nil {
		return found, err
	}
	// safeguard: restored-intact
	if len(faults) != 1 || faults[0] != "ok" {
		return found, fmt.Errorf("it is damaged: %v", faults)
	}
	err = db.GetContext(ctx, &found, `
		select (select count(*) from subscriptions) as subscriptions,
		       (select count(*) from events) as events,
		       (select coalesce(max(received), 0) from events) as last_event`)
	return found, err
}

// Restore puts a copy of a backup in the place of a SQLite database that no service uses, marked as brought back, and
// keeps what was there under another name, which it returns; "" where nothing was there.
func Restore(ctx context.Context, database, from string, by ledger.Pause) (kept string, err error) {
	if isPostgres(database) {
		return "", ErrServer
	}
	path := filePath(database)
	lock, err := lockFile(path)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	fresh := path + ".restoring"
	if err := removeFiles(filesOf(fresh)); err != nil {
		return "", err
	}
	if err := createFile(fresh, Options{}); err != nil {
		return "", err
	}
	backup, err := lookInto(ctx, from)
	if err != nil {
		return "", err
	}
	defer backup.Close()
	if err := copyInto(ctx, backup, fresh); err != nil {
		return "", errors.Join(wrap("copying the backup", err), removeFiles(filesOf(fresh)))
	}
	if err := markFile(ctx, fresh, by); err != nil {
		return "", errors.Join(err, removeFiles(filesOf(fresh)))
	}
	kept, err = setAside(ctx, path, by.Since)
	if err != nil {
		return "", err
	}
	return kept, errors.Join(os.Rename(fresh, path), syncFile(path))
}

// markFile marks a SQLite file as brought back, and leaves nothing beside it.
func markFile(ctx context.Context, path string, by ledger.Pause) error {
	s, err := Open(ctx, Options{Database: path, Migrate: Manual, MustExist: true, exclusive: true})
	if err != nil {
		return err
	}
	return errors.Join(s.MarkRestored(ctx, by), s.Close(), removeFiles([]string{path + ".lock"}))
}

// setAside renames the files of a database, so that nothing of it mixes with another.
func setAside(ctx context.Context, path string, at int64) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	// What is in the -wal file goes into the database, so that one file is all of it. One that is damaged is kept as it
	// is.
	if db, err := connectSQLite(ctx, traced{}, path); err == nil {
		_, _ = db.ExecContext(ctx, `pragma wal_checkpoint(truncate)`)
		_ = db.Close()
	}
	kept := fmt.Sprintf("%s.before-%d", path, at)
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return kept, nil
}
