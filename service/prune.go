package service

import (
	"context"
	"time"
)

const (
	pruneInterval  = time.Hour
	pruneBatchSize = 200 // some milliseconds
	pruneShare     = 5   // one part in so many of the time is for pruning, the others are for deliveries
)

// prune deletes, at the start and then once an hour, the events that were settled longer ago than the configuration
// keeps them.
func (s *Service) prune(ctx context.Context) {
	clock := time.NewTicker(pruneInterval)
	defer clock.Stop()
	for {
		s.pruneOnce(ctx, time.Now().Add(-s.config.KeepEvents))
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// pruneOnce deletes in small steps with pauses between them, so that no delivery waits for long.
func (s *Service) pruneOnce(ctx context.Context, before time.Time) {
	for ctx.Err() == nil {
		begin := time.Now()
		deleted, err := s.store.Prune(ctx, before.UnixMilli(), pruneBatchSize)
		if err != nil && ctx.Err() == nil {
			s.log.Error("pruning old events failed", "error", err)
		}
		if deleted < pruneBatchSize {
			return
		}
		pause := time.NewTimer((pruneShare - 1) * time.Since(begin))
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
}
