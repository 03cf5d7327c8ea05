package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// statements keeps the text of every statement.
type statements struct {
	driver.Driver
	mu   sync.Mutex
	seen map[string]bool
}

func (s *statements) keep(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[query] = true
}

func (s *statements) Open(name string) (driver.Conn, error) {
	c, err := s.Driver.Open(name)
	if err != nil {
		return nil, err
	}
	return &keepingConn{c.(sqliteConn), s.keep}, nil
}

type sqliteConn = store.SQLiteConn

type keepingConn struct {
	sqliteConn
	keep func(string)
}

func (c *keepingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.keep(query)
	return c.sqliteConn.PrepareContext(ctx, query)
}

func (c *keepingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.keep(query)
	return c.sqliteConn.ExecContext(ctx, query, args)
}

func (c *keepingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.keep(query)
	return c.sqliteConn.QueryContext(ctx, query, args)
}

// fullScan is what a plan says of a step that reads a whole table. One that reads the whole of an index is as bad, but
// for a partial index, which has nothing in it but what is wanted, and for a page of a list.
var fullScan = regexp.MustCompile(`SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?$`)

// growing are the tables that have a row for each event, subscription, shipment or change.
var growing = []string{
	"events", "event_subscriptions", "subscriptions", "enrollments", "shipments", "journal", "orders_read", "messages",
	"actions", "adjustments", "schedules",
	"s", "e", // subscriptions and enrollments, as they are called in most statements
}

// What is done for each delivery, sync and shipment, and what is asked again and again, reads no whole table, however
// many events and subscriptions there are.
func TestQueryPlans(t *testing.T) {
	plain, err := sql.Open("sqlite", "file::memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	kept := &statements{Driver: plain.Driver(), seen: map[string]bool{}}
	name := "keeping " + rand.Text() // a name can be registered once
	sql.Register(name, kept)
	restore := store.UseDriver(name)
	database := filepath.Join(t.TempDir(), "termed.db")
	s := open(t, database)
	restore()
	kept.seen = map[string]bool{} // what the start and the migrations did does not count
	useHotPaths(t, s)
	db := openRaw(t, "SQLite", database)
	partial := map[string]bool{}
	var names []string
	err = db.Select(&names, `select name from sqlite_master where type = 'index' and sql like '% where %'`)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		partial[name] = true
	}
	wanted := map[string]string{ // a range of keys would be no full scan, and lead through nearly everything
		"at >= ? and subscription = ?": "journal_subscription",
		"min(sequence + 0)":            "journal_at",
		"s.made >= s.total":            "subscriptions_risk",
	}
	explained := 0
	for _, query := range slices.Sorted(maps.Keys(kept.seen)) {
		var plan []struct {
			ID, Parent, NotUsed int
			Detail              string
		}
		if err := db.Select(&plan, "explain query plan "+strings.ReplaceAll(query, "?", "null")); err != nil {
			continue // begin, commit, a pragma
		}
		explained++
		used := ""
		for _, step := range plan {
			used += step.Detail + "\n"
			m := fullScan.FindStringSubmatch(step.Detail)
			page := m != nil && m[2] != "" && strings.HasSuffix(strings.TrimSpace(query), "limit ?")
			if m != nil && slices.Contains(growing, m[1]) && !partial[m[2]] && !page {
				t.Errorf("%s\n%s", step.Detail, query)
			}
		}
		for part, index := range wanted {
			if strings.Contains(query, part) {
				delete(wanted, part)
				if !strings.Contains(used, index) {
					t.Errorf("without %s: %s\n%s", index, used, query)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		t.Errorf("no statement with %q was explained", name)
	}
	if explained < 30 {
		t.Errorf("%d statements were explained, of %d", explained, len(kept.seen))
	}
}

// useHotPaths does what is done all the time.
func useHotPaths(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	record(t, s, "e1", enrolled("s1"), 100)
	record(t, s, "e2", shipped(shipment("s1", "o1")), 100)
	_, err := s.Append(ctx, event("e3", 100))
	must(err)
	claimed, err := s.ClaimEvents(ctx, 200, 300, 10, 5)
	must(err)
	must(s.RenewEvent(ctx, claimed[0], 300, 400))
	must(s.SettleEvent(ctx, claimed[0], ledger.Settlement{At: 200, Facts: ledger.Facts{OrderRead: "o2"}}))
	_, err = s.OrderRead(ctx, "o2")
	must(err)
	for _, lease := range claim(t, s, 200, 1) {
		must(s.Renew(ctx, lease, 2000))
		_, err = s.Record(ctx, lease, ledger.Step{Enrollment: lease.Subscription.Enrollment})
		must(err)
		must(s.Finish(ctx, lease, ledger.Outcome{}))
	}
	for i := range 3 {
		_, err = s.Prune(ctx, 300+int64(i), 10)
		must(err)
	}
	for name, ask := range map[string]func() error{
		"backlog":              func() error { _, err := s.Backlog(ctx); return err },
		"counts":               func() error { _, err := s.Counts(ctx); return err },
		"outbox":               func() error { _, err := s.Outbox(ctx); return err },
		"brake":                func() error { _, err := s.Brake(ctx); return err },
		"overship":             func() error { _, err := s.OvershipRisk(ctx); return err },
		"last":                 func() error { _, err := s.LastDelivery(ctx, 1000); return err },
		"events":               func() error { _, err := s.ListEvents(ctx, store.EventQuery{}, "", 50); return err },
		"page":                 func() error { _, err := s.List(ctx, store.Query{}, "", 50); return err },
		"one":                  func() error { _, err := s.Subscription(ctx, "s1"); return err },
		"journal":              func() error { _, err := s.Journal(ctx, "s1"); return err },
		"journal since a time": func() error { _, err := s.JournalSince(ctx, "", 1, 0, 10); return err },
		"journal of one":       func() error { _, err := s.JournalSince(ctx, "s1", 1, 0, 10); return err },
		"messages":             func() error { _, err := s.ClaimMessages(ctx, "default", 1, 2, 10); return err },
		"known":                func() error { _, err := s.Known(ctx, []string{"s1"}); return err },

		"retry failed":    func() error { return s.RetryFailed(ctx, 1000) },
		"remind":          func() error { return s.Remind(ctx, 1000) },
		"next event":      func() error { _, err := s.NextEvent(ctx); return err },
		"next":            func() error { _, err := s.NextSubscription(ctx); return err },
		"gaps":            func() error { _, _, err := s.DeliveryGaps(ctx, 0, 10); return err },
		"last of types":   func() error { _, err := s.LastOfTypes(ctx, []string{"order.success"}); return err },
		"orders read":     func() error { _, err := s.OrdersReadSince(ctx, 1000); return err },
		"open actions":    func() error { _, err := s.OpenActions(ctx, 1000); return err },
		"facts":           func() error { return s.RecordFacts(ctx, shipped(shipment("s1", "o3")), 1000) },
		"last reconciled": func() error { _, err := s.LastReconciled(ctx); return err },
		"last backup":     func() error { _, err := s.LastBackup(ctx); return err },
		"upcoming":        func() error { _, err := s.Upcoming(ctx, "", 10); return err },
	} {
		if err := ask(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
