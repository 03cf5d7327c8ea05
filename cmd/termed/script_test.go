package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/webhook"
)

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(testsAtOnceEach*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitError)
	}
	testscript.Main(m, map[string]func(){"termed": func() {
		endWithTest()
		os.Exit(mainExit())
	}})
}

// TestScript runs the stories of testdata/script with the real main, as processes of their own. They read as a manual;
// testdata/script/README.md says what each of the commands below does.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("ORDERGROOVE_API_KEY", canaryAPIKey)
			env.Setenv("ORDERGROOVE_WEBHOOK_KEY", canaryWebhookKey)
			env.Setenv("TERMED_NOTIFICATION_SECRET", notificationSecret)
			env.Setenv("TERMED_NEW_NOTIFICATION_SECRET", newNotificationSecret)
			env.Setenv("TERMED_REMOVED_SAFEGUARD", os.Getenv("TERMED_REMOVED_SAFEGUARD")) // of cmd/faultmatrix
			s := &story{}
			env.Values[storyKey{}] = s
			env.Defer(s.close)
			return defaultConfig(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"simulator":            command(simulatorCmd),
			"serve":                command(serveCmd),
			"crash":                command(func(s *story, _ []string) error { return s.end(syscall.SIGKILL) }),
			"shutdown":             command(func(s *story, _ []string) error { return s.end(syscall.SIGTERM) }),
			"reload":               command(reloadCmd),
			"subscribe":            command(subscribeCmd),
			"place":                command(placeCmd),
			"fail":                 command(failCmd),
			"agent":                command(agentCmd),
			"deliver":              command(deliverCmd),
			"lose":                 command(func(s *story, _ []string) error { s.pending = nil; return nil }),
			"settle":               command(func(s *story, _ []string) error { return s.settle(s.ctx) }),
			"expect":               command(expectCmd),
			"judge":                command(judgeCmd),
			"break":                command(breakCmd),
			"repair":               command(func(s *story, _ []string) error { s.sim.ClearFaults(); return nil }),
			"calls":                command(callsCmd),
			"permutations":         command(permutationsCmd),
			"wait-for-call":        command(waitForCallCmd),
			"wait-for-changes":     command(waitForChangesCmd),
			"wait-until-not-ready": command(notReadyCmd),
			"wait-for":             command(waitForCmd),
			"wait-for-log":         command(waitForLogCmd),
			"stdlog":               command(stdlogCmd),
			"get":                  command(getCmd),
			"nosecrets":            command(noSecretsCmd),
			"later":                command(laterCmd),
			"endpoint":             command(endpointCmd),
			"notified":             command(notifiedCmd),
		},
	})
}

// defaultConfig gives a story the shared configuration, unless it brings its own.
func defaultConfig(env *testscript.Env) error {
	path := filepath.Join(env.WorkDir, "termed.yaml")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	text, err := os.ReadFile("../../testdata/script/termed.yaml")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

type storyKey struct{}

// story is the harness of one script.
type story struct {
	*harness
	endpoint *endpoint
	ctx      context.Context
	ts       *testscript.TestScript
}

func (s *story) close() {
	if s.harness != nil {
		s.harness.close()
	}
	if s.endpoint != nil {
		s.endpoint.server.Close()
	}
}

// command makes a script command of a function. Its error fails the script or, after !, its success does.
func command(do func(*story, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := ts.Value(storyKey{}).(*story)
		s.ts = ts
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		defer cancel()
		s.ctx = ctx
		err := do(s, args)
		if err != nil && !neg {
			ts.Fatalf("%v", err)
		}
		if err == nil && neg {
			ts.Fatalf("it succeeded, and was expected to fail")
		}
	}
}

func simulatorCmd(s *story, args []string) error {
	var o sim.Options
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "snapshot":
			o.Snapshot = value
		case "items":
			o.ItemEvents = true
		case "text":
			o.ExtraDataAsText = true
		case "page":
			o.PageSize, _ = strconv.Atoi(value)
		default:
			return fmt.Errorf("simulator has no option %s", arg)
		}
	}
	s.harness = newHarness(s.ts.Getenv("WORK"), o)
	s.ts.Setenv("SIM_URL", s.api.URL)
	return nil
}

func serveCmd(s *story, args []string) error {
	if s.endpoint != nil {
		s.endpointURL = s.endpoint.server.URL
	}
	if err := s.serve(args...); err != nil {
		return err
	}
	s.ts.Setenv("WEBHOOK_URL", s.webhookURL)
	s.ts.Setenv("CONSOLE_URL", s.consoleURL)
	return nil
}

func reloadCmd(s *story, _ []string) error {
	return s.process.Process.Signal(syscall.SIGHUP)
}

func subscribeCmd(s *story, args []string) error {
	n := sim.NewSubscription{}
	for _, arg := range args[2:] {
		if arg == "silently" {
			n.Silent = true
			continue
		}
		if left, ok := strings.CutPrefix(arg, "prepaid="); ok {
			orders, err := strconv.Atoi(left)
			if err != nil {
				return err
			}
			n.Prepaid = prepaidFor(orders)
			continue
		}
		n.ExtraData = json.RawMessage(arg)
	}
	defer func() { s.ts.Setenv(args[0], s.subscriptions[args[0]].id) }()
	return s.subscribe(args[0], args[1], n)
}

func placeCmd(s *story, args []string) error {
	var names, oneTime []string
	for _, arg := range args {
		if product, ok := strings.CutPrefix(arg, "+"); ok {
			oneTime = append(oneTime, product)
			continue
		}
		names = append(names, arg)
	}
	order, err := s.place(names, oneTime...)
	if err == nil && order == "" {
		return fmt.Errorf("no order is placed for %s: not live", args)
	}
	return err
}

func failCmd(s *story, args []string) error {
	status, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	err = s.sim.Fail(s.subscriptions[args[0]].id, args[1], status)
	s.collect()
	return err
}

func agentCmd(s *story, args []string) error {
	id := s.subscriptions[args[1]].id
	defer s.collect()
	switch args[0] {
	case "cancels":
		return s.sim.CancelByAgent(id)
	case "reactivates":
		return s.sim.Reactivate(id)
	case "writes":
		return s.sim.Edit(id, json.RawMessage(args[2]))
	case "swaps-once":
		return s.sim.SwapOnce(id, args[2])
	case "swaps":
		return s.sim.Swap(id, args[2])
	case "asks":
		return s.callAPI(id, args[2], args[3])
	case "deletes":
		s.sim.Forget(id)
		return nil
	case "reschedules":
		in, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		return s.sim.Reschedule(id, time.Now().Add(in))
	}
	return fmt.Errorf("there is no command: agent %s", args[0])
}

// callAPI makes a call as somebody else with the API key does.
func (s *story) callAPI(id, path, body string) error {
	url := s.api.URL + "/subscriptions/" + id + "/" + path + "/"
	request, err := http.NewRequestWithContext(s.ctx, http.MethodPatch, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("x-api-key", canaryAPIKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	return nil
}

func deliverCmd(s *story, args []string) error {
	events := s.pending
	s.pending = nil
	for _, arg := range args {
		switch arg {
		case "twice":
			events = append(events, events...)
		case "everything-again":
			events = append(events, s.sent...)
		case "backwards":
			slices.Reverse(events)
		case "under-new-ids":
			for _, e := range slices.Clone(events) {
				events = append(events, renamed(e))
			}
		case "as-subscription.created":
			for i := range events {
				body := strings.Replace(string(events[i].Body), `"subscription.create"`, `"subscription.created"`, 1)
				events[i].Body = []byte(body)
			}
		default:
			if keys, ok := strings.CutPrefix(arg, "signed-with="); ok {
				s.sender.Keys = strings.Split(keys, ",")
				continue
			}
			return fmt.Errorf("deliver has no option %s", arg)
		}
	}
	return s.deliver(s.ctx, events)
}

func expectCmd(s *story, args []string) error {
	facts, err := s.facts(args[0])
	if err != nil {
		return err
	}
	for _, arg := range args[1:] {
		name, want, _ := strings.Cut(arg, "=")
		if got, ok := facts[name]; !ok || got != want {
			return fmt.Errorf("%s: %s is %s, want %s", args[0], name, got, want)
		}
	}
	return nil
}

func judgeCmd(s *story, args []string) error {
	made := s.subscriptions[args[0]]
	due := sim.Evergreen
	if args[1] != "evergreen" {
		due, _ = strconv.Atoi(strings.TrimPrefix(args[1], "due="))
	}
	sub, _ := s.sim.Subscription(made.id)
	faults := sim.JudgePrepaid(sub, made.first)
	if args[1] != "prepaid" {
		faults = sim.Judge(sub, due, made.first)
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s: %s", args[0], strings.Join(faults, "; "))
	}
	return nil
}

func breakCmd(s *story, args []string) error {
	var f sim.Fault
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		var err error
		switch name {
		case "method":
			f.Method = value
		case "path":
			f.Path = value
		case "subscription":
			f.Subscription = s.subscriptions[value].id
		case "status":
			f.Status, err = strconv.Atoi(value)
		case "times":
			f.Times, err = strconv.Atoi(value)
		case "body":
			f.Body = value
		case "retry-after":
			f.RetryAfter = value
		case "after-effect":
			f.TakesEffect = true
		case "whole-path":
			f.WholePath = true
		case "skip":
			f.Skip, err = strconv.Atoi(value)
		case "delay":
			f.OnlyDelay = true
			f.Delay, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("break has no option %s", arg)
		}
		if err != nil {
			return err
		}
	}
	s.sim.Break(f)
	return nil
}

// callsCmd checks the number of API calls: calls [METHOD] [PATH-PART] N.
func callsCmd(s *story, args []string) error {
	want, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return err
	}
	got := 0
	all := ""
	for _, c := range s.sim.Calls() {
		if c.IsPing() && !slices.Contains(args, c.Path) {
			continue // made at each start
		}
		line := c.Method + " " + c.Path
		if !slices.ContainsFunc(args[:len(args)-1], func(part string) bool { return !strings.Contains(line, part) }) {
			got++
			all += "\n" + line
		}
	}
	if got != want {
		return fmt.Errorf("%d calls, want %d:%s", got, want, all)
	}
	return nil
}

// waitForCallCmd waits until the fault that delays a call is used up: then the simulator is answering it, and a kill
// comes in the middle.
func waitForCallCmd(s *story, _ []string) error {
	for s.sim.Faults() > 0 {
		select {
		case <-s.ctx.Done():
			return fmt.Errorf("the call was not made")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// waitForChangesCmd waits until no change is in progress at Ordergroove: one that a killed process sent may still take
// effect.
func waitForChangesCmd(s *story, _ []string) error {
	for s.sim.Changing() > 0 {
		select {
		case <-s.ctx.Done():
			return fmt.Errorf("a change is still in progress")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// notReadyCmd waits until the console says that the service is not ready, and why.
func notReadyCmd(s *story, args []string) error {
	for {
		response, err := http.Get(s.consoleURL + "/readyz")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
		if response.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(text), args[0]) {
			return nil
		}
		select {
		case <-s.ctx.Done():
			return fmt.Errorf("/readyz does not say so: %d %s", response.StatusCode, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// waitForCmd waits until expect holds.
func waitForCmd(s *story, args []string) error {
	return s.until(func() error { return expectCmd(s, args) })
}

// waitForLogCmd waits until the service has logged a line that matches.
func waitForLogCmd(s *story, args []string) error {
	return s.until(func() error { return stdlogCmd(s, args) })
}

// until repeats a check until it holds, and returns its last error when time is up.
func (s *story) until(check func() error) error {
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-s.ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stdlogCmd is the command stdout for what the service logged.
func stdlogCmd(s *story, args []string) error {
	pattern, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err
	}
	if !pattern.Match(text) {
		return fmt.Errorf("no match for %s in the log:\n%s", args[0], text)
	}
	return nil
}

// getCmd requests a page of the console; the answer is the next stdout.
func getCmd(s *story, args []string) error {
	base := s.consoleURL
	if args[0] == webhook.HealthPath {
		base = strings.TrimSuffix(s.webhookURL, webhook.Path)
	}
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, base+args[0], nil)
	if err != nil {
		return err
	}
	for _, header := range args[1:] {
		name, value, _ := strings.Cut(header, "=")
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Fprintln(s.ts.Stdout(), response.StatusCode)
	_, err = io.Copy(s.ts.Stdout(), response.Body)
	return err
}

// permutationsCmd delivers the events of one subscription in every possible order, each order for a subscription of its
// own: all at once, and again with the service idle after each event.
func permutationsCmd(s *story, args []string) error {
	sku := args[0]
	due, err := strconv.Atoi(strings.TrimPrefix(args[1], "due="))
	if err != nil {
		return err
	}
	for _, settleAfterEach := range []bool{false, true} {
		if err := s.permute(sku, due, settleAfterEach); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) permute(sku string, due int, settleAfterEach bool) error {
	var names []string
	var sequences [][]sim.Event
	for i, order := range permutations(due + 2) {
		name := fmt.Sprintf("permutation %v %d", settleAfterEach, i)
		events, err := s.lifetime(name, sku, due)
		if err != nil {
			return err
		}
		sequence := make([]sim.Event, len(events))
		for to, from := range order {
			sequence[to] = events[from]
		}
		names = append(names, name)
		sequences = append(sequences, sequence)
	}
	for step := range due + 2 {
		for _, sequence := range sequences {
			if err := s.deliver(s.ctx, sequence[step:step+1]); err != nil {
				return err
			}
		}
		if settleAfterEach {
			if err := s.settle(s.ctx); err != nil {
				return err
			}
		}
	}
	if err := s.settle(s.ctx); err != nil {
		return err
	}
	for _, name := range names {
		if err := judgeCmd(s, []string{name, fmt.Sprintf("due=%d", due)}); err != nil {
			return err
		}
	}
	return nil
}

// lifetime returns, undelivered, the creation of a subscription, all its orders, and the last order again with another
// event id.
func (s *story) lifetime(name, sku string, due int) ([]sim.Event, error) {
	if err := s.subscribe(name, sku, sim.NewSubscription{ExtraData: json.RawMessage(`{"mine":1.10}`)}); err != nil {
		return nil, err
	}
	for range due {
		if _, err := s.place([]string{name}); err != nil {
			return nil, err
		}
	}
	events := s.pending
	s.pending = nil
	return append(events, renamed(events[len(events)-1])), nil
}

// renamed is the same event with another id.
func renamed(e sim.Event) sim.Event {
	id := e.ID + "-again"
	return sim.Event{ID: id, Type: e.Type, Body: []byte(strings.Replace(string(e.Body), e.ID, id, 1))}
}

// permutations returns every order of 0…n-1.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(shorter), at, n-1))
		}
	}
	return all
}

// noSecretsCmd checks that nothing secret or personal is in what the service logged and printed.
func noSecretsCmd(s *story, _ []string) error {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return fmt.Errorf("the service logged nothing, so this proves nothing")
	}
	secrets := []string{
		notificationSecret, newNotificationSecret, canaryAPIKey, canaryWebhookKey, canaryName, "extra_data\":",
	}
	for _, secret := range secrets {
		if strings.Contains(string(text), secret) {
			return fmt.Errorf("the log contains %s", secret)
		}
	}
	return nil
}

// laterCmd puts Ordergroove's clock forward.
func laterCmd(s *story, args []string) error {
	by, err := time.ParseDuration(args[0])
	s.ahead.Add(int64(by))
	return err
}

// endpointCmd starts a system that receives notifications, or makes it answer a status: endpoint [new-secret] |
// endpoint answers STATUS.
func endpointCmd(s *story, args []string) error {
	if len(args) == 2 {
		status, err := strconv.Atoi(args[1])
		s.endpoint.answer(status)
		return err
	}
	secret := notificationSecret
	if len(args) == 1 {
		secret = newNotificationSecret
	}
	if s.endpoint != nil {
		s.endpoint.server.Close()
	}
	s.endpoint = newEndpoint(secret)
	s.ts.Setenv("ENDPOINT", s.endpoint.server.URL)
	return nil
}

// notifiedCmd waits until exactly N notifications of a type have arrived; their bodies are the next stdout.
func notifiedCmd(s *story, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var all []message
	err = s.until(func() error {
		var wrong []string
		if all, wrong = s.endpoint.messages(args[0]); len(wrong) > 0 {
			return fmt.Errorf("wrong deliveries: %s", wrong)
		}
		if len(all) != want {
			return fmt.Errorf("%d notifications of %s, want %d", len(all), args[0], want)
		}
		return nil
	})
	for _, m := range all {
		fmt.Fprintf(s.ts.Stdout(), "%s\n", m.Body)
	}
	return err
}
