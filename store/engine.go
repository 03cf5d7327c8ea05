package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Engine is the database's program.
type Engine struct {
	Name, Version string
	Synced        bool // a commit that was answered survives a crash of the machine
}

func (e Engine) String() string { return e.Name + " " + e.Version }

// Engine says which program the database is, and whether it syncs its commits.
func (s *Store) Engine(ctx context.Context) (Engine, error) {
	if s.path != "" {
		e := Engine{Name: "SQLite"}
		var level int
		if err := s.reads.GetContext(ctx, &e.Version, `select sqlite_version()`); err != nil {
			return e, wrap("asking for the version", err)
		}
		err := s.writer.db.GetContext(ctx, &level, `pragma synchronous`)
		e.Synced = level >= 2 // FULL
		return e, wrap("asking whether commits are synced", err)
	}
	e := Engine{Name: "PostgreSQL"}
	var fsync, commit string
	for setting, into := range map[string]*string{
		"server_version":     &e.Version,
		"fsync":              &fsync,
		"synchronous_commit": &commit,
	} {
		if err := s.reads.GetContext(ctx, into, `select current_setting($1)`, setting); err != nil {
			return e, wrap("asking for "+setting, err)
		}
	}
	e.Version, _, _ = strings.Cut(e.Version, " ")
	e.Synced = fsync == "on" && commit != "off"
	return e, nil
}

// ProveCommit commits something of no consequence, and says how long that took.
func (s *Store) ProveCommit(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	if err := s.remember(ctx, "proved_at", begin.UnixMilli()); err != nil {
		return 0, fmt.Errorf("a commit failed: %w", err)
	}
	return time.Since(begin), nil
}

// LastOfTypes returns when the last event of each type was received, UTC unix milliseconds; a type of which none was
// received is not there.
func (s *Store) LastOfTypes(ctx context.Context, types []string) (map[string]int64, error) {
	last := map[string]int64{}
	for _, name := range types {
		var at int64
		if err := s.reads.GetContext(ctx, &at,
			s.reads.Rebind(`select coalesce(max(received), 0) from events where type = ?`), name); err != nil {
			return nil, wrap("reading the last event of type "+name, err)
		}
		if at > 0 {
			last[name] = at
		}
	}
	return last, nil
}

// OrdersReadSince is how many orders came without their items since a time, UTC unix milliseconds, so that they had to
// be asked for.
func (s *Store) OrdersReadSince(ctx context.Context, since int64) (n int, err error) {
	err = s.reads.GetContext(ctx, &n, s.reads.Rebind(`select count(*) from orders_read where at >= ?`), since)
	return n, wrap("counting the orders that were asked for", err)
}
