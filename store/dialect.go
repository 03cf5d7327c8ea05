package store

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is where the two databases truly differ.
type dialect struct {
	// skipLocked ends a select of rows to claim: other instances' rows are passed over instead of waited for. SQLite has
	// one writer, so there is nobody to wait for.
	skipLocked string
	lockRow    string // ends a select of a row that the same transaction is going to write
	lockBrake  string // keeps other transactions from ends and from the pause
	shareBrake string // keeps a pause from beginning in the middle of the transaction
	bytewise   string // makes a database compare texts byte by byte, as the other does by itself
	bodyHas    string // says whether a column of bytes has a text in it
}

// ordered makes an order by text the same on both databases.
func (d dialect) ordered(key string) string {
	if d.bytewise == "" {
		return key
	}
	columns := strings.Split(key, ", ")
	for i, c := range columns {
		if c != "created" && c != "sequence" && c != "one" && c != "number" && c != "at" { // the numbers among the keys
			columns[i] = c + d.bytewise
		}
	}
	return strings.Join(columns, ", ")
}

func isPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// isContention says whether a transaction failed only because another was in its way: on PostgreSQL a deadlock, or a
// serialization failure where the server's isolation is stricter than we ask for; on SQLite a command beside a busy
// service, or the service beside such a command, that did not get its turn within busy_timeout. The same transaction
// may work at once.
func isContention(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		// safeguard: busy-database
		return e.Code()&0xff == sqlite3.SQLITE_BUSY
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	// safeguard: serialization-retry
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// isLockTimeout says whether somebody kept a lock on PostgreSQL for longer than the transaction waits for it.
func isLockTimeout(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "55P03"
}

// isDatabaseError says whether an error is the database's rather than one row's: then trying row by row is no help.
func isDatabaseError(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff { // the low byte is the primary code
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE:
			return false
		}
		return true
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code[:2] {
		case "22", "23": // data exception, integrity constraint violation
			return false
		}
		return true
	}
	// Our own refusals (a lost lease) are one row's; a broken connection is nobody's and shows at the next begin.
	return false
}
