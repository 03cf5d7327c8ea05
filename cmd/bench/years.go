package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// smallShop is what a large one is compared with.
const smallShop = 2000

// keepForever is longer than any event of the bench is old.
const keepForever = 3650

// years measures what people and monitors read, and what is done for each delivery, in a small shop and in one with
// years of data; and then deliveries while old events are deleted.
func (b *bench) years(ctx context.Context) error {
	shop, err := openShop()
	if err != nil {
		return err
	}
	defer shop.server.Close()
	var measured [2][]reading
	var database string
	for i, subscriptions := range []int{smallShop, b.subscriptions} {
		if database, err = b.newSQLite(); err != nil {
			return err
		}
		if err := b.fillShop(ctx, database, subscriptions); err != nil {
			return err
		}
		of := settings{shop.url, database, perMinute, keepForever}
		if measured[i], err = b.readings(ctx, of, subscriptions); err != nil {
			return err
		}
	}
	table := b.page.section("With years of data, SQLite",
		"Pages and commands: 50th and 95th percentile. A command is a process of its own. The last column is the cost in\n"+
			"the large shop, in costs of the small one: the 50th percentile, the time or the CPU of a delivery.\n",
		"what", fmt.Sprintf("%d subscriptions, %d events", smallShop, eventsPerSubscription*smallShop),
		fmt.Sprintf("%d subscriptions, %d events", b.subscriptions, eventsPerSubscription*b.subscriptions), "times")
	for i, small := range measured[0] {
		large := measured[1][i]
		table.add(small.what, small.figure, large.figure, fmt.Sprintf("%.2f", large.cost/small.cost))
	}
	return b.pruning(ctx, settings{shop.url, database, perMinute, 0})
}

// reading is one row of the table, for one shop.
type reading struct {
	what   string
	figure string
	cost   float64
}

// readings measures one shop.
func (b *bench) readings(ctx context.Context, of settings, subscriptions int) (rows []reading, err error) {
	p, err := b.termed(ctx, of)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	for _, path := range pathsOf(subscriptions) {
		row, err := percentiles(path.name, 100, func() error { return get(ctx, p.console+path.path, path.shows) })
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	dir, err := b.configure(of)
	if err != nil {
		return nil, err
	}
	for _, words := range []string{
		"subscriptions list --limit 100",
		"subscriptions list --limit 100 --state attention",
		"events list --limit 100",
		"events list --limit 100 --type subscription.cancel",
		"notifications list --limit 100",
		"journal --since 1h",
		"journal --subscription sub-00000077",
	} {
		row, err := percentiles("`termed "+words+"`", 20, func() error {
			_, err := b.command(ctx, dir, strings.Fields(words)...)
			return err
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	loads, err := b.loads(ctx, p)
	return append(rows, loads...), err
}

// loads measures deliveries that are new, that were delivered before, and that workers claim and settle.
func (b *bench) loads(ctx context.Context, p *process) ([]reading, error) {
	fresh, err := recorded("order.success", "product.update")
	if err != nil {
		return nil, err
	}
	processed, err := recorded("subscription.change_frequency", "subscription.change_frequency")
	if err != nil {
		return nil, err
	}
	again := fresh()
	var rows []reading
	for _, load := range []struct {
		what string
		offer
	}{
		{"deliveries a second, new", offer{connections: connections, time: b.time, body: fresh}},
		{"deliveries a second, duplicates", offer{
			connections: connections,
			time:        b.time,
			body:        func() []byte { return again },
		}},
		{"2,000 deliveries a second, claimed and settled", offer{
			connections: connections,
			time:        b.time,
			body:        processed,
			perSecond:   2000,
		}},
	} {
		result, cost, err := p.measure(ctx, load.offer)
		if err != nil {
			return nil, err
		}
		figures := speed(result, cost)
		row := reading{what: load.what, cost: 1 / result.perSecond()}
		if load.perSecond > 0 {
			row.cost = float64(cost.cpu) / float64(result.deliveries)
		}
		row.figure = fmt.Sprintf("%s, p99 %s, CPU %s each", figures[0], figures[2], figures[3])
		rows = append(rows, row)
	}
	return rows, nil
}

type path struct{ name, path, shows string }

// pathsOf are the pages of a shop that fillShop made, with a word that each shows.
func pathsOf(subscriptions int) []path {
	middle := fmt.Sprintf("sub-%08d", subscriptions/2)
	return []path{
		{"overview", "/", "<h1>"},
		{"subscriptions", "/subscriptions", "sub-"},
		{"subscriptions that need attention", "/subscriptions?state=attention", "sub-"},
		{"active subscriptions of a term", "/subscriptions?state=active&term=Gift", "sub-"},
		{"subscriptions whose last shipment is next", "/subscriptions?last=true", "sub-"},
		{"search by the beginning of an ID", "/subscriptions?q=" + middle[:10], "sub-"},
		{"search by customer", "/subscriptions?q=customer-77", "sub-"},
		{"search by order", "/subscriptions?q=order-" + fmt.Sprintf("%08d", subscriptions/2+2) + "-1", "sub-"},
		{"search by SKU", "/subscriptions?q=SIX", "sub-"},
		{"one subscription", "/subscriptions/" + middle, middle},
		{"one customer", "/customers/customer-77", "sub-"},
		{"events", "/events", "evt-"},
		{"events of a type", "/events?type=subscription.cancel", "evt-"},
		{"dead events", "/events?status=dead", "evt-"},
		{"terms", "/terms", "Gift"},
		{"/readyz", "/readyz", "{"},
		{"/metrics", "/metrics", "termed_"},
	}
}

// pages reads pages.
var pages = http.Client{Timeout: time.Minute}

// get reads a page that shows a word.
func get(ctx context.Context, url, shows string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := pages.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.Contains(string(body), shows)) {
		err = fmt.Errorf("%s: %s, and %q is not in it", url, response.Status, shows)
	}
	return err
}

// percentiles does something n times, and returns the 50th and the 95th percentile of what it takes.
func percentiles(what string, n int, do func() error) (reading, error) {
	var took []time.Duration
	for range n {
		began := time.Now()
		if err := do(); err != nil {
			return reading{}, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return reading{what, milliseconds(took[n/2]) + " / " + milliseconds(took[n*95/100]), took[n/2].Seconds()}, nil
}

// pruning measures deliveries to a service that keeps all events, and then to one that deletes those before 30 days.
func (b *bench) pruning(ctx context.Context, of settings) error {
	body, err := recorded("order.success", "product.update")
	if err != nil {
		return err
	}
	load := offer{connections: 4 * connections, time: 3 * b.time, body: body, perSecond: 5000}
	table := b.page.section(fmt.Sprintf("Pruning: %d deliveries a second, of %d events most are too old", load.perSecond,
		eventsPerSubscription*b.subscriptions), "",
		"events", "deliveries a second", "p50", "p99", "CPU a delivery", "deleted meanwhile")
	late := map[string]time.Duration{}
	for _, row := range []struct {
		name string
		keep int
	}{{"kept", keepForever}, {"pruned", 0}, {"kept", keepForever}, {"pruned", 0}} {
		of.keepEvents = row.keep
		p99, err := b.pruneBy(ctx, table, row.name, of, load)
		if err != nil {
			return err
		}
		late[row.name] += p99
	}
	times := late["pruned"].Seconds() / late["kept"].Seconds()
	table.goal(times <= 1.5, "p99 while events are pruned, of the p99 without: %.2f; the goal is 1.5", times)
	return nil
}

// pruneBy adds a row, and returns its p99.
func (b *bench) pruneBy(
	ctx context.Context, t *table, name string, of settings, load offer,
) (p99 time.Duration, err error) {
	before, err := stored(ctx, of.database)
	if err != nil {
		return 0, err
	}
	p, err := b.termed(ctx, of)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	result, cost, err := p.measure(ctx, load)
	if err != nil {
		return 0, err
	}
	after, err := stored(ctx, of.database)
	if err != nil {
		return 0, err
	}
	deleted := before + result.deliveries - result.refused - after
	t.add(append(append([]string{name}, speed(result, cost)...), fmt.Sprint(deleted))...)
	return result.percentile(99), nil
}
