package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/jmoiron/sqlx"
)

// ErrNotEmpty says that a copy's target holds something already.
var ErrNotEmpty = errors.New("the target is not empty")

// tables are all of ours, with the columns that a copy takes, in an order that makes rows comparable: by their key. The
// journal's sequence is each database's own; its order is kept.
var tables = []struct {
	name, key string
	columns   []string
}{
	{"events", "created, id", []string{"created", "id", "type", "received", "body", "status", "attempts", "due", "last_error"}},
	{"subscriptions", "id", []string{
		"id", "sku", "term", "customer", "shipments_due", "adjustment", "counters_sent", "counter_written", "state", "reason", "live",
		"completed", "due", "claim", "claim_until", "revision", "attempts", "last_error", "enrolled_by", "enrolled_at", "reactivated_at",
		"cancel_sent", "urgency", "prepaid", "extra_order", "extra_place", "upcoming", "listed_at",
		"past", "at_checkout", "exempt", "reopened", "cancel_after", "blocking", "members", "last_told", "remind_at",
	}},
	{"shipments", "subscription, order_id", []string{"subscription", "order_id", "sku", "source", "at", "told"}},
	{"notices", "id, endpoint", []string{"id", "endpoint", "type", "subscription", "created", "body", "status", "attempts", "due", "last_error"}},
	{"orders_read", "order_id", []string{"order_id", "at"}},
	{"reconciliation", "one", []string{"one", "scope", "started", "claim", "claim_until", "all_at", "recent_at"}},
	{"reconciliation_lists", "sku", []string{"sku", "next", "done"}},
	{"journal", "sequence", []string{"subscription", "at", "actor", "what", "before", "after", "reason"}},
}

// Copied is what a copy did with one table.
type Copied struct {
	Table    string
	Rows     int
	Checksum string // of every value of every row, the same in source and target
}

// rowsAtATime keeps a copy's transactions short and its memory small.
const rowsAtATime = 500

// Copy copies everything from one database to another, on either kind, and compares what arrived with what was read, table
// by table. A target that holds something is refused, or emptied first if so told. Nobody may serve either meanwhile.
func Copy(ctx context.Context, from, to *Store, empty bool) ([]Copied, error) {
	if err := to.clear(ctx, empty); err != nil {
		return nil, err
	}
	var all []Copied
	for i := range tables {
		read, err := from.pour(ctx, i, to)
		if err != nil {
			return nil, fmt.Errorf("copying %s: %w", tables[i].name, err)
		}
		arrived, err := to.pour(ctx, i, nil)
		if err != nil {
			return nil, fmt.Errorf("checking %s: %w", tables[i].name, err)
		}
		if read != arrived {
			return nil, fmt.Errorf("%s differs: %d rows were read and %d arrived (checksums %.12s, %.12s)",
				tables[i].name, read.Rows, arrived.Rows, read.Checksum, arrived.Checksum)
		}
		all = append(all, arrived)
	}
	return all, nil
}

// clear makes sure that nothing is there.
func (s *Store) clear(ctx context.Context, empty bool) error {
	return s.writer.do(ctx, func(tx *sqlx.Tx) error {
		for _, t := range tables {
			var rows int
			if err := tx.Get(&rows, `select count(*) from `+t.name); err != nil {
				return err
			}
			if rows > 0 && !empty {
				return fmt.Errorf("%w: %s has %d rows", ErrNotEmpty, t.name, rows)
			}
			if _, err := tx.Exec(`delete from ` + t.name); err != nil {
				return err
			}
		}
		return nil
	})
}

// pour reads a table in the order of its key, and, with a target, writes each row there. It answers what was read.
func (s *Store) pour(ctx context.Context, table int, to *Store) (Copied, error) {
	t := tables[table]
	rows, err := s.reads.QueryxContext(ctx, fmt.Sprintf(`select %s from %s order by %s`, strings.Join(t.columns, ", "), t.name, s.dialect.ordered(t.key)))
	if err != nil {
		return Copied{}, err
	}
	defer rows.Close()
	sum := sha256.New()
	count := 0
	var batch [][]any
	flush := func() error {
		if to == nil || len(batch) == 0 {
			return nil
		}
		defer func() { batch = nil }()
		return to.insert(ctx, t.name, t.columns, batch)
	}
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return Copied{}, err
		}
		count++
		mix(sum, values)
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

func (s *Store) insert(ctx context.Context, table string, columns []string, batch [][]any) error {
	query := fmt.Sprintf(`insert into %s (%s) values (?%s)`, table, strings.Join(columns, ", "), strings.Repeat(", ?", len(columns)-1))
	return s.writer.do(ctx, func(tx *sqlx.Tx) error {
		for _, values := range batch {
			if _, err := tx.Exec(tx.Rebind(query), values...); err != nil {
				return err
			}
		}
		return nil
	})
}

// mix adds a row to a checksum: each value with its kind and length, so that no two rows look alike.
func mix(sum hash.Hash, values []any) {
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
