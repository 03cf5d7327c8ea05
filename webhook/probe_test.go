package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/webhook"
)

// A probe is answered with its number, is not filed, and says nothing about the key that Ordergroove signs with.
func TestProbe(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	filed := &inbox{}
	r, err := webhook.New(filed, webhook.Options{Keys: []string{"k"}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	deliver := func(key, body string) (int, string) {
		answer := httptest.NewRecorder()
		r.Handler().ServeHTTP(answer, signedWith(key, now, body))
		return answer.Code, answer.Body.String()
	}
	for range 3 {
		deliver("other", `{}`)
	}
	number := strings.Repeat("0a", 16)
	status, answer := deliver("k", string(webhook.Probe(number)))
	if status != http.StatusOK || !strings.Contains(answer, webhook.ProbeAnswer(number)) {
		t.Errorf("a probe is answered %d %s", status, answer)
	}
	if len(filed.stored) != 0 || r.Unverified() != 3 {
		t.Errorf("%d were filed, %d deliveries in doubt; want none and 3", len(filed.stored), r.Unverified())
	}
	if status, _ := deliver("other", string(webhook.Probe(number))); status != http.StatusUnauthorized {
		t.Errorf("one with another signature is answered %d", status)
	}
	// What only begins like one is a delivery like any other, and nothing of it gets into the answer.
	strange := []string{"", `x"`, number[2:], strings.Repeat("zz", 16), number + `","a":"b`}
	for _, number := range strange {
		status, answer := deliver("k", string(webhook.Probe(number)))
		if status != http.StatusOK || strings.Contains(answer, "probe") {
			t.Errorf("%q is answered %d %s", number, status, answer)
		}
	}
	if len(filed.stored) != len(strange) {
		t.Errorf("%d of %d were filed", len(filed.stored), len(strange))
	}
}
