// Package demo plays a merchant's story in a few seconds: the real service, an embedded database and a simulator of
// Ordergroove in one process, over HTTP on free loopback ports. It judges the outcome by the simulator's record, so it
// doubles as a self-test.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/service"
	"github.com/termed/termed/testdata"
)

// timeout bounds the story; it takes about a second.
const timeout = 14 * time.Second

// tourTimeout bounds what is played of a merchant's own terms: some 30 ms an order.
const tourTimeout = 3 * time.Minute

// deliveryInterval is how often the simulator's webhooks are delivered while the demo keeps running.
const deliveryInterval = 100 * time.Millisecond

// Options of a demo. The zero value prints without colors and ends after the story.
type Options struct {
	Color       bool
	KeepRunning bool // until ctx is done
	// Config is a merchant's own: one subscription of each of its SKUs is played instead of the story. Its addresses,
	// keys, database and endpoints are not used.
	Config *config.Config
	// Calendar prints, instead of every call, what happens on which day to one subscription of each term, while the
	// simulator's clock runs ahead. Without a Config it is of the story's terms.
	Calendar bool
}

// Run starts everything, plays the story and prints the outcome. It returns an error if any subscription is not as the
// simulator's record says it must be.
func Run(ctx context.Context, out io.Writer, o Options) error {
	dir, err := os.MkdirTemp("", "termed-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	timeline := newTimeline(out, o.Color)
	c := storyConfig()
	limit := timeout
	if o.Config != nil {
		c = *o.Config
	}
	if o.Config != nil || o.Calendar {
		limit = tourTimeout
	}
	c.Notifications.Endpoints = nil
	if o.Calendar {
		timeline = newTimeline(io.Discard, false)
		endpoint, err := receiveNotifications(ctx)
		if err != nil {
			return err
		}
		c.Notifications.Endpoints = []config.Endpoint{endpoint}
	}
	setup, err := newSetup(ctx, c, dir, timeline)
	if err != nil {
		return err
	}
	defer setup.close()

	playing, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	story := &story{setup: setup, timeline: timeline}
	play := story.play
	judge := func() ([]string, error) { return setup.outcome(ctx, story.cast, out) }
	switch {
	case o.Calendar:
		months := &calendar{story: story, terms: c.Terms, out: out}
		play = months.play
		judge = func() ([]string, error) { return months.faults, nil }
	case o.Config != nil:
		play = (&tour{story, c.Terms}).play
	}
	if err := play(playing); err != nil {
		return fmt.Errorf("playing the demo: %w", err)
	}
	faults, err := judge()
	if err != nil {
		return err
	}
	if o.KeepRunning {
		if err := setup.invite(dir, out); err != nil {
			return err
		}
		setup.sender.Run(ctx, setup.sim, deliveryInterval)
	}
	if len(faults) > 0 {
		return errors.New("the outcome is wrong:\n  " + strings.Join(faults, "\n  "))
	}
	return nil
}

// setup is what the story is played on: a simulator, a service that calls it, and the sender of webhooks between them.
type setup struct {
	sim     *sim.Simulator
	simURL  string
	sender  *sim.Sender
	service *service.Service
	config  config.Config
	close   func()
}

func newSetup(ctx context.Context, c config.Config, dir string, timeline *timeline) (*setup, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &setup{simURL: "http://" + listener.Addr().String()}
	apiKey, webhookKey := rand.Text(), rand.Text()
	s.sim = sim.New(sim.Options{Key: apiKey, Payloads: testdata.Webhooks(), OnCall: timeline.call})
	timeline.state = s.show
	mux := http.NewServeMux()
	mux.Handle("/", s.sim.Handler())
	mux.Handle(sim.ControlPath, s.sim.Control())
	server := sim.Server(mux)
	go func() { _ = server.Serve(listener) }() // it returns when the server is closed

	s.config = onLoopback(c, s.simURL, filepath.Join(dir, "demo.db"), apiKey, webhookKey)
	s.service, err = service.New(ctx, s.config, service.Options{})
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	s.sender = &sim.Sender{URL: s.service.WebhookURL(), Keys: []string{webhookKey}, OnReply: timeline.reply}
	serving, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- s.service.Run(serving) }()
	s.close = func() {
		stop()
		if err := <-stopped; err != nil {
			timeline.say("the service ended with an error: " + err.Error())
		}
		_ = server.Close()
	}
	return s, nil
}

// onLoopback keeps the terms of a configuration and what they write, and nothing that reaches anybody else: the
// endpoints of its notifications are on loopback already.
func onLoopback(c config.Config, apiURL, database, apiKey, webhookKey string) config.Config {
	own := config.Default()
	own.Listen = "127.0.0.1:0"
	own.Console.Listen = "127.0.0.1:0"
	own.Database = database
	own.Ordergroove.APIURL = apiURL
	own.Ordergroove.APIKey = config.Secret(apiKey)
	own.Ordergroove.WebhookKeys = []config.Secret{config.Secret(webhookKey)}
	own.Reconcile.Every = 0
	own.Keys = c.Keys
	own.Notifications = c.Notifications
	own.Timezone, own.Platform = c.Timezone, c.Platform
	own.DiscountCodes = c.DiscountCodes
	own.Terms = c.Terms
	return own
}

// storyConfig has the terms of the story.
func storyConfig() config.Config {
	c := config.Default()
	c.Terms = []config.Term{
		{
			Name:          "Two-box gift",
			SKUs:          []string{giftSKU},
			Shipments:     2,
			FirstShipment: "recurring",
			CancelReason:  "1|Gift complete",
		},
		{
			Name:          "Six-box program",
			SKUs:          []string{programSKU},
			Shipments:     6,
			FirstShipment: "checkout",
			CancelReason:  "1|Program complete",
		},
	}
	return c
}

// show says what Ordergroove has of a subscription after a change.
func (s *setup) show(subscription string) string {
	sub, _ := s.sim.Subscription(subscription)
	return sub.Summary()
}

// settle waits until the service has no work left, and delivers the webhooks that its own changes cause.
func (s *setup) settle(ctx context.Context) error {
	for {
		if err := service.WaitIdle(ctx, s.service.ConsoleURL()); err != nil {
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

// outcome prints the table and returns what is wrong, by the simulator's record and by the service's database.
func (s *setup) outcome(ctx context.Context, cast []*role, out io.Writer) ([]string, error) {
	enrolled, err := s.service.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	byID := map[string]ledger.Subscription{}
	for _, sub := range enrolled {
		byID[sub.ID] = sub
	}
	calls := map[string]int{}
	for _, call := range s.sim.Calls() {
		calls[call.Subscription]++
	}
	var faults []string
	t := newTable("subscription", "SKU", "shipments made", "counter", "hidden", "live", "API calls", "ok")
	for _, role := range cast {
		sub, _ := s.sim.Subscription(role.id)
		known, counted := byID[role.id]
		made := "-"
		if counted {
			made = known.Progress()
		}
		ok := "yes"
		judge := role.faults
		if role.term != nil {
			judge = role.judgeTour
		}
		for _, fault := range judge(sub, known) {
			ok = "NO"
			faults = append(faults, role.name+": "+fault)
		}
		counter, hidden := sub.Counter()
		t.AppendRow(table.Row{
			role.name,
			sub.Product,
			made,
			orDash(counter),
			yesNo(hidden),
			yesNo(sub.Live),
			calls[role.id],
			ok,
		})
	}
	fmt.Fprintf(out, "\n%s\n", t.Render())
	return faults, nil
}

// faults are what is wrong with a subscription at Ordergroove, or in the service's count of it.
func (r *role) faults(sub sim.Subscription, known ledger.Subscription) []string {
	faults := sim.Judge(sub, r.due, r.first)
	if r.due != sim.Evergreen && (known.Placed.Orders != sub.Placed || known.OrdersTotal() != r.due) {
		faults = append(faults, fmt.Sprintf("termed counts %d of %d recurring orders, Ordergroove has placed %d of %d",
			known.Placed.Orders, known.OrdersTotal(), sub.Placed, r.due))
	}
	return faults
}

// newTable begins a table: aligned columns without borders.
func newTable(columns ...any) table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Options = table.OptionsNoBordersAndSeparators
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	t.AppendHeader(columns)
	return t
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
