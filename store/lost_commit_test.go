package store_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// cutter is a proxy between a store and its PostgreSQL. It cuts the connection at a COMMIT when armed: before the
// COMMIT reaches the server, or after it, before its answer comes back.
type cutter struct {
	listener net.Listener
	server   string
	armed    atomic.Int32 // 0: cuts nothing; 1: before the server has it; 2: after
	cuts     atomic.Int32
}

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, server: server}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.carry(client)
		}
	}()
	return c
}

func (c *cutter) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		armed := int32(0)
		if bytes.Contains(bytes.ToLower(buffer[:n]), []byte("commit\x00")) {
			armed = c.armed.Swap(0)
		}
		if armed == 1 {
			c.cuts.Add(1)
			return
		}
		if armed == 2 {
			c.cuts.Add(1)
			client.Close() // first, so that the answer cannot arrive
		}
		if _, err := server.Write(buffer[:n]); err != nil || armed == 2 {
			_, _ = io.Copy(io.Discard, server) // until the server has done it
			return
		}
	}
}

// The connection is lost at COMMIT, so that nobody knows whether it took effect: what is delivered again is there once,
// and facts that are recorded again are recorded once.
func TestConnectionLostAtCommit(t *testing.T) {
	database := newPostgres(t)
	t.Log("FAULT | PostgreSQL: the connection is lost at COMMIT, before and after it took effect | I1 I2 I10")
	address, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	cut := newCutter(t, address.Host)
	address.Host = cut.listener.Addr().String()
	query := address.Query()
	query.Set("sslmode", "disable") // or the commit could not be seen
	address.RawQuery = query.Encode()
	s := open(t, address.String())
	for i, when := range []int32{1, 2, 1, 2} {
		id := fmt.Sprint("e", i)
		d := event(id, 100)
		cut.armed.Store(when)
		if _, err := s.Append(t.Context(), d); err == nil {
			t.Fatalf("%s: the connection was lost, and Append returned no error", id)
		}
		again(t, func() error { _, err := s.Append(t.Context(), d); return err })

		facts := enrolled("s1")
		facts.Shipments = []counter.Shipment{shipment("s1", fmt.Sprint("o", i))}
		settlement := ledger.Settlement{At: 200, Facts: facts}
		cut.armed.Store(when)
		if err := s.SettleEvent(t.Context(), d, settlement); err == nil {
			t.Fatalf("%s: the connection was lost, and SettleEvent returned no error", id)
		}
		again(t, func() error { return s.SettleEvent(t.Context(), d, settlement) })
	}
	if got := cut.cuts.Load(); got != 8 {
		t.Errorf("%d connections were cut, want 8", got)
	}
	events, err := s.Events(t.Context(), store.EventFilter{}, 100)
	if err != nil || len(events) != 4 {
		t.Errorf("%d events, %v; want each once", len(events), err)
	}
	if lease := claim(t, s, 1000, 1)[0]; lease.Placed.Orders != 4 {
		t.Errorf("%d shipments, want each once", lease.Placed.Orders)
	}
}

// again repeats a write as the sender of an event, or the worker after an expired lease, would.
func again(t *testing.T, do func() error) {
	t.Helper()
	var err error
	for range 20 {
		if err = do(); err == nil {
			return
		}
	}
	t.Error(err)
}
