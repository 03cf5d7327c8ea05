package service

import (
	"context"

	"github.com/termed/termed/console"
	"github.com/termed/termed/service/doctor"
)

// installation is what a doctor examines of a running service.
func (s *Service) installation() doctor.Installation {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	c := s.config
	c.Listen, c.Console.Listen = s.webhookListener.Addr().String(), s.consoleListener.Addr().String()
	return doctor.Installation{
		Config:    c,
		Client:    s.client,
		Store:     s.store,
		PublicURL: c.Webhook.PublicURL,
	}
}

// examine is an examination for the console.
func (s *Service) examine(ctx context.Context) []console.Finding {
	var all []console.Finding
	for _, f := range doctor.Examine(ctx, s.installation()) {
		all = append(all, console.Finding{
			Number: f.Number,
			Check:  f.Check,
			Level:  string(f.Level),
			Says:   f.Says,
			Do:     f.Do,
		})
	}
	return all
}

// examineStart says in the log what is wrong with the machine.
func (s *Service) examineStart(ctx context.Context) {
	for _, f := range doctor.ExamineStart(ctx, s.installation()) {
		if ctx.Err() == nil && (f.Level == doctor.Warn || f.Level == doctor.Error) {
			s.log.Warn("the start found something, see termed doctor", "check", f.Check, "found", f.Says, "do", f.Do)
		}
	}
}
