// Package service owns the running service: it joins the webhook receiver, the workers, the outgoing notifications and
// the console on one database and one API client, and starts and stops them together. `termed serve`, the demo and the
// tests start the same type.
//
// It decides nothing about subscriptions, and reads no file and no flag: it takes a checked configuration.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/config"
	"github.com/termed/termed/console"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/notify"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

// shutdownTimeout is for requests in progress; the workers have their own.
const shutdownTimeout = 5 * time.Second

// Service is everything that `termed serve` runs.
type Service struct {
	reloading sync.Mutex    // held while config changes, and by whoever may read it then
	config    config.Config // in force
	log       *slog.Logger
	traces    trace.TracerProvider // nil: none

	client     *ordergroove.Client
	store      *store.Store
	app        *cancelapp.App
	reconciler *reconcile.Reconciler
	agent      *agent.Agent
	sender     *notify.Sender

	health          health
	receiver        *webhook.Receiver
	webhookServer   *http.Server
	webhookListener net.Listener
	console         *console.Console
	consoleServer   *http.Server
	consoleListener net.Listener
}

// Options of a Service. The zero value of a field means the default it names.
type Options struct {
	Log    *slog.Logger         // default none
	Traces trace.TracerProvider // default none
}

// New opens the database, joins the parts and listens. Nothing is answered before Run.
func New(ctx context.Context, c config.Config, o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{config: c, log: o.Log, traces: o.Traces}
	if err := s.open(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *Service) open(ctx context.Context) error {
	rules, endpoints, err := Rules(s.config)
	if err != nil {
		return err
	}
	clientOptions := ClientOptions(s.config)
	clientOptions.Log = s.log
	clientOptions.Traces = s.traces
	s.client, err = ordergroove.NewClient(clientOptions)
	if err != nil {
		return err
	}
	options := StoreOptions(s.config)
	options.Serve = true
	options.Traces = s.traces
	options.Share = s.share
	s.store, err = store.Open(ctx, options)
	if err != nil {
		return err
	}
	rules.Listed, err = s.store.ListSKUs(ctx, rules.Terms.SKUs(), time.Now().UnixMilli())
	if err != nil {
		return err
	}
	s.app = cancelapp.New(s.store, s.client, cancelapp.Options{
		Rules:  rules,
		Log:    s.log,
		MaxGap: s.config.Webhook.MaxGap,
		Traces: s.traces,
	})
	s.reconciler = reconcile.New(s.app, s.store, reconcile.Options{
		Schedule: reconcile.Schedule{
			Every:     s.config.Reconcile.Every,
			All:       s.config.Reconcile.Full,
			PerMinute: s.config.Ordergroove.RequestsPerMinute,
		},
		Log: s.log,
	})
	s.agent = agent.New(s.app, s.store, agent.Options{Log: s.log, Traces: s.traces})
	s.sender = notify.NewSender(s.store, notify.Options{Endpoints: endpoints, Log: s.log})
	if err := s.openReceiver(); err != nil {
		return err
	}
	if err := s.listen(); err != nil {
		return err
	}
	return s.openConsole() // only now its address is known, where the configuration leaves the port to the system
}

func (s *Service) openReceiver() error {
	var err error
	s.receiver, err = webhook.New(s.store, webhook.Options{
		Keys:     reveal(s.config.Ordergroove.WebhookKeys),
		MaxBody:  int64(s.config.Webhook.MaxBody),
		MaxAge:   s.config.Webhook.MaxAge,
		MaxAhead: s.config.Webhook.MaxAhead,
		Log:      s.log,
		Traces:   s.traces,
		Stores:   s.store.Ping,
	})
	if err != nil {
		return err
	}
	s.webhookServer = webhook.Server(s.receiver.Handler(), s.log)
	return nil
}

func (s *Service) listen() error {
	var err error
	s.webhookListener, err = net.Listen("tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listening for webhooks: %w", err)
	}
	s.consoleListener, err = net.Listen("tcp", s.config.Console.Listen)
	if err != nil {
		return fmt.Errorf("listening for the console: %w", err)
	}
	return nil
}

// WebhookURL is where Ordergroove's webhooks are received.
func (s *Service) WebhookURL() string {
	return "http://" + s.webhookListener.Addr().String() + webhook.Path
}

// ConsoleURL is where the console answers.
func (s *Service) ConsoleURL() string {
	return "http://" + s.consoleListener.Addr().String()
}

// Subscriptions returns what the database holds of every subscription, in the order of enrollment.
func (s *Service) Subscriptions(ctx context.Context) ([]ledger.Subscription, error) {
	return s.store.Subscriptions(ctx, "")
}

// Run serves until ctx is done. Then it stops accepting webhooks, finishes or releases the work in progress, and closes
// the database.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	failures := make(chan error, 2)
	serve := func(server *http.Server, listener net.Listener) {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failures <- err
			stop()
		}
	}
	if s.config.Mode == "observe" {
		s.log.Warn("mode is observe: everything is counted, and nothing is changed at Ordergroove")
	} else {
		running.Go(func() { s.retryWithheld(ctx) })
	}
	running.Go(func() { serve(s.webhookServer, s.webhookListener) })
	running.Go(func() { serve(s.consoleServer, s.consoleListener) })
	running.Go(func() { s.app.Run(ctx) })
	running.Go(func() { s.reconciler.Run(ctx) })
	running.Go(func() { s.agent.Run(ctx) })
	running.Go(func() { s.console.Run(ctx) })
	running.Go(func() { s.sender.Run(ctx) })
	running.Go(func() { s.prune(ctx) })
	running.Go(func() { s.backUp(ctx) })
	running.Go(func() { s.examineStart(ctx) })
	running.Go(func() { s.proveKey(ctx) })
	running.Go(func() { s.watchHealth(ctx) })
	s.log.Info("serving", "webhooks", s.webhookListener.Addr().String(), "console", s.consoleListener.Addr().String())

	<-ctx.Done()
	s.log.Info("stopping")
	s.shutDown(context.WithoutCancel(ctx))
	running.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

// retryWithheld syncs what observe mode held back before this start.
func (s *Service) retryWithheld(ctx context.Context) {
	if err := s.store.RetryWithheld(ctx, time.Now().UnixMilli()); err != nil && ctx.Err() == nil {
		s.log.Error("store error", "error", err)
	}
}

// shutDown lets requests in progress end, and closes the connections of those that take too long.
func (s *Service) shutDown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	var closing sync.WaitGroup
	for _, server := range []*http.Server{s.webhookServer, s.consoleServer} {
		closing.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				_ = server.Close()
			}
		})
	}
	closing.Wait()
}

// close frees what New opened. Where New failed half-way, the rest is nil.
func (s *Service) close() {
	for _, listener := range []net.Listener{s.webhookListener, s.consoleListener} {
		if listener != nil {
			_ = listener.Close() // its server may have closed it already
		}
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.log.Error("closing the database", "error", err)
		}
	}
}

// share divides the limit of API calls among the services of one outgoing address.
func (s *Service) share(among int, until time.Time) {
	before := s.client.PerMinute()
	s.client.Share(among, until)
	if now := s.client.PerMinute(); now != before && now > 0 {
		s.log.Info("share of the API calls", "instances", among, "requests_per_minute", now)
	}
}
