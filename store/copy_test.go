package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// A running shop is copied there and back: the same subscriptions, the same inbox, the same journal, and the work
// continues.
func TestCopy(t *testing.T) {
	ways := map[string]func(testing.TB) string{
		"SQLite to SQLite":     func(t testing.TB) string { return filepath.Join(t.TempDir(), "second.db") },
		"SQLite to PostgreSQL": newPostgres,
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			where := filepath.Join(t.TempDir(), "first.db")
			first := open(t, where)
			for i := range 700 { // more than one batch
				id := fmt.Sprintf("s-%d é_Z", i)
				facts := enrolled(id)
				facts.Shipments = []counter.Shipment{shipment(id, "o1")}
				facts.OrderRead = fmt.Sprintf("o%d", i)
				record(t, first, fmt.Sprintf("e%d", i), facts, int64(i))
			}
			if _, err := first.Append(t.Context(), event("pending", 5)); err != nil {
				t.Fatal(err)
			}
			message := ledger.Message{ID: "msg_1", Endpoint: "e", Type: counter.NoDeliveries, At: 7}
			message.Body = []byte("{}")
			if err := first.EnqueueMessages(t.Context(), []ledger.Message{message}); err != nil {
				t.Fatal(err)
			}
			before, err := first.Subscriptions(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			first.Close()
			whereTo, whereBack := way(t), filepath.Join(t.TempDir(), "back.db")
			there, err := copyAll(t, where, whereTo, "")
			if err != nil {
				t.Fatal(err)
			}
			rows := map[string]int{}
			for _, table := range there {
				rows[table.Table] = table.Rows
			}
			want := map[string]int{
				"events":               701,
				"subscriptions":        700,
				"event_subscriptions":  700,
				"enrollments":          700,
				"shipments":            700,
				"messages":             1,
				"orders_read":          700,
				"reconciliation":       0,
				"reconciliation_lists": 0,
				"listed_skus":          0,
				"actions":              0,
				"adjustments":          0,
				"schedules":            0,
				"unexplained_ends":     0,
				"installation":         0,
				"pause":                0,
				"journal":              1400,
			}
			if diff := cmp.Diff(want, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if _, err := copyAll(t, where, whereTo, ""); !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("a second copy = %v, want ErrNotEmpty", err)
			}
			again, err := copyAll(t, whereTo, whereBack, "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(there, again); diff != "" {
				t.Errorf("there and back (-there +back):\n%s", diff)
			}
			var progress []string
			o := store.CopyOptions{From: where, To: whereBack, EmptyTarget: "back.db"}
			o.Progress = func(p store.CopyProgress) {
				if p.Table == "events" {
					progress = append(progress, fmt.Sprint(p.Rows, p.All, p.Comparing))
				}
			}
			if _, err := store.Copy(t.Context(), o); err != nil {
				t.Errorf("emptied first: %v", err)
			}
			if got := strings.Join(progress, ", "); got != "500 701 false, 701 701 false, 500 701 true, 701 701 true" {
				t.Errorf("progress: %s", got)
			}
			second := open(t, whereTo)
			after, err := second.Subscriptions(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before[:50], after[:50]); diff != "" {
				t.Errorf("subscriptions (-first +second):\n%s", diff)
			}
			if due, err := second.ClaimEvents(t.Context(), 1e6, 2e6, 10, 10); err != nil || len(due) != 1 {
				t.Errorf("due = %v, %v; want the pending event", due, err)
			}
			claim(t, second, 1e6, 100)
		})
	}
}

func copyAll(t *testing.T, from, to, emptyTarget string) ([]store.Copied, error) {
	t.Helper()
	return store.Copy(t.Context(), store.CopyOptions{From: from, To: to, EmptyTarget: emptyTarget})
}

// shop makes a database with one subscription and one event, of a service that was stopped.
func shop(t testing.TB, where, subscription string) {
	t.Helper()
	s := open(t, where)
	record(t, s, "e-"+subscription, enrolled(subscription), 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// nameOf is what confirms that a database may be emptied.
func nameOf(where string) string { return path.Base(filepath.ToSlash(where)) }

// filesIn are the names of all files in the folder of a SQLite database; a PostgreSQL database has none.
func filesIn(t *testing.T, where string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(where), "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// content is everything that a database holds.
func content(t *testing.T, kind, where string) map[string][]string {
	t.Helper()
	db := openRaw(t, kind, where)
	defer db.Close()
	return dump(t, db, columnsOf(t, kind, db))
}

// TestCopyWrongSource says that a source that does not exist, or holds something else, changes nothing anywhere: not in
// a target that is to be emptied, and not beside the source.
func TestCopyWrongSource(t *testing.T) {
	write := func(name, text string) func(testing.TB) string {
		return func(t testing.TB) string {
			where := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(where, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return where
		}
	}
	foreign := func(statements ...string) func(testing.TB) string {
		return func(t testing.TB) string {
			where := filepath.Join(t.TempDir(), "foreign.db")
			db := openRaw(t, "SQLite", where)
			defer db.Close()
			for _, statement := range statements {
				if _, err := db.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
			return where
		}
	}
	sources := map[string]struct {
		where func(testing.TB) string
		want  error
	}{
		"missing": {func(t testing.TB) string { return filepath.Join(t.TempDir(), "typo.db") }, store.ErrNoDatabase},
		"empty":   {write("empty.db", ""), store.ErrNotOurs},
		"text":    {write("notes.txt", "not a database, but longer than 16 bytes"), store.ErrNotOurs},
		"foreign": {foreign(`create table songs (name text)`), store.ErrNotOurs},
		"foreign in WAL mode": {
			foreign(`pragma journal_mode = wal`, `create table songs (name text)`), store.ErrNotOurs,
		},
		"foreign with versions": {
			foreign(`create table goose_db_version (version_id integer)`, `insert into goose_db_version values (1)`),
			store.ErrNotOurs,
		},
		"empty PostgreSQL": {newPostgres, store.ErrNotOurs},
		"older": {func(t testing.TB) string {
			where := filepath.Join(t.TempDir(), "older.db")
			shop(t, where, "s9")
			db := openRaw(t, "SQLite", where)
			defer db.Close()
			if _, err := db.Exec(`update goose_db_version set version_id = 0`); err != nil {
				t.Fatal(err)
			}
			return where
		}, store.ErrOldSchema},
		"newer": {func(t testing.TB) string {
			where := filepath.Join(t.TempDir(), "newer.db")
			shop(t, where, "s9")
			db := openRaw(t, "SQLite", where)
			defer db.Close()
			if _, err := db.Exec(`insert into goose_db_version (version_id, is_applied) values (99, 1)`); err != nil {
				t.Fatal(err)
			}
			return where
		}, store.ErrNewSchema},
	}
	for name, source := range sources {
		for kind, database := range databases {
			t.Run(name+" to "+kind, func(t *testing.T) {
				from, to := source.where(t), database(t)
				shop(t, to, "s1")
				before, files := content(t, kind, to), filesIn(t, from)
				bytesBefore, _ := os.ReadFile(from)
				_, err := copyAll(t, from, to, nameOf(to))
				if !errors.Is(err, source.want) || !strings.Contains(err.Error(), store.Name(from)) {
					t.Errorf("Copy = %v, want %v and the source's name", err, source.want)
				}
				if diff := cmp.Diff(before, content(t, kind, to)); diff != "" {
					t.Errorf("the target (-before +after):\n%s", diff)
				}
				if diff := cmp.Diff(files, filesIn(t, from)); diff != "" {
					t.Errorf("files at the source (-before +after):\n%s", diff)
				}
				if after, _ := os.ReadFile(from); !bytes.Equal(bytesBefore, after) {
					t.Error("the source was written to")
				}
				fresh := filepath.Join(t.TempDir(), "fresh.db")
				if _, err := copyAll(t, from, fresh, ""); err == nil || len(filesIn(t, fresh)) > 0 {
					t.Errorf("Copy to a new file = %v, and left %v", err, filesIn(t, fresh))
				}
			})
		}
	}
}

// corruptions make the copy of the last table fail, or change what arrives there.
var corruptions = map[string]map[string][]string{
	"refused": {
		"SQLite": {`create trigger broken before insert on journal begin select raise(abort, 'the disk is full'); end`},
		"PostgreSQL": {
			`create function broken() returns trigger as $$ begin raise 'the disk is full'; end $$ language plpgsql`,
			`create trigger broken before insert on journal for each row execute function broken()`,
		},
	},
	"changed": {
		"SQLite": {`create trigger broken after insert on journal begin update journal set actor = 'differs'; end`},
		"PostgreSQL": {
			`create function broken() returns trigger as $$ begin new.actor := 'differs'; return new; end $$ language plpgsql`,
			`create trigger broken before insert on journal for each row execute function broken()`,
		},
	},
}

// TestCopyFailureKeepsTarget says that a copy that fails at its last table, or arrives changed, leaves the target as it
// was.
func TestCopyFailureKeepsTarget(t *testing.T) {
	wants := map[string]string{"refused": "the disk is full", "changed": "journal differs"}
	for fault, byKind := range corruptions {
		for kind, database := range databases {
			t.Run(fault+" "+kind, func(t *testing.T) {
				from, to := filepath.Join(t.TempDir(), "from.db"), database(t)
				shop(t, from, "s1")
				shop(t, to, "s2")
				db := openRaw(t, kind, to)
				for _, statement := range byKind[kind] {
					if _, err := db.Exec(statement); err != nil {
						t.Fatal(err)
					}
				}
				before := content(t, kind, to)
				if _, err := copyAll(t, from, to, nameOf(to)); err == nil || !strings.Contains(err.Error(), wants[fault]) {
					t.Errorf("Copy = %v, want %q", err, wants[fault])
				}
				if diff := cmp.Diff(before, content(t, kind, to)); diff != "" {
					t.Errorf("the target (-before +after):\n%s", diff)
				}
			})
		}
	}
}

// TestCopyTargetName says that a target is emptied only where its name was given.
func TestCopyTargetName(t *testing.T) {
	for kind, database := range databases {
		t.Run(kind, func(t *testing.T) {
			from, to := filepath.Join(t.TempDir(), "from.db"), database(t)
			shop(t, from, "s1")
			shop(t, to, "s2")
			before := content(t, kind, to)
			for _, name := range []string{"other", nameOf(to) + "x", "from.db"} {
				if _, err := copyAll(t, from, to, name); !errors.Is(err, store.ErrOtherName) {
					t.Errorf("Copy with the name %q = %v, want ErrOtherName", name, err)
				}
			}
			if _, err := copyAll(t, from, to, ""); !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("Copy without a name = %v, want ErrNotEmpty", err)
			}
			if diff := cmp.Diff(before, content(t, kind, to)); diff != "" {
				t.Errorf("the target (-before +after):\n%s", diff)
			}
			if _, err := copyAll(t, from, to, nameOf(to)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(content(t, "SQLite", from), content(t, kind, to)); diff != "" {
				t.Errorf("rows (-source +target):\n%s", diff)
			}
			if _, err := copyAll(t, to, to, nameOf(to)); err == nil {
				t.Error("a database was copied onto itself")
			}
		})
	}
}

// TestCopyRunningService says that a database on which a service runs is refused, as source and as target, and that a
// service on PostgreSQL that was killed counts as stopped when its row has expired.
func TestCopyRunningService(t *testing.T) {
	for kind, database := range databases {
		t.Run(kind, func(t *testing.T) {
			running, other := database(t), filepath.Join(t.TempDir(), "other.db")
			shop(t, running, "s1")
			shop(t, other, "s2")
			service := open(t, running)
			before := content(t, kind, running)
			if _, err := copyAll(t, other, running, nameOf(running)); !errors.Is(err, store.ErrInUse) {
				t.Errorf("Copy to it = %v, want ErrInUse", err)
			}
			fresh := filepath.Join(t.TempDir(), "fresh.db")
			if _, err := copyAll(t, running, fresh, ""); !errors.Is(err, store.ErrInUse) || len(filesIn(t, fresh)) > 0 {
				t.Errorf("Copy from it = %v, and left %v; want ErrInUse", err, filesIn(t, fresh))
			}
			if diff := cmp.Diff(before, content(t, kind, running)); diff != "" {
				t.Errorf("the database (-before +after):\n%s", diff)
			}
			if err := service.Close(); err != nil {
				t.Fatal(err)
			}
			if kind == "PostgreSQL" {
				db := openRaw(t, kind, running)
				if _, err := db.Exec(`
					insert into services (id, kind, outgoing_group, until)
					values ('killed', 'service', '', 1)`); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := copyAll(t, running, fresh, ""); err != nil {
				t.Errorf("Copy of a stopped service's = %v", err)
			}
		})
	}
}

// TestStartDuringCopy says that no service starts on a PostgreSQL database that is being copied, and that nothing is
// copied to or from it a second time.
func TestStartDuringCopy(t *testing.T) {
	from, to := newPostgres(t), newPostgres(t)
	shop(t, from, "s1")
	shop(t, to, "s2")
	db := openRaw(t, "PostgreSQL", to)
	for _, statement := range []string{
		`create sequence reached`,
		`create function pause() returns trigger as $$
		begin
			perform nextval('reached');
			while not pg_try_advisory_xact_lock(77) loop
				perform pg_sleep(0.01);
			end loop;
			return new;
		end $$ language plpgsql`,
		`create trigger pause before insert on journal for each row execute function pause()`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	held, err := db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback()
	if _, err := held.Exec(`select pg_advisory_xact_lock(77)`); err != nil {
		t.Fatal(err)
	}
	copied := make(chan error, 1)
	go func() {
		_, err := copyAll(t, from, to, nameOf(to))
		copied <- err
	}()
	for reached := false; !reached; {
		if err := db.Get(&reached, `select is_called from reached`); err != nil {
			t.Fatal(err)
		}
	}
	for _, where := range []string{from, to} {
		_, err := store.Open(t.Context(), store.Options{Database: where, Serve: true})
		if !errors.Is(err, store.ErrInUse) {
			t.Errorf("Open of %s = %v, want ErrInUse", where, err)
		}
	}
	if _, err := copyAll(t, to, from, nameOf(from)); err == nil || !strings.Contains(err.Error(), "being copied") {
		t.Errorf("a copy back meanwhile = %v, want it refused", err)
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-copied; err != nil {
		t.Error(err)
	}
	open(t, to)
}

// TestOpenMustExist says that nothing is created where a database must exist.
func TestOpenMustExist(t *testing.T) {
	where := filepath.Join(t.TempDir(), "typo.db")
	for _, serve := range []bool{false, true} {
		_, err := store.Open(t.Context(), store.Options{Database: where, MustExist: true, Serve: serve})
		if !errors.Is(err, store.ErrNoDatabase) || !strings.Contains(err.Error(), where) {
			t.Errorf("Open = %v, want ErrNoDatabase and the path", err)
		}
	}
	if files := filesIn(t, where); len(files) > 0 {
		t.Errorf("it left %v", files)
	}
}

// A copy takes every table and every column of the schema: each has a value of its own here, none the default.
func TestCopyEveryColumn(t *testing.T) {
	for from, source := range databases {
		for to, target := range databases {
			t.Run(from+" to "+to, func(t *testing.T) {
				where, whereTo := source(t), target(t)
				open(t, where).Close()
				db := openRaw(t, from, where)
				columns := columnsOf(t, from, db)
				want := fill(t, db, columns)
				copied, err := copyAll(t, where, whereTo, "")
				if err != nil {
					t.Fatal(err)
				}
				if len(copied) != len(want) {
					t.Errorf("%d tables were copied, want %d", len(copied), len(want))
				}
				if diff := cmp.Diff(want, dump(t, openRaw(t, to, whereTo), columns)); diff != "" {
					t.Errorf("rows by table (-source +target):\n%s", diff)
				}
			})
		}
	}
}

// byTable are the columns of each table. The journal's sequence is left out, since each database numbers its own lines,
// and so are the running services, which are a database's own.
func byTable(columns []column) map[string][]column {
	tables := map[string][]column{}
	for _, c := range columns {
		if c.Name != "sequence" && c.Table != "services" {
			tables[c.Table] = append(tables[c.Table], c)
		}
	}
	return tables
}

// fill puts rows into every table, with another value in every column, and returns them as dump does.
func fill(t *testing.T, db *sqlx.DB, columns []column) map[string][]string {
	t.Helper()
	n := int64(1)
	for table, columns := range byTable(columns) {
		for row := range 3 {
			if slices.Contains([]string{"reconciliation", "pause", "installation"}, table) && row > 0 {
				continue // one row at most
			}
			var names []string
			var values []any
			for _, c := range columns {
				n++
				names = append(names, c.Name)
				switch {
				case c.Name == "one":
					values = append(values, 1)
				case c.Type == "number":
					values = append(values, n)
				case c.Type == "bytes":
					values = append(values, []byte(fmt.Sprint(c.Table, ".", c.Name, " \x00\xff ", n)))
				case c.Type == "text":
					values = append(values, fmt.Sprint(c.Table, ".", c.Name, " é ", n))
				default:
					t.Fatalf("%s.%s is of a type that this test does not know: %s", c.Table, c.Name, c.Type)
				}
			}
			query := fmt.Sprintf(`insert into %s (%s) values (?%s)`,
				table, strings.Join(names, ", "), strings.Repeat(", ?", len(names)-1))
			if _, err := db.Exec(db.Rebind(query), values...); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dump(t, db, columns)
}

// dump reads every row of every table, by column names. The journal's lines are in their order, other rows are sorted.
func dump(t *testing.T, db *sqlx.DB, columns []column) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for table, columns := range byTable(columns) {
		order := ""
		if table == "journal" {
			order = " order by sequence"
		}
		rows, err := db.Queryx(`select * from ` + table + order) //nolint:sqlclosecheck // closed by reading to the end
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := map[string]any{}
			if err := rows.MapScan(values); err != nil {
				t.Fatal(err)
			}
			var text []string
			for _, c := range columns {
				if body, ok := values[c.Name].([]byte); ok {
					values[c.Name] = string(body)
				}
				text = append(text, fmt.Sprintf("%s=%v", c.Name, values[c.Name]))
			}
			all[table] = append(all[table], strings.Join(text, "; "))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if order == "" {
			slices.Sort(all[table])
		}
	}
	return all
}
