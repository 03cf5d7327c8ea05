package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// TestPoolerInTransactionMode runs two instances behind a connection pooler, with fewer server connections than either
// would have. No state of ours may live in a database session between two transactions.
func TestPoolerInTransactionMode(t *testing.T) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("PostgreSQL: there is no pgbouncer to put in between")
	}
	server := startPostgres(t)
	t.Log("FAULT | PostgreSQL behind a pooler in transaction mode, two server connections for two instances" +
		" | I1 I2 I3 I4 I8")
	// Migrations hold a lock for a session, so they run by hand, past the pooler.
	h := newHarness(t.TempDir(), sim.Options{})
	defer h.close()
	yaml := strings.Replace(loadConfigYAML, "ordergroove:", "database: "+server.address()+"\nordergroove:", 1)
	if err := os.WriteFile(filepath.Join(h.dir, "termed.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"migrate", "up", "--config", filepath.Join(h.dir, "termed.yaml")}
	out, err := runHere(t.Context(), args, h.api.URL)
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
	pooler.SysProcAttr = server.attributes()
	if err := pooler.Start(); err != nil {
		t.Fatal(err)
	}
	afterTest(t, fmt.Sprintf("kill -9 %d", pooler.Process.Pid), server.attributes())
	defer func() {
		_ = pooler.Process.Kill()
		_ = pooler.Wait()
	}()

	waitForPort(t, "127.0.0.1:"+port)

	pooled := "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
	c := newCluster(t, pooled, 2, "reconcile: { every: off }")
	defer c.close()
	// It takes some 10 s; without the safeguard it never becomes idle.
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	load := sim.Load{
		Subscriptions: 150,
		Duplicates:    0.25,
		Disorder:      0.33,
		Seed:          9,
		Concurrency:   8,
		Products:      loadProducts,
	}
	report, err := load.Run(ctx, c.sim, c.sender, c.waitIdle)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", report)
	for _, fault := range report.Violations {
		t.Error(fault)
	}
	// The running instances keep a copy away, behind the pooler and past it.
	file := filepath.Join(h.dir, "copied.db")
	for _, from := range []string{pooled, server.address()} {
		_, err := runHere(t.Context(), []string{"copy", "--from", from, "--to", file}, h.api.URL)
		if !errors.Is(err, store.ErrInUse) {
			t.Errorf("copy from %s = %v, want ErrInUse", from, err)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused copy left its target: %v", err)
	}
}

// waitForPort waits until a server listens.
func waitForPort(t *testing.T, address string) {
	t.Helper()
	for range 500 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("no server listens on %s", address)
}

// runHere runs a command in this process and returns what it printed.
func runHere(ctx context.Context, args []string, simURL string) (string, error) {
	var out lockedBuffer
	variables := map[string]string{
		"SIM_URL":                 simURL,
		"ORDERGROOVE_API_KEY":     "k",
		"ORDERGROOVE_WEBHOOK_KEY": "long-enough",
	}
	err := run(ctx, args, environment{
		lookup: func(name string) (string, bool) { value, ok := variables[name]; return value, ok },
		stdin:  strings.NewReader(""),
		stdout: &out,
		stderr: &out,
	})
	return out.String(), err
}
