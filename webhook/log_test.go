package webhook_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/webhook"
)

// logged is a receiver with its log, in lines without times, and a clock that a test moves.
type logged struct {
	*webhook.Receiver
	log bytes.Buffer
	at  time.Time
}

func newLogged(t *testing.T, level slog.Level, in *inbox) *logged {
	t.Helper()
	l := &logged{at: now}
	noTimes := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}
	var err error
	l.Receiver, err = webhook.New(in, webhook.Options{
		Keys:    []string{key},
		MaxBody: 4096,
		Now:     func() time.Time { return l.at },
		Log:     slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: level, ReplaceAttr: noTimes})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// post delivers a signed body.
func (l *logged) post(path, body, key string) {
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(l.at, []byte(body), key))
	l.Handler().ServeHTTP(httptest.NewRecorder(), request)
}

// take returns the lines logged since the last call.
func (l *logged) take() []string {
	lines := strings.Split(strings.TrimSpace(l.log.String()), "\n")
	l.log.Reset()
	return lines
}

// Refused deliveries are counted by reason. The first of each is logged at once, and then one line a minute has how
// many there were.
func TestRefusedDeliveriesAreCountedAndLogged(t *testing.T) {
	l := newLogged(t, slog.LevelInfo, &inbox{})
	refuse := func() {
		for range 3 {
			l.post(webhook.Path, `{}`, "canary-wrong-key")
		}
		l.post(webhook.Path+"/", `{}`, key)
		l.post("/canary", `{}`, key)
		l.post(webhook.Path, strings.Repeat("canary", 1000), key)
	}
	line := func(reason, count, last string) string {
		return `level=WARN msg="webhooks refused" reason=` + reason + " count=" + count + " last_error=" + last
	}
	const (
		signature = `"invalid signature: no key matches"`
		path      = `"the path is not /webhooks/ordergroove"`
		body      = `"the body is larger than webhook.max_body"`
	)
	refuse()
	want := []string{
		line("invalid_signature", "1", signature),
		line("unknown_path", "1", path),
		line("body_too_large", "1", body),
	}
	if diff := cmp.Diff(want, l.take()); diff != "" {
		t.Errorf("the first ones (-want +got):\n%s", diff)
	}
	l.at = l.at.Add(59 * time.Second)
	refuse()
	if got := l.take(); len(got) != 1 || got[0] != "" {
		t.Errorf("logged within a minute: %q", got)
	}
	l.at = l.at.Add(time.Second)
	refuse()
	want = []string{
		line("invalid_signature", "6", signature),
		line("unknown_path", "4", path),
		line("body_too_large", "2", body),
	}
	if diff := cmp.Diff(want, l.take()); diff != "" {
		t.Errorf("after a minute (-want +got):\n%s", diff)
	}
	totals := map[webhook.Reason]int{}
	for _, reason := range webhook.Reasons {
		totals[reason] = l.Refused(reason)
	}
	wantTotals := map[webhook.Reason]int{
		webhook.InvalidSignature: 9,
		webhook.UnknownPath:      6,
		webhook.BodyTooLarge:     3,
		webhook.Overloaded:       0,
	}
	if diff := cmp.Diff(wantTotals, totals); diff != "" {
		t.Errorf("Refused (-want +got):\n%s", diff)
	}
}

// Every delivery is one line at level debug: what it was and what it was answered, and nothing of its body.
func TestDeliveriesAreLogged(t *testing.T) {
	in := &inbox{}
	l := newLogged(t, slog.LevelDebug, in)
	body := `{"id":"evt_1","type":"order.success","created":1595162791,"data":{"canary":1}}`
	l.post(webhook.Path, body, key)
	l.post(webhook.Path, body, key)
	l.post(webhook.Path, strings.Replace(body, "order.success", "merchant.moved", 1), key)
	in.stored = []ledger.Event{}
	l.post(webhook.Path, strings.Replace(body, "order.success", "merchant.moved", 1), key)
	l.post(webhook.Path, strings.Replace(body, "evt_1", "canary", 1), "wrong-key")
	const delivery = `level=DEBUG msg="delivery answered" `
	want := []string{
		delivery + "event=evt_1 type=order.success status=200 answer=accepted",
		delivery + "event=evt_1 type=order.success status=200 answer=duplicate",
		delivery + "event=evt_1 type=merchant.moved status=200 answer=duplicate",
		delivery + "event=evt_1 type=merchant.moved status=200 answer=ignored",
		`level=WARN msg="webhooks refused" reason=invalid_signature count=1 last_error="invalid signature: no key matches"`,
		delivery + `event="" type="" status=401 answer="invalid signature"`,
	}
	got := l.take()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
