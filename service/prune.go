package service

import (
	"context"
	"time"
)

const (
	pruneInterval  = time.Hour
	pruneBatchSize = 10_000
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

// pruneOnce deletes in batches, so that no transaction blocks the receiver for long.
func (s *Service) pruneOnce(ctx context.Context, before time.Time) {
	for ctx.Err() == nil {
		deleted, err := s.store.Prune(ctx, before.UnixMilli(), pruneBatchSize)
		if err != nil {
			s.log.Error("pruning old events failed", "error", err)
		}
		if deleted < pruneBatchSize {
			return
		}
	}
}
