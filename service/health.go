package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/termed/termed/console"
	"github.com/termed/termed/ledger"
)

const (
	healthInterval = time.Second
	healthTimeout  = 3 * time.Second
	firstProof     = time.Second // between two attempts to prove the API key, at first
	longestProof   = time.Minute
)

// condition is one thing that must hold for the service to work, or that a person should know about.
type condition struct {
	name    string
	warning bool // the service can work all the same
	test    func(ctx context.Context) error
}

// conditions are all there are. What holds back changes is told apart, in brakeWarnings.
func (s *Service) conditions() []condition {
	return []condition{
		{name: "database", test: s.store.Ping},
		{name: "ordergroove", test: func(context.Context) error { return s.ordergrooveReady() }},
		{name: "webhook_keys", warning: true, test: func(context.Context) error { return s.webhookKeysVerify() }},
	}
}

// checks are the conditions without which the service cannot work.
func (s *Service) checks() []console.Check {
	var all []console.Check
	for _, c := range s.conditions() {
		if !c.warning {
			all = append(all, console.Check{Name: c.name, Test: c.test})
		}
	}
	return all
}

// health is what was found about the conditions last, and whether Ordergroove has accepted the key. The zero value is
// that nothing was asked yet.
type health struct {
	mu       sync.Mutex
	failures map[string]string // by condition
	proof    error             // why the key is not proven yet
	proven   bool
}

// note records a condition, and says whether it changed between failing and not.
func (h *health) note(name string, err error) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures == nil {
		h.failures = map[string]string{}
	}
	was := h.failures[name]
	h.failures[name] = ""
	if err != nil {
		h.failures[name] = err.Error()
	}
	return (was == "") != (err == nil)
}

func (h *health) prove(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.proof = err
	h.proven = h.proven || err == nil
}

// ordergrooveReady says whether calls can be made: Ordergroove has accepted the key, and the breaker is closed.
func (s *Service) ordergrooveReady() error {
	s.health.mu.Lock()
	proven, proof := s.health.proven, s.health.proof
	s.health.mu.Unlock()
	if err := s.app.Ready(); err != nil {
		return err
	}
	switch {
	case proven:
		return nil
	case proof != nil:
		return proof
	}
	return errNotAsked
}

// errNotAsked is what stands for Ordergroove's answer before the first one.
var errNotAsked = errors.New("not asked yet")

func (s *Service) webhookKeysVerify() error {
	if n := s.receiver.Unverified(); n > 0 {
		return fmt.Errorf("the last %d deliveries had no valid signature: "+
			"compare webhook_keys with the verification key in the Ordergroove Admin", n)
	}
	return nil
}

// proveKey makes one call as soon as the service runs, so that a wrong key shows before anything depends on it. It is
// made again, with growing pauses, until it is answered.
func (s *Service) proveKey(ctx context.Context) {
	for wait := firstProof; ; wait = min(2*wait, longestProof) {
		err := s.app.Ping(ctx)
		s.health.prove(err)
		if err == nil || ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// watchHealth says in the log when a condition begins or ceases to hold, until ctx is done.
func (s *Service) watchHealth(ctx context.Context) {
	clock := time.NewTicker(healthInterval)
	defer clock.Stop()
	for {
		s.checkHealth(ctx)
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// checkHealth tests every condition, and logs those that changed.
func (s *Service) checkHealth(ctx context.Context) {
	testing, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	for _, c := range s.conditions() {
		err := c.test(testing)
		if errors.Is(err, errNotAsked) || ctx.Err() != nil {
			continue
		}
		switch changed := s.health.note(c.name, err); {
		case changed && err != nil:
			s.log.Error("not well", "condition", c.name, "error", err)
		case changed:
			s.log.Info("well again", "condition", c.name)
		}
	}
}

// warnings are what a person should know though the service can work.
func (s *Service) warnings(ctx context.Context) map[string]string {
	all := map[string]string{}
	for _, c := range s.conditions() {
		if !c.warning {
			continue
		}
		if err := c.test(ctx); err != nil {
			all[c.name] = err.Error()
		}
	}
	if s.app.Rules().Observe {
		all["mode"] = "observe: everything is counted, and nothing is changed at Ordergroove"
	}
	brake, err := s.store.Brake(ctx)
	if err != nil {
		return all // the check of the database says why
	}
	addBrakeWarnings(all, brake)
	return all
}

func addBrakeWarnings(all map[string]string, brake ledger.Brake) {
	if p := brake.Pause; p.Since != 0 {
		all["pause"] = fmt.Sprintf("all changes at Ordergroove are paused since %s by %s: %s; termed resume continues them",
			time.UnixMilli(p.Since).UTC().Format(time.RFC3339), p.Actor, p.Reason)
	}
	if brake.Throttled > 0 {
		all["brake"] = fmt.Sprintf("%d ends are held back: "+
			"more subscriptions were complete at first sight than may be ended in an hour; see termed approve", brake.Throttled)
	}
	for _, t := range brake.Terms {
		all["approval: "+t.Term] = fmt.Sprintf("%d would end now, %d later; see termed approve", t.Complete, t.Running)
	}
}
