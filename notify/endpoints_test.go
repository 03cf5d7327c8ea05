package notify_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/notify"
)

// Each endpoint that subscribes to a type gets its own message. All messages of a notification have the same id.
func TestMessages(t *testing.T) {
	endpoints, err := notify.NewEndpoints([]notify.Endpoint{
		{Name: "all", URL: "https://example.com/a", Secrets: []string{secret}},
		{
			Name:    "ends",
			URL:     "https://example.com/b",
			Secrets: []string{secret, second},
			Types:   []string{counter.TermCompleted, counter.TermEnded},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	recipients := func(messages []ledger.Message) (names []string) {
		for _, m := range messages {
			if !strings.HasPrefix(m.ID, "msg_") || m.ID != messages[0].ID || len(m.Body) == 0 {
				t.Errorf("message %+v", m)
			}
			names = append(names, m.Endpoint)
		}
		return names
	}
	ended := endpoints.Messages(counter.Notification{Type: counter.TermEnded, Subscription: record()})
	if got := recipients(ended); !slices.Equal(got, []string{"all", "ends"}) {
		t.Errorf("term.ended goes to %v", got)
	}
	shipment := endpoints.Messages(counter.Notification{Type: counter.TermShipment, Subscription: record()})
	if got := recipients(shipment); !slices.Equal(got, []string{"all"}) {
		t.Errorf("term.shipment goes to %v", got)
	}
	another := endpoints.Messages(counter.Notification{Type: counter.TermEnded, Subscription: record()})
	if another[0].ID == ended[0].ID {
		t.Error("two notifications have the same id")
	}
	withID := endpoints.Messages(counter.Notification{ID: "gap-7", Type: counter.NoDeliveries})
	if got := withID[0].ID; got != "msg_gap-7" {
		t.Errorf("id = %s", got)
	}
}

func TestNewEndpointsRefuses(t *testing.T) {
	good := notify.Endpoint{Name: "a", URL: "https://example.com/", Secrets: []string{secret}}
	for name, change := range map[string]func(*notify.Endpoint){
		"no name":        func(e *notify.Endpoint) { e.Name = "" },
		"http":           func(e *notify.Endpoint) { e.URL = "http://example.com/" },
		"another scheme": func(e *notify.Endpoint) { e.URL, e.Private = "file:///etc/passwd", true },
		"no host":        func(e *notify.Endpoint) { e.URL = "https:///x" },
		"no secret":      func(e *notify.Endpoint) { e.Secrets = nil },
		"short secret":   func(e *notify.Endpoint) { e.Secrets = []string{"whsec_c2hvcnQ="} },
		"no whsec_":      func(e *notify.Endpoint) { e.Secrets = []string{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} },
		"not base64":     func(e *notify.Endpoint) { e.Secrets = []string{"whsec_" + strings.Repeat("#", 33)} },
	} {
		e := good
		change(&e)
		if _, err := notify.NewEndpoints([]notify.Endpoint{e}); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "c2hvcnQ") {
			t.Errorf("%s: the error quotes the secret: %v", name, err)
		}
	}
	if _, err := notify.NewEndpoints([]notify.Endpoint{good, good}); err == nil {
		t.Error("two endpoints with the same name: accepted")
	}
	if _, err := notify.NewEndpoints([]notify.Endpoint{good}); err != nil {
		t.Error(err)
	}
}
