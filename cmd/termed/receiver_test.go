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

// Secrets that notices are signed with in tests.
const (
	noticeSecret    = "whsec_Y2FuYXJ5LW5vdGljZS1zZWNyZXQtMDEyMzQ1Njc4OQ=="
	newNoticeSecret = "whsec_Y2FuYXJ5LW5ldy1ub3RpY2Utc2VjcmV0LTAxMjM0NTY="
)

// receiver is a merchant's own system that takes notices, and checks each with the library that such a system would use.
type receiver struct {
	server *httptest.Server

	mu     sync.Mutex
	status int // answered; 0: 200
	taken  []delivered
	wrong  []string
}

type delivered struct {
	ID   string
	Type string
	Body []byte
}

func newReceiver(secret string) *receiver {
	r := &receiver{}
	signed, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		panic(err)
	}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err == nil {
			err = signed.Verify(body, request.Header)
		}
		var head struct {
			Type string `json:"type"`
		}
		if err == nil {
			err = json.Unmarshal(body, &head)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/json" {
			r.wrong = append(r.wrong, fmt.Sprintf("%s: %v", body, err))
		}
		if r.status != 0 && r.status != http.StatusOK {
			w.WriteHeader(r.status)
			return
		}
		r.taken = append(r.taken, delivered{request.Header.Get("webhook-id"), head.Type, body})
	}))
	return r
}

func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// of returns what was delivered of a type, each once, and what was wrong with any delivery.
func (r *receiver) of(kind string) (all []delivered, wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.taken {
		if d.Type == kind && !slices.ContainsFunc(all, func(o delivered) bool { return o.ID == d.ID }) {
			all = append(all, d)
		}
	}
	return all, slices.Clone(r.wrong)
}
