package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const eventsPerSubscription = 5

// fillShop makes the database of a shop, by the means of SQLite itself: of each subscription three shipments at most,
// one line of the journal and five events of a kilobyte. One was created each minute, and what is rare fills a page in
// a small shop already: so that what is compared shows as much in both.
func (b *bench) fillShop(ctx context.Context, database string, subscriptions int) error {
	p, err := b.termed(ctx, settings{"http://127.0.0.1:1", database, perMinute, 0}) // it makes the schema
	if err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(database))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range filling(subscriptions, time.Now()) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%w in %.80s", err, statement)
		}
	}
	return nil
}

// filling are the statements.
func filling(subscriptions int, now time.Time) []string {
	const (
		state = `case when i % 20 = 0 then 'attention' when i % 3 = 0 then 'completed' else 'active' end`
		term  = `case when i % 2 = 0 then 'Gift' else 'Program' end`
		sku   = `case when i % 2 = 0 then 'GIFT' else 'SIX' end`
		total = `case when i % 2 = 0 then 3 else 6 end`
		made  = `case when i % 3 = 0 then ` + total + ` else 1 + i / 2 % 2 end`
	)
	numbers := fmt.Sprintf(`with recursive n (i) as (select 0 union all select i + 1 from n where i < %d) `,
		subscriptions-1)
	created := fmt.Sprintf(`%d - (%d - i) * %d`, now.UnixMilli(), subscriptions, time.Minute.Milliseconds())
	return []string{
		`pragma synchronous = off`,
		`pragma cache_size = -400000`,
		numbers + `
			insert into subscriptions (id, customer, created_at, created, live, state, term, sku, made, total, last_next)
			select printf('sub-%08d', i), 'customer-' || (i / 3), ` + created + `, ` + created + `, i % 3 <> 0, ` +
			strings.Join([]string{state, term, sku, made, total}, ", ") +
			`, ` + state + ` = 'active' and ` + total + ` - ` + made + ` = 1
			from n`,
		numbers + `
			insert into enrollments (subscription, number, term, sku, opened_at, opened_by, checkout_shipments,
				orders_due, counters_sent, counter_confirmed, state, closed_as, closed_at)
			select printf('sub-%08d', i), 1, ` + term + `, ` + sku + `, 0, 'subscription.create', 1, ` + total + ` - 1,
				'[1]', 1, ` + state + `, case when i % 3 = 0 then 'completed' else '' end,
				case when i % 3 = 0 then ` + created + ` else 0 end
			from n`,
		numbers + `
			insert into shipments (subscription, order_id, enrollment, sku, source, placed_at, notified)
			select printf('sub-%08d', i), printf('order-%08d-%d', i, k), 1, ` + sku + `, 'evt', ` + created + ` + k, 1
			from n, (select 1 as k union all select 2 union all select 3)
			where k < ` + made,
		numbers + `
			insert into journal (subscription, at, actor, what, before, after, reason)
			select printf('sub-%08d', i), ` + created + `, 'termed', 'counter', '"2"', '"1"', '1 of 2 placed'
			from n`,
		numbers + `
			insert into events (created, id, type, received, body, status)
			select ` + created + ` + k, printf('evt-%08d-%d', i, k),
				case when i % 100 = 0 then 'subscription.cancel' when k = 0 then 'subscription.create' else 'order.success' end,
				` + created + ` + k, cast(printf('{"id":"x","object":"event","data":"%.*c"}', 1000, 'x') as blob),
				case when i % 100 = 50 then 'dead' when i % 7 = 0 then 'ignored' else 'done' end
			from n, (select 0 as k union all select 1 union all select 2 union all select 3 union all select 4)`,
		numbers + `
			insert into event_subscriptions (subscription, created, id)
			select printf('sub-%08d', i), ` + created + ` + k, printf('evt-%08d-%d', i, k)
			from n, (select 0 as k union all select 1 union all select 2 union all select 3 union all select 4)`,
		`pragma wal_checkpoint(truncate)`,
	}
}
