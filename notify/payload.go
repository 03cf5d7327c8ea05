package notify

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/termed/termed/counter"
)

// payload is the body of a message; docs/notifications.md has a sample of each type.
type payload struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

// subscriptionData is the data of a notification about a subscription.
type subscriptionData struct {
	Subscription   string        `json:"subscription"`
	Customer       string        `json:"customer"`
	SKU            string        `json:"sku"`
	Term           string        `json:"term"`
	State          counter.State `json:"state"`
	ShipmentsMade  *int          `json:"made,omitempty"` // absent for a prepaid subscription, which Ordergroove counts
	ShipmentsTotal *int          `json:"total,omitempty"`
	Remaining      *int          `json:"remaining,omitempty"`
	Shipment       int           `json:"shipment,omitempty"`
	Order          string        `json:"order,omitempty"`
	Place          string        `json:"place,omitempty"`
	HoursLeft      *float64      `json:"hours_left,omitempty"`
	Adjustment     string        `json:"adjustment,omitempty"`
	Reason         string        `json:"reason,omitempty"`
}

// waitingData is the data of a notification about subscriptions that wait for an operator.
type waitingData struct {
	Term     string `json:"term,omitempty"`
	Complete int    `json:"complete"`
	Running  *int   `json:"running,omitempty"`
	Reason   string `json:"reason"`
}

// serviceData is the data of a notification about the service as a whole.
type serviceData struct {
	LastDelivery string `json:"last_delivery"`
}

// Body returns the body of a notification, exactly as it is sent.
func Body(n counter.Notification) []byte {
	p := payload{Type: n.Type, Timestamp: timestamp(n.At)}
	switch n.Type {
	case counter.NoDeliveries:
		p.Data = serviceData{timestamp(n.Since)}
	case counter.ApprovalNeededOf:
		p.Data = waitingData{n.Waiting.Term, n.Waiting.Complete, &n.Waiting.Running, n.Reason}
	case counter.EndsHeldBack:
		p.Data = waitingData{Complete: n.Waiting.Complete, Reason: n.Reason}
	default:
		p.Data = aboutSubscription(n)
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(p) // texts and numbers always marshal
	return []byte(strings.TrimSuffix(text.String(), "\n"))
}

func aboutSubscription(n counter.Notification) subscriptionData {
	d := subscriptionData{
		Subscription: n.Subscription.ID,
		Customer:     n.Subscription.Customer,
		SKU:          n.Subscription.SKU,
		Term:         n.Subscription.Term,
		State:        n.Subscription.State,
		Shipment:     n.Shipment,
		Order:        n.Order,
		Adjustment:   n.Adjustment,
		Reason:       n.Reason,
	}
	if !n.Subscription.Prepaid {
		d.ShipmentsMade = new(n.Subscription.ShipmentsMade())
		d.ShipmentsTotal = new(n.Subscription.ShipmentsTotal())
		d.Remaining = new(n.Subscription.Remaining())
	}
	if n.Place != 0 {
		hours := float64(n.Place-n.At) / float64(time.Hour.Milliseconds())
		d.HoursLeft = new(math.Round(hours*10) / 10)
		d.Place = timestamp(n.Place)
	}
	return d
}

func timestamp(at int64) string {
	return time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z")
}
