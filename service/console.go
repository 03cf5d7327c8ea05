package service

import (
	"context"

	"github.com/termed/termed/console"
	"github.com/termed/termed/ordergroove"
)

// openConsole makes the console and who may do what there.
func (s *Service) openConsole() error {
	allowed, err := s.newAccess(s.config.Console, s.consoleListener.Addr().String(), s.log)
	if err != nil {
		return err
	}
	s.console, err = console.New(console.Options{
		Checks:     s.checks(),
		Warnings:   s.warnings,
		Backlog:    func(ctx context.Context) (any, error) { return s.store.Backlog(ctx) },
		Details:    s.details(),
		Metrics:    s.metrics,
		Examine:    s.examine,
		Access:     allowed,
		Store:      s.store,
		App:        s.app,
		Agent:      s.agent,
		Reconciler: s.reconciler,
		Profiles:   s.config.Console.Profiles,
		Reasons:    s.cancelReasons,
		Calls:      s.client.Calls,
		Log:        s.log,
	})
	if err != nil {
		return err
	}
	s.consoleServer = console.Server(s.console.Handler(), s.log)
	return nil
}

// cancelReasons are the shop's own, or, where they cannot be read, Ordergroove's.
func (s *Service) cancelReasons(ctx context.Context) console.Reasons {
	reasons, err := s.client.CancelReasons(ordergroove.WithPriority(ctx, ordergroove.Urgent))
	if err != nil {
		s.log.Debug("the shop's cancel reasons could not be read", "error", err)
		return ordergroove.StandardCancelReasons
	}
	return reasons
}
