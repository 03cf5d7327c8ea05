package notify_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/notify"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	second = "whsec_c2Vjb25kLXNlY3JldC0wMTIzNDU2Nzg5YWJj"
)

// record is the subscription of the samples: two of three shipments made, one of them the checkout's.
func record(changes ...func(*counter.Subscription)) counter.Subscription {
	s := counter.Subscription{
		ID:       "51a3c0ffee51a3c0ffee51a3c0ffee51",
		Customer: "customer-4711",
		Live:     true,
		Enrollment: counter.Enrollment{
			SKU:               "GIFT-3MO",
			Term:              "Three-month gift",
			State:             counter.Active,
			CheckoutShipments: 1,
			OrdersDue:         2,
			Written:           counter.Written{CountersSent: []int{2, 1}},
			Placed:            counter.Placed{Orders: 1},
		},
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func is(state counter.State, made int) func(*counter.Subscription) {
	return func(s *counter.Subscription) {
		s.State = state
		s.Placed.Orders = made
	}
}

// samples are a notification of each type, as docs/notifications.md shows them.
func samples() []counter.Notification {
	const (
		order = "0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d"

		adjustment = "wq7f3kz2nq4t5v6x7y2a3b4c5d"
		ended      = "canceled by somebody else with 1 to go"
		attention  = "the counter in extra_data is not a number: set it to a number, or remove it"
	)
	at := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC).UnixMilli()
	day := 24 * time.Hour.Milliseconds()
	return []counter.Notification{
		{Type: counter.TermStarted, At: at, Subscription: record(is(counter.Active, 0))},
		{
			Type:         counter.TermShipment,
			At:           at,
			Subscription: record(),
			Shipment:     2,
			Order:        order,
		},
		{
			Type:         counter.LastShipmentNext,
			At:           at,
			Subscription: record(),
			Order:        order,
			Place:        at + 3*day,
		},
		{Type: counter.TermCompleted, At: at, Subscription: record(is(counter.Completed, 2))},
		{Type: counter.TermEnded, At: at, Subscription: record(is(counter.Ended, 1)), Reason: ended},
		{Type: counter.BlockedReactivation, At: at, Subscription: record(is(counter.Completed, 2))},
		{
			Type:         counter.OvershipRisk,
			At:           at,
			Subscription: record(is(counter.Completing, 2)),
			Order:        order,
			Place:        at + day,
		},
		{Type: counter.NeedsAttention, At: at, Subscription: record(is(counter.Attention, 1)), Reason: attention},
		{Type: counter.NoDeliveries, At: at, Since: at - day},
		{
			Type:    counter.ApprovalNeededOf,
			At:      at,
			Reason:  "Coffee: 41 would end now, 371 later",
			Waiting: counter.Waiting{Term: "Coffee", Complete: 41, Running: 371},
		},
		{
			Type:    counter.EndsHeldBack,
			At:      at,
			Reason:  "more subscriptions were complete at first sight than may be ended in an hour",
			Waiting: counter.Waiting{Complete: 12},
		},
		{
			Type:         counter.AdjustmentMissed,
			At:           at,
			Subscription: record(),
			Adjustment:   adjustment,
			Reason:       "shipment 2 was made before it could be adjusted",
		},
		{
			Type:         counter.AdjustmentFailed,
			At:           at,
			Subscription: record(),
			Order:        order,
			Adjustment:   adjustment,
			Reason:       "product: This product is not for sale.",
		},
		{
			Type:         counter.AdjustmentAttention,
			At:           at,
			Subscription: record(),
			Order:        order,
			Adjustment:   adjustment,
			Reason: "it may have been applied: Ordergroove did not answer, and does not let us read it; check order " +
				order,
		},
	}
}

var block = regexp.MustCompile("(?s)```json\n(.*?)```")

// docs/notifications.md shows a message of each type, byte for byte.
func TestSamplesInDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		shown = append(shown, b[1])
	}
	if len(shown) != len(counter.NotificationTypes) {
		t.Fatalf("docs/notifications.md shows %d samples, there are %d types", len(shown), len(counter.NotificationTypes))
	}
	for i, n := range samples() {
		if n.Type != counter.NotificationTypes[i] {
			t.Errorf("sample %d is of %s, not %s", i, n.Type, counter.NotificationTypes[i])
		}
		var pretty strings.Builder
		body := notify.Body(n)
		encoder := json.NewEncoder(&pretty)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(json.RawMessage(body)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(pretty.String(), shown[i]); diff != "" {
			t.Errorf("%s (-sent +docs):\n%s", n.Type, diff)
		}
		if !strings.Contains(string(text), "`"+n.Type+"`") {
			t.Errorf("docs/notifications.md does not say what %s is", n.Type)
		}
	}
}

// Ordergroove counts a prepaid subscription, so a notification has no counts. Only necessary characters are escaped.
func TestPrepaid(t *testing.T) {
	prepaid := record(func(l *counter.Subscription) {
		l.Prepaid = true
		l.SKU = "<A&B>"
	})
	got := string(notify.Body(counter.Notification{Type: counter.TermCompleted, Subscription: prepaid}))
	want := `{"type":"term.completed","timestamp":"1970-01-01T00:00:00.000Z","data":{` +
		`"subscription":"51a3c0ffee51a3c0ffee51a3c0ffee51","customer":"customer-4711","sku":"<A&B>",` +
		`"term":"Three-month gift","state":"active"}}`
	if got != want {
		t.Errorf("Body = %s\nwant   %s", got, want)
	}
}
