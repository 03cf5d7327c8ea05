package main

import (
	"context"
	"time"

	"github.com/termed/termed/console"
	"github.com/termed/termed/store"
)

// details are what /readyz?verbose says besides whether the service is ready.
func (s *service) details() map[string]console.Detail {
	return map[string]console.Detail{
		"silence": func(context.Context) (any, error) {
			now := s.app.Silence()
			if now.Patience == 0 { // nobody listens for it
				return nil, nil
			}
			return map[string]any{"alarm": now.Alarm, "last_delivery": now.Last, "usual_hours": now.Patience.Hours()}, nil
		},
		"notices": func(ctx context.Context) (any, error) { return s.store.Outbox(ctx) },
		"guard":   func(ctx context.Context) (any, error) { return s.store.Guarded(ctx) },
		"reconciled": func(ctx context.Context) (any, error) {
			last, err := s.store.Compared(ctx)
			return map[string]any{"everything": when(last.All), "lately": when(last.Recent)}, err
		},
	}
}

// when is a time for JSON, or nil for never.
func when(at int64) any {
	if at == 0 {
		return nil
	}
	return time.UnixMilli(at).UTC()
}

// metrics are the figures that say whether somebody has to act.
func (s *service) metrics() []console.Metric {
	backlog := func(pick func(store.Backlog) int) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			b, err := s.store.Backlog(ctx)
			return float64(pick(b)), err
		}
	}
	notices := func(pick func(store.Outbox) int) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			o, err := s.store.Outbox(ctx)
			return float64(pick(o)), err
		}
	}
	guarded := func(pick func(store.Guarded) float64) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			g, err := s.store.Guarded(ctx)
			return pick(g), err
		}
	}
	return []console.Metric{
		{Name: "termed_backlog_events", Help: "Events that wait to be worked on.", Value: backlog(func(b store.Backlog) int { return b.Events })},
		{Name: "termed_backlog_subscriptions", Help: "Subscriptions that wait to be looked at.", Value: backlog(func(b store.Backlog) int { return b.Subscriptions })},
		{Name: "termed_notices_pending", Help: "Notices that wait to be delivered.", Value: notices(func(o store.Outbox) int { return o.Pending })},
		{Name: "termed_notices_dead", Help: "Notices that were given up.", Value: notices(func(o store.Outbox) int { return o.Dead })},
		{Name: "termed_guard_subscriptions", Help: "Subscriptions that are complete and could not be ended so far.", Value: guarded(func(g store.Guarded) float64 { return float64(g.Subscriptions) })},
		{Name: "termed_guard_hours_left", Help: "Hours until the first order is placed that would be a box too many; 0 when none is known of.", Value: guarded(func(g store.Guarded) float64 {
			if g.FirstPlace == 0 {
				return 0
			}
			return time.Until(time.UnixMilli(g.FirstPlace)).Hours()
		})},
		{Name: "termed_silence", Help: "1 while no webhook has come for longer than is usual in this shop.", Value: func(context.Context) (float64, error) {
			if s.app.Silence().Alarm {
				return 1, nil
			}
			return 0, nil
		}},
		{Name: "termed_last_delivery_timestamp_seconds", Help: "When a webhook came last, Unix seconds; 0 if none is remembered.", Value: func(ctx context.Context) (float64, error) {
			at, err := s.store.LastDelivery(ctx)
			return float64(at) / 1000, err
		}},
		{Name: "termed_last_reconcile_timestamp_seconds", Help: "When the last comparison of everything with Ordergroove began, Unix seconds; 0 for never.", Value: func(ctx context.Context) (float64, error) {
			last, err := s.store.Compared(ctx)
			return float64(last.All) / 1000, err
		}},
	}
}
