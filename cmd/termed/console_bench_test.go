package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// BenchmarkConsole measures how long each page of the console takes in a large shop: the real process, over HTTP.
// TERMED_ROWS=1000000 fills the database with as many subscriptions, three times as many shipments and five times as
// many events; that takes some minutes.
func BenchmarkConsole(b *testing.B) {
	rows := 1000
	if text := os.Getenv("TERMED_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	h := newHarness(b.TempDir(), sim.Options{})
	defer h.close()
	config := strings.Replace(loadConfigYAML, "database:", "#", 1)
	if err := os.WriteFile(filepath.Join(h.dir, "termed.yaml"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	fillDatabase(b, filepath.Join(h.dir, "termed.db"), rows)
	b.Logf("%d subscriptions, %d shipments and %d events filled in %v", rows, 3*rows, 5*rows,
		time.Since(began).Round(time.Second))
	if err := h.serve(); err != nil {
		b.Fatal(err)
	}
	middle := fmt.Sprintf("sub-%08d", rows/2)
	for _, page := range []struct{ name, path string }{
		{"overview", "/"},
		{"subscriptions", "/subscriptions"},
		{"attention", "/subscriptions?state=attention"},
		{"term-active", "/subscriptions?state=active&term=Gift"},
		{"last-next", "/subscriptions?last=true"},
		{"search-id", "/subscriptions?q=" + middle[:10]},
		{"search-customer", "/subscriptions?q=customer-77"},
		{"search-order", "/subscriptions?q=order-" + fmt.Sprintf("%08d", rows/2+2) + "-1"},
		{"search-sku", "/subscriptions?q=SIX"},
		{"subscription", "/subscriptions/" + middle},
		{"customer", "/customers/customer-77"},
		{"events", "/events"},
		{"events-type", "/events?type=subscription.cancel"},
		{"events-dead", "/events?status=dead"},
		{"terms", "/terms"},
		{"health", "/health"},
		{"observe", "/observe"},
		{"readyz", "/readyz"},
		{"metrics", "/metrics"},
	} {
		b.Run(page.name, func(b *testing.B) { measurePage(b, h.consoleURL+page.path) })
	}
}

// measurePage reports the 50th and 95th percentile of a hundred requests.
func measurePage(b *testing.B, address string) {
	const requests = 100
	for b.Loop() {
		var took []time.Duration
		for range requests {
			began := time.Now()
			response, err := http.Get(address)
			if err != nil {
				b.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				b.Fatal(err)
			}
			response.Body.Close()
			took = append(took, time.Since(began))
			listsNothing := strings.Contains(address, "/subscriptions?") && !bytes.Contains(body, []byte("sub-"))
			if response.StatusCode != http.StatusOK || listsNothing {
				b.Fatalf("%s: %s, lists nothing: %v", address, response.Status, listsNothing)
			}
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[requests/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(took[requests*95/100].Microseconds())/1000, "p95-ms")
	}
}

// fillDatabase makes the database of a large shop, by the means of SQLite itself.
func fillDatabase(b *testing.B, path string, rows int) {
	b.Helper()
	s, err := store.Open(b.Context(), store.Options{Database: path})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	now := time.Now().UnixMilli()
	numbers := fmt.Sprintf(`with recursive n(i) as (select 0 union all select i + 1 from n where i < %d) `, rows-1)
	state := `case when i % 1000 = 0 then 'attention' when i % 3 = 0 then 'completed' else 'active' end`
	term := `case when i % 2 = 0 then 'Gift' else 'Program' end`
	sku := `case when i % 2 = 0 then 'GIFT-3MO' else 'SIX' end`
	total := `case when i % 2 = 0 then 3 else 6 end`
	made := `case when i % 3 = 0 then ` + total + ` else 1 + i / 2 % 2 end`
	created := fmt.Sprintf(`%d - (%d - i) * 1000`, now, rows)
	for _, statement := range []string{
		`pragma synchronous = off`,
		`pragma cache_size = -400000`,
		numbers + `insert into subscriptions (id, customer, created_at, created, live, state, term, sku, made, total,
				last_next)
			select printf('sub-%08d', i), 'customer-' || (i / 3), ` + created + `, ` + created + `, i % 3 <> 0, ` +
			strings.Join([]string{state, term, sku, made, total}, ", ") +
			`, ` + state + ` = 'active' and ` + total + ` - ` + made + ` = 1 from n`,
		numbers + `insert into enrollments (subscription, number, term, sku, opened_at, opened_by, checkout_shipments,
				orders_due, counters_sent, counter_confirmed, state, closed_as, closed_at)
			select printf('sub-%08d', i), 1, ` + term + `, ` + sku + `, 0, 'subscription.create', 1, ` + total + ` - 1, '[1]', 1,
				` + state + `, case when i % 3 = 0 then 'completed' else '' end, case when i % 3 = 0 then ` + created + ` else 0 end
			from n`,
		numbers + `insert into shipments (subscription, order_id, enrollment, sku, source, placed_at, notified)
			select printf('sub-%08d', i), printf('order-%08d-%d', i, k), 1, ` + sku + `, 'evt', ` + created + ` + k, 1
			from n, (select 1 as k union all select 2 union all select 3)
			where k < ` + made,
		numbers + `insert into journal (subscription, at, actor, what, before, after, reason)
			select printf('sub-%08d', i), ` + created + `, 'termed', 'counter', '"2"', '"1"', '1 of 2 placed' from n`,
		numbers + `insert into events (created, id, type, received, body, status)
			select ` + created + ` + k, printf('evt-%08d-%d', i, k),
				case when i % 5000 = 0 then 'subscription.cancel' when k = 0 then 'subscription.create' else 'order.success' end,
				` + created + ` + k, '{"id":"x","object":"event"}',
				case when i % 20000 = 0 then 'dead' when i % 7 = 0 then 'ignored' else 'done' end
			from n, (select 0 as k union all select 1 union all select 2 union all select 3 union all select 4)`,
		`analyze`,
	} {
		if _, err := db.ExecContext(b.Context(), statement); err != nil {
			b.Fatalf("%v in %.80s", err, statement)
		}
	}
}
