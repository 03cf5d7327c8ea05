package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/store"
	"github.com/termed/termed/testdata"
	"github.com/termed/termed/webhook"
)

// demoTime bounds the whole demo; it takes a few seconds.
const demoTime = 14 * time.Second

func demoCommand(env environment) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See all of it in a few seconds, without an account",
		Long: `demo runs the service, an embedded database and a simulator of Ordergroove in one process on free
loopback ports, and plays a merchant's story over real HTTP. It ends by itself: with exit code 0 if
every subscription is as it must be, with 1 and what is wrong if not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), env, keep) },
	}
	cmd.Flags().BoolVar(&keep, "keep-running", false, "leave everything up for a look until interrupted")
	return cmd
}

// runDemo starts everything, plays the story, shows the outcome and judges it.
func runDemo(ctx context.Context, env environment, keep bool) error {
	dir, err := os.MkdirTemp("", "termed-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	told := newTimeline(env.stdout)
	stage, err := newStage(ctx, filepath.Join(dir, "demo.db"), told)
	if err != nil {
		return err
	}
	defer stage.close()

	playing, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	story := &story{stage: stage, told: told}
	if err := story.play(playing); err != nil {
		return fmt.Errorf("the story broke off: %w", err)
	}
	faults, err := stage.outcome(ctx, story.cast, env)
	if err != nil {
		return err
	}
	if keep {
		fmt.Fprintf(env.stdout, "\nstill up: webhooks %s, console http://%s/readyz, simulator %s%sstate; interrupt to end\n",
			stage.sender.URL, stage.service.consoleAddress(), stage.simURL, ogsim.ControlPath)
		stage.sender.Run(ctx, stage.sim, 100*time.Millisecond)
	}
	if len(faults) > 0 {
		text := "not as it must be:"
		for _, fault := range faults {
			text += "\n  " + fault
		}
		return exit{1, text}
	}
	return nil
}

// stage is the demo's world: a simulator, a service that calls it, and the sender between them.
type stage struct {
	sim     *ogsim.Simulator
	simURL  string
	sender  *ogsim.Sender
	service *service
	done    chan error
	close   func()
}

func newStage(ctx context.Context, database string, told *timeline) (*stage, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &stage{simURL: "http://" + listener.Addr().String(), done: make(chan error, 1)}
	apiKey, webhookKey := rand.Text(), rand.Text()
	s.sim = ogsim.New(ogsim.Options{Key: apiKey, Payloads: testdata.Webhooks(), OnCall: told.call})
	told.state = s.show
	mux := http.NewServeMux()
	mux.Handle("/", s.sim.Handler())
	mux.Handle(ogsim.ControlPath, s.sim.Control())
	server := ogsim.Server(mux)
	go func() { _ = server.Serve(listener) }() // it ends by Close

	s.service, err = newService(ctx, demoConfig(s.simURL, database, apiKey, webhookKey), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	serving, stop := context.WithCancel(ctx)
	go func() { s.done <- s.service.run(serving) }()
	s.sender = &ogsim.Sender{
		URL: "http://" + s.service.doorAddress() + webhook.Path, Keys: []string{webhookKey}, OnReply: told.reply,
	}
	s.close = func() {
		stop()
		<-s.done
		_ = server.Close()
	}
	return s, nil
}

func demoConfig(api, database, apiKey, webhookKey string) config.Config {
	return config.Config{
		Listen:   "127.0.0.1:0",
		Console:  config.Console{Listen: "127.0.0.1:0"},
		Database: database,
		Ordergroove: config.Ordergroove{
			APIURL: api, APIKey: config.Secret(apiKey), WebhookKeys: []config.Secret{config.Secret(webhookKey)}, RequestsPerMinute: 5400,
		},
		Webhook:    config.Webhook{MaxAge: 72 * time.Hour, MaxAhead: 5 * time.Minute, MaxBody: 1 << 20},
		KeepEvents: 30 * 24 * time.Hour,
		Terms: []config.Term{
			{Name: "Two-box gift", SKUs: []string{giftSKU}, Shipments: 2, FirstShipment: "recurring", CancelReason: "1|Gift complete"},
			{Name: "Six-box programme", SKUs: []string{programmeSKU}, Shipments: 6, FirstShipment: "checkout", CancelReason: "1|Programme complete"},
		},
	}
}

// show says what stands at Ordergroove after a change.
func (s *stage) show(subscription string) string {
	sub, _ := s.sim.Subscription(subscription)
	counter, hidden := sub.Counter()
	text := "counter " + counter
	if hidden {
		text += ", hidden"
	}
	if !sub.Live {
		text += ", cancelled"
	}
	return text
}

// settle waits until the service has nothing more to do, delivering what its own changes announce.
func (s *stage) settle(ctx context.Context) error {
	for {
		if err := settled(ctx, "http://"+s.service.consoleAddress()); err != nil {
			return err
		}
		events := s.sim.Take()
		if len(events) == 0 {
			return nil
		}
		if err := s.sender.SendAll(ctx, events, 1); err != nil {
			return err
		}
	}
}

// outcome prints the table and returns what is not as it must be, by the simulator's record and by the ledger.
func (s *stage) outcome(ctx context.Context, cast []*role, env environment) ([]string, error) {
	pages, err := s.service.store.Subscriptions(ctx, "")
	if err != nil {
		return nil, err
	}
	known := map[string]store.Subscription{}
	for _, page := range pages {
		known[page.Subscription] = page
	}
	calls := map[string]int{}
	for _, call := range s.sim.Calls() {
		calls[call.Subscription]++
	}
	var faults []string
	t := newTable("subscription", "SKU", "shipments made", "counter", "hidden", "live", "API calls", "as it must be")
	for _, role := range cast {
		sub, _ := s.sim.Subscription(role.id)
		verdict := "yes"
		wrong := ogsim.Judge(sub, role.due, role.first)
		page, counted := known[sub.ID]
		made := "-"
		if counted {
			made = page.Show()
		}
		if role.due != ogsim.Evergreen && (page.Made != sub.Placed || page.Total() != role.due) {
			wrong = append(wrong, fmt.Sprintf("the ledger has %d of %d recurring orders, the orders are %d of %d", page.Made, page.Total(), sub.Placed, role.due))
		}
		for _, fault := range wrong {
			verdict, faults = "NO", append(faults, role.name+": "+fault)
		}
		counter, hidden := sub.Counter()
		t.AppendRow(table.Row{role.name, sub.Product, made, orDash(counter), yesNo(hidden), yesNo(sub.Live), calls[sub.ID], verdict})
	}
	fmt.Fprintf(env.stdout, "\n%s\n", t.Render())
	return faults, nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
