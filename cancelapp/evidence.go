package cancelapp

import (
	"context"
	"slices"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
)

// readLag is how long after a change of ours Ordergroove may still answer what was before it.
const readLag = 6 * time.Second

// isBehind says whether a read contradicts a change of ours that is so recent that Ordergroove may not show it yet. It
// is then read again before it is taken for somebody's deed.
func (s *subscriptionSync) isBehind(remote ordergroove.Subscription) bool {
	if s.now() >= s.lease.ChangedAt+readLag.Milliseconds() {
		return false
	}
	canceledByUs := !remote.Live && s.sub.CancelRequestedAt != 0 // and a crash kept us from recording it
	if remote.Live != s.sub.Live && !canceledByUs || remote.Product != s.sub.SKU && !s.sub.IsNew() {
		return true
	}
	extra, err := ordergroove.ParseExtraData(remote.ExtraData)
	if err != nil || s.sub.CounterConfirmed == nil {
		return false
	}
	raw, there := extra.Get(s.term().Keys.Counter)
	if !there {
		return len(s.sub.CountersSent) == 1 // before our first write; later it was removed
	}
	return !s.sub.HasLatest(string(raw))
}

// isRestored says whether orders were found that our database should have known. Orders are a month apart, so that
// several are missing since the counter that we wrote last means that it is older than the truth.
func (s *subscriptionSync) isRestored() bool {
	return s.restored || s.unknown > 1 && s.unknown >= s.sub.Unwritten()
}

// withoutUpcoming leaves out what is on an order that is still to come, as that order says: items carry no status, so a
// filter that was ignored would count an order too early. One answer that shows the filter at work is enough.
func (s *subscriptionSync) withoutUpcoming(
	ctx context.Context, placed []counter.Shipment,
) ([]counter.Shipment, error) {
	upcoming, err := s.api.Orders(ctx, s.sub.ID, ordergroove.StatusUnsent)
	if err != nil {
		return nil, err
	}
	// safeguard: upcoming-not-placed
	left := slices.DeleteFunc(slices.Clone(placed), func(p counter.Shipment) bool {
		return slices.ContainsFunc(upcoming, func(o ordergroove.Order) bool { return o.ID == p.Order })
	})
	if len(upcoming) > 0 && len(left) == len(placed) {
		s.filterWorks.Store(true)
	}
	return left, nil
}

// foundMissed says whether orders were placed before this process began and after the last event that its database had
// by then, as of one that was brought back from a copy: one that nobody announces any more, or several, which are a
// month apart. It is asked where extra_data has a counter that we never sent.
func (s *subscriptionSync) foundMissed(ctx context.Context, found []counter.Shipment) (bool, error) {
	raw, there := s.extra.Get(s.term().Keys.Counter)
	if s.heardUntil == 0 || !there || s.sub.IsNew() || s.sub.HasLatest(string(raw)) {
		return false, nil
	}
	missed := func(p counter.Shipment) bool {
		return p.At > s.heardUntil-1000 && p.At < s.startedAt // events count seconds
	}
	recorded, err := s.store.Shipments(ctx, s.sub.ID)
	if err != nil {
		return false, err
	}
	several := 0
	for _, r := range recorded {
		if missed(r) {
			several++
		}
	}
	if len(found) > 0 {
		found = slices.Clone(found) // their own time is when they were found
		if err := s.date(ctx, found); err != nil {
			return false, err
		}
	}
	return several > 1 || slices.ContainsFunc(found, missed), nil
}
