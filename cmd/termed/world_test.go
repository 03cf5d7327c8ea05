package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/testdata"
)

// Canaries: what must never stand in a log. Tests plant them as keys and as personal data.
const (
	canaryAPIKey     = "canary-api-key-5d41402a"
	canaryWebhookKey = "canary-webhook-key-7d793037"
	canaryPassword   = "canary-password-a0b92382"
	canaryName       = "canary-customer-name-f6d4e2c1"
)

// world is one story's surroundings: a simulator of Ordergroove, and the real service as a process of its own.
type world struct {
	dir     string
	sim     *ogsim.Simulator
	api     *httptest.Server
	sender  *ogsim.Sender
	child   *exec.Cmd
	door    string // address of the webhooks
	console string // address of the console
	log     string // file that holds what all processes logged and printed
	// program is the binary that serves, if not this one; failpoint is where it dies.
	program, failpoint string
	receiver           string        // address of who takes notices, if anybody
	ahead              *atomic.Int64 // of Ordergroove's clock, nanoseconds

	names   map[string]*role
	pending []ogsim.Event // announced and not yet delivered
	sent    []ogsim.Event // delivered
}

func newWorld(dir string, o ogsim.Options) *world {
	o.Key, o.Payloads = canaryAPIKey, testdata.Webhooks()
	ahead := new(atomic.Int64)
	o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	sim := ogsim.New(o)
	return &world{
		dir: dir, ahead: ahead, sim: sim, api: httptest.NewServer(sim.Handler()), names: map[string]*role{},
		log: filepath.Join(dir, "process.log"),
		// Ordergroove's delays are minutes; a story has seconds.
		sender: &ogsim.Sender{Keys: []string{canaryWebhookKey}, Delays: []time.Duration{
			100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second,
		}},
	}
}

// serve starts the real main as a process and waits until it listens.
func (w *world) serve(arguments ...string) error {
	program, err := w.program, error(nil)
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(w.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	w.child = &exec.Cmd{
		Path: program, Args: append([]string{"termed", "serve"}, arguments...), Dir: w.dir, Stderr: log,
		Env: append(w.environ(), "TERMED_FAILPOINT="+w.failpoint),
	}
	stdout, err := w.child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := w.child.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		what, address, _ := strings.Cut(lines.Text(), ":")
		switch address = strings.TrimSpace(address); what {
		case "webhooks":
			change(&w.door, address)
			change(&w.sender.URL, address)
		case "console":
			change(&w.console, address)
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return nil
		}
	}
	_ = w.child.Wait()
	w.child = nil
	text, _ := os.ReadFile(w.log)
	return fmt.Errorf("the service did not start:\n%s", text)
}

// environ is what every process of ours has in its environment.
func (w *world) environ() []string {
	return append(os.Environ(), "SIM_URL="+w.api.URL, "ORDERGROOVE_API_KEY="+canaryAPIKey,
		"ORDERGROOVE_WEBHOOK_KEY="+canaryWebhookKey, "TERMED_CONSOLE_PASSWORD="+canaryPassword,
		"TERMED_NOTICE_SECRET="+noticeSecret, "TERMED_NEW_NOTICE_SECRET="+newNoticeSecret, "RECEIVER="+w.receiver)
}

// termed runs a command to its end, beside the service, and answers what it printed and its exit code.
func (w *world) termed(ctx context.Context, arguments ...string) (out string, code int, err error) {
	program, err := os.Executable()
	if err != nil {
		return "", 0, err
	}
	command := exec.CommandContext(ctx, program)
	command.Args, command.Dir, command.Env = append([]string{"termed"}, arguments...), w.dir, w.environ()
	text, err := command.CombinedOutput()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(text), ended.ExitCode(), nil
	}
	return string(text), 0, err
}

// change sets what is not so already: a service that comes back on the same address changes nothing under others' hands.
func change(s *string, to string) {
	if *s != to {
		*s = to
	}
}

// end sends the process a signal and waits for it; it may take 12 s.
func (w *world) end(signal syscall.Signal) error {
	if w.child == nil {
		return nil
	}
	child := w.child
	w.child = nil
	if err := child.Process.Signal(signal); err != nil {
		return err
	}
	late := time.AfterFunc(12*time.Second, func() { _ = child.Process.Kill() })
	defer late.Stop()
	err := child.Wait()
	if signal == syscall.SIGKILL {
		return nil // it cannot end well
	}
	if err != nil {
		text, _ := os.ReadFile(w.log)
		return fmt.Errorf("the service ended with %w:\n%s", err, text)
	}
	return nil
}

func (w *world) close() {
	_ = w.end(syscall.SIGKILL)
	w.api.CloseClientConnections()
	w.api.Close()
}

func (w *world) subscribe(name, sku string, n ogsim.NewSubscription) error {
	n.Customer, n.Product = canaryName, sku
	sub, err := w.sim.Subscribe(n)
	w.names[name] = &role{name: name, id: sub.ID, first: n.ExtraData}
	w.collect()
	return err
}

func (w *world) place(names []string, oneTime ...string) (order string, err error) {
	ids := make([]string, len(names))
	for i, name := range names {
		r, ok := w.names[name]
		if !ok {
			return "", fmt.Errorf("nobody is called %s", name)
		}
		ids[i] = r.id
	}
	order, err = w.sim.Place(ids, oneTime...)
	w.collect()
	return order, err
}

// collect takes what the simulator announced since.
func (w *world) collect() {
	w.pending = append(w.pending, w.sim.Take()...)
}

// deliver sends what is pending, in order, with Ordergroove's retries.
func (w *world) deliver(ctx context.Context, events []ogsim.Event) error {
	for _, e := range events {
		if err := w.sender.Send(ctx, e); err != nil {
			return err
		}
		w.sent = append(w.sent, e)
	}
	return nil
}

// settle waits until the service has nothing more to do, and delivers what its own changes announce.
func (w *world) settle(ctx context.Context) error {
	for {
		if err := settled(ctx, w.console); err != nil {
			return err
		}
		w.collect()
		if len(w.pending) == 0 {
			return nil
		}
		events := w.pending
		w.pending = nil
		if err := w.deliver(ctx, events); err != nil {
			return err
		}
	}
}

// facts are what stands at Ordergroove of a subscription, for a story to expect.
func (w *world) facts(name string) (map[string]string, error) {
	r, ok := w.names[name]
	if !ok {
		return nil, fmt.Errorf("nobody is called %s", name)
	}
	sub, _ := w.sim.Subscription(r.id)
	var members map[string]json.RawMessage
	_ = json.Unmarshal(sub.ExtraData, &members)
	calls := 0
	for _, c := range w.sim.Calls() {
		if c.Subscription == r.id {
			calls++
		}
	}
	facts := map[string]string{
		"live": fmt.Sprint(sub.Live), "placed": fmt.Sprint(sub.Placed), "writes": fmt.Sprint(sub.Writes),
		"cancels": fmt.Sprint(sub.Cancels), "reason": sub.CancelReason, "calls": fmt.Sprint(calls),
		"extra_data": string(sub.ExtraData), "product": sub.Product, "counter": "none", "hide": "none", "termed": "none",
	}
	for fact, member := range map[string]string{"counter": "fulfillment_counter", "hide": "hide", "termed": "termed"} {
		if value, ok := members[member]; ok {
			facts[fact] = string(value)
		}
	}
	return facts, nil
}

// lockedBuffer is a writer that several goroutines may share.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
