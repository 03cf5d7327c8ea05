package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Secrets that sign notifications in tests.
const (
	notificationSecret    = "whsec_Y2FuYXJ5LW5vdGljZS1zZWNyZXQtMDEyMzQ1Njc4OQ=="
	newNotificationSecret = "whsec_Y2FuYXJ5LW5ldy1ub3RpY2Utc2VjcmV0LTAxMjM0NTY="
)

// endpoint is a merchant's own system that receives notifications. It checks each with the library that such a system
// would use.
type endpoint struct {
	server *httptest.Server

	mu       sync.Mutex
	status   int // to answer; 0: 200
	accepted []message
	wrong    []string
}

// message is one delivery of a notification.
type message struct {
	ID   string
	Type string
	Body []byte
}

func newEndpoint(secret string) *endpoint {
	e := &endpoint{}
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		panic(err)
	}
	e.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := readMessage(r, verifier)
		e.mu.Lock()
		defer e.mu.Unlock()
		if err != nil {
			e.wrong = append(e.wrong, fmt.Sprintf("%s: %v", m.Body, err))
		}
		if e.status != 0 && e.status != http.StatusOK {
			w.WriteHeader(e.status)
			return
		}
		e.accepted = append(e.accepted, m)
	}))
	return e
}

func readMessage(r *http.Request, verifier *standardwebhooks.Webhook) (message, error) {
	body, err := io.ReadAll(r.Body)
	m := message{ID: r.Header.Get("webhook-id"), Body: body}
	if err != nil {
		return m, err
	}
	if err := verifier.Verify(body, r.Header); err != nil {
		return m, err
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		return m, fmt.Errorf("%s of %s", r.Method, r.Header.Get("Content-Type"))
	}
	var head struct {
		Type string `json:"type"`
	}
	err = json.Unmarshal(body, &head)
	m.Type = head.Type
	return m, err
}

// answer makes the endpoint answer a status from now on.
func (e *endpoint) answer(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

// messages returns the notifications of a type, each once, and what was wrong with any delivery.
func (e *endpoint) messages(eventType string) (all []message, wrong []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.accepted {
		if m.Type == eventType && !slices.ContainsFunc(all, func(o message) bool { return o.ID == m.ID }) {
			all = append(all, m)
		}
	}
	return all, slices.Clone(e.wrong)
}
