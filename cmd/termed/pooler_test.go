package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/ogsim"
)

// TestPooler runs two instances behind a connection pooler in transaction mode, with fewer server connections than either
// would have: nothing of ours may live in a session between two transactions.
func TestPooler(t *testing.T) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("PostgreSQL: there is no pgbouncer here to stand in between")
	}
	server := startPostgres(t)
	t.Log("FAULT | PostgreSQL behind a pooler in transaction mode, two server connections for two instances | I1 I2 I3 I4 I8")
	// Migrations hold a lock for a session, so they are made by hand, around the pooler.
	w := newWorld(t.TempDir(), ogsim.Options{})
	defer w.close()
	yaml := strings.Replace(loadConfigYAML, "ordergroove:", "database: "+server.address()+"\nordergroove:", 1)
	if err := os.WriteFile(filepath.Join(w.dir, "termed.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runHere(t.Context(), []string{"migrate", "up", "--config", filepath.Join(w.dir, "termed.yaml")}, w.api.URL)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	_, port, _ := strings.Cut(freeAddress(t), ":")
	settings := fmt.Sprintf(`
[databases]
postgres = host=127.0.0.1 port=%s user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
`, server.port, port)
	ini := filepath.Join(server.dir, "pgbouncer.ini")
	if err := os.WriteFile(ini, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	pooler := exec.Command(program, "-q", ini)
	if os.Geteuid() == 0 {
		pooler.SysProcAttr = &syscall.SysProcAttr{Credential: server.owner()}
	}
	if err := pooler.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = pooler.Process.Kill()
		_ = pooler.Wait()
	}()

	waitForPort(t, "127.0.0.1:"+port)

	c := newCluster(t, "postgres://postgres@127.0.0.1:"+port+"/postgres?sslmode=disable", 2, "reconcile: { every: off }")
	defer c.close()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second) // some 3 s; without the safeguard it never comes to rest
	defer cancel()
	load := ogsim.Load{
		Subscriptions: 150, Duplicates: 0.25, Disorder: 0.33, Seed: 9, AtATime: 8,
		Products: []ogsim.Product{{SKU: "GIFT-3MO", Due: 2}, {SKU: "SIX", Due: 5}, {SKU: "COFFEE", Due: ogsim.Evergreen}},
	}
	report, err := load.Run(ctx, c.sim, c.sender, c.settled)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", report)
	for _, fault := range report.Faults {
		t.Error(fault)
	}
}

// waitForPort waits until somebody listens.
func waitForPort(t *testing.T, address string) {
	t.Helper()
	for range 500 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("nobody listens on %s", address)
}

// runHere runs a command in this process and returns what it printed.
func runHere(ctx context.Context, args []string, simURL string) (string, error) {
	var out lockedBuffer
	err := run(ctx, args, environment{lookup: func(name string) (string, bool) {
		value, ok := map[string]string{"SIM_URL": simURL, "ORDERGROOVE_API_KEY": "k", "ORDERGROOVE_WEBHOOK_KEY": "w"}[name]
		return value, ok
	}, stdin: strings.NewReader(""), stdout: &out, stderr: &out})
	return out.String(), err
}
