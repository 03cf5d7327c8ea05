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
)

// cutter stands between a store and its PostgreSQL, and cuts the connection at a COMMIT when told to: before it reaches the
// server, or after, before its answer comes back.
type cutter struct {
	listener net.Listener
	server   string
	armed    atomic.Int32 // 0: lets everything through; 1: cuts before the server has it; 2: after
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

// The connection is lost at COMMIT, so that nobody knows whether it took effect: what is delivered again is there once, and
// facts that are learned again are learned once.
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
			t.Fatalf("%s: the connection was lost, and Append said nothing of it", id)
		}
		again(t, func() error { _, err := s.Append(t.Context(), d); return err })

		facts := counter.Settlement{At: 200, Facts: counter.Facts{
			Enrolments: []counter.Enrolment{enrolment("s1")}, Shipments: []counter.Shipment{shipment("s1", fmt.Sprint("o", i))},
		}}
		cut.armed.Store(when)
		if err := s.Settle(t.Context(), d, facts); err == nil {
			t.Fatalf("%s: the connection was lost, and Settle said nothing of it", id)
		}
		again(t, func() error { return s.Settle(t.Context(), d, facts) })
	}
	if got := cut.cuts.Load(); got != 8 {
		t.Errorf("%d connections were cut, want 8", got)
	}
	events, err := s.Events(t.Context(), "", 100)
	if err != nil || len(events) != 4 {
		t.Errorf("%d events, %v; want each once", len(events), err)
	}
	if lease := claim(t, s, 1000, 1)[0]; lease.Made != 4 {
		t.Errorf("%d shipments, want each once", lease.Made)
	}
}

// again tries what the sender would, and a lease that ran out.
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
