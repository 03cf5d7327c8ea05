package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter/schedule"
)

const (
	skip     = `{"type": "SKIP_ORDER", "input": {"reason": "away"}}`
	move     = `{"type": "CHANGE_DATE", "input": {"newDate": "2026-12-24"}}`
	ship     = `{"type": "UPDATE_SHIPPING", "input": {"address": {"address1": "1 Pier", "countryCode": "US"}}}`
	pay      = `{"type": "UPDATE_PAYMENT_METHOD", "input": {"paymentMethodId": "p1"}}`
	products = `{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "s1", "variantId": "MINT"}]}}`
	code     = `{"type": "APPLY_DISCOUNT", "input": {"discountSource": "code", "discountCode": "SAVE20"}}`
	manual   = `{"type": "APPLY_DISCOUNT", "input": {"discountSource": "manual", "discountCode": "Sorry", ` +
		`"discountType": "percentage", "value": 12.5, "targetType": "line_item", "targeting": {"type": "all"}}}`
	freeShipping = `{"type": "APPLY_DISCOUNT", "input": {"discountSource": "manual", "discountCode": "Free", ` +
		`"discountType": "percentage", "value": 100, "targetType": "shipping", "targeting": {"type": "all"}}}`
)

// Each action with each matcher: allowed, or refused and why.
func TestActionsAndMatchers(t *testing.T) {
	matchers := []struct{ name, json string }{
		{"cycle", `{"type": "CYCLE", "cycle": 0}`},
		{"shipment", `{"type": "CYCLE", "shipment": 2}`},
		{"date", `{"type": "DATE", "date": "2026-12-01"}`},
		{"cycle and date", `{"type": "CYCLE_AND_DATE", "cycle": 1, "date": "2026-12-01"}`},
	}
	tests := []struct {
		name, action string
		refused      map[string]string // by matcher
	}{
		{"skip", skip, nil},
		{"move", move, map[string]string{
			"date":           "matcher.type: CHANGE_DATE goes with CYCLE only",
			"cycle and date": "matcher.type: CHANGE_DATE goes with CYCLE only",
		}},
		{"ship", ship, nil},
		{"pay", pay, nil},
		{"products", products, nil},
		{"code", code, nil},
		{"manual discount", manual, nil},
		{"free shipping", freeShipping, map[string]string{
			"date":           "matcher.type: a discount on shipping goes with CYCLE only",
			"cycle and date": "matcher.type: a discount on shipping goes with CYCLE only",
		}},
	}
	for _, test := range tests {
		for _, m := range matchers {
			t.Run(test.name+" by "+m.name, func(t *testing.T) {
				_, err := schedule.Parse(fmt.Appendf(nil, `{"matcher": %s, "action": %s}`, m.json, test.action))
				want, refused := test.refused[m.name]
				switch {
				case !refused && err != nil:
					t.Errorf("refused: %v", err)
				case refused && (err == nil || !strings.HasPrefix(err.Error(), want)):
					t.Errorf("got %v, want %s", err, want)
				}
			})
		}
	}
}

// What is wrong is said with the path of its field.
func TestParseRefuses(t *testing.T) {
	discount := func(changes string) string {
		return `{"type": "APPLY_DISCOUNT", "input": {"discountSource": "manual", "discountCode": "Sorry", ` + changes + `}}`
	}
	tests := []struct{ name, matcher, action, want string }{
		{"nothing", `{}`, skip, "matcher.type: required"},
		{"unknown type", `{"type": "LAST"}`, skip, "matcher.type: value must be one of 'CYCLE', 'DATE', 'CYCLE_AND_DATE'"},
		{"neither cycle nor shipment", `{"type": "CYCLE"}`, skip, "matcher: write either cycle or shipment"},
		{"both", `{"type": "CYCLE", "cycle": 0, "shipment": 2}`, skip, "matcher: write either cycle or shipment"},
		{"negative cycle", `{"type": "CYCLE", "cycle": -1}`, skip, "matcher.cycle: minimum: got -1, want 0"},
		{"a date for a cycle", `{"type": "CYCLE", "cycle": 1, "date": "2026-12-01"}`, skip,
			"matcher: write either cycle or shipment; matcher.date: unknown field"},
		{"not a date", `{"type": "DATE", "date": "1.12.2026"}`, skip, "matcher.date: write a date: 2026-12-24"},
		{"no such day", `{"type": "DATE", "date": "2026-02-30"}`, skip, "matcher.date: write a date: 2026-12-24"},
		{"no reason", `{"type": "CYCLE", "cycle": 0}`, `{"type": "SKIP_ORDER", "input": {}}`,
			"action.input.reason: required"},
		{"a time without a zone", `{"type": "CYCLE", "cycle": 0}`,
			`{"type": "CHANGE_DATE", "input": {"newDate": "2026-12-24T10:00:00"}}`,
			"action.input.newDate: write a date (2026-12-24), or a time with its zone (2026-12-24T10:00:00Z)"},
		{"unknown field", `{"type": "CYCLE", "cycle": 0}`,
			`{"type": "UPDATE_SHIPPING", "input": {"address": {"address1": "x", "countryCode": "US", "zipcode": "1"}}}`,
			"action.input.address.zipcode: unknown field"},
		{"country", `{"type": "CYCLE", "cycle": 0}`,
			`{"type": "UPDATE_SHIPPING", "input": {"address": {"countryCode": "usa"}}}`,
			"action.input.address.address1: required; " +
				"action.input.address.countryCode: 'usa' does not match pattern '^[A-Z]{2}$'"},
		{"no lines", `{"type": "CYCLE", "cycle": 0}`, `{"type": "UPDATE_PRODUCTS", "input": {"lines": []}}`,
			"action.input.lines: minItems: got 0, want 1"},
		{"quantity 0", `{"type": "CYCLE", "cycle": 0}`,
			`{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "s1"}, {"lineId": "s2", "quantity": 0}]}}`,
			"action.input.lines[0]: nothing to change: write variantId, quantity, interval or nextBillingDate; " +
				"action.input.lines[1].quantity: minimum: got 0, want 1"},
		{"interval", `{"type": "CYCLE", "cycle": 0}`, `{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "s1", ` +
			`"interval": {"intervalCount": 2, "interval": "FORTNIGHT"}}]}}`,
			"action.input.lines[0].interval.interval: value must be one of 'DAY', 'WEEK', 'MONTH', 'YEAR'"},
		{"over 100 percent", `{"type": "CYCLE", "cycle": 0}`,
			discount(`"discountType": "percentage", "value": 101, "targetType": "line_item", "targeting": {"type": "all"}`),
			"action.input.value: maximum: got 101, want 100"},
		{"a fraction of a cent", `{"type": "CYCLE", "cycle": 0}`,
			discount(`"discountType": "fixed_amount", "value": 1.005, "targetType": "line_item", "targeting": {"type": "all"}`),
			"action.input.value: multipleOf: got 1.005, want 0.01"},
		{"half of shipping", `{"type": "CYCLE", "cycle": 0}`,
			discount(`"discountType": "percentage", "value": 50, "targetType": "shipping", "targeting": {"type": "all"}`),
			"action.input.value: value must be 100"},
		{"no products", `{"type": "CYCLE", "cycle": 0}`,
			discount(`"discountType": "percentage", "value": 5, "targetType": "line_item", "targeting": {"type": "products"}`),
			"action.input.targeting.productIds: required"},
		{"unknown action", `{"type": "CYCLE", "cycle": 0}`, `{"type": "PAUSE", "input": {}}`,
			"action.type: value must be one of 'SKIP_ORDER', 'CHANGE_DATE', 'UPDATE_SHIPPING', 'UPDATE_PAYMENT_METHOD', " +
				"'UPDATE_PRODUCTS', 'APPLY_DISCOUNT'"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := schedule.Parse(fmt.Appendf(nil, `{"matcher": %s, "action": %s}`, test.matcher, test.action))
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// What termed.yaml asks of every subscription of a term names no date, address, payment method or line.
func TestParseForTerm(t *testing.T) {
	ours := `{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"variantId": "MINT"}]}}`
	for _, action := range []string{skip, manual, freeShipping, code, ours} {
		if _, err := schedule.ParseForTerm(fmt.Appendf(nil, `{"shipment": 2, "action": %s}`, action)); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
	for _, action := range []string{move, ship, pay, products} {
		if _, err := schedule.ParseForTerm(fmt.Appendf(nil, `{"shipment": 2, "action": %s}`, action)); err == nil {
			t.Errorf("%s is accepted", action)
		}
	}
}

func TestMatch(t *testing.T) {
	cycle := func(n int) *int { return &n }
	at := schedule.Position{Slot: 4, Shipment: 3, Date: "2026-12-01"}
	tests := []struct {
		name string
		m    schedule.Matcher
		slot int
		want schedule.Verdict
	}{
		{"cycle", schedule.Matcher{Type: schedule.Cycle, Cycle: cycle(0)}, 4, schedule.Match},
		{"later cycle", schedule.Matcher{Type: schedule.Cycle, Cycle: cycle(1)}, 5, schedule.Later},
		{"earlier cycle", schedule.Matcher{Type: schedule.Cycle, Cycle: cycle(0)}, 3, schedule.Passed},
		{"shipment", schedule.Matcher{Type: schedule.Cycle, Shipment: 3}, 0, schedule.Match},
		{"later shipment", schedule.Matcher{Type: schedule.Cycle, Shipment: 4}, 0, schedule.Later},
		{"earlier shipment", schedule.Matcher{Type: schedule.Cycle, Shipment: 2}, 0, schedule.Passed},
		{"date", schedule.Matcher{Type: schedule.Date, Date: "2026-12-01"}, 0, schedule.Match},
		{"later date", schedule.Matcher{Type: schedule.Date, Date: "2027-01-01"}, 0, schedule.Later},
		{"earlier date", schedule.Matcher{Type: schedule.Date, Date: "2026-11-30"}, 0, schedule.Passed},
		{"both", schedule.Matcher{Type: schedule.CycleAndDate, Cycle: cycle(0), Date: "2026-12-01"}, 4, schedule.Match},
		{"cycle of another date", schedule.Matcher{Type: schedule.CycleAndDate, Cycle: cycle(0), Date: "2026-12-02"}, 4,
			schedule.Passed},
		{"both, later", schedule.Matcher{Type: schedule.CycleAndDate, Cycle: cycle(2), Date: "2026-12-01"}, 6,
			schedule.Later},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, reason := test.m.Match(test.slot, at)
			if got != test.want || got == schedule.Passed && reason == "" {
				t.Errorf("%s: got %v (%q), want %v", test.m, got, reason, test.want)
			}
		})
	}
}

// What the shop's own rules refuse.
func TestCheck(t *testing.T) {
	now := time.Date(2026, 12, 2, 3, 0, 0, 0, time.UTC) // the first in New York
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	settings := schedule.Settings{
		Location: newYork,
		Codes: map[string]schedule.Code{
			"SAVE20": {Percent: true, Value: "20.00"},
			"OLD":    {Percent: true, Value: "20.00", Until: "2026-11-30"},
			"TODAY":  {Value: "5.00", Until: "2026-12-01"},
			"OFF":    {Value: "5.00", Inactive: true},
		},
		NoPayment: true,
	}
	discountCode := func(name string) string {
		return fmt.Sprintf(`{"type": "APPLY_DISCOUNT", "input": {"discountSource": "code", "discountCode": %q}}`, name)
	}
	date := func(text string) string {
		return fmt.Sprintf(`{"type": "CHANGE_DATE", "input": {"newDate": %q}}`, text)
	}
	next := func(text string) string {
		return fmt.Sprintf(`{"type": "UPDATE_PRODUCTS", "input": {"lines": [{"lineId": "s1", "nextBillingDate": %q}]}}`, text)
	}
	tests := []struct{ action, want string }{
		{discountCode("SAVE20"), ""},
		{discountCode("TODAY"), ""},
		{discountCode("OLD"), `action.input.discountCode: discount code "OLD" expired on 2026-11-30`},
		{discountCode("OFF"), `action.input.discountCode: discount code "OFF" is not active`},
		{discountCode("X"), `action.input.discountCode: unknown discount code "X"; discount_codes in termed.yaml lists ` +
			`those that may be used`},
		{date("2026-12-01"), ""},
		{date("2026-11-30"), "action.input.newDate: 2026-11-30 is in the past"},
		{date("2026-12-02T02:00:00Z"), "action.input.newDate: 2026-12-02T02:00:00Z is in the past"},
		{date("2026-12-02T05:00:00+01:00"), ""},
		{next("2026-11-30"), "action.input.lines[0].nextBillingDate: 2026-11-30 is in the past"},
		{pay, "action.type: for shops on Shopify, Ordergroove does not change the payment method of one order"},
		{skip, ""},
	}
	for _, test := range tests {
		t.Run(test.action, func(t *testing.T) {
			s, err := schedule.Parse(fmt.Appendf(nil, `{"matcher": {"type": "CYCLE", "cycle": 0}, "action": %s}`, test.action))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := s.Check(settings, now); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The date of an order is the shop's; one without a time of day is a date already.
func TestDateOf(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	settings := schedule.Settings{Location: newYork}
	for place, want := range map[time.Time]string{
		time.Date(2026, 12, 2, 3, 0, 0, 0, time.UTC): "2026-12-01",
		time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC): "2026-12-02",
	} {
		if got := settings.DateOf(place); got != want {
			t.Errorf("%s: got %s, want %s", place, got, want)
		}
	}
}
