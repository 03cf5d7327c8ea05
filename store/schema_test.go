package store_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/store"
)

// column is a column of a table of ours, its type named the same on both databases.
type column struct {
	Table, Name, Type string
	Nullable          bool
}

// columnQueries read the columns of every table, by kind of database.
var columnQueries = map[string]string{
	"SQLite": `
		select m.name as "table", p.name as name,
		       case lower(p.type) when 'integer' then 'number' when 'blob' then 'bytes' else lower(p.type) end as type,
		       p."notnull" = 0 and p.pk = 0 as nullable
		from sqlite_master m, pragma_table_info(m.name) p
		where m.type = 'table' and m.name not like 'goose%' and m.name not like 'sqlite%'
		order by 1, 2`,
	"PostgreSQL": `
		select table_name as "table", column_name as name,
		       case data_type when 'bigint' then 'number' when 'bytea' then 'bytes' else data_type end as type,
		       is_nullable = 'YES' as nullable
		from information_schema.columns
		where table_schema = 'public' and table_name not like 'goose%'
		order by table_name collate "C", column_name collate "C"`,
}

func columnsOf(t *testing.T, kind string, db *sqlx.DB) []column {
	t.Helper()
	var columns []column
	if err := db.Select(&columns, columnQueries[kind]); err != nil {
		t.Fatal(err)
	}
	if len(columns) < 30 {
		t.Fatalf("%d columns; the query is wrong", len(columns))
	}
	return columns
}

// openRaw opens a database without the store.
func openRaw(t testing.TB, kind, where string) *sqlx.DB {
	t.Helper()
	driver := "pgx"
	if kind == "SQLite" {
		driver = "sqlite"
		sqlx.BindDriver(driver, sqlx.QUESTION)
		address := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(where)}
		where = address.String()
	}
	db, err := sqlx.Connect(driver, where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// folder is where the migrations of a kind of database are.
func folder(kind string) string {
	return map[string]string{"SQLite": "sqlite", "PostgreSQL": "postgres"}[kind]
}

// The two schemas agree, column by column.
func TestSchemasAgree(t *testing.T) {
	columns := map[string][]column{}
	for kind, database := range databases {
		where := database(t)
		open(t, where)
		columns[kind] = columnsOf(t, kind, openRaw(t, kind, where))
	}
	if diff := cmp.Diff(columns["SQLite"], columns["PostgreSQL"]); diff != "" {
		t.Errorf("schemas (-SQLite +PostgreSQL):\n%s", diff)
	}
}

// Any number of instances can start at once on an empty database.
func TestStartTogether(t *testing.T) {
	database := newPostgres(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			s, err := store.Open(t.Context(), store.Options{Database: database, Serve: true})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A program that is older than the schema refuses to start and says so.
func TestNewerSchema(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			where := database(t)
			open(t, where).Close()
			db := openRaw(t, name, where)
			newer := db.Rebind(`insert into goose_db_version (version_id, is_applied) values (?, ?)`)
			if _, err := db.Exec(newer, 99, true); err != nil {
				t.Fatal(err)
			}
			db.Close()
			for _, how := range []store.Migrate{store.Auto, store.Manual} {
				s, err := store.Open(t.Context(), store.Options{Database: where, Migrate: how})
				if !errors.Is(err, store.ErrNewSchema) {
					t.Errorf("Open = %v, %v; want ErrNewSchema", s, err)
				}
			}
		})
	}
}

// Whoever only reads creates nothing: neither a file nor a table.
func TestCreatesNothing(t *testing.T) {
	for _, how := range []store.Migrate{store.Upgrade, store.Manual, store.LookOnly} {
		dir := t.TempDir()
		s, err := store.Open(t.Context(), store.Options{Database: filepath.Join(dir, "termed.db"), Migrate: how, Serve: true})
		if !errors.Is(err, store.ErrNoDatabase) {
			t.Errorf("Open with %v = %v, %v; want ErrNoDatabase", how, s, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("Open with %v left %v, %v", how, left, err)
		}
	}
	empty := map[string]func(testing.TB) string{"SQLite": emptyFile, "PostgreSQL": newPostgres}
	for name, database := range empty {
		t.Run(name, func(t *testing.T) {
			where := database(t)
			for _, how := range []store.Migrate{store.Upgrade, store.Manual, store.Upgrade} {
				s, err := store.Open(t.Context(), store.Options{Database: where, Migrate: how})
				if !errors.Is(err, store.ErrNoSchema) {
					t.Errorf("Open with %v = %v, %v; want ErrNoSchema", how, s, err)
				}
			}
		})
	}
}

func emptyFile(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An older schema is refused where it is migrated by hand, and left alone by who only looks.
func TestOlderSchema(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			where := database(t)
			open(t, where).Close()
			db := openRaw(t, name, where)
			if _, err := db.Exec(`delete from goose_db_version where version_id > 0`); err != nil {
				t.Fatal(err)
			}
			db.Close()
			s, err := store.Open(t.Context(), store.Options{Database: where, Migrate: store.Manual})
			if !errors.Is(err, store.ErrOldSchema) {
				t.Errorf("Open = %v, %v; want ErrOldSchema", s, err)
			}
			s, err = store.Open(t.Context(), store.Options{Database: where, Migrate: store.LookOnly})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if version, latest, err := s.SchemaVersions(t.Context()); version != 0 || latest == 0 || err != nil {
				t.Errorf("SchemaVersions = %d, %d, %v; want 0", version, latest, err)
			}
		})
	}
}

// An error names the database, and no password.
func TestDatabaseName(t *testing.T) {
	absolute, err := filepath.Abs("termed.db")
	if err != nil {
		t.Fatal(err)
	}
	for database, want := range map[string]string{
		"termed.db":                                           absolute,
		"sqlite:///srv/termed.db":                             "/srv/termed.db",
		"postgres://anna:secret@db/termed":                    "postgres://db:5432/termed",
		"postgres://db/termed?user=anna&password=secret":      "postgres://db:5432/termed",
		"postgres://anna:secret@db:99999999/termed?port=none": "on PostgreSQL",
	} {
		if got := store.Name(database); got != want {
			t.Errorf("Name(%q) = %q, want %q", database, got, want)
		}
	}
}
