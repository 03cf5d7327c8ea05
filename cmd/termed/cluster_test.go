package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/store"
)

// postgres is a PostgreSQL server of a test's own, which it may restart.
type postgres struct {
	t       *testing.T
	control string // pg_ctl
	dir     string
	port    string
}

// startPostgres makes a cluster and starts a server on a free loopback port.
func startPostgres(t *testing.T) *postgres {
	t.Helper()
	if os.Getenv("TERMED_TEST_POSTGRES") == "" {
		t.Skip("PostgreSQL: set TERMED_TEST_POSTGRES to have its tests run")
	}
	control, err := exec.LookPath("pg_ctl")
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl"); len(found) > 0 {
		control = found[0] // Debian keeps it out of the path
	} else if err != nil {
		t.Skip("PostgreSQL: there is no pg_ctl here to start a server with")
	}
	dir, err := os.MkdirTemp("", "termed-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, port, _ := strings.Cut(freeAddress(t), ":")
	p := &postgres{t: t, control: control, dir: dir, port: port}
	if os.Geteuid() == 0 { // the server refuses to be root
		owner := p.owner()
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	p.run(filepath.Join(filepath.Dir(control), "initdb"), "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "postgres", "--no-sync")
	p.ctl("start")
	t.Cleanup(func() { p.ctl("stop", "-m", "immediate") })
	return p
}

func (p *postgres) owner() *syscall.Credential {
	p.t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		p.t.Skip("PostgreSQL: run as root, and there is no user postgres to run the server")
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (p *postgres) ctl(what string, more ...string) {
	p.t.Helper()
	p.run(p.control, append([]string{
		"-D", filepath.Join(p.dir, "data"), "-w", "-l", filepath.Join(p.dir, "log"),
		"-o", fmt.Sprintf("-p %s -k %s -c listen_addresses=127.0.0.1", p.port, p.dir), what,
	}, more...)...)
}

func (p *postgres) run(program string, args ...string) {
	p.t.Helper()
	command := exec.Command(program, args...)
	command.Dir = p.dir
	if os.Geteuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner()}
	}
	out, err := os.CreateTemp("", "pg-out-") // a pipe would be held open by the server
	if err != nil {
		p.t.Fatal(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	command.Stdout, command.Stderr = out, out
	if err := command.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		p.t.Fatalf("%s %v: %v\n%s", program, args, err, text)
	}
}

func (p *postgres) address() string {
	return "postgres://postgres@127.0.0.1:" + p.port + "/postgres"
}

// balancer sends each request to one of the doors at random, as a load balancer without health checks does.
type balancer struct {
	doors []string
	next  http.RoundTripper
}

func (b balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = b.doors[rand.IntN(len(b.doors))]
	return b.next.RoundTrip(r)
}

// cluster is several instances on one PostgreSQL.
type cluster struct {
	*world
	instances []*world
}

func newCluster(t *testing.T, database string, instances int, reconcile string) *cluster {
	t.Helper()
	c := &cluster{world: newWorld(t.TempDir(), ogsim.Options{})}
	var doors []string
	for range instances {
		w := &world{dir: t.TempDir(), api: c.api, sender: &ogsim.Sender{}}
		w.log = filepath.Join(w.dir, "process.log")
		yaml := strings.Replace(loadConfigYAML, "ordergroove:", "database: "+database+"\nordergroove:", 1)
		yaml = strings.Replace(yaml, "reconcile: { every: off }", reconcile, 1)
		if err := os.WriteFile(filepath.Join(w.dir, "termed.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.serve(); err != nil {
			c.close() // those before it
			t.Fatal(err)
		}
		c.instances = append(c.instances, w)
		host, _, _ := strings.Cut(strings.TrimPrefix(w.door, "http://"), "/")
		doors = append(doors, host)
	}
	c.sender.URL = "http://balancer/webhooks/ordergroove"
	c.sender.Client = &http.Client{Timeout: 5 * time.Second, Transport: balancer{doors, &http.Transport{MaxIdleConnsPerHost: 32}}}
	c.sender.Delays = nil
	for range 300 {
		c.sender.Delays = append(c.sender.Delays, 100*time.Millisecond)
	}
	return c
}

func (c *cluster) close() {
	for _, w := range c.instances {
		if w.child != nil {
			_ = w.child.Process.Signal(syscall.SIGCONT)
		}
		_ = w.end(syscall.SIGKILL)
	}
	c.world.close()
}

// settled waits until the instances that live have nothing to do.
func (c *cluster) settled(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, w := range c.instances {
			if w.child == nil {
				continue
			}
			if idle, err := backlogEmpty(ctx, w.console); err == nil && idle {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("it does not come to rest")
}

// holds checks that every event that was answered 2xx is in the inbox.
func holds(t *testing.T, database string, taken map[string]bool) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Database: database})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	events, err := s.Events(t.Context(), "", 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		delete(taken, e.ID)
	}
	if len(taken) > 0 {
		t.Errorf("%d events were answered 2xx and are not in the inbox", len(taken))
	}
}

// TestCluster plays a load against three instances on one PostgreSQL: one is killed, one stopped for a while, and the server
// itself restarted at once, without a chance to finish. The end is exact, and costs hardly more calls than one instance's.
func TestCluster(t *testing.T) {
	server := startPostgres(t)
	t.Log("FAULT | three instances on one PostgreSQL: one killed, one stopped and continued, the server restarted under load | I1 I2 I3 I4 I7 I8 I10")
	play := func(database string, instances int, calm bool, trouble func(*cluster)) ogsim.Report {
		c := newCluster(t, database, instances, "reconcile: { every: off }")
		defer c.close()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if trouble != nil {
			done := make(chan struct{})
			defer func() { <-done }()
			go func() {
				defer close(done)
				trouble(c)
			}()
		}
		load := ogsim.Load{
			Subscriptions: 250, Duplicates: 0.25, Disorder: 0.33, Seed: 5, AtATime: 8, Calm: calm,
			Products: []ogsim.Product{{SKU: "GIFT-3MO", Due: 2}, {SKU: "SIX", Due: 5}, {SKU: "COFFEE", Due: ogsim.Evergreen}},
		}
		taken := map[string]bool{}
		var note sync.Mutex
		c.sender.OnReply = func(e ogsim.Event, r ogsim.Reply) {
			if r.OK() {
				note.Lock()
				defer note.Unlock()
				taken[e.ID] = true
			}
		}
		report, err := load.Run(ctx, c.sim, c.sender, c.settled)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, database, taken)
		t.Logf("%d instances:\n%s", instances, report)
		for _, fault := range report.Faults {
			t.Error(fault)
		}
		return report
	}
	admin, err := sqlx.Connect("pgx", server.address())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "three"} {
		if _, err := admin.Exec("create database " + name); err != nil {
			t.Fatal(err)
		}
	}
	admin.Close()
	address := strings.TrimSuffix(server.address(), "postgres")
	one, three := play(address+"one", 1, true, nil), play(address+"three", 3, true, nil)
	perShipment := func(r ogsim.Report) float64 { return float64(r.Calls) / float64(r.Shipments) }
	if a, b := perShipment(one), perShipment(three); b > 1.05*a {
		t.Errorf("%.2f calls a shipment with three instances, %.2f with one: more than 5%% above", b, a)
	}
	play(address+"postgres", 3, false, func(c *cluster) {
		first, second := c.instances[0], c.instances[1]
		wait := func(calls int) {
			for limit := time.Now().Add(time.Minute); len(c.sim.Calls()) < calls && time.Now().Before(limit); {
				time.Sleep(5 * time.Millisecond)
			}
		}
		wait(100)
		if err := first.child.Process.Kill(); err != nil {
			t.Error(err)
		}
		wait(200)
		_ = second.child.Process.Signal(syscall.SIGSTOP)
		wait(300)
		server.ctl("restart", "-m", "immediate")
		_ = second.child.Process.Signal(syscall.SIGCONT)
	})
}
