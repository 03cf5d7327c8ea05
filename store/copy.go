package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"path/filepath"
	"slices"
	"strings"

	"github.com/termed/termed/failpoint"
)

// ErrNotEmpty says that a copy's target holds something already.
var ErrNotEmpty = errors.New("the target is not empty")

// ErrOtherName says that the name that was to confirm the emptying of a copy's target is not its name.
var ErrOtherName = errors.New("the target has another name")

// tables are all that a copy takes, with their keys: rows are compared in that order. The journal's sequence is each
// database's own; its order is kept.
var tables = []struct {
	name, key string
}{
	{"events", "created, id"},
	{"event_subscriptions", "subscription, created, id"},
	{"subscriptions", "id"},
	{"enrollments", "subscription, number"},
	{"shipments", "subscription, order_id"},
	{"messages", "id, endpoint"},
	{"orders_read", "order_id"},
	{"reconciliation", "one"},
	{"reconciliation_lists", "sku"},
	{"listed_skus", "sku"},
	{"actions", "key"},
	{"adjustments", "id"},
	{"schedules", "subscription"},
	{"unexplained_ends", "subscription, at"},
	{"pause", "one"},
	{"installation", "one"},
	{"journal", "sequence"},
}

// Copied is what a copy did with one table.
type Copied struct {
	Table    string
	Rows     int
	Checksum string // of every value of every row, the same in source and target
}

// rowsAtATime keeps a copy's memory small.
const rowsAtATime = 500

// CopyOptions of a Copy.
type CopyOptions struct {
	From string // must exist and hold the schema that this program knows
	To   string // may be created
	// EmptyTarget empties the target first. It must be the target's name: the name of a SQLite file without its folder,
	// or of a PostgreSQL database. With "" a target that is not empty is refused.
	EmptyTarget string
	// Progress is told again and again how far the copy is; default nobody.
	Progress func(CopyProgress)
}

// CopyProgress says how far the copy of one table is.
type CopyProgress struct {
	Table     string
	Rows, All int
	Comparing bool // all were copied; they are read back
}

// Copy copies everything from one database to another, on either kind, and compares what arrived with what was read,
// table by table. The target is emptied, filled and compared in one transaction: after an error it holds what it held
// before. Nobody else may write to either meanwhile, and a database that a service is running on is refused.
func Copy(ctx context.Context, o CopyOptions) (_ []Copied, err error) {
	from, err := openSource(ctx, o.From)
	if err != nil {
		return nil, fmt.Errorf("the source, %s: %w", Name(o.From), err)
	}
	defer from.close()
	if sameFile(o.From, o.To) {
		return nil, fmt.Errorf("the source and the target are the same file: %s", Name(o.To))
	}
	to, err := openTarget(ctx, o.To)
	if err != nil {
		return nil, fmt.Errorf("the target, %s: %w", Name(o.To), err)
	}
	defer func() { err = errors.Join(err, to.close()) }()
	copied, err := to.fill(ctx, from, o)
	// safeguard: copy-one-transaction
	if err != nil {
		return nil, err
	}
	failpoint.Hit("before-commit")
	if err := to.tx.Commit(); err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}
	to.discard = nil
	return copied, nil
}

// fill empties the target, copies every table, and compares.
func (s *side) fill(ctx context.Context, from *side, o CopyOptions) ([]Copied, error) {
	if err := s.clear(ctx, o.EmptyTarget); err != nil {
		return nil, err
	}
	var all []Copied
	for i := range tables {
		rows, err := from.count(ctx, tables[i].name)
		if err != nil {
			return nil, err
		}
		report := func(comparing bool) func(int) {
			return func(n int) {
				if o.Progress != nil {
					o.Progress(CopyProgress{tables[i].name, n, rows, comparing})
				}
			}
		}
		read, err := from.copyTable(ctx, i, s, report(false))
		if err != nil {
			return nil, fmt.Errorf("copying %s: %w", tables[i].name, err)
		}
		arrived, err := s.copyTable(ctx, i, nil, report(true))
		if err != nil {
			return nil, fmt.Errorf("checking %s: %w", tables[i].name, err)
		}
		// safeguard: copy-compared
		if read != arrived {
			return nil, fmt.Errorf("%s differs: %d rows were read and %d arrived (checksums %.12s, %.12s)",
				tables[i].name, read.Rows, arrived.Rows, read.Checksum, arrived.Checksum)
		}
		all = append(all, arrived)
	}
	return all, nil
}

// clear makes sure that nothing is there: it empties every table if the name is the target's.
func (s *side) clear(ctx context.Context, name string) error {
	actual, err := s.databaseName(ctx)
	if err != nil {
		return err
	}
	// safeguard: copy-target-name
	if name != "" && name != actual {
		return fmt.Errorf("%w: it is %q, not %q", ErrOtherName, actual, name)
	}
	for _, t := range tables {
		rows, err := s.count(ctx, t.name)
		if err != nil {
			return err
		}
		if rows > 0 && name == "" {
			return fmt.Errorf("%w: %s has %d rows in %s", ErrNotEmpty, t.name, rows, Name(s.database))
		}
		if _, err := s.tx.ExecContext(ctx, `delete from `+t.name); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) count(ctx context.Context, table string) (int, error) {
	var rows int
	err := s.tx.GetContext(ctx, &rows, `select count(*) from `+table)
	return rows, wrap("counting "+table, err)
}

// databaseName is what confirms that the database may be emptied.
func (s *side) databaseName(ctx context.Context) (name string, err error) {
	if !isPostgres(s.database) {
		return filepath.Base(Name(s.database)), nil
	}
	err = s.tx.GetContext(ctx, &name, `select current_database()`)
	return name, err
}

// columns are a table's, in the order of their names, but for a number that each database gives itself.
func (s *side) columns(ctx context.Context, table string) ([]string, error) {
	rows, err := s.tx.QueryxContext(ctx, `select * from `+table+` limit 0`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all, err := rows.Columns()
	slices.Sort(all)
	return slices.DeleteFunc(all, func(c string) bool { return c == "sequence" }), errors.Join(err, rows.Err())
}

// copyTable reads a table in the order of its key, and, with a target, writes each row there. It answers what was read,
// and says now and then how many rows that is so far.
func (s *side) copyTable(ctx context.Context, table int, to *side, progress func(int)) (Copied, error) {
	t := tables[table]
	columns, err := s.columns(ctx, t.name)
	if err != nil {
		return Copied{}, err
	}
	rows, err := s.tx.QueryxContext(ctx,
		fmt.Sprintf(`select %s from %s order by %s`, strings.Join(columns, ", "), t.name, s.dialect.ordered(t.key)))
	if err != nil {
		return Copied{}, err
	}
	defer rows.Close()
	sum := sha256.New()
	count := 0
	var batch [][]any
	flush := func() error {
		defer func() { batch = nil }()
		progress(count)
		if to == nil || len(batch) == 0 {
			return nil
		}
		return to.insert(ctx, t.name, columns, batch)
	}
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return Copied{}, err
		}
		count++
		hashRow(sum, values)
		if batch = append(batch, values); len(batch) == rowsAtATime {
			if err := flush(); err != nil {
				return Copied{}, err
			}
		}
	}
	if err := errors.Join(rows.Err(), flush()); err != nil {
		return Copied{}, err
	}
	return Copied{t.name, count, hex.EncodeToString(sum.Sum(nil))}, nil
}

func (s *side) insert(ctx context.Context, table string, columns []string, batch [][]any) error {
	query := s.tx.Rebind(fmt.Sprintf(`insert into %s (%s) values (?%s)`,
		table, strings.Join(columns, ", "), strings.Repeat(", ?", len(columns)-1)))
	for _, values := range batch {
		if _, err := s.tx.ExecContext(ctx, query, values...); err != nil {
			return err
		}
	}
	return nil
}

// hashRow adds a row to a checksum: each value with its kind and length, so that no two rows look alike.
func hashRow(sum hash.Hash, values []any) {
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			fmt.Fprint(sum, "-;")
		case []byte:
			fmt.Fprintf(sum, "b%d:%s;", len(v), v)
		case string:
			fmt.Fprintf(sum, "s%d:%s;", len(v), v)
		default:
			fmt.Fprintf(sum, "n%v;", v)
		}
	}
}
