package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
)

// ErrNotOurs says that a database holds something else.
var ErrNotOurs = errors.New("it does not hold termed's tables")

// contents is what a database is found to hold.
type contents int

const (
	missing contents = iota // a SQLite file that does not exist
	empty                   // no schema yet
	current                 // the schema that this program knows
)

// Name is a database in words for people: the absolute path of a file, or the server and the name without a password.
func Name(database string) string {
	if !isPostgres(database) {
		path := filePath(database)
		if absolute, err := filepath.Abs(path); err == nil {
			path = absolute
		}
		return path
	}
	return postgresName(database)
}

// sameFile says whether two databases are one SQLite file.
func sameFile(database, other string) bool {
	if isPostgres(database) || isPostgres(other) {
		return false
	}
	one, err := os.Stat(filePath(database))
	if err != nil {
		return false
	}
	two, err := os.Stat(filePath(other))
	return err == nil && os.SameFile(one, two)
}

// inspect finds out what a database holds, and neither creates nor changes anything.
func inspect(ctx context.Context, database string) (contents, error) {
	if isPostgres(database) {
		return inspectPostgres(ctx, database)
	}
	return inspectSQLite(ctx, filePath(database))
}

func inspectPostgres(ctx context.Context, address string) (contents, error) {
	db, err := connectPostgres(ctx, traced{}, address)
	if err != nil {
		return missing, err
	}
	defer db.Close()
	return inspectSchema(ctx, db, `select to_regclass($1) is not null`)
}

func inspectSQLite(ctx context.Context, path string) (contents, error) {
	head, err := readHead(path)
	if errors.Is(err, fs.ErrNotExist) {
		return missing, nil
	}
	if err != nil {
		return missing, err
	}
	if len(head) == 0 {
		return empty, nil
	}
	if !bytes.Equal(head, []byte("SQLite format 3\x00")) {
		return missing, fmt.Errorf("%w: it is not a SQLite database", ErrNotOurs)
	}
	db, err := lookInto(ctx, path)
	if err != nil {
		return missing, err
	}
	defer db.Close()
	var tables int
	if err := db.GetContext(ctx, &tables, `select count(*) from sqlite_master`); err != nil {
		return missing, err
	}
	if tables == 0 {
		return empty, nil
	}
	found, err := inspectSchema(ctx, db, `select count(*) > 0 from sqlite_master where name = $1`)
	if found == empty {
		return missing, fmt.Errorf("%w: it is another program's", ErrNotOurs)
	}
	return found, err
}

// lookInto opens a SQLite file that nothing is written to.
func lookInto(ctx context.Context, path string) (*sqlx.DB, error) {
	// A file that nobody has open is read as it is, or SQLite would create files beside it.
	how := "immutable=1"
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		how = "_pragma=busy_timeout(5000)"
	}
	return dialSQLite(ctx, traced{}, path, "mode=ro", how)
}

// readHead reads what begins every SQLite file.
func readHead(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, 16))
}

// inspectSchema asks, with a query that says whether a table exists, for our tables and their version.
func inspectSchema(ctx context.Context, db *sqlx.DB, exists string) (contents, error) {
	var versioned, tables bool
	if err := db.GetContext(ctx, &versioned, exists, "goose_db_version"); err != nil {
		return missing, err
	}
	if err := db.GetContext(ctx, &tables, exists, "enrollments"); err != nil {
		return missing, err
	}
	if !versioned && !tables {
		return empty, nil
	}
	if !versioned || !tables {
		return missing, ErrNotOurs
	}
	known, err := knownVersion()
	if err != nil {
		return missing, err
	}
	var version int64
	if err := db.GetContext(ctx, &version, newestVersion); err != nil {
		return missing, err
	}
	switch {
	case version > known:
		return missing, fmt.Errorf("%w: it is at %d, this one knows %d", ErrNewSchema, version, known)
	case version < known:
		return missing, fmt.Errorf("%w: it is at %d of %d; run `termed migrate up`", ErrOldSchema, version, known)
	}
	return current, nil
}
