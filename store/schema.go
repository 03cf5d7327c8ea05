package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// schema is a database's, with the migrations that are to bring it up to date.
type schema struct {
	db      *sqlx.DB
	dialect goose.Dialect
	folder  string
	options []goose.ProviderOption
}

// prepare brings an older schema up to date, or refuses it; a newer one is always refused.
func (s schema) prepare(ctx context.Context, how Migrate) error {
	files, err := fs.Sub(migrations, "migrations/"+s.folder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(s.dialect, s.db.DB, files, s.options...)
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	sources := provider.ListSources()
	known := sources[len(sources)-1].Version
	if how == Upgrade || how == Manual {
		// safeguard: no-new-schema
		if !s.exists(ctx) {
			return ErrNoSchema
		}
	}
	if (how == Auto || how == Upgrade) && s.stands(ctx) < known {
		// On PostgreSQL goose takes a lock first, so that any number of instances can start at once.
		if _, err := provider.Up(ctx); err != nil {
			return fmt.Errorf("migrating: %w", err)
		}
	}
	stands, err := provider.GetDBVersion(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("reading the schema's version: %w", err)
	// safeguard: newer-schema
	case stands > known:
		return fmt.Errorf("%w: it is at %d, this one knows %d", ErrNewSchema, stands, known)
	case stands < known && how == Manual:
		return fmt.Errorf("%w: it is at %d of %d; run `termed migrate up`", ErrOldSchema, stands, known)
	}
	return nil
}

// exists says whether there is a schema at all. Where that cannot be read, what is read next says why.
func (s schema) exists(ctx context.Context) bool {
	query := `select count(*) from sqlite_master where name = 'goose_db_version'`
	if s.dialect == goose.DialectPostgres {
		query = `
			select count(*)
			from pg_tables
			where tablename = 'goose_db_version' and schemaname = any(current_schemas(false))`
	}
	var tables int
	return s.db.GetContext(ctx, &tables, query) != nil || tables > 0
}

// stands is the version that the schema is at; 0 where there is none yet, or none that can be read.
func (s schema) stands(ctx context.Context) (version int64) {
	if err := s.db.GetContext(ctx, &version, newestVersion); err != nil {
		return 0
	}
	return version
}

const newestVersion = `select coalesce(max(version_id), 0) from goose_db_version`

// SchemaVersions returns the version that a database's schema stands at, and the latest that this program knows.
func (s *Store) SchemaVersions(ctx context.Context) (stands, known int64, err error) {
	if known, err = knownVersion(); err != nil {
		return 0, 0, err
	}
	err = s.reads.GetContext(ctx, &stands, newestVersion)
	return stands, known, wrap("reading the schema's version", err)
}

// knownVersion is the latest that this program knows.
func knownVersion() (int64, error) {
	entries, err := fs.ReadDir(migrations, "migrations/sqlite")
	return int64(len(entries)), err
}
