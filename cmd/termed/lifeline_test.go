package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove/sim"
)

// A test that is killed must leave no process behind. What it starts holds the reading end of a pipe whose writing end
// the test alone has: when the test is gone, however it ended, the pipe ends.

// lifelineVariable tells a process that its standard input is the lifeline.
const lifelineVariable = "TERMED_TEST_LIFELINE"

// lifeline is the reading end.
var lifeline = sync.OnceValue(func() *os.File {
	reading, writing, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	keptOpen = writing
	return reading
})

var keptOpen *os.File

// endWithTest ends the process when the test that started it is gone.
func endWithTest() {
	if os.Getenv(lifelineVariable) == "" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(exitError)
	}()
}

// afterTest runs a shell command when the test is gone before its cleanup.
func afterTest(t *testing.T, command string, as *syscall.SysProcAttr) {
	t.Helper()
	keeper := exec.Command("sh", "-c", "cat > /dev/null; "+command)
	keeper.Stdin = lifeline()
	keeper.SysProcAttr = as
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = keeper.Process.Kill()
		_ = keeper.Wait()
	})
}

// killedTestVariable makes TestKilledTest start a service and wait to be killed.
const killedTestVariable = "TERMED_TEST_TO_BE_KILLED"

// A test that is killed leaves no termed serve behind: one is killed here, as a process of its own.
func TestKilledTest(t *testing.T) {
	if dir := os.Getenv(killedTestVariable); dir != "" {
		h := newHarness(dir, sim.Options{})
		if err := os.WriteFile(filepath.Join(dir, "termed.yaml"), []byte(loadConfigYAML), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := h.serve(); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("pid " + strconv.Itoa(h.process.Process.Pid) + "\n")
		select {} // to be killed
	}
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("processes: there is no /proc to look for one")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	test := exec.Command(program, "-test.run", "^TestKilledTest$", "-test.timeout", "1m")
	test.Env = append(os.Environ(), killedTestVariable+"="+t.TempDir())
	out, err := test.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := test.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ""
	for lines := bufio.NewScanner(out); pid == "" && lines.Scan(); {
		pid, _ = strings.CutPrefix(lines.Text(), "pid ")
	}
	_ = test.Process.Kill()
	_ = test.Wait()
	if pid == "" {
		t.Fatal("the test to be killed started no service")
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		command, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil || !strings.Contains(string(command), "serve") {
			return
		}
	}
	t.Errorf("process %s runs on after the test that started it was killed", pid)
}
