package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/store"
)

// preparations counts how often each statement is prepared, and how many are open.
type preparations struct {
	driver.Driver
	mu   sync.Mutex
	of   map[string]int
	open int
}

func (p *preparations) Open(name string) (driver.Conn, error) {
	c, err := p.Driver.Open(name)
	if err != nil {
		return nil, err
	}
	return &countingConn{c.(sqliteConn), p}, nil
}

func (p *preparations) count(query string, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[query]++
	p.open += open
}

type countingConn struct {
	sqliteConn
	p *preparations
}

func (c *countingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.p.count(query, 1)
	return &countedStmt{s.(sqliteStmt), c.p}, nil
}

func (c *countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.p.count(query, 0)
	return c.sqliteConn.QueryContext(ctx, query, args)
}

type sqliteStmt = store.SQLiteStatement

type countedStmt struct {
	sqliteStmt
	p *preparations
}

func (s *countedStmt) Close() error {
	s.p.count("", -1)
	return s.sqliteStmt.Close()
}

// What is asked again and again is prepared once on a connection, and what is prepared is bounded, however many texts
// there are; closing the store closes all of them.
func TestStatementsArePreparedOnce(t *testing.T) {
	db, err := sql.Open("sqlite", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p := &preparations{Driver: db.Driver(), of: map[string]int{}}
	name := "counting-" + rand.Text()
	sql.Register(name, p)
	defer store.UseDriver(name)()
	s, err := store.Open(t.Context(), store.Options{Database: filepath.Join(t.TempDir(), "termed.db")})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if _, err := s.OrderRead(t.Context(), "o1"); err != nil {
			t.Fatal(err)
		}
	}
	for query, n := range p.of {
		if strings.Contains(query, "from orders_read where order_id") && n > 1 {
			t.Errorf("prepared %d times: %s", n, query)
		}
	}
	for n := range 500 { // each a text of its own
		ids := make([]string, n+1)
		for i := range ids {
			ids[i] = fmt.Sprint("s", i)
		}
		if _, err := s.Known(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
	}
	if most := 128 * 2; p.open > most { // one connection that writes, and one that reads
		t.Errorf("%d statements are kept, more than %d", p.open, most)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if p.open != 0 {
		t.Errorf("%d statements are open after the store was closed", p.open)
	}
}

// A statement can run again while its rows are read: each time has its own.
func TestStatementWithinItself(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "termed.db"))
	const query = `select 1 where ? >= 0 union all select 2 union all select 3`
	var seen int
	var each func(tx *sqlx.Tx, depth int) error
	each = func(tx *sqlx.Tx, depth int) error {
		rows, err := tx.Query(query, depth)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			seen++
			if depth == 0 {
				continue
			}
			if err := each(tx, depth-1); err != nil {
				return err
			}
		}
		return rows.Err()
	}
	for range 2 {
		seen = 0
		err := s.Do(t.Context(), func(tx *sqlx.Tx) error { return each(tx, 2) })
		if want := 3 + 3*3 + 3*3*3; err != nil || seen != want {
			t.Errorf("%d rows, want %d; error %v", seen, want, err)
		}
	}
}

// deafConn is a connection that does not answer.
type deafConn struct{ sqliteConn }

func (deafConn) Ping(context.Context) error { return errors.New("deaf") }

type deafDriver struct{ driver.Driver }

func (d deafDriver) Open(name string) (driver.Conn, error) {
	c, err := d.Driver.Open(name)
	if err != nil {
		return nil, err
	}
	return deafConn{c.(sqliteConn)}, nil
}

// A ping asks the database, and not only whether a connection is open.
func TestPingAsksTheDatabase(t *testing.T) {
	db, err := sql.Open("sqlite", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := "deaf-" + rand.Text()
	sql.Register(name, deafDriver{db.Driver()})
	defer store.UseDriver(name)()
	_, err = store.Open(t.Context(), store.Options{Database: filepath.Join(t.TempDir(), "termed.db")})
	if err == nil || !strings.Contains(err.Error(), "deaf") {
		t.Errorf("opening a database that does not answer = %v", err)
	}
}

// What was interrupted leaves nothing behind that interrupts others.
func TestInterruptedStatement(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "termed.db"))
	const endless = `select count(*) from (
		with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i > ?)`
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := s.Do(t.Context(), func(tx *sqlx.Tx) error {
			var n int
			return tx.GetContext(ctx, &n, endless, 0)
		})
		cancel()
		if err == nil {
			t.Fatal("an endless statement ended")
		}
		if fresh, err := s.Append(t.Context(), event(rand.Text(), 100)); err != nil || !fresh {
			t.Fatalf("after an interrupted statement an event is filed: %v, %v", fresh, err)
		}
	}
}
