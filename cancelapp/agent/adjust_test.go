package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

const (
	nextOrder = `{"type": "CYCLE", "cycle": 0}`
	skipOrder = `{"type": "SKIP_ORDER", "input": {"reason": "away"}}`
	pickle    = `{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "{sub}", "variantId": "PICKLE"}]}}`
	fifteen   = `{"type": "APPLY_DISCOUNT", "input": {"discountSource": "manual", "discountCode": "Sorry", ` +
		`"discountType": "percentage", "value": 15, "targetType": "line_item", "targeting": {"type": "all"}}}`
	free = `{"type": "APPLY_DISCOUNT", "input": {"discountSource": "manual", "discountCode": "Free", "discountType": ` +
		`"percentage", "value": 100, "targetType": "shipping", "targeting": {"type": "all"}}}`
	pier = `{"type": "UPDATE_SHIPPING", "input": {"address": {"firstName": "Ada", "lastName": "Byron", ` +
		`"address1": "1 Pier", "city": "Dover", "zip": "12345", "countryCode": "US", "provinceCode": "NY", "phone": "1"}}}`
)

// spec reads an adjustment of the scene's subscription.
func (d *scene) spec(matcher, action string) schedule.Spec {
	d.Helper()
	raw := fmt.Sprintf(`{"matcher": %s, "action": %s}`, matcher, strings.ReplaceAll(action, "{sub}", d.sub.ID))
	s, err := schedule.Parse([]byte(raw))
	if err != nil {
		d.Fatal(err)
	}
	return s
}

func (d *scene) adjust(matcher, action string) (ledger.Adjustment, error) {
	d.Helper()
	return d.agent.Adjust(d.Context(), agent.AdjustmentRequest{
		Subscription: d.sub.ID, Spec: d.spec(matcher, action), Actor: "agent-7",
	})
}

// adjusted creates an adjustment and answers what became of it.
func (d *scene) adjusted(matcher, action string) ledger.Adjustment {
	d.Helper()
	created, err := d.adjust(matcher, action)
	if err != nil {
		d.Fatal(err)
	}
	d.Settle()
	return d.now(created)
}

func (d *scene) now(a ledger.Adjustment) ledger.Adjustment {
	d.Helper()
	now, err := d.DB.Adjustment(d.Context(), a.Subscription, a.ID)
	if err != nil {
		d.Fatal(err)
	}
	return now
}

func (d *scene) wantAdjusted(got ledger.Adjustment, status ledger.AdjustmentStatus, order string) {
	d.Helper()
	if got.Status != status || got.Order != order {
		d.Errorf("the adjustment is %s of %q (%s), want %s of %q\n%s", got.Status, got.Order, got.Reason, status, order,
			d.Journal(d.sub))
	}
}

// order is the scene's upcoming order as Ordergroove has it.
func (d *scene) order() (sim.Order, []sim.Item) {
	d.Helper()
	return d.Sim.Order(d.upcoming())
}

// Each action, carried out on the order that comes next.
func TestAdjustNextOrder(t *testing.T) {
	tests := []struct {
		name, action string
		check        func(d *scene, order sim.Order, items []sim.Item)
	}{
		{"product", pickle, func(d *scene, _ sim.Order, items []sim.Item) {
			if items[0].Product != "PICKLE" {
				d.Errorf("it carries %s", items[0].Product)
			}
		}},
		{"quantity", `{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "{sub}", "quantity": 3}]}}`,
			func(d *scene, _ sim.Order, items []sim.Item) {
				if items[0].Quantity != 3 {
					d.Errorf("its quantity is %d", items[0].Quantity)
				}
			}},
		{"next billing date", `{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "{sub}", ` +
			`"nextBillingDate": "2000-01-20"}]}}`,
			func(d *scene, order sim.Order, _ []sim.Item) {
				if got := order.Place.Format(time.DateOnly); got != "2000-01-20" {
					d.Errorf("its date is %s", got)
				}
			}},
		{"date", `{"type": "CHANGE_DATE", "input": {"newDate": "2000-01-20"}}`,
			func(d *scene, order sim.Order, _ []sim.Item) {
				if got := order.Place.Format(time.DateOnly); got != "2000-01-20" {
					d.Errorf("its date is %s", got)
				}
			}},
		{"address", pier, func(d *scene, order sim.Order, _ []sim.Item) {
			id, _ := order.Fields["shipping_address"].(string)
			if city, found := d.Sim.Address(id, "city"); !found || city != "Dover" {
				d.Errorf("it goes to %q (%v)", city, found)
			}
		}},
		{"payment", `{"type": "UPDATE_PAYMENT_METHOD", "input": {"paymentMethodId": "card-2"}}`,
			func(d *scene, order sim.Order, _ []sim.Item) {
				if order.Fields["payment"] != "card-2" {
					d.Errorf("it is paid by %v", order.Fields["payment"])
				}
			}},
		{"discount", fifteen, func(d *scene, _ sim.Order, items []sim.Item) {
			want := []sim.Incentive{{
				Item:         items[0].ID,
				Name:         "Sorry",
				DiscountType: "Discount Percent",
				Value:        "15.00",
				Field:        "total_price",
				Target:       "item",
			}}
			if diff := cmp.Diff(want, d.Sim.Incentives()); diff != "" {
				d.Errorf("incentives (-want +got):\n%s", diff)
			}
		}},
		{"discount code", `{"type": "APPLY_DISCOUNT", "input": {"discountSource": "code", "discountCode": "SAVE20"}}`,
			func(d *scene, _ sim.Order, items []sim.Item) {
				want := []sim.Incentive{{
					Item:         items[0].ID,
					Name:         "SAVE20",
					ExternalCode: "SAVE20",
					DiscountType: "Discount Amount",
					Value:        "20.00",
					Field:        "total_price",
					Target:       "item",
				}}
				if diff := cmp.Diff(want, d.Sim.Incentives()); diff != "" {
					d.Errorf("incentives (-want +got):\n%s", diff)
				}
			}},
		{"free shipping", free, func(d *scene, order sim.Order, _ []sim.Item) {
			want := []sim.Incentive{{
				Order:        order.ID,
				Name:         "Free",
				DiscountType: "Discount Percent",
				Value:        "100.00",
				Field:        "shipping_total",
				Target:       "order",
			}}
			if diff := cmp.Diff(want, d.Sim.Incentives()); diff != "" {
				d.Errorf("incentives (-want +got):\n%s", diff)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, func(d *scene) {
				d.reload(func(r *cancelapp.Rules) {
					r.Schedule.Codes = map[string]schedule.Code{"SAVE20": {Value: "20.00"}}
				})
				order, _ := d.order()
				got := d.adjusted(nextOrder, test.action)
				d.wantAdjusted(got, ledger.AdjustmentApplied, order.ID)
				order, items := d.Sim.Order(order.ID)
				test.check(d, order, items)
				kept := string(got.Spec.Action.Input)
				for _, c := range got.Calls {
					kept += string(c.Body)
				}
				if strings.Contains(kept, "Pier") {
					d.Errorf("the address is kept: %s", kept)
				}

				// The count goes on, whatever the order carries.
				d.Place(d.sub)
				d.Settle()
				d.JudgeGift(d.sub)
			})
		})
	}
}

// reload puts other rules in force.
func (d *scene) reload(change func(*cancelapp.Rules)) {
	rules := d.App.Rules()
	change(&rules)
	d.App.Reload(rules)
}

func TestAdjustSkips(t *testing.T) {
	run(t, func(d *scene) {
		before := d.upcoming()
		d.wantAdjusted(d.adjusted(nextOrder, skipOrder), ledger.AdjustmentApplied, before)
		if after := d.upcoming(); after == before || d.sent("/skip_subscription/") != 1 {
			t.Errorf("upcoming %s, was %s; %d calls", after, before, d.sent("/skip_subscription/"))
		}
		if got := d.Recorded(d.sub); got.Remaining() != 1 {
			t.Errorf("the counter is %d, want it unchanged", got.Remaining())
		}
		d.Place(d.sub)
		d.Settle()
		d.JudgeGift(d.sub)
	})
}

// An interval of one cycle is set back after it.
func TestAdjustInterval(t *testing.T) {
	runProgram(t, func(d *scene) {
		got := d.adjusted(nextOrder, `{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "{sub}", `+
			`"interval": {"intervalCount": 2, "interval": "WEEK"}}]}}`)
		d.wantAdjusted(got, ledger.AdjustmentApplied, d.upcoming())
		frequency := func() string {
			now, err := d.App.API().Subscription(d.Context(), d.sub.ID)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(now.Frequency)
		}
		if frequency() != "{2 2}" {
			t.Errorf("the frequency is %s, want two weeks", frequency())
		}
		pause := ledger.Pause{Since: d.Clock.Now().UnixMilli(), Actor: "op", Reason: "test"}
		if _, err := d.DB.Pause(d.Context(), pause); err != nil {
			t.Fatal(err)
		}
		d.Place(d.sub)
		d.Settle()
		if frequency() != "{2 2}" {
			t.Errorf("the frequency is %s though changes are paused", frequency())
		}
		if _, err := d.DB.Resume(d.Context(), pause); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		d.Settle()
		if frequency() != "{1 3}" || d.now(got).IsOpen() {
			t.Errorf("the frequency is %s (open %v), want it set back to a month", frequency(), d.now(got).IsOpen())
		}
		order, _ := d.order()
		want := d.Clock.Now().Add(-3*time.Minute).AddDate(0, 0, 14).Format(time.DateOnly)
		if order.Place.Format(time.DateOnly) != want {
			t.Errorf("the next order is of %s, want %s", order.Place.Format(time.DateOnly), want)
		}
	})
}

// runProgram is run for a subscription of six shipments that has had one recurring order, with order events.
func runProgram(t *testing.T, test func(*scene)) {
	t.Helper()
	apptest.Run(t, sim.Options{OrderEvents: true}, func(t *testing.T, b *apptest.Bubble) {
		d := &scene{Bubble: b, T: t, sub: b.Subscribe("SIX")}
		b.Settle()
		b.Place(d.sub)
		b.Settle()
		d.agent = agent.New(b.App, b.DB, agent.Options{Now: b.Clock.Now})
		test(d)
	})
}

// placeNext lets a while pass and places the next order.
func (d *scene) placeNext() {
	d.Helper()
	time.Sleep(time.Hour)
	d.Place(d.sub)
	d.Settle()
}

// A cycle is fixed to its place in the schedule: a skipped order takes its place, and a shipment's number does not.
func TestAdjustLaterOrders(t *testing.T) {
	runProgram(t, func(d *scene) {
		third, err := d.adjust(`{"type": "CYCLE", "cycle": 2}`, fifteen)
		if err != nil {
			t.Fatal(err)
		}
		shipment, err := d.adjust(`{"type": "CYCLE", "shipment": 5}`, pickle)
		if err != nil {
			t.Fatal(err)
		}
		d.Settle()
		calls := len(d.Sim.Calls())
		time.Sleep(30 * time.Minute)
		if n := len(d.Sim.Calls()) - calls; n != 0 {
			t.Errorf("%d calls before an order has come", n)
		}
		d.placeNext() // shipment 3
		d.wantAdjusted(d.adjusted(nextOrder, skipOrder), ledger.AdjustmentApplied, d.skipped())
		// The third order to come, and shipment 4.
		d.File()
		d.Settle()
		d.wantAdjusted(d.now(third), ledger.AdjustmentApplied, d.upcoming())
		d.wantAdjusted(d.now(shipment), ledger.AdjustmentPending, "")
		d.placeNext() // shipment 4
		d.File()
		d.Settle()
		d.wantAdjusted(d.now(shipment), ledger.AdjustmentApplied, d.upcoming())
		if _, items := d.order(); items[0].Product != "PICKLE" {
			t.Errorf("shipment 5 carries %s", items[0].Product)
		}
		d.placeNext()
		d.placeNext()
		d.Judge(d.sub, 5)
	})
}

// skipped is the order of the last skip.
func (d *scene) skipped() string {
	for _, call := range slices.Backward(d.Sim.Calls()) {
		if strings.HasSuffix(call.Path, "/skip_subscription/") {
			return strings.Split(call.Path, "/")[2]
		}
	}
	return ""
}

// A date is the order's as it was before an adjustment moved it.
func TestAdjustByDate(t *testing.T) {
	runProgram(t, func(d *scene) {
		order, _ := d.order()
		original := order.Place.Format(time.DateOnly)
		moved := d.adjusted(nextOrder, `{"type": "CHANGE_DATE", "input": {"newDate": "2000-01-15"}}`)
		d.wantAdjusted(moved, ledger.AdjustmentApplied, order.ID)
		d.File()
		d.Settle()
		d.wantAdjusted(d.adjusted(`{"type": "DATE", "date": "`+original+`"}`, fifteen), ledger.AdjustmentApplied, order.ID)

		// By its new date it is not known.
		_, err := d.adjust(`{"type": "DATE", "date": "2000-01-15"}`, fifteen)
		wantRefused(t, err, "no order is planned for 2000-01-15")
		late, err := d.adjust(`{"type": "CYCLE_AND_DATE", "cycle": 1, "date": "2000-07-01"}`, fifteen)
		if err != nil {
			t.Fatal(err)
		}
		d.Place(d.sub)
		d.Settle()
		got := d.now(late)
		if got.Status != ledger.AdjustmentMissed || !strings.Contains(got.Reason, "not of 2000-07-01") {
			t.Errorf("it is %s: %s", got.Status, got.Reason)
		}
	})
}

func wantRefused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it refused: %s", err, want)
	}
}

// What does not fit is refused when it is created, with the reason.
func TestAdjustRefuses(t *testing.T) {
	tests := []struct{ name, matcher, action, want string }{
		{"shipment made", `{"type": "CYCLE", "shipment": 2}`, pickle,
			"matcher.shipment: shipment 2 was made already: 2 of 6"},
		{"no such shipment", `{"type": "CYCLE", "shipment": 7}`, pickle, "matcher.shipment: the term has 6 shipments"},
		{"past", nextOrder, `{"type": "CHANGE_DATE", "input": {"newDate": "1999-12-01"}}`, "1999-12-01 is in the past"},
		{"over a cycle away", nextOrder, `{"type": "CHANGE_DATE", "input": {"newDate": "2000-04-01"}}`,
			"2000-04-01 is more than one billing cycle away"},
		{"line of nobody", nextOrder, `{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "x", "quantity": 2}]}}`,
			"line x is not on order"},
		{"address without a city", nextOrder,
			`{"type": "UPDATE_SHIPPING", "input": {"address": {"address1": "1 Pier", "countryCode": "US"}}}`,
			"action.input.address.city: required by Ordergroove, and no webhook carried the order's present address"},
		{"no product of the discount", nextOrder, strings.Replace(fifteen, `{"type": "all"}`,
			`{"type": "products", "productIds": ["TEA"]}`, 1), "has no item that the discount is for"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			runProgram(t, func(d *scene) {
				_, err := d.adjust(test.matcher, test.action)
				wantRefused(t, err, test.want)
			})
		})
	}
	t.Run("not live", func(t *testing.T) {
		runProgram(t, func(d *scene) {
			if err := d.Sim.CancelByAgent(d.sub.ID); err != nil {
				t.Fatal(err)
			}
			_, err := d.adjust(nextOrder, pickle)
			wantRefused(t, err, "the subscription is not active at Ordergroove")
		})
	})
}

// An order that carries other subscriptions is changed as a whole only where that is wanted.
func TestAdjustSharedOrder(t *testing.T) {
	whole := map[string]string{
		"date":     `{"type": "CHANGE_DATE", "input": {"newDate": "2000-01-20"}}`,
		"address":  pier,
		"payment":  `{"type": "UPDATE_PAYMENT_METHOD", "input": {"paymentMethodId": "card-2"}}`,
		"shipping": free,
	}
	for name, action := range whole {
		t.Run(name, func(t *testing.T) {
			runProgram(t, func(d *scene) {
				other := d.Subscribe("SIX")
				if err := d.Sim.Combine(other.ID, d.sub.ID); err != nil {
					t.Fatal(err)
				}
				_, err := d.adjust(nextOrder, action)
				wantRefused(t, err, "also carries "+other.ID)
				spec := d.spec(nextOrder, action)
				spec.SharedOrders = "apply"
				created, err := d.agent.Adjust(d.Context(), agent.AdjustmentRequest{Subscription: d.sub.ID, Spec: spec})
				if err != nil {
					t.Fatal(err)
				}
				d.Settle()
				d.wantAdjusted(d.now(created), ledger.AdjustmentApplied, d.upcoming())
			})
		})
	}
	t.Run("a discount is for its own items", func(t *testing.T) {
		runProgram(t, func(d *scene) {
			other := d.Subscribe("SIX")
			if err := d.Sim.Combine(other.ID, d.sub.ID); err != nil {
				t.Fatal(err)
			}
			d.wantAdjusted(d.adjusted(nextOrder, fifteen), ledger.AdjustmentApplied, d.upcoming())
			if n := len(d.Sim.Incentives()); n != 1 {
				t.Errorf("%d items have a discount, want 1", n)
			}
		})
	})
}

// A call whose outcome is not known is repeated only where what is at Ordergroove can be read.
func TestAdjustOutcomeUnknown(t *testing.T) {
	tests := []struct {
		name, action, path string
		readable           bool
	}{
		{"product", pickle, "/change_product/", true},
		{"date", `{"type": "CHANGE_DATE", "input": {"newDate": "2000-01-20"}}`, "/change_place_date/", true},
		{"skip", skipOrder, "/skip_subscription/", true},
		{"discount", fifteen, "/one_time_incentives/", false},
		{"address", pier, "/addresses/create/", false},
		{"address of the order", pier, "/change_shipping/", true},
	}
	for _, test := range tests {
		for _, takesEffect := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, takes effect %v", test.name, takesEffect), func(t *testing.T) {
				t.Logf("FAULT | an adjustment's call gets no answer: %s, took effect: %v | I11: one effect at most, and what is "+
					"not known needs attention", test.name, takesEffect)
				runProgram(t, func(d *scene) {
					var got []string
					d.notifyInto(&got)
					order := d.upcoming()
					d.Sim.Break(sim.Fault{
						Path:        test.path,
						Times:       1,
						Status:      502,
						Body:        "bad gateway",
						TakesEffect: takesEffect,
					})
					created, err := d.adjust(nextOrder, test.action)
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Minute)
					d.Settle()
					now := d.now(created)
					calls := 0
					for _, call := range d.Sim.Calls() {
						if strings.Contains(call.Path, test.path) {
							calls++
						}
					}
					switch {
					case !test.readable:
						d.wantAdjusted(now, ledger.AdjustmentAttention, order)
						if calls != 1 || !strings.Contains(now.Reason, "check order "+order) {
							t.Errorf("%d calls; %s", calls, now.Reason)
						}
						if len(got) != 1 || !strings.HasPrefix(got[0], counter.AdjustmentAttention) {
							t.Errorf("notifications: %q", got)
						}
					case takesEffect && calls != 1:
						t.Errorf("%d calls, want 1", calls)
					default:
						d.wantAdjusted(now, ledger.AdjustmentApplied, order)
					}
				})
			})
		}
	}
}

// notifyInto collects what is notified about adjustments.
func (d *scene) notifyInto(got *[]string) {
	d.reload(func(r *cancelapp.Rules) {
		r.Messages = func(n counter.Notification) []ledger.Message {
			if n.Adjustment != "" {
				*got = append(*got, n.Type+" "+n.Order+" "+n.Reason)
			}
			return nil
		}
	})
}

// What Ordergroove refuses fails with its words, and is not tried again.
func TestAdjustRefusedByOrdergroove(t *testing.T) {
	runProgram(t, func(d *scene) {
		var got []string
		d.notifyInto(&got)
		d.Sim.Break(sim.Fault{
			Path: "/change_product/", Status: http.StatusBadRequest, Body: `{"product":["This product is not for sale."]}`,
		})
		now := d.adjusted(nextOrder, pickle)
		d.wantAdjusted(now, ledger.AdjustmentFailed, d.upcoming())
		if !strings.Contains(now.Reason, "This product is not for sale.") || len(got) != 1 {
			t.Errorf("%s; notified %q", now.Reason, got)
		}
	})
}

// An adjustment is taken back while it waits; one that was applied says so.
func TestCancelAdjustment(t *testing.T) {
	runProgram(t, func(d *scene) {
		waiting, err := d.adjust(`{"type": "CYCLE", "cycle": 2}`, pier)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.agent.CancelAdjustment(d.Context(), d.sub.ID, waiting.ID, "agent-8")
		if err != nil || got.Status != ledger.AdjustmentCanceled || strings.Contains(string(got.Spec.Action.Input), "Pier") {
			t.Errorf("got %s, %v: %s", got.Status, err, got.Spec.Action.Input)
		}
		applied := d.adjusted(nextOrder, pickle)
		_, err = d.agent.CancelAdjustment(d.Context(), d.sub.ID, applied.ID, "agent-8")
		wantRefused(t, err, "it was applied to order "+applied.Order)
		_, err = d.agent.CancelAdjustment(d.Context(), d.sub.ID, "x", "agent-8")
		if !errors.Is(err, ledger.ErrUnknownAdjustment) {
			t.Errorf("got %v", err)
		}
	})
}

// A request with the same key is one adjustment.
func TestAdjustIdempotency(t *testing.T) {
	runProgram(t, func(d *scene) {
		r := agent.AdjustmentRequest{Key: "k", Subscription: d.sub.ID, Spec: d.spec(nextOrder, fifteen), Actor: "agent-7"}
		first, err := d.agent.Adjust(d.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		d.Settle()
		again, err := d.agent.Adjust(d.Context(), r)
		if err != nil || again.ID != first.ID {
			t.Errorf("got %s, %v; want %s", again.ID, err, first.ID)
		}
		d.Settle()
		if n := len(d.Sim.Incentives()); n != 1 {
			t.Errorf("%d discounts, want 1", n)
		}
		r.Spec = d.spec(nextOrder, skipOrder)
		if _, err := d.agent.Adjust(d.Context(), r); !errors.Is(err, ledger.ErrAdjustmentExists) {
			t.Errorf("got %v, want it refused", err)
		}
	})
}

// termed.yaml adjusts a shipment of every subscription, once.
func TestAdjustByTerm(t *testing.T) {
	runProgram(t, func(d *scene) {
		spec, err := schedule.ParseForTerm([]byte(`{"shipment": 4, "action": ` + fifteen + `}`))
		if err != nil {
			t.Fatal(err)
		}
		d.reload(func(r *cancelapp.Rules) { r.Schedule.ByTerm = map[string][]schedule.Spec{"Program": {spec}} })
		d.placeNext() // shipment 3
		d.File()
		d.Settle()
		_, items := d.order()
		if got := d.Sim.Incentives(); len(got) != 1 || got[0].Item != items[0].ID {
			t.Errorf("discounts: %v, want one of shipment 4", got)
		}
		d.Retry(d.sub)
		d.Settle()
		for range 3 {
			d.placeNext()
		}
		if got := d.Sim.Incentives(); len(got) != 1 {
			t.Errorf("discounts: %v", got)
		}
		d.Judge(d.sub, 5)
	})
}

// While changes are paused, or in observe mode, an adjustment waits.
func TestAdjustWaits(t *testing.T) {
	runProgram(t, func(d *scene) {
		pause := ledger.Pause{Since: d.Clock.Now().UnixMilli(), Actor: "op", Reason: "test"}
		if _, err := d.DB.Pause(d.Context(), pause); err != nil {
			t.Fatal(err)
		}
		got := d.adjusted(nextOrder, pickle)
		d.wantAdjusted(got, ledger.AdjustmentPending, "")
		if _, err := d.DB.Resume(d.Context(), pause); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		d.Settle()
		d.wantAdjusted(d.now(got), ledger.AdjustmentApplied, d.upcoming())
	})
}

// The address of an order that a webhook carried completes another one.
func TestAdjustCompletesAddress(t *testing.T) {
	runProgram(t, func(d *scene) {
		order, _ := d.order()
		shipping, _ := order.Fields["shipping_address"].(string)
		d.Append(ledger.Event{Created: d.Clock.Now().Unix() * 1000, ID: "evt_a", Type: "item.successfully_placed",
			Body: fmt.Appendf(nil, `{"id":"evt_a","type":"item.successfully_placed","created":%d,"data":{"object":{"public_id":`+
				`"i0","order":"o0","subscription":%q,"product":"SIX"}},"snapshot":{"addresses":[{"public_id":%q,`+
				`"first_name":"Ada","last_name":"Byron","city":"Dover","state_province_code":"NY",`+
				`"zip_postal_code":"12345","phone":"1"}]}}`,
				d.Clock.Now().Unix(), d.sub.ID, shipping)})
		d.Settle()
		got := d.adjusted(nextOrder,
			`{"type": "UPDATE_SHIPPING", "input": {"address": {"address1": "2 Quay", "countryCode": "US"}}}`)
		d.wantAdjusted(got, ledger.AdjustmentApplied, order.ID)
		order, _ = d.order()
		id, _ := order.Fields["shipping_address"].(string)
		if name, _ := d.Sim.Address(id, "first_name"); name != "Ada" {
			t.Errorf("it goes to %q", name)
		}
	})
}

// The forecast says which shipments are to come, and what becomes of each.
func TestForecast(t *testing.T) {
	runProgram(t, func(d *scene) {
		for matcher, action := range map[string]string{
			`{"type": "CYCLE", "shipment": 3}`: fifteen,
			`{"type": "CYCLE", "shipment": 4}`: skipOrder,
			`{"type": "CYCLE", "shipment": 5}`: pickle,
		} {
			if _, err := d.adjust(matcher, action); err != nil {
				t.Fatal(err)
			}
		}
		d.Settle()
		expected, err := d.agent.Forecast(d.Context(), d.Recorded(d.sub).Subscription)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, e := range expected {
			line := fmt.Sprintf("%d %s %s", e.Shipment, e.Date, e.SKU)
			for _, p := range e.Adjustments {
				line += " " + string(p.Spec.Action.Type)
			}
			for _, a := range e.Applied {
				line += fmt.Sprintf(" applied %s unsure %v", a.Action.Type, a.Unsure)
			}
			if e.Last {
				line += " last"
			}
			lines = append(lines, line)
		}
		want := []string{
			"3 2000-02-01 SIX applied APPLY_DISCOUNT unsure false",
			"0 2000-03-01 SIX SKIP_ORDER",
			"4 2000-04-01 SIX",
			"5 2000-05-01 PICKLE UPDATE_PRODUCTS",
			"6 2000-06-01 SIX last",
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("forecast (-want +got):\n%s", diff)
		}
		if expected[0].Order != d.upcoming() {
			t.Errorf("the next order is %s, want %s", expected[0].Order, d.upcoming())
		}
	})
}

// Every sample of docs/adjustments.md is accepted, and carried out.
func TestAdjustmentsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/adjustments.md")
	if err != nil {
		t.Fatal(err)
	}
	samples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	shown := map[schedule.ActionType]bool{}
	for i, sample := range samples {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			runProgram(t, func(d *scene) {
				d.reload(func(r *cancelapp.Rules) {
					r.Schedule.Codes = map[string]schedule.Code{"SAVE20": {Percent: true, Value: "20.00"}}
				})
				body := strings.ReplaceAll(sample[1], "SUBSCRIPTION", d.sub.ID)
				body = strings.ReplaceAll(body, "2026-12-24", "2000-01-24") // the clock of the bubble
				spec, err := schedule.Parse([]byte(body))
				if err != nil {
					t.Fatal(err)
				}
				shown[spec.Action.Type] = true
				order := d.upcoming()
				created, err := d.agent.Adjust(d.Context(), agent.AdjustmentRequest{Subscription: d.sub.ID, Spec: spec})
				if err != nil {
					t.Fatal(err)
				}
				d.Settle()
				d.wantAdjusted(d.now(created), ledger.AdjustmentApplied, order)
			})
		})
	}
	if len(shown) != 6 {
		t.Errorf("the page shows %d actions, want all 6", len(shown))
	}
}

// Which shipment comes next is not known while an order that was placed is not recorded.
func TestAdjustWaitsForTheCount(t *testing.T) {
	runProgram(t, func(d *scene) {
		late := d.PlaceLate(d.sub)
		_, err := d.adjust(`{"type": "CYCLE", "shipment": 3}`, pickle)
		wantRefused(t, err, "the order before the upcoming one is not recorded yet")
		d.FileAll(late)
		d.Settle()
		d.wantAdjusted(d.adjusted(`{"type": "CYCLE", "shipment": 4}`, pickle), ledger.AdjustmentApplied, d.upcoming())

		// The same for one that waits: the webhook of the order before it comes after the one of its own.
		waiting, err := d.adjust(`{"type": "CYCLE", "shipment": 6}`, fifteen)
		if err != nil {
			t.Fatal(err)
		}
		d.placeNext() // shipment 4
		late = d.PlaceLate(d.sub)
		var created []sim.Event
		late = slices.DeleteFunc(late, func(e sim.Event) bool {
			if e.Type == "order.create" {
				created = append(created, e)
			}
			return e.Type == "order.create"
		})
		d.FileAll(created)
		d.Settle()
		d.wantAdjusted(d.now(waiting), ledger.AdjustmentPending, "")
		d.FileAll(late)
		d.Settle()
		d.wantAdjusted(d.now(waiting), ledger.AdjustmentApplied, d.upcoming())
	})
}

// News about the orders of a customer costs nothing for subscriptions without adjustments.
func TestOrderEventsWithoutAdjustments(t *testing.T) {
	runProgram(t, func(d *scene) {
		before := len(d.Sim.Calls())
		for _, eventType := range []string{"order.create", "order.reminder", "order.change_next_order_date", "item.create"} {
			e, err := d.Sim.Make(eventType)
			if err != nil {
				t.Fatal(err)
			}
			var event struct {
				ID   string `json:"id"`
				Type string `json:"type"`
				Data struct {
					Object map[string]any `json:"object"`
				} `json:"data"`
			}
			if err := json.Unmarshal(e.Body, &event); err != nil {
				t.Fatal(err)
			}
			event.Data.Object["customer"] = "c"
			event.Data.Object["subscription"] = d.sub.ID
			if e.Body, err = json.Marshal(event); err != nil {
				t.Fatal(err)
			}
			d.FileAll([]sim.Event{e})
		}
		d.Settle()
		if n := len(d.Sim.Calls()) - before; n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// A thousand adjustments that wait cost no call until their orders come, whatever happens to other customers' orders.
func TestPendingAdjustmentsCostNothing(t *testing.T) {
	apptest.Run(t, sim.Options{OrderEvents: true}, func(t *testing.T, b *apptest.Bubble) {
		d := &scene{Bubble: b, T: t}
		d.agent = agent.New(b.App, b.DB, agent.Options{Now: b.Clock.Now})
		for i := range 50 {
			var err error
			d.sub, err = d.Sim.Subscribe(sim.NewSubscription{Product: "SIX", Customer: fmt.Sprint("customer-", i)})
			if err != nil {
				t.Fatal(err)
			}
			d.File()
			d.Settle()
			if _, err := d.adjust(`{"type": "CYCLE", "cycle": 9}`, skipOrder); err != nil {
				t.Fatal(err)
			}
			d.Settle()
			d.recordPending(19)
		}
		d.Settle()
		pending, err := d.DB.Adjustments(d.Context(), store.AdjustmentQuery{Status: ledger.AdjustmentPending})
		if err != nil || len(pending) != 1000 {
			t.Fatalf("%d are pending, %v; want 1000", len(pending), err)
		}
		before := len(d.Sim.Calls())
		for _, eventType := range []string{"order.create", "order.reminder", "order.skip_order"} { // another customer's
			e, err := d.Sim.Make(eventType)
			if err != nil {
				t.Fatal(err)
			}
			d.FileAll([]sim.Event{e})
		}
		time.Sleep(2 * time.Hour)
		d.Settle()
		if n := len(d.Sim.Calls()) - before; n != 0 {
			t.Errorf("%d calls, want none: %v", n, d.Sim.Calls()[before:])
		}
		d.Place(d.sub)
		d.Settle()
		if n := len(d.Sim.Calls()) - before; n == 0 || n > 15 {
			t.Errorf("%d calls when the order of one has come", n)
		}
	})
}

// recordPending records further adjustments that wait, as the agent does.
func (d *scene) recordPending(n int) {
	d.Helper()
	now := d.Clock.Now().UnixMilli()
	lease, err := d.DB.ClaimOne(d.Context(), d.sub.ID, now, now+1000)
	if err != nil {
		d.Fatal(err)
	}
	for i := range n {
		a := ledger.Adjustment{
			ID:           fmt.Sprint(d.sub.ID, "-", i),
			Subscription: d.sub.ID,
			Spec:         d.spec(fmt.Sprintf(`{"type": "CYCLE", "cycle": %d}`, i+10), skipOrder),
			Slot:         i + 10,
			Status:       ledger.AdjustmentPending,
			Created:      now,
		}
		if _, err := d.DB.Record(d.Context(), lease, ledger.Step{Enrollment: lease.Enrollment, Adjustment: &a}); err != nil {
			d.Fatal(err)
		}
	}
	outcome := ledger.Outcome{At: now, Subscription: lease.Subscription.Subscription}
	if err := d.DB.Finish(d.Context(), lease, outcome); err != nil {
		d.Fatal(err)
	}
}
