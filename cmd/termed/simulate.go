package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
	"github.com/termed/termed/testdata"
)

// deliveryInterval is how often the simulator delivers its webhooks.
const deliveryInterval = 100 * time.Millisecond

// simulation is a run of `termed simulate`.
type simulation struct {
	env             environment
	listen          string
	deliverTo       string
	console         string
	apiKey          string
	webhookKey      string
	extraDataAsText bool
	snapshot        string
	seed            uint64
	quiet           bool
	load            sim.Load
	simulator       *sim.Simulator
	sku             string
	due             int
}

func simulateCommand(env environment) *cobra.Command {
	s := &simulation{env: env}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run a simulator of Ordergroove",
		Long:  simulateHelp(),
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	s.flags(cmd)
	return cmd
}

// simulateHelp lists what a person can do to the simulator.
func simulateHelp() string {
	var calls strings.Builder
	for _, c := range sim.ControlCalls {
		path := strings.Replace(c.Path, "{id}", "SUBSCRIPTION", 1)
		fmt.Fprintf(&calls, "  # %s\n  curl", c.What)
		if c.Method != http.MethodGet {
			fmt.Fprintf(&calls, " -X %s", c.Method)
		}
		if c.Example != "" {
			fmt.Fprintf(&calls, " -d '%s'", c.Example)
		}
		fmt.Fprintf(&calls, " localhost:9090%s\n", path)
	}
	return `Serves Ordergroove's REST API and delivers signed webhooks, retried as Ordergroove does. Point
ordergroove.api_url in termed.yaml at it, and make the keys the same: it accepts the API key of --api-key, and signs
with the variable ` + keyVariable + `. It prints every API call and every delivery. SUBSCRIPTION stands for an ID:

` + calls.String() + `
The IDs are new at each start, so that a database from an earlier run knows none of them; --seed gives the same ones.

With --load it makes that many subscriptions for the service, places their orders, checks what became of
each, prints the results and exits.

Exit code: 0 success, with --load only if everything is exact; 1 error, or something is not; 2 usage.`
}

func (s *simulation) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:9090", "where to serve the API")
	f.StringVar(&s.deliverTo, "deliver-to", defaultWebhookURL, "where to deliver webhooks")
	f.StringVar(&s.apiKey, "api-key", "simulated-api-key", "the x-api-key to accept")
	f.StringVar(&s.webhookKey, "key", "", "the key to sign webhooks with (default: the variable "+keyVariable+")")
	f.BoolVar(&s.extraDataAsText, "extra-data-as-text", false, "accept and return extra_data as a JSON string")
	f.StringVar(&s.snapshot, "snapshot", "top", "where an order.success carries its items: top, data or none")
	f.IntVar(&s.load.Subscriptions, "load", 0, "make this many subscriptions, check them and exit")
	f.Float64Var(&s.load.Duplicates, "duplicates", 0.25, "with --load: the share of events that are sent twice")
	f.Float64Var(&s.load.Disorder, "disorder", 0.33,
		"with --load: the share of events that are sent late, in random order")
	f.Uint64Var(&s.seed, "seed", 0, "the seed of the IDs, and with --load of the random numbers; default a new one")
	f.BoolVar(&s.quiet, "quiet", false, "do not print API calls and deliveries")
	f.StringVar(&s.sku, "sku", "GIFT-3MO", "with --load: a SKU of one of the service's terms")
	f.IntVar(&s.due, "due", 2, "with --load: its recurring orders")
	f.StringVar(&s.console, "console", "http://127.0.0.1:8081",
		"with --load: the service's console, which says when the service is idle")
}

func (s *simulation) run(ctx context.Context) error {
	key, err := signingKey(s.env, s.webhookKey)
	if err != nil {
		return err
	}
	if !slices.Contains(snapshots, s.snapshot) {
		return exit{exitUsage, fmt.Sprintf("termed: --snapshot is %q; write %s", s.snapshot, strings.Join(snapshots, ", "))}
	}
	if s.seed == 0 {
		s.seed = rand.Uint64() //nolint:gosec // ids of a simulation
	}
	s.load.Seed = s.seed
	simulator := sim.New(sim.Options{
		Key:             s.apiKey,
		Payloads:        testdata.Webhooks(),
		ExtraDataAsText: s.extraDataAsText,
		Snapshot:        s.snapshot,
		Seed:            s.seed,
		OnCall:          s.printCall,
	})
	s.simulator = simulator
	sender := &sim.Sender{URL: s.deliverTo, Keys: []string{key}}
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(sim.ControlPath, simulator.Control())
	mux.Handle("/", simulator.Handler())
	server := sim.Server(mux)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer server.Close()
	fmt.Fprintf(s.env.stdout, "simulating Ordergroove on http://%s, delivering to %s\n", listener.Addr(), s.deliverTo)
	if s.load.Subscriptions > 0 {
		s.quiet = true
		return s.runLoad(ctx, simulator, sender)
	}
	sender.OnReply = s.printReply
	sender.Run(ctx, simulator, deliveryInterval)
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// snapshots are where an order.success can carry its items.
var snapshots = []string{"top", "data", "none"}

// printCall prints an API call, and what a change made of the subscription.
func (s *simulation) printCall(c sim.Call) {
	if s.quiet {
		return
	}
	became := ""
	if sub, known := s.simulator.Subscription(c.Subscription); known && c.Method == http.MethodPatch {
		became = "  " + sub.Summary()
	}
	fmt.Fprintf(s.env.stdout, "  %-5s %s %d%s\n", c.Method, c.Path, c.Status, became)
}

func (s *simulation) printReply(e sim.Event, r sim.Reply) {
	if s.quiet {
		return
	}
	if r.Err != nil {
		fmt.Fprintf(s.env.stdout, "%s %s: %v\n", e.Type, e.ID, r.Err)
		return
	}
	fmt.Fprintf(s.env.stdout, "%s %s: %d %s\n", e.Type, e.ID, r.Status, r.Body)
}

func (s *simulation) runLoad(ctx context.Context, simulator *sim.Simulator, sender *sim.Sender) error {
	s.load.Products = []sim.Product{{SKU: s.sku, OrdersDue: s.due}, {SKU: "SIMULATED-EVERGREEN", OrdersDue: sim.Evergreen}}
	report, err := s.load.Run(ctx, simulator, sender, func(ctx context.Context) error {
		return service.WaitIdle(ctx, s.console)
	})
	if err != nil {
		return err
	}
	fmt.Fprint(s.env.stdout, report)
	if len(report.Violations) > 0 && !s.counted() {
		fmt.Fprintf(s.env.stdout, "the service has counted none of them: is %s in its termed.yaml?\n", s.sku)
	}
	if len(report.Violations) > 0 {
		return exit{exitError, plural(len(report.Violations), "fault")}
	}
	return nil
}

// counted says whether the service has written a counter to any subscription of the SKU.
func (s *simulation) counted() bool {
	return slices.ContainsFunc(s.simulator.Subscriptions(), func(sub sim.Subscription) bool {
		counter, _ := sub.Counter()
		return sub.Product == s.sku && counter != ""
	})
}
