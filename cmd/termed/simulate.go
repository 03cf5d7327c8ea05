package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/testdata"
)

// simulation is what `termed simulate` was asked for.
type simulation struct {
	env                        environment
	listen, deliverTo, console string
	apiKey, webhookKey         string
	extraDataAsText            bool
	snapshot                   string
	load                       ogsim.Load
	sku                        string
	due                        int
}

func simulateCommand(env environment) *cobra.Command {
	s := &simulation{env: env}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run a simulator of Ordergroove alone",
		Long: `simulate answers Ordergroove's REST API and delivers signed webhooks, retried as Ordergroove does.
Point termed.yaml's ordergroove.api_url at it. Then:

  curl -d '{"customer":"c1","product":"GIFT-3MO","extra_data":{"note":"hi"}}' localhost:9090/simulator/subscriptions
  curl -d '{"subscriptions":["ID"]}' localhost:9090/simulator/orders
  curl -d '{"method":"PATCH","status":423,"times":3}' localhost:9090/simulator/faults
  curl localhost:9090/simulator/state

With --load it plays that many subscriptions against the service, checks what became of each, prints the
figures and ends: 0 if all is exact, 1 if not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:9090", "where the API is answered")
	f.StringVar(&s.deliverTo, "deliver-to", ownDoor, "where webhooks are delivered")
	f.StringVar(&s.apiKey, "api-key", "simulated-api-key", "the x-api-key that is accepted")
	f.StringVar(&s.webhookKey, "key", "", "the key to sign webhooks with (default: the environment's "+keyVariable+")")
	f.BoolVar(&s.extraDataAsText, "extra-data-as-text", false, "take and answer extra_data as a JSON string")
	f.StringVar(&s.snapshot, "snapshot", "top", "where an order.success carries its items: top, data or none")
	f.IntVar(&s.load.Subscriptions, "load", 0, "play so many subscriptions and end")
	f.Float64Var(&s.load.Duplicates, "duplicates", 0.25, "with --load: the part of events that is sent twice")
	f.Float64Var(&s.load.Disorder, "disorder", 0.33, "with --load: the part of events that comes late, in random order")
	f.Uint64Var(&s.load.Seed, "seed", 1, "with --load: what the dice start from")
	f.StringVar(&s.sku, "sku", "GIFT-3MO", "with --load: a termed SKU of the service")
	f.IntVar(&s.due, "due", 2, "with --load: its recurring orders")
	f.StringVar(&s.console, "console", "http://127.0.0.1:8081", "with --load: the service's console, asked whether it is done")
	return cmd
}

func (s *simulation) run(ctx context.Context) error {
	if s.webhookKey == "" {
		s.webhookKey, _ = s.env.lookup(keyVariable)
	}
	if s.webhookKey == "" {
		return exit{2, "no key to sign with: set " + keyVariable + " to the service's webhook key, or give --key"}
	}
	sim := ogsim.New(ogsim.Options{
		Key: s.apiKey, Payloads: testdata.Webhooks(), ExtraDataAsText: s.extraDataAsText, Snapshot: s.snapshot,
	})
	sender := &ogsim.Sender{URL: s.deliverTo, Keys: []string{s.webhookKey}}
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(ogsim.ControlPath, sim.Control())
	mux.Handle("/", sim.Handler())
	server := ogsim.Server(mux)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer server.Close()
	fmt.Fprintf(s.env.stdout, "simulating Ordergroove on http://%s, delivering to %s\n", listener.Addr(), s.deliverTo)
	if s.load.Subscriptions > 0 {
		return s.play(ctx, sim, sender)
	}
	sender.OnReply = func(e ogsim.Event, r ogsim.Reply) {
		if r.Err != nil {
			fmt.Fprintf(s.env.stdout, "%s %s: %v\n", e.Type, e.ID, r.Err)
			return
		}
		fmt.Fprintf(s.env.stdout, "%s %s: %d %s\n", e.Type, e.ID, r.Status, r.Body)
	}
	sender.Run(ctx, sim, 100*time.Millisecond)
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (s *simulation) play(ctx context.Context, sim *ogsim.Simulator, sender *ogsim.Sender) error {
	s.load.Products = []ogsim.Product{{SKU: s.sku, Due: s.due}, {SKU: "SIMULATED-EVERGREEN", Due: ogsim.Evergreen}}
	report, err := s.load.Run(ctx, sim, sender, func(ctx context.Context) error { return settled(ctx, s.console) })
	if err != nil {
		return err
	}
	fmt.Fprint(s.env.stdout, report)
	if len(report.Faults) > 0 {
		return exit{1, fmt.Sprintf("%d faults", len(report.Faults))}
	}
	return nil
}

// settled waits until the service behind a console has nothing more to do.
func settled(ctx context.Context, console string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	clock := time.NewTicker(50 * time.Millisecond)
	defer clock.Stop()
	for {
		idle, err := backlogEmpty(ctx, console)
		if err != nil || idle {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("the service still has work after two minutes")
		case <-clock.C:
		}
	}
}

func backlogEmpty(ctx context.Context, console string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, console+"/readyz", nil)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, fmt.Errorf("asking the service whether it is done: %w", err)
	}
	defer response.Body.Close()
	var ready struct {
		Backlog *struct{ Events, Subscriptions int }
	}
	if err := json.NewDecoder(response.Body).Decode(&ready); err != nil {
		return false, fmt.Errorf("reading whether the service is done: %w", err)
	}
	return ready.Backlog != nil && ready.Backlog.Events == 0 && ready.Backlog.Subscriptions == 0, nil
}
