package service

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/termed/termed/console"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

// overshipDetail is the overship risk in /readyz?verbose.
type overshipDetail struct {
	Subscriptions int        `json:"subscriptions"`
	Orders        int        `json:"orders"`
	FirstPlace    *time.Time `json:"first_place"`
}

// watchdogDetail is the watchdog in /readyz?verbose.
type watchdogDetail struct {
	Alarm        bool       `json:"alarm"`
	LastDelivery *time.Time `json:"last_delivery"`
	MaxGapHours  float64    `json:"max_gap_hours"`
}

// reconciledDetail says when the last reconciliations began, in /readyz?verbose.
type reconciledDetail struct {
	Full   *time.Time `json:"full"`
	Recent *time.Time `json:"recent"`
}

// details are what /readyz?verbose adds to the checks and the backlog.
func (s *Service) details() map[string]console.Detail {
	return map[string]console.Detail{
		"watchdog":      s.watchdogDetail,
		"notifications": func(ctx context.Context) (any, error) { return s.store.Outbox(ctx) },
		"overship":      s.overshipDetail,
		"reconciled":    s.reconciledDetail,
	}
}

func (s *Service) watchdogDetail(ctx context.Context) (any, error) {
	now := s.app.Deliveries()
	if now.MaxGap == 0 { // the watchdog is off
		return nil, nil
	}
	last, err := s.store.LastDelivery(ctx, math.MaxInt64)
	return watchdogDetail{now.Alarm, timeOrNil(last), now.MaxGap.Hours()}, err
}

func (s *Service) overshipDetail(ctx context.Context) (any, error) {
	risk, err := s.store.OvershipRisk(ctx)
	return overshipDetail{risk.Subscriptions, risk.Orders, timeOrNil(risk.FirstPlace)}, err
}

func (s *Service) reconciledDetail(ctx context.Context) (any, error) {
	last, err := s.store.LastReconciled(ctx)
	return reconciledDetail{timeOrNil(last.All), timeOrNil(last.Recent)}, err
}

// timeOrNil is a time for JSON, or nil for never.
func timeOrNil(at int64) *time.Time {
	if at == 0 {
		return nil
	}
	t := time.UnixMilli(at).UTC()
	return &t
}

// metric is a gauge.
func metric(name, help string, value float64) console.Metric {
	return console.Metric{Name: name, Help: help, Value: value}
}

// total is a counter with one label.
func total(name, help, label, of string, value int64) console.Metric {
	return console.Metric{
		Name:    name,
		Help:    help,
		Labels:  map[string]string{label: of},
		Counter: true,
		Value:   float64(value),
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// metrics are the numbers that say whether somebody has to act. Each is read once; what cannot be read is missing, and
// the error says why.
func (s *Service) metrics(ctx context.Context) ([]console.Metric, error) {
	all := append(s.processMetrics(ctx), s.counterMetrics()...)
	var errs []error
	for _, read := range []func(context.Context) ([]console.Metric, error){
		s.backlogMetrics, s.brakeMetrics, s.overshipMetrics, s.deliveryMetrics,
	} {
		some, err := read(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, some...)
	}
	return all, errors.Join(errs...)
}

// processMetrics say whether this process can work.
func (s *Service) processMetrics(ctx context.Context) []console.Metric {
	build := ReadBuild()
	ready := !slices.ContainsFunc(s.checks(), func(c console.Check) bool { return c.Test(ctx) != nil })
	return []console.Metric{
		metric("termed_ready", "1 while /readyz answers 200.", oneIf(ready)),
		metric("termed_breaker_open", "1 while the circuit breaker stops calls: Ordergroove is down, or rejects the API key.",
			oneIf(s.app.Ready() != nil)),
		metric("termed_observe", "1 in observe mode: nothing is changed at Ordergroove.", oneIf(s.app.Rules().Observe)),
		metric("termed_unverified_deliveries",
			"Deliveries refused in a row while none was verified; 0 unless the key is in doubt.",
			float64(s.receiver.Unverified())),
		metric("termed_webhook_body_bytes", "Bytes of deliveries that are being received or stored.",
			float64(s.receiver.BytesInFlight())),
		{
			Name:   "termed_build_info",
			Help:   "The version of this program; always 1.",
			Labels: map[string]string{"version": build.Version, "commit": build.Commit, "go": build.Go},
			Value:  1,
		},
	}
}

// counterMetrics count deliveries and API calls since the start.
func (s *Service) counterMetrics() []console.Metric {
	var all []console.Metric
	for _, reason := range webhook.Reasons {
		all = append(all, total("termed_refused_deliveries_total",
			"Deliveries that the receiver refused since the start, by reason.",
			"reason", string(reason), int64(s.receiver.Refused(reason))))
	}
	for _, answer := range webhook.Answers {
		all = append(all, total("termed_deliveries_total",
			"Deliveries that were stored since the start, or had been stored before, by answer.",
			"answer", answer, int64(s.receiver.Answered(answer))))
	}
	for _, outcome := range ordergroove.Outcomes {
		all = append(all, total("termed_api_calls_total",
			"Requests to Ordergroove since the start, retries included, by outcome.",
			"outcome", string(outcome), s.client.Calls(outcome)))
	}
	all = append(all, metric("termed_api_calls_allowed",
		"API calls a minute that this process may make: requests_per_minute, divided among the services of one address.",
		s.client.PerMinute()))
	return append(all, console.Metric{
		Name:    "termed_shipments_total",
		Help:    "Shipments of terms that this process has recorded since the start: API calls per shipment are the economy.",
		Counter: true,
		Value:   float64(s.store.ShipmentsRecorded()),
	})
}

func (s *Service) backlogMetrics(ctx context.Context) ([]console.Metric, error) {
	backlog, err := s.store.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := s.store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	outbox, err := s.store.Outbox(ctx)
	return []console.Metric{
		metric("termed_backlog_events", "Events waiting to be processed.", float64(backlog.Events)),
		metric("termed_backlog_subscriptions", "Subscriptions waiting to be synced.", float64(backlog.Subscriptions)),
		metric("termed_oldest_due_event_seconds", "How long the longest waiting event has been due.",
			secondsSince(counts.OldestEvent)),
		metric("termed_oldest_due_subscription_seconds", "How long the longest waiting subscription has been due.",
			secondsSince(counts.OldestSubscription)),
		metric("termed_needs_attention", "Subscriptions that need attention.", float64(counts.Attention)),
		metric("termed_dead_events", "Events that can never be processed.", float64(counts.Dead)),
		metric("termed_quarantined_events", "Events that are authentic and unreadable.", float64(counts.Quarantined)),
		metric("termed_notifications_pending", "Notifications waiting to be delivered.", float64(outbox.Pending)),
		metric("termed_notifications_dead", "Notifications that were given up.", float64(outbox.Dead)),
	}, err
}

func (s *Service) brakeMetrics(ctx context.Context) ([]console.Metric, error) {
	brake, err := s.store.Brake(ctx)
	complete, running := 0, 0
	for _, t := range brake.Terms {
		complete += t.Complete
		running += t.Running
	}
	return []console.Metric{
		metric("termed_paused", "1 while an operator has paused all changes at Ordergroove.", oneIf(brake.Pause.Since != 0)),
		metric("termed_throttled_ends", "Ends held back: more were complete at first sight than may be ended in an hour.",
			float64(brake.Throttled)),
		metric("termed_awaiting_approval", "Subscriptions that are complete, and end once they are approved.",
			float64(complete)),
		metric("termed_unapproved_running", "Running subscriptions that are written once they are approved.",
			float64(running)),
		metric("termed_withheld_changes", "Subscriptions of which a change is held back, for whatever reason.",
			float64(brake.Withheld)),
	}, err
}

func (s *Service) overshipMetrics(ctx context.Context) ([]console.Metric, error) {
	risk, err := s.store.OvershipRisk(ctx)
	return []console.Metric{
		metric("termed_overship_subscriptions", "Subscriptions whose term is complete and that could not be ended yet.",
			float64(risk.Subscriptions)),
		metric("termed_overship_hours_left",
			"Hours until the first order of such a subscription is placed; 0 if none is known.", hoursLeft(risk)),
	}, err
}

// deliveryMetrics say when the last webhook arrived, and when all subscriptions were compared last.
func (s *Service) deliveryMetrics(ctx context.Context) ([]console.Metric, error) {
	last, err := s.store.LastDelivery(ctx, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	reconciled, err := s.store.LastReconciled(ctx)
	return []console.Metric{
		metric("termed_watchdog_alarm", "1 while no webhook has arrived for longer than expected in this shop.",
			oneIf(s.app.Deliveries().Alarm)),
		metric("termed_last_delivery_timestamp_seconds", "When the last webhook arrived, Unix seconds; 0 if none is known.",
			float64(last)/1000),
		metric("termed_last_reconcile_timestamp_seconds",
			"When the last full reconciliation began, Unix seconds; 0 if there was none.", float64(reconciled.All)/1000),
	}, err
}

func hoursLeft(risk store.Overship) float64 {
	if risk.FirstPlace == 0 {
		return 0
	}
	return time.Until(time.UnixMilli(risk.FirstPlace)).Hours()
}

// secondsSince is how long ago a time of UTC unix milliseconds is; 0 for none, or one to come.
func secondsSince(at int64) float64 {
	if at == 0 {
		return 0
	}
	return max(0, time.Since(time.UnixMilli(at)).Seconds())
}
