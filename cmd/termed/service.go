package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/config"
	"github.com/termed/termed/console"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/notice"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

const (
	shutdownWithin = 5 * time.Second // for requests in hand; the work in hand has its own
	pruneEvery     = time.Hour
	pruneAtATime   = 10_000
)

// service is everything of `termed serve`, joined.
type service struct {
	store   *store.Store
	client  *ordergroove.Client
	app     *cancelapp.App
	sender  *notice.Sender
	door    *http.Server
	console *http.Server
	atDoor  net.Listener
	atDesk  net.Listener
	config  config.Config // in force
	log     *slog.Logger
}

// newService opens the database, joins the rooms and listens; nothing is answered before run.
func newService(ctx context.Context, c config.Config, log *slog.Logger) (_ *service, err error) {
	s := &service{config: c, log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	rules, book, err := rulesOf(c)
	if err != nil {
		return nil, err
	}
	if s.client, err = ordergroove.NewClient(ordergroove.Options{
		URL: c.Ordergroove.APIURL, Key: c.Ordergroove.APIKey.Reveal(), RequestsPerMinute: c.Ordergroove.RequestsPerMinute,
	}); err != nil {
		return nil, err
	}
	if s.store, err = store.Open(ctx, store.Options{Database: c.Database, Serve: true, Migrate: migration(c)}); err != nil {
		return nil, err
	}
	door, err := webhook.New(s.store, webhook.Options{
		Keys: reveal(c.Ordergroove.WebhookKeys), MaxBody: int64(c.Webhook.MaxBody),
		MaxAge: c.Webhook.MaxAge, MaxAhead: c.Webhook.MaxAhead, Log: log,
	})
	if err != nil {
		return nil, err
	}
	s.app = cancelapp.New(s.store, s.client, cancelapp.Options{
		Rules: rules, Idle: idleFor(c.Database), Log: log,
		Reconcile: cancelapp.Schedule{Every: c.Reconcile.Every, All: c.Reconcile.Full}, Patience: c.Webhook.Silence,
	})
	s.sender = notice.NewSender(s.store, notice.Options{Book: book, Log: log})
	s.door = webhook.Server(door.Handler(), log)
	s.console = console.Server(console.Handler(console.Options{
		Checks: []console.Check{
			{Name: "database", Test: s.store.Ping},
			{Name: "ordergroove", Test: func(context.Context) error { return s.app.Ready() }},
		},
		Backlog: func(ctx context.Context) (any, error) { return s.store.Backlog(ctx) },
		Details: s.details(), Metrics: s.metrics(), Log: log,
	}), log)
	if s.atDoor, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("listening for webhooks: %w", err)
	}
	if s.atDesk, err = net.Listen("tcp", c.Console.Listen); err != nil {
		return nil, fmt.Errorf("listening for operators: %w", err)
	}
	return s, nil
}

// idleFor is how long an idle service waits between two questions about events, and two about subscriptions: on a database
// that others share, both together make one a second. What it takes in itself wakes it at once.
func idleFor(database string) time.Duration {
	if strings.HasPrefix(database, "postgres") {
		return 2 * time.Second
	}
	return time.Second
}

func (s *service) doorAddress() string    { return s.atDoor.Addr().String() }
func (s *service) consoleAddress() string { return s.atDesk.Addr().String() }

// run serves until ctx is done: then the door shuts, what is in hand is finished or let go, and the database is closed.
func (s *service) run(ctx context.Context) error {
	defer s.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	faults := make(chan error, 2)
	serve := func(server *http.Server, on net.Listener) {
		if err := server.Serve(on); !errors.Is(err, http.ErrServerClosed) {
			faults <- err
			stop()
		}
	}
	all.Go(func() { serve(s.door, s.atDoor) })
	all.Go(func() { serve(s.console, s.atDesk) })
	all.Go(func() { s.app.Run(ctx) })
	all.Go(func() { s.sender.Run(ctx) })
	all.Go(func() { s.prune(ctx) })
	s.log.Info("serving", "webhooks", s.doorAddress(), "console", s.consoleAddress())

	<-ctx.Done()
	s.log.Info("stopping")
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	for _, server := range []*http.Server{s.door, s.console} {
		all.Go(func() {
			if err := server.Shutdown(closing); err != nil {
				_ = server.Close() // what does not end in time is cut
			}
		})
	}
	all.Wait()
	select {
	case err := <-faults:
		return err
	default:
		return nil
	}
}

// prune forgets, once an hour, events that were settled long ago.
func (s *service) prune(ctx context.Context) {
	clock := time.NewTicker(pruneEvery)
	defer clock.Stop()
	for {
		before := time.Now().Add(-s.config.KeepEvents).UnixMilli()
		for ctx.Err() == nil {
			gone, err := s.store.Prune(ctx, before, pruneAtATime)
			if err != nil {
				s.log.Error("old events could not be forgotten", "error", err)
			}
			if gone < pruneAtATime {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// close lets go of what newService took; what it did not come to is nil.
func (s *service) close() {
	for _, listener := range []net.Listener{s.atDoor, s.atDesk} {
		if listener != nil {
			_ = listener.Close() // a server has closed it already
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

func migration(c config.Config) store.Migrate {
	if c.Migrate == "manual" {
		return store.Manual
	}
	return store.Auto
}

// rulesOf are the rules of a configuration, and who is told what comes of them.
func rulesOf(c config.Config) (cancelapp.Rules, *notice.Book, error) {
	terms, err := counter.NewTerms(counter.Keys(c.Keys), termsOf(c))
	if err != nil {
		return cancelapp.Rules{}, nil, err
	}
	var endpoints []notice.Endpoint
	for _, e := range c.Notices.Endpoints {
		endpoints = append(endpoints, notice.Endpoint{
			Name: e.Name, URL: e.URL.Reveal(), Secrets: reveal(e.Secrets), Types: e.Types, Private: e.Private,
		})
	}
	book, err := notice.NewBook(endpoints)
	if err != nil {
		return cancelapp.Rules{}, nil, err
	}
	return cancelapp.Rules{
		Terms: terms, Announce: book.Posts, RemindBefore: time.Duration(c.Notices.LastShipmentDays) * 24 * time.Hour,
	}, book, nil
}

func termsOf(c config.Config) []counter.Term {
	terms := make([]counter.Term, len(c.Terms))
	for i, t := range c.Terms {
		terms[i] = counter.Term{
			Name: t.Name, SKUs: t.SKUs, Shipments: t.Shipments, FirstShipment: counter.First(t.FirstShipment),
			CancelReason: t.CancelReason, KeepRenewal: t.KeepRenewal,
			OnComplete: counter.OnComplete(t.OnComplete), SwapTo: t.SwapTo, OnReactivation: counter.OnReactivation(t.OnReactivation),
			OnSwap: counter.OnSwap(t.OnSwap), Set: t.Set,
		}
	}
	return terms
}

func reveal(secrets []config.Secret) []string {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.Reveal()
	}
	return texts
}
