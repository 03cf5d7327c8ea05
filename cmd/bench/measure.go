package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/testdata"
)

const apiKey = "simulated-api-key" // of the simulator

// yaml is a configuration with nothing but what it must have.
const yaml = `listen: 127.0.0.1:0
console: { listen: "127.0.0.1:0", profiles: %t }
database: %q
ordergroove:
  api_url: %q
  api_key: ${ORDERGROOVE_API_KEY}
  webhook_keys: [ "${ORDERGROOVE_WEBHOOK_KEY}" ]
  requests_per_minute: %d
keep_events: %dd
brake: { ends_per_hour: 100000 } # of those complete at first sight: months of orders are placed within a minute
terms:
  - { name: Gift, skus: [GIFT], shipments: 3 }
  - { name: Program, skus: [SIX], shipments: 6 }
`

// connections is how many senders there are at once.
const connections = 64

// shop is a simulated Ordergroove that answers.
type shop struct {
	*sim.Simulator
	url    string
	server *http.Server
}

func openShop() (*shop, error) {
	simulator := sim.New(sim.Options{Key: apiKey, Payloads: testdata.Webhooks()})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &shop{Simulator: simulator, url: "http://" + listener.Addr().String(), server: sim.Server(simulator.Handler())}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

// folder makes a new folder.
func (b *bench) folder() (string, error) { return os.MkdirTemp(b.dir, "run-") }

// settings are what differs between the configurations.
type settings struct {
	api, database string
	perMinute     int
	keepEvents    int // days; 0: the default
}

// termed starts termed in a new folder.
func (b *bench) termed(ctx context.Context, with settings) (*process, error) {
	dir, err := b.configure(with)
	if err != nil {
		return nil, err
	}
	return start(ctx, dir, b.program, "serve")
}

// configure makes a new folder with a termed.yaml.
func (b *bench) configure(with settings) (string, error) {
	dir, err := b.folder()
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf(yaml, b.profile != "", with.database, with.api, with.perMinute, cmp.Or(with.keepEvents, 30))
	return dir, os.WriteFile(filepath.Join(dir, "termed.yaml"), []byte(text), 0o600)
}

// receive measures receivers of one database: the references, and termed between them.
func (b *bench) receive(ctx context.Context, title, note string, database func() (string, error)) error {
	shop, err := openShop()
	if err != nil {
		return err
	}
	defer shop.server.Close()
	body, err := recorded("order.success", "product.update")
	if err != nil {
		return err
	}
	load := offer{connections: connections, time: b.time, body: body}
	table := b.page.section(title, note,
		"receiver", "deliveries a second", "p50", "p99", "CPU a delivery", "memory at most")
	figures := map[string][]figure{}
	for _, name := range []string{"reference", "termed", "reference", "termed", "reference, one transaction each"} {
		address, err := database()
		if err != nil {
			return err
		}
		run := func() (*process, error) { return b.termed(ctx, settings{shop.url, address, perMinute, 0}) }
		if how, isReference := strings.CutPrefix(name, "reference"); isReference {
			together := "together"
			if how != "" {
				together = "each"
			}
			dir, err := b.folder()
			if err != nil {
				return err
			}
			run = func() (*process, error) { return start(ctx, dir, b.self, "reference", address, together) }
		}
		measured, err := b.receiveBy(ctx, table, name, run, load)
		if err != nil {
			return err
		}
		figures[name] = append(figures[name], measured)
	}
	termed, reference := mean(figures["termed"]), mean(figures["reference"])
	rate, cpu := termed.perSecond/reference.perSecond, termed.cpu/reference.cpu
	table.goal(rate >= 0.95, "deliveries a second, of the reference's: %.2f; the goal is 0.95", rate)
	table.goal(cpu <= 1.15, "CPU a delivery, of the reference's: %.2f; the goal is 1.15", cpu)
	return nil
}

// figure is what one receiver did in one run.
type figure struct {
	perSecond float64
	cpu       float64 // microseconds a delivery
}

func mean(figures []figure) (m figure) {
	for _, f := range figures {
		m.perSecond += f.perSecond / float64(len(figures))
		m.cpu += f.cpu / float64(len(figures))
	}
	return m
}

// receiveBy starts a receiver, and adds its row.
func (b *bench) receiveBy(
	ctx context.Context, t *table, name string, run func() (*process, error), load offer,
) (measured figure, err error) {
	p, err := run()
	if err != nil {
		return measured, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	return b.received(ctx, t, name, p, load)
}

// received measures a receiver that runs, and adds its row.
func (b *bench) received(ctx context.Context, t *table, name string, p *process, load offer) (figure, error) {
	warm := load
	warm.time = time.Second
	if _, _, err := p.measure(ctx, warm); err != nil {
		return figure{}, err
	}
	profiled := b.takeProfile(ctx, p, load.time)
	result, cost, err := p.measure(ctx, load)
	if err = errors.Join(err, <-profiled); err != nil {
		return figure{}, err
	}
	if result.refused > 0 {
		return figure{}, fmt.Errorf("%s refused %d of %d", name, result.refused, result.deliveries)
	}
	t.add(append(append([]string{name}, speed(result, cost)...), megabytes(cost.memory))...)
	return figure{result.perSecond(), float64(cost.cpu.Microseconds()) / float64(result.deliveries)}, nil
}

// speed is how fast a load was received: deliveries a second, p50, p99, CPU a delivery.
func speed(result offered, cost spent) []string {
	return []string{
		fmt.Sprintf("%.0f", result.perSecond()),
		milliseconds(result.percentile(50)),
		milliseconds(result.percentile(99)),
		fmt.Sprintf("%.0f µs", float64(cost.cpu.Microseconds())/float64(max(1, result.deliveries))),
	}
}

const receiveNote = `64 connections that are kept alive, a recorded payload of 1.2 KB, of a type that needs no work:
receiving alone.
`

func (b *bench) receiveSQLite(ctx context.Context) error {
	return b.receive(ctx, "Receiving, SQLite", receiveNote, b.newSQLite)
}

func (b *bench) newSQLite() (string, error) {
	dir, err := b.folder()
	return filepath.Join(dir, "termed.db"), err
}

func (b *bench) receivePostgres(ctx context.Context) error {
	if b.postgres == "" {
		fmt.Println("\nPostgreSQL is left out: there is no -postgres")
		return nil
	}
	admin, err := sql.Open("pgx", b.postgres)
	if err != nil {
		return err
	}
	defer admin.Close()
	var made []string
	defer func() {
		for _, name := range made {
			_, _ = admin.ExecContext(context.WithoutCancel(ctx), "drop database "+name+" with (force)")
		}
	}()
	return b.receive(ctx, "Receiving, PostgreSQL on the same machine", receiveNote, func() (string, error) {
		name := fmt.Sprintf("termed_bench_%d", time.Now().UnixNano())
		if _, err := admin.ExecContext(ctx, "create database "+name); err != nil {
			return "", err
		}
		made = append(made, name)
		address, err := url.Parse(b.postgres)
		if err != nil {
			return "", errors.New("the address of PostgreSQL cannot be read")
		}
		address.Path = "/" + name
		return address.String(), nil
	})
}
