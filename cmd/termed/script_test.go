package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/termed/termed/ogsim"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"termed": func() { os.Exit(mainExit()) }})
}

// TestScript plays the stories of testdata/script with the real main, as processes of its own. They read as a manual;
// testdata/script/README.md says what each of the commands below does.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("ORDERGROOVE_API_KEY", canaryAPIKey)
			env.Setenv("ORDERGROOVE_WEBHOOK_KEY", canaryWebhookKey)
			env.Setenv("TERMED_CONSOLE_PASSWORD", canaryPassword)
			env.Setenv("TERMED_NOTICE_SECRET", noticeSecret)
			env.Setenv("TERMED_NEW_NOTICE_SECRET", newNoticeSecret)
			env.Values[worldKey{}] = &tale{}
			if err := defaultConfig(env); err != nil {
				return err
			}
			env.Defer(func() {
				s := env.Values[worldKey{}].(*tale)
				if s.world != nil {
					s.world.close()
				}
				if s.takes != nil {
					s.takes.server.Close()
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"simulator":            told(simulatorCmd),
			"serve":                told(serveCmd),
			"crash":                told(func(w *tale, _ []string) error { return w.end(syscall.SIGKILL) }),
			"shutdown":             told(func(w *tale, _ []string) error { return w.end(syscall.SIGTERM) }),
			"subscribe":            told(subscribeCmd),
			"place":                told(placeCmd),
			"fail":                 told(failCmd),
			"agent":                told(agentCmd),
			"deliver":              told(deliverCmd),
			"lose":                 told(func(w *tale, _ []string) error { w.pending = nil; return nil }),
			"settle":               told(func(w *tale, _ []string) error { return w.settle(w.ctx) }),
			"expect":               told(expectCmd),
			"judge":                told(judgeCmd),
			"break":                told(breakCmd),
			"mend":                 told(func(w *tale, _ []string) error { w.sim.ClearFaults(); return nil }),
			"calls":                told(callsCmd),
			"permutations":         told(permutationsCmd),
			"wait-for-call":        told(waitForCallCmd),
			"wait-until-not-ready": told(notReadyCmd),
			"wait-for":             told(waitForCmd),
			"wait-for-log":         told(waitForLogCmd),
			"stdlog":               told(stdlogCmd),
			"get":                  told(getCmd),
			"nosecrets":            told(noSecretsCmd),
			"later":                told(laterCmd),
			"reload":               told(func(w *tale, _ []string) error { return w.child.Process.Signal(syscall.SIGHUP) }),
			"receiver":             told(receiverCmd),
			"told":                 told(toldCmd),
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

type worldKey struct{}

// tale is a world in a script.
type tale struct {
	*world
	takes *receiver
	ctx   context.Context
	ts    *testscript.TestScript
}

// told makes a command of a function: its error fails the script, or with ! its success does.
func told(do func(*tale, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := ts.Value(worldKey{}).(*tale)
		s.ts = ts
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.ctx = ctx
		err := do(s, args)
		if err != nil && !neg {
			ts.Fatalf("%v", err)
		}
		if err == nil && neg {
			ts.Fatalf("it worked, and was not to")
		}
	}
}

func simulatorCmd(s *tale, args []string) error {
	var o ogsim.Options
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
			return fmt.Errorf("no such option: %s", arg)
		}
	}
	s.world = newWorld(s.ts.Getenv("WORK"), o)
	s.ts.Setenv("SIM_URL", s.api.URL)
	return nil
}

func serveCmd(s *tale, args []string) error {
	if s.takes != nil {
		s.receiver = s.takes.server.URL
	}
	if err := s.serve(args...); err != nil {
		return err
	}
	s.ts.Setenv("DOOR", s.door)
	s.ts.Setenv("CONSOLE", s.console)
	return nil
}

func subscribeCmd(s *tale, args []string) error {
	n := ogsim.NewSubscription{}
	for _, arg := range args[2:] {
		if arg == "silently" {
			n.Silent = true
			continue
		}
		if left, ok := strings.CutPrefix(arg, "prepaid="); ok {
			n.Prepaid = json.RawMessage(`{"prepaid_orders_remaining":` + left + `,"prepaid_orders_per_billing":` + left + `,"renewal_behavior":"autorenew"}`)
			continue
		}
		n.ExtraData = json.RawMessage(arg)
	}
	defer func() { s.ts.Setenv(args[0], s.names[args[0]].id) }()
	return s.subscribe(args[0], args[1], n)
}

func placeCmd(s *tale, args []string) error {
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

func failCmd(s *tale, args []string) error {
	status, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	err = s.sim.Fail(s.names[args[0]].id, args[1], status)
	s.collect()
	return err
}

func agentCmd(s *tale, args []string) error {
	id := s.names[args[1]].id
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
	case "asks": // by a call to the API
		request, err := http.NewRequestWithContext(s.ctx, http.MethodPatch, s.api.URL+"/subscriptions/"+id+"/"+args[2]+"/", strings.NewReader(args[3]))
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
	case "deletes":
		s.sim.Forget(id)
		return nil
	case "reschedules": // in so long
		in, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		return s.sim.Reschedule(id, time.Now().Add(in))
	}
	return fmt.Errorf("an agent does not know how to %s", args[0])
}

func deliverCmd(s *tale, args []string) error {
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
				events[i].Body = []byte(strings.Replace(string(events[i].Body), `"subscription.create"`, `"subscription.created"`, 1))
			}
		default:
			if keys, ok := strings.CutPrefix(arg, "signed-with="); ok {
				s.sender.Keys = strings.Split(keys, ",")
				continue
			}
			return fmt.Errorf("cannot deliver %s", arg)
		}
	}
	return s.deliver(s.ctx, events)
}

func expectCmd(s *tale, args []string) error {
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

func judgeCmd(s *tale, args []string) error {
	r := s.names[args[0]]
	due := ogsim.Evergreen
	if args[1] != "evergreen" {
		due, _ = strconv.Atoi(strings.TrimPrefix(args[1], "due="))
	}
	sub, _ := s.sim.Subscription(r.id)
	faults := ogsim.JudgePrepaid(sub, r.first)
	if args[1] != "prepaid" {
		faults = ogsim.Judge(sub, due, r.first)
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s: %s", args[0], strings.Join(faults, "; "))
	}
	return nil
}

func breakCmd(s *tale, args []string) error {
	var f ogsim.Fault
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		var err error
		switch name {
		case "method":
			f.Method = value
		case "path":
			f.Path = value
		case "subscription":
			f.Subscription = s.names[value].id
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
			err = fmt.Errorf("no such fault: %s", arg)
		}
		if err != nil {
			return err
		}
	}
	s.sim.Break(f)
	return nil
}

// callsCmd compares the number of API calls: calls [METHOD] [PATH-PART] N.
func callsCmd(s *tale, args []string) error {
	want, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return err
	}
	got, all := 0, ""
	for _, c := range s.sim.Calls() {
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

// waitForCallCmd waits until the simulator has begun to answer a call, so that a kill comes in its middle: the fault that
// delays it has been used up.
func waitForCallCmd(s *tale, _ []string) error {
	for s.sim.Faults() > 0 {
		select {
		case <-s.ctx.Done():
			return fmt.Errorf("the call did not come")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// notReadyCmd waits until the console says that the service is not ready, and why.
func notReadyCmd(s *tale, args []string) error {
	for {
		response, err := http.Get("http://" + strings.TrimPrefix(s.console, "http://") + "/readyz")
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
			return fmt.Errorf("it does not say so: %d %s", response.StatusCode, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// waitForCmd is expect, as soon as it is so.
func waitForCmd(s *tale, args []string) error {
	return s.until(func() error { return expectCmd(s, args) })
}

// waitForLogCmd waits until the processes have logged a line that fits.
func waitForLogCmd(s *tale, args []string) error {
	return s.until(func() error { return stdlogCmd(s, args) })
}

// until asks again and again, and answers the last error when time is up.
func (s *tale) until(ask func() error) error {
	for {
		err := ask()
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

// stdlogCmd is stdout for what the service logged.
func stdlogCmd(s *tale, args []string) error {
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

// getCmd asks the console for a page; what it answers is the next stdout.
func getCmd(s *tale, args []string) error {
	response, err := http.Get("http://" + strings.TrimPrefix(s.console, "http://") + args[0])
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(s.ts.Stdout(), response.Body)
	return err
}

// permutationsCmd lets the events of one life arrive in every order there is, each order for a subscription of its own:
// all at once, and again with the service at rest after each.
func permutationsCmd(s *tale, args []string) error {
	sku := args[0]
	due, err := strconv.Atoi(strings.TrimPrefix(args[1], "due="))
	if err != nil {
		return err
	}
	for _, atRest := range []bool{false, true} {
		var lives [][]ogsim.Event
		var names []string
		for i, order := range permutations(due + 2) {
			name := fmt.Sprintf("permutation %v %d", atRest, i)
			if err := s.subscribe(name, sku, ogsim.NewSubscription{ExtraData: json.RawMessage(`{"mine":1.10}`)}); err != nil {
				return err
			}
			for range due {
				if _, err := s.place([]string{name}); err != nil {
					return err
				}
			}
			// The creation, the orders, and the last order once more under another id.
			events := append(s.pending, renamed(s.pending[len(s.pending)-1]))
			s.pending = nil
			life := make([]ogsim.Event, len(events))
			for to, from := range order {
				life[to] = events[from]
			}
			lives, names = append(lives, life), append(names, name)
		}
		for step := range due + 2 {
			for _, life := range lives {
				if err := s.deliver(s.ctx, life[step:step+1]); err != nil {
					return err
				}
			}
			if atRest {
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
	}
	return nil
}

func renamed(e ogsim.Event) ogsim.Event {
	id := e.ID + "-again"
	return ogsim.Event{ID: id, Type: e.Type, Body: []byte(strings.Replace(string(e.Body), e.ID, id, 1))}
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

// noSecretsCmd greps what the service logged and printed for what was planted.
func noSecretsCmd(s *tale, _ []string) error {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return fmt.Errorf("the service logged nothing, so this proves nothing")
	}
	for _, canary := range []string{noticeSecret, newNoticeSecret, canaryAPIKey, canaryWebhookKey, canaryPassword, canaryName, "extra_data\":"} {
		if strings.Contains(string(text), canary) {
			return fmt.Errorf("the log holds %s", canary)
		}
	}
	return nil
}

// laterCmd puts Ordergroove's clock forward.
func laterCmd(s *tale, args []string) error {
	by, err := time.ParseDuration(args[0])
	s.ahead.Add(int64(by))
	return err
}

// receiverCmd starts a system that takes notices, or makes it answer otherwise: receiver [new-secret] | receiver answers STATUS.
func receiverCmd(s *tale, args []string) error {
	if len(args) == 2 {
		status, err := strconv.Atoi(args[1])
		s.takes.answers(status)
		return err
	}
	secret := noticeSecret
	if len(args) == 1 {
		secret = newNoticeSecret
	}
	if s.takes != nil {
		s.takes.server.Close()
	}
	s.takes = newReceiver(secret)
	s.ts.Setenv("RECEIVER", s.takes.server.URL)
	return nil
}

// toldCmd waits until so many notices of a type have arrived, and no more; their bodies are the next stdout.
func toldCmd(s *tale, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var all []delivered
	err = s.until(func() error {
		var wrong []string
		if all, wrong = s.takes.of(args[0]); len(wrong) > 0 {
			return fmt.Errorf("wrong deliveries: %s", wrong)
		}
		if len(all) != want {
			return fmt.Errorf("%d notices of %s, want %d", len(all), args[0], want)
		}
		return nil
	})
	for _, d := range all {
		fmt.Fprintf(s.ts.Stdout(), "%s\n", d.Body)
	}
	return err
}
