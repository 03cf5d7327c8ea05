package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
)

// perMinute is the default of requests_per_minute.
const perMinute = 5400

// running is termed on a SQLite database of its own, beside a simulated shop.
type running struct {
	*process
	shop     *shop
	database string
}

// onSQLite measures termed on a new database, and stops it.
func (b *bench) onSQLite(ctx context.Context, perMinute int, measure func(*running) error) error {
	shop, err := openShop()
	if err != nil {
		return err
	}
	defer shop.server.Close()
	r := &running{shop: shop}
	if r.database, err = b.newSQLite(); err != nil {
		return err
	}
	if r.process, err = b.termed(ctx, settings{shop.url, r.database, perMinute, 0}); err != nil {
		return err
	}
	err = measure(r)
	return errors.Join(err, r.stop())
}

// growth fills a database by deliveries and measures as it fills, a new start with it, and an empty one beside it.
func (b *bench) growth(ctx context.Context) error {
	return b.onSQLite(ctx, perMinute, func(r *running) error {
		if err := b.fill(ctx, r); err != nil {
			return err
		}
		if err := r.stop(); err != nil {
			return err
		}
		var err error
		if r.process, err = b.termed(ctx, settings{r.shop.url, r.database, perMinute, 0}); err != nil {
			return err
		}
		time.Sleep(5 * time.Second)
		table := b.page.section("Start with that database, and idle", "", "from start to listening", "memory after 5 s")
		table.add(milliseconds(r.started), megabytes(r.status("VmRSS")))
		return b.fullAndEmpty(ctx, r)
	})
}

// fullAndEmpty measures a database and an empty one in turn: a machine that is slow for a minute is so for both.
func (b *bench) fullAndEmpty(ctx context.Context, full *running) (err error) {
	database, err := b.newSQLite()
	if err != nil {
		return err
	}
	empty, err := b.termed(ctx, settings{full.shop.url, database, perMinute, 0})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, empty.stop()) }()
	body, err := recorded("order.success", "product.update")
	if err != nil {
		return err
	}
	load := offer{connections: connections, time: b.time, body: body}
	table := b.page.section("With that database, and with an empty one, in turn", "",
		"database", "deliveries a second", "p50", "p99", "CPU a delivery", "memory at most")
	figures := map[*process][]figure{}
	for range 3 {
		for _, of := range []struct {
			name string
			*process
		}{{"full", full.process}, {"empty", empty}} {
			measured, err := b.received(ctx, table, of.name, of.process, load)
			if err != nil {
				return err
			}
			figures[of.process] = append(figures[of.process], measured)
		}
	}
	grown := mean(figures[full.process]).perSecond / mean(figures[empty]).perSecond
	table.goal(grown >= 0.95, "full, of empty: %.2f; the goal is 0.95", grown)
	return nil
}

// fill measures the same load again and again, on one database.
func (b *bench) fill(ctx context.Context, r *running) error {
	body, err := recorded("order.success", "product.update")
	if err != nil {
		return err
	}
	table := b.page.section(fmt.Sprintf("Growth to %d events, SQLite", b.events),
		"The same load again and again, on one database.\n",
		"events stored", "deliveries a second", "p50", "p99", "CPU a delivery", "database")
	load := offer{connections: connections, time: 5 * b.time, body: body}
	for stored := 0; stored < b.events; {
		result, cost, err := r.measure(ctx, load)
		if err != nil {
			return err
		}
		stored += result.deliveries
		info, err := os.Stat(r.database)
		if err != nil {
			return err
		}
		table.add(append(append([]string{fmt.Sprint(stored)}, speed(result, cost)...), megabytes(info.Size()))...)
	}
	return nil
}

// flood opens connections that each send an unsigned megabyte.
func (b *bench) flood(ctx context.Context) error {
	return b.onSQLite(ctx, perMinute, func(r *running) error {
		const senders = 2000
		table := b.page.section(
			fmt.Sprintf("A flood: %d connections, each sends a megabyte that nobody signed", senders), "",
			"answered", "memory before", "memory at most")
		before := r.status("VmHWM")
		answered, err := floodWith(ctx, r.webhooks, senders)
		if err != nil {
			return err
		}
		most := r.status("VmHWM")
		table.add(answered, megabytes(before), megabytes(most))
		table.goal(most < 200<<20, "memory: %s; the goal is less than 200 MB", megabytes(most))
		return nil
	})
}

// burst offers more than a shop ever sends while the workers are busy with it.
func (b *bench) burst(ctx context.Context) error {
	body, err := recorded("subscription.change_frequency", "subscription.change_frequency")
	if err != nil {
		return err
	}
	load := offer{connections: 4 * connections, time: 6 * b.time, body: body, perSecond: 10_000}
	table := b.page.section(
		fmt.Sprintf("A burst: %d deliveries a second for %s, while workers process them", load.perSecond, load.time),
		fmt.Sprintf("Over %d connections: over fewer, what is sent late waits for an answer, not for the receiver.\n",
			load.connections),
		"deliveries a second", "p50", "p99", "CPU a delivery, with its processing", "not stored", "memory at most")
	return b.onSQLite(ctx, perMinute, func(r *running) error {
		result, cost, err := r.measure(ctx, load)
		if err != nil {
			return err
		}
		n, err := stored(ctx, r.database)
		if err != nil {
			return err
		}
		table.add(append(speed(result, cost), fmt.Sprint(result.deliveries-n), megabytes(cost.memory))...)
		late := result.percentile(99)
		table.goal(late < 25*time.Millisecond, "p99: %s; the goal is less than 25 ms", milliseconds(late))
		table.goal(result.deliveries == n, "not stored: %d; the goal is 0", result.deliveries-n)
		return nil
	})
}

// stored is how many events are in a database.
func stored(ctx context.Context, database string) (n int, err error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(database)+"?mode=ro")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, `select count(*) from events`).Scan(&n)
	return n, err
}

// backlog lets new subscriptions wait, and measures how much of the call limit is used to work them off.
func (b *bench) backlog(ctx context.Context) error {
	const limit, subscriptions = 6000, 3000
	table := b.page.section("A backlog: the API takes 80 ms, and allows 6,000 calls a minute", "",
		"subscriptions", "API calls", "took", "calls a minute", "of the limit")
	return b.onSQLite(ctx, limit, func(r *running) error {
		r.shop.Break(sim.Fault{Delay: 80 * time.Millisecond, OnlyDelay: true})
		for i := range subscriptions {
			if _, err := r.shop.Subscribe(sim.NewSubscription{Customer: fmt.Sprint(i), Product: "SIX"}); err != nil {
				return err
			}
		}
		sender := sim.Sender{URL: r.webhooks, Keys: []string{webhookKey}}
		begin := time.Now()
		if err := sender.SendAll(ctx, r.shop.Take(), connections); err != nil {
			return err
		}
		if err := service.WaitIdle(ctx, r.console); err != nil {
			return err
		}
		took, calls := time.Since(begin), len(r.shop.Calls())
		rate := float64(calls) / took.Minutes()
		table.add(fmt.Sprint(subscriptions), fmt.Sprint(calls), fmt.Sprintf("%.1f s", took.Seconds()),
			fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.2f", rate/limit))
		return nil
	})
}

// callsPerShipment runs whole terms with duplicates and disorder.
func (b *bench) callsPerShipment(ctx context.Context) error {
	const limit = 600_000 // none
	load := sim.Load{
		Subscriptions: 1000,
		Products:      []sim.Product{{SKU: "GIFT", OrdersDue: 2}, {SKU: "SIX", OrdersDue: 5}},
		Duplicates:    0.25,
		Disorder:      0.33,
		Seed:          7,
		WaitPerRound:  true,
	}
	table := b.page.section("API calls: whole terms, a quarter of all events sent twice and a third late", "",
		"subscriptions", "shipments", "reads", "writes", "calls a shipment", "wrong at the end")
	return b.onSQLite(ctx, limit, func(r *running) error {
		sender := &sim.Sender{URL: r.webhooks, Keys: []string{webhookKey}}
		report, err := load.Run(ctx, r.shop.Simulator, sender, func(ctx context.Context) error {
			return service.WaitIdle(ctx, r.console)
		})
		if err != nil {
			return err
		}
		table.add(fmt.Sprint(report.Subscriptions), fmt.Sprint(report.Shipments), fmt.Sprint(report.Reads),
			fmt.Sprint(report.Writes), fmt.Sprintf("%.2f", float64(report.Calls)/float64(max(1, report.Shipments))),
			fmt.Sprint(len(report.Violations)))
		calls := float64(report.Calls) / float64(max(1, report.Shipments))
		table.goal(calls <= 2.3, "calls a shipment: %.2f; the goal is 2.3", calls)
		return nil
	})
}
