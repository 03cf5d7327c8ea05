package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
)

// reconcileLarge compares a shop of many termed subscriptions that all agree.
func (b *bench) reconcileLarge(ctx context.Context) error {
	table := b.page.section(fmt.Sprintf("A full reconcile of %d termed subscriptions, SQLite", b.subscriptions),
		"`termed reconcile --requests-per-minute 600000`; nothing has changed. The least is one call for each page of the\n"+
			"list of subscriptions, and one for each page of upcoming items.\n",
		"subscriptions", "API calls", "the least", "took", "at 5,400 calls a minute", "CPU", "memory at most", "database")
	return b.onSQLite(ctx, perMinute, func(r *running) error {
		large, err := b.enlarge(ctx, r)
		if err != nil {
			return err
		}
		defer large.server.Close()
		dir, err := b.configure(settings{large.url, r.database, perMinute, 0})
		if err != nil {
			return err
		}
		begin := time.Now()
		cost, err := b.command(ctx, dir, "reconcile", "--requests-per-minute", "600000")
		if err != nil {
			return err
		}
		info, err := os.Stat(r.database)
		if err != nil {
			return err
		}
		calls := large.calls.Load()
		least := 2 * ((b.subscriptions + pageSize - 1) / pageSize)
		table.add(fmt.Sprint(b.subscriptions), fmt.Sprint(calls), fmt.Sprint(least),
			fmt.Sprintf("%.0f s", time.Since(begin).Seconds()), fmt.Sprintf("%.0f s", float64(calls)/perMinute*60),
			fmt.Sprintf("%.0f s", cost.cpu.Seconds()), megabytes(cost.memory), megabytes(info.Size()))
		times := float64(calls) / float64(least)
		table.goal(times <= 1.1, "API calls, of the least: %.2f; the goal is 1.1", times)
		table.goal(cost.memory < 200<<20, "memory: %s; the goal is less than 200 MB", megabytes(cost.memory))
		return nil
	})
}

// command runs termed to its end. The most memory is what it had a tenth of a second before that, or earlier: what the
// system says of a process that ended includes what its parent had.
func (b *bench) command(ctx context.Context, dir string, arguments ...string) (cost spent, err error) {
	p := process{command: exec.CommandContext(ctx, b.program, arguments...)}
	p.command.Dir = dir
	p.command.Env = append(os.Environ(), "ORDERGROOVE_WEBHOOK_KEY="+webhookKey, "ORDERGROOVE_API_KEY="+apiKey)
	var said bytes.Buffer
	p.command.Stdout, p.command.Stderr = &said, &said
	if err := p.command.Start(); err != nil {
		return cost, err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.command.Wait() }()
	clock := time.NewTicker(time.Second / 10)
	defer clock.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return cost, fmt.Errorf("termed %s: %w\n%s", strings.Join(arguments, " "), err, said.String())
			}
			cost.cpu = p.command.ProcessState.UserTime() + p.command.ProcessState.SystemTime()
			return cost, nil
		case <-clock.C:
			cost.memory = max(cost.memory, p.status("VmHWM"))
		}
	}
}

const pageSize = 100

// largeShop lists as many subscriptions as wanted, each a copy of one, and each with its upcoming order.
type largeShop struct {
	url          string
	server       *http.Server
	subscription string // as it is listed, with its id replaced
	n            int
	calls        atomic.Int64
}

// enlarge makes one subscription be recorded, and then as many like it as wanted, in the database and in a shop.
func (b *bench) enlarge(ctx context.Context, r *running) (*largeShop, error) {
	sub, err := r.shop.Subscribe(sim.NewSubscription{Customer: "c1", Product: "SIX"})
	if err != nil {
		return nil, err
	}
	sender := sim.Sender{URL: r.webhooks, Keys: []string{webhookKey}}
	if err := sender.SendAll(ctx, r.shop.Take(), 1); err != nil {
		return nil, err
	}
	if err := service.WaitIdle(ctx, r.console); err != nil {
		return nil, err
	}
	listed, err := r.shop.listed(ctx, sub.ID)
	if err != nil {
		return nil, err
	}
	if err := multiply(ctx, r.database, sub.ID, b.subscriptions); err != nil {
		return nil, err
	}
	large := &largeShop{subscription: strings.ReplaceAll(listed, sub.ID, "%[1]s"), n: b.subscriptions}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	large.url = "http://" + listener.Addr().String()
	large.server = sim.Server(large)
	go func() { _ = large.server.Serve(listener) }()
	return large, nil
}

// listed is a subscription as the simulated shop lists it.
func (s *shop) listed(ctx context.Context, id string) (string, error) {
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/subscriptions/"+id+"/", nil)
	request.Header.Set("X-Api-Key", apiKey)
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		return "", fmt.Errorf("the simulated shop answers %d", answer.Code)
	}
	return answer.Body.String(), nil
}

// multiply makes copies of a recorded subscription, whose ids are numbers and whose upcoming orders are those numbers
// behind a one, and removes it.
func multiply(ctx context.Context, database, id string, n int) error {
	db, err := sqlx.ConnectContext(ctx, "sqlite", "file:"+database+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	for table, change := range map[string]map[string]string{
		// Nothing is left to do about a copy, whatever was about to be done with the original.
		"subscriptions": {
			"id": subscriptionNumber, "upcoming": orderNumber, "due": "null", "lease": "''", "lease_until": "0",
		},
		"enrollments": {"subscription": subscriptionNumber},
	} {
		var columns []string
		if err := db.SelectContext(ctx, &columns, `select name from pragma_table_info(?)`, table); err != nil {
			return err
		}
		values := make([]string, len(columns))
		for i, c := range columns {
			values[i] = "t." + c
			if other, ok := change[c]; ok {
				values[i] = other
			}
		}
		key := "id"
		if table == "enrollments" {
			key = "subscription"
		}
		insert := fmt.Sprintf(`
			insert into %[1]s (%[2]s)
			with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n < ? - 1)
			select %[3]s from numbers cross join %[1]s t where t.%[4]s = ?`,
			table, strings.Join(columns, ", "), strings.Join(values, ", "), key)
		if _, err := db.ExecContext(ctx, insert, n, id); err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`delete from %s where %s = ?`, table, key), id); err != nil {
			return err
		}
	}
	return nil
}

const (
	subscriptionNumber = `printf('%032x', numbers.n)`
	orderNumber        = `printf('1%031x', numbers.n)`
)

// ServeHTTP answers the two lists that a full comparison reads.
func (s *largeShop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	q := r.URL.Query()
	var row func(i int) string
	switch {
	case r.URL.Path == "/subscriptions/" && q.Get("product") == "SIX":
		row = func(i int) string { return fmt.Sprintf(s.subscription, fmt.Sprintf("%032x", i)) }
	case r.URL.Path == "/items/" && q.Get("status") == "1":
		row = func(i int) string {
			return fmt.Sprintf(`{"public_id":"2%031x","order":"1%031[1]x","subscription":"%032[1]x",`+
				`"product":"SIX","quantity":1}`, i)
		}
	case r.URL.Path == "/subscriptions/":
		row = nil
	default:
		http.Error(w, `{"detail":"Not found."}`, http.StatusNotFound)
		return
	}
	from, err := strconv.Atoi(strings.TrimPrefix(q.Get("cursor"), "c"))
	if err != nil {
		from = 0 // the first page
	}
	list := struct {
		Next    *string           `json:"next"`
		Results []json.RawMessage `json:"results"`
	}{Results: []json.RawMessage{}}
	for i := from; row != nil && i < min(s.n, from+pageSize); i++ {
		list.Results = append(list.Results, json.RawMessage(row(i)))
	}
	if row != nil && from+pageSize < s.n {
		q.Set("cursor", fmt.Sprintf("c%d", from+pageSize))
		next := s.url + r.URL.Path + "?" + q.Encode()
		list.Next = &next
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // whoever asked may be gone
}
