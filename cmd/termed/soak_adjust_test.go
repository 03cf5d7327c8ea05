package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// The part of the soak that is about schedule adjustments: agents adjust orders by the API while everything else
// happens, and the judge knows what each order must look like.

// adjustOrder lets an agent ask for an adjustment. It may be refused, or the service may be dead.
func (s *soak) adjustOrder(ctx context.Context) {
	l, sub := s.any()
	if l == nil || l.due == sim.Evergreen || l.prepaid || !sub.Live {
		return
	}
	s.adjustments++
	name := fmt.Sprintf("soak-%d", s.adjustments)
	matcher := fmt.Sprintf(`{"type":"CYCLE","cycle":%d}`, s.random.IntN(3))
	if s.random.IntN(2) == 0 {
		matcher = fmt.Sprintf(`{"type":"CYCLE","shipment":%d}`, sub.Placed+2+s.random.IntN(2))
	}
	action := []string{
		`{"type":"APPLY_DISCOUNT","input":{"discountSource":"manual","discountCode":"` + name + `","discountType":` +
			`"percentage","value":15,"targetType":"line_item","targeting":{"type":"all"}}}`,
		`{"type":"UPDATE_PRODUCTS","input":{"lines":[{"lineId":"` + l.id + `","variantId":"` + name + `"}]}}`,
		`{"type":"SKIP_ORDER","input":{"reason":"` + name + `"}}`,
	}[s.random.IntN(3)]
	body := fmt.Sprintf(`{"matcher":%s,"action":%s}`, matcher, action)
	address := fmt.Sprintf("%s/api/v1/subscriptions/%s/adjustments", s.consoleURL, l.id)
	s.adjusting.Go(func() {
		for range 60 {
			status, err := s.askForAdjustment(ctx, address, name, body)
			if err == nil && (status == http.StatusCreated || status == http.StatusUnprocessableEntity) {
				return
			}
			time.Sleep(250 * time.Millisecond) // killed, busy, not enrolled yet, or Ordergroove fails
		}
	})
}

// askForAdjustment sends one request, which is always the same adjustment by its key.
func (s *soak) askForAdjustment(ctx context.Context, address, key, body string) (int, error) {
	asking, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(asking, http.MethodPost, address, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// judgeAdjustments says what is wrong with the orders that were adjusted, or not.
func (s *soak) judgeAdjustments(ctx context.Context) {
	s.t.Helper()
	db, err := store.Open(ctx, store.Options{Database: filepath.Join(s.dir, "termed.db")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	all, err := db.Adjustments(ctx, store.AdjustmentQuery{})
	if err != nil {
		s.t.Fatal(err)
	}
	given := map[string]int{}
	for _, i := range s.sim.Incentives() {
		given[i.Name]++
	}
	became := map[ledger.AdjustmentStatus]int{}
	for _, a := range all {
		became[a.Status]++
		sub, err := db.Subscription(ctx, a.Subscription)
		if err != nil {
			s.t.Fatal(err)
		}
		placed := s.sim.PlacedOrders(a.Subscription)
		at := slices.Index(placed, a.Order)
		fail := func(format string, args ...any) {
			s.t.Errorf("adjustment %s (%s %s) of %s is %s of order %q (%s): %s", a.ID, a.Spec.Matcher, a.Spec.Action.Type,
				a.Subscription, a.Status, a.Order, a.Reason, fmt.Sprintf(format, args...))
		}
		wanted := a.Spec.Matcher.Shipment
		if a.Status == ledger.AdjustmentApplied && wanted != 0 && at >= 0 && at+1+sub.CheckoutShipments != wanted {
			fail("that was shipment %d", at+1+sub.CheckoutShipments)
		}
		s.judgeEffect(a, given, at >= 0, fail)
	}
	s.t.Logf("adjustments: %v of %d asked for", became, s.adjustments)
}

// judgeEffect judges whether an adjustment had the effect that its status says.
func (s *soak) judgeEffect(a ledger.Adjustment, given map[string]int, placed bool, fail func(string, ...any)) {
	sent := slices.ContainsFunc(a.Calls, func(c ledger.AdjustmentCall) bool { return c.Status == ledger.CallSent })
	unknown := a.Status == ledger.AdjustmentAttention || a.Status == ledger.AdjustmentPending && sent
	applied := a.Status == ledger.AdjustmentApplied
	switch a.Spec.Action.Type {
	case schedule.ApplyDiscount:
		input, err := schedule.Decode[schedule.Discount](a.Spec.Action)
		if err != nil {
			s.t.Fatal(err)
		}
		if n := given[input.Code]; applied && n != 1 || n > 1 || n == 1 && !applied && !unknown {
			fail("%d discounts", n)
		}
	case schedule.UpdateProducts:
		input, err := schedule.Decode[schedule.Products](a.Spec.Action)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, order := range s.sim.PlacedOrders(a.Subscription) {
			_, items := s.sim.Order(order)
			carries := slices.ContainsFunc(items, func(i sim.Item) bool { return i.Product == input.Lines[0].Product })
			if carries && (order != a.Order || !applied && !unknown) {
				fail("order %s carries its product", order)
			}
		}
	case schedule.SkipOrder:
		_, items := s.sim.Order(a.Order)
		still := slices.ContainsFunc(items, func(i sim.Item) bool { return i.Subscription == a.Subscription })
		if applied && (placed || still) {
			fail("it was placed with it (%v), or still is to be (%v)", placed, still)
		}
	default:
		fail("nobody asked for it: %s", strings.ToLower(string(a.Spec.Action.Type)))
	}
}
