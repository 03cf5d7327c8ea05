package store_test

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/store"
)

// The two schemas agree, column by column.
func TestSchemasAgree(t *testing.T) {
	type column struct {
		Table, Name, Type string
		Nullable          bool
	}
	lite := filepath.Join(t.TempDir(), "termed.db")
	post := newPostgres(t)
	open(t, lite)
	open(t, post)
	read := func(driver, address, query string) []column {
		t.Helper()
		db, err := sqlx.Connect(driver, address)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var columns []column
		if err := db.Select(&columns, query); err != nil {
			t.Fatal(err)
		}
		return columns
	}
	fromLite := read("sqlite", lite, `
		select m.name as "table", p.name as name,
		       case lower(p.type) when 'integer' then 'number' when 'blob' then 'bytes' else lower(p.type) end as type,
		       p."notnull" = 0 and p.pk = 0 as nullable
		from sqlite_master m, pragma_table_info(m.name) p
		where m.type = 'table' and m.name not like 'goose%' and m.name not like 'sqlite%'
		order by 1, 2`)
	fromPost := read("pgx", post, `
		select table_name as "table", column_name as name,
		       case data_type when 'bigint' then 'number' when 'bytea' then 'bytes' else data_type end as type,
		       is_nullable = 'YES' as nullable
		from information_schema.columns
		where table_schema = 'public' and table_name not like 'goose%'
		order by table_name collate "C", column_name collate "C"`)
	if len(fromLite) < 30 {
		t.Fatalf("%d columns; the question is wrong", len(fromLite))
	}
	if diff := cmp.Diff(fromLite, fromPost); diff != "" {
		t.Errorf("schemas (-SQLite +PostgreSQL):\n%s", diff)
	}
	for _, c := range fromLite {
		if c.Name != "sequence" && !slices.Contains(store.CopiedColumns()[c.Table], c.Name) {
			t.Errorf("a copy would leave out %s.%s", c.Table, c.Name)
		}
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
			driver := map[string]string{"SQLite": "sqlite", "PostgreSQL": "pgx"}[name]
			if name == "SQLite" {
				where = filepath.Join(t.TempDir(), "plain.db")
				open(t, where).Close()
			}
			db, err := sqlx.Connect(driver, where)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(db.Rebind(`insert into goose_db_version (version_id, is_applied) values (?, ?)`), 99, true); err != nil {
				t.Fatal(err)
			}
			db.Close()
			for _, how := range []store.Migrate{store.Auto, store.Manual} {
				if s, err := store.Open(t.Context(), store.Options{Database: where, Migrate: how}); !errors.Is(err, store.ErrNewSchema) {
					t.Errorf("Open = %v, %v; want ErrNewSchema", s, err)
				}
			}
		})
	}
}
