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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

// postgres is a PostgreSQL server that a test starts, and may restart.
type postgres struct {
	t       *testing.T
	control string // pg_ctl
	dir     string
	port    string
}

// startPostgres starts a new server on a free loopback port.
func startPostgres(t *testing.T) *postgres {
	t.Helper()
	if os.Getenv("TERMED_TEST_POSTGRES") == "" {
		t.Skip("PostgreSQL: set TERMED_TEST_POSTGRES to run its tests")
	}
	control, err := exec.LookPath("pg_ctl")
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl"); len(found) > 0 {
		control = found[0] // Debian does not have it in the path
	} else if err != nil {
		t.Skip("PostgreSQL: there is no pg_ctl to start a server with")
	}
	dir, err := os.MkdirTemp("", "termed-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, port, _ := strings.Cut(freeAddress(t), ":")
	p := &postgres{t: t, control: control, dir: dir, port: port}
	if os.Geteuid() == 0 { // the server refuses to run as root
		owner := p.owner()
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	initdb := filepath.Join(filepath.Dir(control), "initdb")
	p.run(initdb, "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "postgres", "--no-sync")
	p.ctl("start")
	afterTest(t, fmt.Sprintf("%s -D %s -m immediate stop", control, filepath.Join(dir, "data")), p.attributes())
	t.Cleanup(func() { p.ctl("stop", "-m", "immediate") })
	return p
}

func (p *postgres) owner() *syscall.Credential {
	p.t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		p.t.Skip("PostgreSQL: this runs as root, and there is no user postgres to run the server")
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// attributes are of a process that runs as the server's owner: it refuses to run as root.
func (p *postgres) attributes() *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: p.owner()}
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
	command.SysProcAttr = p.attributes()
	out, err := os.CreateTemp("", "pg-out-") // the server would hold a pipe open
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

// balancer sends each request to one of the instances at random, as a load balancer without health checks does.
type balancer struct {
	hosts []string
	next  http.RoundTripper
}

func (b balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = b.hosts[rand.IntN(len(b.hosts))]
	return b.next.RoundTrip(r)
}

// cluster is several instances on one database.
type cluster struct {
	*harness
	t         *testing.T
	instances []*harness
}

func newCluster(t *testing.T, database string, instances int, reconcile string) *cluster {
	t.Helper()
	c := &cluster{harness: newHarness(t.TempDir(), sim.Options{}), t: t}
	yaml := strings.Replace(loadConfigYAML, "ordergroove:", "database: "+database+"\nordergroove:", 1)
	yaml = strings.Replace(yaml, "reconcile: { every: off }", reconcile, 1)
	var hosts []string
	for range instances {
		instance, err := c.startInstance(yaml)
		if err != nil {
			c.close() // the instances before it
			t.Fatal(err)
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(instance.webhookURL, "http://"), "/")
		hosts = append(hosts, host)
	}
	c.sender.URL = "http://balancer" + webhook.Path
	c.sender.Client = &http.Client{
		Timeout:   5 * time.Second,
		Transport: balancer{hosts, &http.Transport{MaxIdleConnsPerHost: 32}},
	}
	c.sender.Delays = slices.Repeat([]time.Duration{100 * time.Millisecond}, 300)
	return c
}

func (c *cluster) startInstance(yaml string) (*harness, error) {
	instance := &harness{dir: c.t.TempDir(), api: c.api, sender: &sim.Sender{}}
	instance.log = filepath.Join(instance.dir, "process.log")
	if err := os.WriteFile(filepath.Join(instance.dir, "termed.yaml"), []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	if err := instance.serve(); err != nil {
		return nil, err
	}
	c.instances = append(c.instances, instance)
	return instance, nil
}

func (c *cluster) close() {
	for _, instance := range c.instances {
		if instance.process != nil {
			_ = instance.process.Process.Signal(syscall.SIGCONT)
		}
		_ = instance.end(syscall.SIGKILL)
	}
	c.harness.close()
}

// waitIdle waits until an instance says that no work is left: they share the backlog.
func (c *cluster) waitIdle(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, instance := range c.instances {
			if instance.process == nil {
				continue
			}
			if idle, err := service.Idle(ctx, instance.consoleURL); err == nil && idle {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("the cluster still has work")
}

// acceptedEvents are the IDs of events that were answered 2xx.
type acceptedEvents struct {
	mu  sync.Mutex
	ids map[string]bool
}

// noteAccepted makes a sender note from now on which events are answered 2xx.
func noteAccepted(sender *sim.Sender) *acceptedEvents {
	a := &acceptedEvents{ids: map[string]bool{}}
	sender.OnReply = func(e sim.Event, r sim.Reply) {
		if r.OK() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.ids[e.ID] = true
		}
	}
	return a
}

// checkInbox checks that every event that was answered 2xx is in the inbox, and returns what is in the inbox.
func (a *acceptedEvents) checkInbox(t *testing.T, database string) []store.Event {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Database: database})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	events, err := s.Events(t.Context(), store.EventFilter{}, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	for _, e := range events {
		stored[e.ID] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.ids {
		if !stored[id] {
			t.Errorf("event %s was answered 2xx and is not in the inbox", id)
		}
	}
	return events
}

// TestClusterEndsExact plays a load against three instances on one PostgreSQL. One is killed, one is stopped for a
// while, and the server is restarted without a chance to finish. The end is exact, and takes hardly more API calls than
// one instance does.
func TestClusterEndsExact(t *testing.T) {
	server := startPostgres(t)
	t.Log("FAULT | three instances on one PostgreSQL: one killed, one stopped and continued," +
		" the server restarted under load | I1 I2 I3 I4 I7 I8 I10")
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
	one := playOnCluster(t, address+"one", 1, true, nil)
	three := playOnCluster(t, address+"three", 3, true, nil)
	perShipment := func(r sim.Report) float64 { return float64(r.Calls) / float64(r.Shipments) }
	// Which events of a subscription share a sync is chance, and makes a few calls more or less.
	if a, b := perShipment(one), perShipment(three); b > 1.1*a {
		t.Errorf("%.2f calls a shipment with three instances, %.2f with one: more than 10%% above", b, a)
	}
	playOnCluster(t, address+"postgres", 3, false, func(c *cluster) { c.killStopAndRestart(server) })
}

// playOnCluster plays a load while disturb does what it does.
func playOnCluster(t *testing.T, database string, instances int, calm bool, disturb func(*cluster)) sim.Report {
	t.Helper()
	c := newCluster(t, database, instances, "reconcile: { every: off }")
	defer c.close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var disturbing sync.WaitGroup
	defer disturbing.Wait()
	if disturb != nil {
		disturbing.Go(func() { disturb(c) })
	}
	load := sim.Load{
		Subscriptions: 120,
		Duplicates:    0.25,
		Disorder:      0.33,
		Seed:          5,
		Concurrency:   8,
		WaitPerRound:  calm,
		Products:      loadProducts,
	}
	accepted := noteAccepted(c.sender)
	report, err := load.Run(ctx, c.sim, c.sender, c.waitIdle)
	if err != nil {
		t.Fatal(err)
	}
	accepted.checkInbox(t, database)
	t.Logf("%d instances:\n%s", instances, report)
	for _, fault := range report.Violations {
		t.Error(fault)
	}
	return report
}

func (c *cluster) killStopAndRestart(server *postgres) {
	killed, stopped := c.instances[0], c.instances[1]
	c.waitForCalls(100)
	if err := killed.process.Process.Kill(); err != nil {
		c.t.Error(err)
	}
	c.waitForCalls(200)
	_ = stopped.process.Process.Signal(syscall.SIGSTOP)
	c.waitForCalls(300)
	server.ctl("restart", "-m", "immediate")
	_ = stopped.process.Process.Signal(syscall.SIGCONT)
}

// waitForCalls waits until the instances have made n API calls, for a minute at most.
func (c *cluster) waitForCalls(n int) {
	for limit := time.Now().Add(time.Minute); len(c.sim.Calls()) < n && time.Now().Before(limit); {
		time.Sleep(5 * time.Millisecond)
	}
}
