package store_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// What one process makes due wakes those that serve the same PostgreSQL database. What only becomes due wakes nobody:
// whoever waits asks when.
func TestWakeups(t *testing.T) {
	where := newPostgres(t)
	first, second := open(t, where), open(t, where)
	deadline := time.Now().Add(20 * time.Second)
	for first.PollEvery() < 5*time.Second || second.PollEvery() < 5*time.Second {
		if time.Now().After(deadline) {
			t.Fatalf("they do not listen: polls every %v and %v", first.PollEvery(), second.PollEvery())
		}
		time.Sleep(10 * time.Millisecond)
	}
	drain := func(c <-chan struct{}) {
		for len(c) > 0 {
			<-c
		}
	}
	woken := func(what string, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: nobody was woken", what)
		}
	}
	drain(second.EventsDue())
	drain(second.SubscriptionsDue())
	command, err := store.Open(t.Context(), store.Options{Database: where})
	if err != nil {
		t.Fatal(err)
	}
	record(t, first, "e1", enrolled("s1"), 5)
	woken("an event that another filed", second.EventsDue())
	woken("a subscription that another made due", second.SubscriptionsDue())
	drain(second.SubscriptionsDue())
	if err := command.RecordFacts(t.Context(), ledger.Facts{Changed: []string{"s1"}}, 7); err != nil {
		t.Fatal(err)
	}
	if err := command.Close(); err != nil { // at once, as a command does
		t.Fatal(err)
	}
	woken("a subscription that a command made due", second.SubscriptionsDue())
}

// A notification would reach some client of a pooler. That one stands in between is seen by the number of the server's
// process, which is not the one that the connection was given.
func TestListensPastPooler(t *testing.T) {
	where := newPostgres(t)
	s := open(t, behindPooler(t, where))
	if !s.IsPooled(20 * time.Second) {
		t.Error("it did not notice the pooler")
	}
	if every := s.PollEvery(); every != 2*time.Second {
		t.Errorf("behind a pooler, it polls every %v, want 2 s", every)
	}
}

// behindPooler returns the address of a proxy that gives each connection another process number, as a pooler does.
func behindPooler(t *testing.T, address string) string {
	t.Helper()
	server, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	target := server.Host
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go pooled(client, target)
		}
	}()
	server.Host = listener.Addr().String()
	server.RawQuery = "sslmode=disable"
	return server.String()
}

// pooled passes on what a client and a server say, except for the number of the server's process.
func pooled(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	head := make([]byte, 5)
	for head[0] != 'Z' { // ready for the first query
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		if head[0] == 'K' { // the process and its secret
			binary.BigEndian.PutUint32(body, binary.BigEndian.Uint32(body)+1)
		}
		if _, err := client.Write(append(head[:5:5], body...)); err != nil {
			return
		}
	}
	_, _ = io.Copy(client, server)
}

// When the next is due is asked, and a subscription that is leased is due when its lease ends.
func TestNextDue(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		next := func() [2]int64 {
			t.Helper()
			event, err := s.NextEvent(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			subscription, err := s.NextSubscription(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return [2]int64{event, subscription}
		}
		if got := next(); got != [2]int64{} {
			t.Errorf("in an empty database the next are due at %v", got)
		}
		if _, err := s.Append(t.Context(), event("e0", 9)); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != [2]int64{14, 0} {
			t.Errorf("with one event, the next are due at %v, want 14 and none", got)
		}
		if _, err := s.ClaimEvents(t.Context(), 14, 40, 1, 1); err != nil {
			t.Fatal(err)
		}
		record(t, s, "e1", enrolled("s1"), 50)
		if got := next(); got != [2]int64{40, 50} {
			t.Errorf("with a claimed event, the next are due at %v, want 40 and 50", got)
		}
		claim(t, s, 50, 1)
		if got := next(); got[1] <= 50 {
			t.Errorf("with a leased subscription, the next are due at %v, want the end of its lease", got)
		}
	})
}
