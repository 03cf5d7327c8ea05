package reconcile

import (
	"context"
	"encoding/hex"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// readUpcoming reads which order each subscription's next shipment is on. A subscription has one upcoming order at a
// time, and the next one is created when that one is placed (contract, section 2, "Data model"): where it is still the
// same, nothing was placed since, and the placed orders need not be asked for. In a shop of many other subscriptions
// this costs more calls than it saves, and is given up after a number of pages.
func (r *run) readUpcoming(ctx context.Context, most int) error {
	var upcoming upcomingOrders
	from := ""
	r.readAt = r.now()
	for r.readPages < most {
		page, err := ask(ctx, r, func() (ordergroove.Page[ordergroove.Item], error) { return r.api.UpcomingItems(ctx, from) })
		if err != nil {
			return err
		}
		r.readPages++
		for _, item := range page.Results {
			if item.Subscription != "" {
				upcoming.add(item.Subscription, item.Order)
			}
		}
		if from = page.Next; from == "" {
			r.upcoming = upcoming
			return nil
		}
	}
	return nil
}

// compareUpcoming compares each subscription whose next shipment is on another order than before, and that no list of
// what was updated had: one was placed, or skipped, and nothing may have announced it.
func (r *run) compareUpcoming(ctx context.Context) error {
	for after := ""; r.upcoming.known(); {
		before, err := r.store.Upcoming(ctx, after, atOnce)
		if err != nil || len(before) == 0 {
			return err
		}
		after = before[len(before)-1].Subscription
		var moved []string
		for _, b := range before {
			if now := r.upcoming.of(b.Subscription); now != "" && now != b.Orders {
				moved = append(moved, b.Subscription)
			}
		}
		subs, err := r.store.Known(ctx, moved)
		if err != nil {
			return err
		}
		ordered := make([]ledger.Subscription, 0, len(subs))
		for _, id := range moved {
			if sub, ok := subs[id]; ok && sub.State != counter.Released { // released: not ours, wherever its order is
				ordered = append(ordered, sub)
			}
		}
		if err := r.compareEach(ctx, ordered); err != nil {
			return err
		}
	}
	return nil
}

// upcomingOrders are the orders that subscriptions' next shipments are on, in some 30 bytes for each: a shop may have a
// million. Two subscriptions that are taken for one, by a collision, have two orders; that costs a look at theirs.
type upcomingOrders struct {
	seed maphash.Seed
	one  map[uint64][16]byte // the order; Ordergroove's ids are 32 hexadecimal digits
	more map[uint64]string   // of those with several orders, or with another kind of id
}

func (u *upcomingOrders) known() bool { return u.one != nil }

func (u *upcomingOrders) add(subscription, order string) {
	if !u.known() {
		u.seed = maphash.MakeSeed()
		u.one = map[uint64][16]byte{}
		u.more = map[uint64]string{}
	}
	before := u.of(subscription)
	key := maphash.String(u.seed, subscription)
	if id, err := hex.DecodeString(order); before == "" && err == nil && len(id) == 16 && strings.ToLower(order) == order {
		u.one[key] = [16]byte(id)
		return
	}
	orders := append(strings.Fields(before), order)
	slices.Sort(orders)
	delete(u.one, key)
	u.more[key] = strings.Join(slices.Compact(orders), " ")
}

// of returns a subscription's orders with spaces between them, "" if it has no order.
func (u *upcomingOrders) of(subscription string) string {
	if !u.known() {
		return ""
	}
	key := maphash.String(u.seed, subscription)
	if id, ok := u.one[key]; ok {
		return hex.EncodeToString(id[:])
	}
	return u.more[key]
}
