package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"

	"github.com/termed/termed/ledger"
)

// inboxLoops is how many batches of new events are on their way at once: while one is synced, the next are sent.
const inboxLoops = 4

func openPostgres(ctx context.Context, o Options) (*Store, error) {
	db, err := connectPostgres(ctx, traced{o.Traces}, o.Database)
	if err != nil {
		return nil, err
	}
	// Asked once a second, for two minutes: others that start at the same time are migrating.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("preparing the migration lock: %w", err)
	}
	options := []goose.ProviderOption{goose.WithSessionLocker(locker)}
	if err := (schema{db, goose.DialectPostgres, "postgres", options}).prepare(ctx, o.Migrate); err != nil {
		db.Close()
		return nil, err
	}
	s := &Store{
		reads:  db,
		writer: newWriter(db, appendPostgres, lockPostgres),
		inbox:  newWriter(db, appendPostgres, lockPostgres),
		dialect: dialect{
			skipLocked: "for update skip locked",
			lockRow:    "for update",
			lockBrake:  "select pg_advisory_xact_lock(7310001)",
			shareBrake: "select pg_advisory_xact_lock_shared(7310001)",
			bytewise:   ` collate "C"`,
			bodyHas:    `position(cast(? as bytea) in %s) > 0`,
		},
	}
	if o.Serve || o.Share != nil {
		s.heartbeat, err = startHeartbeat(ctx, db, o, renewEvery)
		if err != nil && o.Serve {
			db.Close()
			return nil, err
		}
		// A command that cannot write, or in an older schema, reads all the same, with a limit of its own.
	}
	return s, nil
}

// postgresName is an address as it may be printed.
func postgresName(address string) string {
	c, err := pgx.ParseConfig(address)
	if err != nil {
		return "on PostgreSQL" // the address may hold a password
	}
	where := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	return fmt.Sprintf("postgres://%s/%s", where, c.Database)
}

// connectPostgres opens a pool that leaves no state in a session between two transactions, so that a pooler in
// transaction mode may stand in between: no statement is prepared under a name. What a statement takes and answers is
// asked once and remembered, so that bodies go in binary; an error forgets it, and so does what a migration changes.
// An address that asks for another default_query_exec_mode has its way.
func connectPostgres(ctx context.Context, by traced, address string) (*sqlx.DB, error) {
	c, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, errors.New("the PostgreSQL address cannot be read") // it may hold a password
	}
	if !strings.Contains(address, "default_query_exec_mode") {
		// safeguard: no-session-statements
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	db := sqlx.NewDb(by.open(stdlib.GetConnector(*c), semconv.DBSystemNamePostgreSQL), "pgx")
	db.SetMaxOpenConns(10)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// lockPostgres locks the rows of subscriptions, in the order of their ids.
func lockPostgres(tx *sqlx.Tx, subscriptions []string) error {
	_, err := tx.Exec(`select id from subscriptions where id = any($1) order by id for update`, subscriptions)
	return err
}

// appendPostgres files a batch in one statement. The rows are sorted by key, or two instances that file the same
// duplicates deadlock.
func appendPostgres(tx *sqlx.Tx, batch []*ledger.Event) ([]bool, error) {
	type key struct {
		Created int64
		ID      string
	}
	sorted := slices.Clone(batch)
	slices.SortStableFunc(sorted, func(a, b *ledger.Event) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID))
	})
	var (
		created, received []int64
		ids, types, state []string
		bodies            [][]byte
		due               []*int64
		traces            []string
	)
	for _, d := range sorted {
		created, received = append(created, d.Created), append(received, d.Received)
		ids, types = append(ids, d.ID), append(types, d.Type)
		state = append(state, string(d.Status))
		bodies = append(bodies, d.Body)
		due = append(due, dueOf(d))
		traces = append(traces, d.Trace)
	}
	var inserted []key
	err := tx.Select(&inserted, `
		insert into events (created, id, type, received, body, status, due, trace)
		select *
		from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::text[], $7::bigint[], $8::text[])
		on conflict do nothing
		returning created, id`, created, ids, types, received, bodies, state, due, traces)
	if err != nil {
		return nil, err
	}
	unseen := make(map[key]bool, len(inserted))
	for _, k := range inserted {
		unseen[k] = true
	}
	fresh := make([]bool, len(batch))
	for i, d := range batch {
		k := key{d.Created, d.ID}
		fresh[i] = unseen[k]
		delete(unseen, k) // of the same event twice in one batch, one is new
	}
	return fresh, nil
}
