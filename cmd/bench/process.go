package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopWithin is how long a process may take to end.
const stopWithin = 20 * time.Second

// noConsole is what a reference says instead of an address.
const noConsole = "none"

// process is a receiver that is measured: termed, or a reference.
type process struct {
	command  *exec.Cmd
	webhooks string        // where it receives
	console  string        // termed alone
	started  time.Duration // from its start to its first line
}

// spent is what a process took.
type spent struct {
	cpu    time.Duration // of all its processors
	memory int64         // bytes at most; 0 where the system does not tell
}

// start starts a program and waits until it says where it receives webhooks.
func start(ctx context.Context, dir, program string, arguments ...string) (*process, error) {
	p := &process{command: exec.CommandContext(ctx, program, arguments...)}
	p.command.Dir = dir
	p.command.Env = append(os.Environ(), "ORDERGROOVE_WEBHOOK_KEY="+webhookKey, "ORDERGROOVE_API_KEY="+apiKey)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.command.Stderr = log
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		what, address, _ := strings.Cut(lines.Text(), ": ")
		switch address = strings.TrimSpace(address); what {
		case "webhooks":
			p.webhooks = address
		case "console":
			p.console = address
			p.started = time.Since(begin)
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return p, nil
		}
	}
	err = p.command.Wait()
	said, _ := os.ReadFile(filepath.Join(dir, "log")) // for the message; it may be empty
	return nil, fmt.Errorf("%s did not start: %w\n%s", program, err, said)
}

// cpu is what the process has used since it started; 0 where the system does not tell.
func (p *process) cpu() time.Duration {
	fields := strings.Fields(p.read("stat"))
	if len(fields) < 15 {
		return 0
	}
	user, err := strconv.ParseInt(fields[13], 10, 64)
	system, other := strconv.ParseInt(fields[14], 10, 64)
	if errors.Join(err, other) != nil {
		return 0
	}
	const ticks = 100 // a second, on every Linux
	return time.Duration(user+system) * time.Second / ticks
}

// status is a figure of bytes that Linux has of the process: VmHWM is the most memory, VmRSS what it has now.
func (p *process) status(name string) int64 {
	for line := range strings.Lines(p.read("status")) {
		if rest, found := strings.CutPrefix(line, name+":"); found {
			size, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err == nil {
				return size << 10
			}
		}
	}
	return 0
}

func (p *process) read(file string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.command.Process.Pid, file))
	if err != nil {
		return "" // another system than Linux
	}
	return string(text)
}

// stop ends the process as a supervisor would.
func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.AfterFunc(stopWithin, func() { _ = p.command.Process.Kill() })
	defer late.Stop()
	return p.command.Wait()
}

// measure offers a load and returns what it cost the process.
func (p *process) measure(ctx context.Context, o offer) (offered, spent, error) {
	o.url = p.webhooks
	before := p.cpu()
	result, err := o.run(ctx)
	return result, spent{cpu: p.cpu() - before, memory: p.status("VmHWM")}, err
}
