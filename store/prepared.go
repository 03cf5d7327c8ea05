package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
)

// mostPrepared bounds what one connection keeps: lists are asked for by many texts.
const mostPrepared = 128

// preparing is a connector to SQLite whose connections prepare each statement once. To parse and plan a statement takes
// SQLite several times as long as to run it on a row or two, and most of ours are asked again and again.
type preparing struct {
	driver driver.Driver
	source string
}

// Connect implements driver.Connector.
func (p preparing) Connect(context.Context) (driver.Conn, error) {
	c, err := p.driver.Open(p.source)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(sqliteConn)
	if !ok {
		return nil, fmt.Errorf("%T cannot prepare statements", c)
	}
	return &preparedConn{sqliteConn: conn, idle: map[string]preparedStatement{}}, nil
}

// Driver implements driver.Connector.
func (p preparing) Driver() driver.Driver { return p.driver }

// sqliteConn is what the driver's connections can do. The pool discards those that are not valid: one whose statement
// was interrupted may go on interrupting.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// preparedStatement is one of the driver's.
type preparedStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedConn keeps the statements of a connection that are not running. One goroutine at a time uses a connection.
type preparedConn struct {
	sqliteConn
	idle map[string]preparedStatement // by their text
}

// ExecContext implements driver.ExecerContext.
func (c *preparedConn) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Result, error) {
	if !isKept(query) {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.ExecContext(ctx, args)
	c.give(query, s, err)
	return result, err
}

// QueryContext implements driver.QueryerContext.
func (c *preparedConn) QueryContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Rows, error) {
	if !isKept(query) {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		c.give(query, s, err)
		return nil, err
	}
	return &preparedRows{rows, c, query, s}, nil
}

// isKept says whether a statement reads or writes rows. Others, such as a migration of many statements, run once.
func isKept(query string) bool {
	query = strings.TrimLeft(query, " \t\n")
	for _, begins := range []string{"select", "insert", "update", "delete"} {
		if len(query) > len(begins) && strings.EqualFold(query[:len(begins)], begins) {
			return !strings.Contains(query, ";")
		}
	}
	return false
}

// take prepares a statement, or takes the one that is idle: while its rows are read it is nobody else's.
func (c *preparedConn) take(ctx context.Context, query string) (preparedStatement, error) {
	if s, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return s, nil
	}
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	prepared, ok := s.(preparedStatement)
	if !ok {
		return nil, fmt.Errorf("%T cannot be kept", s)
	}
	return prepared, nil
}

// give keeps a statement for the next time, unless it failed.
func (c *preparedConn) give(query string, s preparedStatement, err error) {
	if _, another := c.idle[query]; another || err != nil {
		_ = s.Close() // it repeats what running it has said
		return
	}
	if len(c.idle) >= mostPrepared {
		c.drop()
	}
	c.idle[query] = s
}

// drop closes one of the idle statements, whichever.
func (c *preparedConn) drop() {
	for query, s := range c.idle {
		delete(c.idle, query)
		_ = s.Close() // it runs nothing
		return
	}
}

// Close implements driver.Conn.
func (c *preparedConn) Close() error {
	for len(c.idle) > 0 {
		c.drop()
	}
	return c.sqliteConn.Close()
}

// preparedRows give their statement back once they are read.
type preparedRows struct {
	driver.Rows
	conn  *preparedConn
	query string
	s     preparedStatement
}

// Close implements driver.Rows.
func (r *preparedRows) Close() error {
	err := r.Rows.Close()
	r.conn.give(r.query, r.s, err)
	return err
}
