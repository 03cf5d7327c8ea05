package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
	"github.com/termed/termed/store"
	"github.com/termed/termed/testdata"
)

// Canaries are planted as keys and as personal data. They must never appear in a log.
const (
	canaryAPIKey     = "canary-api-key-5d41402a"
	canaryWebhookKey = "canary-webhook-key-7d793037"
	canaryName       = "canary-customer-name-f6d4e2c1"
)

// harness runs the real service as a process of its own, against a simulator of Ordergroove.
type harness struct {
	dir        string
	sim        *sim.Simulator
	api        *httptest.Server
	sender     *sim.Sender
	process    *exec.Cmd
	webhookURL string
	consoleURL string
	log        string // the file with everything that the processes logged and printed

	program     string        // the binary to serve with, if not this one
	failpoint   string        // where it dies
	endpointURL string        // where notifications go, if anywhere
	ahead       *atomic.Int64 // what the simulator's clock is ahead of ours, nanoseconds

	subscriptions map[string]*subscription // by name
	pending       []sim.Event              // announced and not yet delivered
	sent          []sim.Event              // delivered
}

// subscription is one that a test made.
type subscription struct {
	name  string
	id    string
	first json.RawMessage // its extra_data at the beginning
}

func newHarness(dir string, o sim.Options) *harness {
	ahead := new(atomic.Int64)
	o.Key = canaryAPIKey
	o.Payloads = testdata.Webhooks()
	o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	simulator := sim.New(o)
	return &harness{
		dir:           dir,
		ahead:         ahead,
		sim:           simulator,
		api:           httptest.NewServer(simulator.Handler()),
		subscriptions: map[string]*subscription{},
		log:           filepath.Join(dir, "process.log"),
		// Ordergroove retries after minutes; a test has seconds.
		sender: &sim.Sender{Keys: []string{canaryWebhookKey}, Delays: []time.Duration{
			100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second,
		}},
	}
}

// waitUntilAsked waits until the service has made the call that proves its key, whatever came of it: it would be in
// the way of calls that a test counts or makes fail. A service that dies at once answers nothing.
func (h *harness) waitUntilAsked() error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		response, err := http.Get(h.consoleURL + "/readyz")
		if err != nil {
			return nil //nolint:nilerr // it is killed at a failpoint
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(text), "not asked yet") {
			return nil //nolint:nilerr // as above
		}
	}
	return errors.New("the service has not asked Ordergroove for 20 s")
}

// listedLongAgo makes a database in which SKUs have been listed for longer than any subscription runs.
func (h *harness) listedLongAgo(ctx context.Context, skus ...string) error {
	db, err := store.Open(ctx, store.Options{Database: filepath.Join(h.dir, "termed.db")})
	if err != nil {
		return err
	}
	_, err = db.ListSKUs(ctx, skus, 1)
	return errors.Join(err, db.Close())
}

// serve starts the real main as a process, and waits until it listens.
func (h *harness) serve(arguments ...string) error {
	program, err := h.serveProgram()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	h.process = &exec.Cmd{
		Path:   program,
		Args:   append([]string{"termed", "serve"}, arguments...),
		Dir:    h.dir,
		Stdin:  lifeline(),
		Stderr: log,
		Env:    append(h.environ(), "TERMED_FAILPOINT="+h.failpoint, lifelineVariable+"=1"),
	}
	stdout, err := h.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := h.process.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		what, address, _ := strings.Cut(lines.Text(), ":")
		switch address = strings.TrimSpace(address); what {
		case "webhooks":
			setIfChanged(&h.webhookURL, address)
			setIfChanged(&h.sender.URL, address)
		case "console":
			setIfChanged(&h.consoleURL, address)
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return h.waitUntilAsked()
		}
	}
	_ = h.process.Wait()
	h.process = nil
	text, _ := os.ReadFile(h.log)
	return fmt.Errorf("the service did not start:\n%s", text)
}

func (h *harness) serveProgram() (string, error) {
	if h.program != "" {
		return h.program, nil
	}
	return os.Executable()
}

// environ is the environment of every process.
func (h *harness) environ() []string {
	return append(
		os.Environ(),
		"SIM_URL="+h.api.URL,
		"ORDERGROOVE_API_KEY="+canaryAPIKey,
		"ORDERGROOVE_WEBHOOK_KEY="+canaryWebhookKey,
		"TERMED_NOTIFICATION_SECRET="+notificationSecret,
		"TERMED_NEW_NOTIFICATION_SECRET="+newNotificationSecret,
		"ENDPOINT="+h.endpointURL,
	)
}

// termed runs a command next to the service, and returns what it printed and its exit code.
func (h *harness) termed(ctx context.Context, arguments ...string) (out string, code int, err error) {
	program, err := os.Executable()
	if err != nil {
		return "", 0, err
	}
	command := exec.CommandContext(ctx, program)
	command.Args = append([]string{"termed"}, arguments...)
	command.Dir = h.dir
	command.Env = h.environ()
	text, err := command.CombinedOutput()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(text), ended.ExitCode(), nil
	}
	return string(text), 0, err
}

// setIfChanged writes nothing when the service restarts on the same address: others may be reading the string then.
func setIfChanged(s *string, to string) {
	if *s != to {
		*s = to
	}
}

// end sends the process a signal and waits for it. It may take 12 s.
func (h *harness) end(signal syscall.Signal) error {
	if h.process == nil {
		return nil
	}
	process := h.process
	h.process = nil
	if err := process.Process.Signal(signal); err != nil {
		return err
	}
	late := time.AfterFunc(12*time.Second, func() { _ = process.Process.Kill() })
	defer late.Stop()
	err := process.Wait()
	if signal == syscall.SIGKILL {
		return nil // its exit code is never 0
	}
	if err != nil {
		text, _ := os.ReadFile(h.log)
		return fmt.Errorf("the service ended with %w:\n%s", err, text)
	}
	return nil
}

func (h *harness) close() {
	_ = h.end(syscall.SIGKILL)
	h.api.CloseClientConnections()
	h.api.Close()
}

func (h *harness) subscribe(name, sku string, n sim.NewSubscription) error {
	n.Customer, n.Product = canaryName, sku
	sub, err := h.sim.Subscribe(n)
	h.subscriptions[name] = &subscription{name: name, id: sub.ID, first: n.ExtraData}
	h.collect()
	return err
}

func (h *harness) place(names []string, oneTime ...string) (order string, err error) {
	ids := make([]string, len(names))
	for i, name := range names {
		sub, ok := h.subscriptions[name]
		if !ok {
			return "", fmt.Errorf("there is no subscription called %s", name)
		}
		ids[i] = sub.id
	}
	order, err = h.sim.Place(ids, oneTime...)
	h.collect()
	return order, err
}

// collect takes the events that the simulator announced.
func (h *harness) collect() {
	h.pending = append(h.pending, h.sim.Take()...)
}

// deliver sends events in order, with Ordergroove's retries.
func (h *harness) deliver(ctx context.Context, events []sim.Event) error {
	for _, e := range events {
		if err := h.sender.Send(ctx, e); err != nil {
			return err
		}
		h.sent = append(h.sent, e)
	}
	return nil
}

// deliverPending delivers everything that was announced.
func (h *harness) deliverPending(ctx context.Context) error {
	events := h.pending
	h.pending = nil
	return h.deliver(ctx, events)
}

// settle waits until the service has no work left, and delivers the events that its own changes cause.
func (h *harness) settle(ctx context.Context) error {
	for {
		if err := service.WaitIdle(ctx, h.consoleURL); err != nil {
			return err
		}
		h.collect()
		if len(h.pending) == 0 {
			return nil
		}
		if err := h.deliverPending(ctx); err != nil {
			return err
		}
	}
}

// facts are what Ordergroove has of a subscription, for a story to expect.
func (h *harness) facts(name string) (map[string]string, error) {
	s, ok := h.subscriptions[name]
	if !ok {
		return nil, fmt.Errorf("there is no subscription called %s", name)
	}
	sub, _ := h.sim.Subscription(s.id)
	var keys map[string]json.RawMessage
	_ = json.Unmarshal(sub.ExtraData, &keys)
	calls := 0
	for _, c := range h.sim.Calls() {
		if c.Subscription == s.id {
			calls++
		}
	}
	facts := map[string]string{
		"live":       fmt.Sprint(sub.Live),
		"placed":     fmt.Sprint(sub.Placed),
		"writes":     fmt.Sprint(sub.Writes),
		"cancels":    fmt.Sprint(sub.Cancels),
		"reason":     sub.CancelReason,
		"calls":      fmt.Sprint(calls),
		"extra_data": string(sub.ExtraData),
		"product":    sub.Product,
		"counter":    "none",
		"hide":       "none",
		"termed":     "none",
	}
	for fact, key := range map[string]string{"counter": "fulfillment_counter", "hide": "hide", "termed": "termed"} {
		if value, ok := keys[key]; ok {
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
