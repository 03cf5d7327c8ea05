package apptest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/testdata"
)

// postgresVariable says where there is a PostgreSQL server.
const postgresVariable = "TERMED_TEST_POSTGRES"

// Clock is the time of a test, which can be put forward. The zero value is the time as it is.
type Clock struct{ ahead atomic.Int64 }

// Now is the time by the clock.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Forward puts the clock forward. Nothing that works by the clock may run meanwhile.
func (c *Clock) Forward(d time.Duration) { c.ahead.Add(int64(d)) }

// RunOnPostgres runs a test on a running App and a PostgreSQL database of its own. Its sockets do not work in fake
// time: it takes the time that it takes, but for what the test puts the clock forward.
func RunOnPostgres(t *testing.T, o sim.Options, test func(*testing.T, *Bubble)) {
	t.Helper()
	database := newPostgres(t)
	o.Payloads = testdata.Webhooks()
	b := &Bubble{t: t}
	o.Now = b.Clock.Now
	b.Sim = sim.New(o)
	b.open(database)
	b.Start(cancelapp.Options{})
	defer func() {
		b.Stop()
		if err := b.DB.Close(); err != nil {
			t.Error(err)
		}
	}()
	test(t, b)
}

// newPostgres makes a database that is dropped when the test is over.
func newPostgres(t *testing.T) string {
	t.Helper()
	server := os.Getenv(postgresVariable)
	if server == "" {
		t.Skipf("PostgreSQL: set %s to postgres://user@host/database", postgresVariable)
	}
	name := "years_" + strings.ToLower(rand.Text())
	admin := func(statement string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		connection, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close(ctx)
		if _, err := connection.Exec(ctx, statement); err != nil {
			t.Error(err)
		}
	}
	admin("create database " + name)
	t.Cleanup(func() { admin("drop database " + name + " with (force)") })
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	return address.String()
}
