package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/webhook"
)

// brokenInbox stores nothing while it has an error.
type brokenInbox struct{ err error }

func (b *brokenInbox) Append(context.Context, ledger.Event) (bool, error) { return true, b.err }

// signedWith is a delivery with a signature made with a key.
func signedWith(key string, at time.Time, body string) *http.Request {
	request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(at, []byte(body), key))
	return request
}

// A load balancer is told whether deliveries can be stored: by the database's answer, asked at most once a second, and
// by what became of the last delivery.
func TestHealth(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	inbox := &brokenInbox{}
	var down error
	asked := 0
	r, err := webhook.New(inbox, webhook.Options{
		Keys: []string{"k"},
		Now:  func() time.Time { return now },
		Stores: func(context.Context) error {
			asked++
			return down
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	handler := r.Handler()
	health := func() int {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, webhook.HealthPath, nil))
		return recorder.Code
	}
	deliver := func() int {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, signedWith("k", now, `{"id":"e1","type":"order.success","created":1}`))
		return recorder.Code
	}
	want := func(what string, status int) {
		t.Helper()
		if got := health(); got != status {
			t.Errorf("%s: %d, want %d", what, got, status)
		}
	}
	want("all is well", 200)
	down = errors.New("the disk is gone")
	want("within the second", 200)
	if asked != 1 {
		t.Errorf("the database was asked %d times within a second", asked)
	}
	now = now.Add(time.Second)
	want("the database does not answer", 503)
	down = nil
	now = now.Add(time.Second)
	want("it answers again", 200)
	inbox.err = errors.New("read-only")
	if got := deliver(); got != 503 {
		t.Errorf("a delivery was answered %d", got)
	}
	now = now.Add(2 * time.Second)
	want("the last delivery could not be stored", 503)
	now = now.Add(10 * time.Second)
	want("that was a while ago", 200)
	deliver()
	inbox.err = nil
	deliver()
	want("a delivery was stored since", 200)
	if got := r.Answered("accepted"); got != 1 {
		t.Errorf("%d accepted, want 1", got)
	}
}

// Refused signatures put the key in doubt when nothing else arrives: not while deliveries are verified in between.
func TestUnverified(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	r, err := webhook.New(&brokenInbox{}, webhook.Options{Keys: []string{"k"}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	deliver := func(key string) {
		r.Handler().ServeHTTP(httptest.NewRecorder(), signedWith(key, now, `{"id":"e1","type":"order.success"}`))
	}
	want := func(what string, n int) {
		t.Helper()
		if got := r.Unverified(); got != n {
			t.Errorf("%s: %d in doubt, want %d", what, got, n)
		}
	}
	deliver("other")
	deliver("other")
	want("two", 0)
	deliver("other")
	want("three, and none was ever verified", 3)
	deliver("k")
	want("one was verified", 0)
	for range 5 {
		deliver("other")
	}
	want("a scanner, just after a delivery", 0)
	now = now.Add(16 * time.Minute)
	want("nothing was verified for a while", 5)
}
