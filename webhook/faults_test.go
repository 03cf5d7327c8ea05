package webhook_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

// newStoreReceiver serves a receiver with a real database on loopback.
func newStoreReceiver(t *testing.T) (address string, s *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Database: filepath.Join(t.TempDir(), "termed.db"), Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	receiver, err := webhook.New(s, webhook.Options{Keys: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, receiver.Handler()), s
}

// reply is the answer to a delivery.
type reply struct {
	status int
	body   string
	took   time.Duration
}

// send delivers a signed body.
func send(client *http.Client, address, body string) (reply, error) {
	request, err := http.NewRequest(http.MethodPost, "http://"+address+webhook.Path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(time.Now(), []byte(body), key))
	start := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, string(text), time.Since(start)}, err
}

func TestSameDeliveryManyTimes(t *testing.T) {
	t.Log("FAULT | the same delivery 60 times in a row and 50 at once | I1 I10")
	address, s := newStoreReceiver(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	body := recorded(t, "order.success")
	var mu sync.Mutex
	answers := map[string]int{}
	deliver := func() {
		got, err := send(client, address, body)
		mu.Lock()
		defer mu.Unlock()
		answers[fmt.Sprint(got.status, got.body, err)]++
	}
	for range 60 {
		deliver()
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(deliver)
	}
	all.Wait()
	if answers[`200{"status":"accepted"}<nil>`] != 1 || answers[`200{"status":"duplicate"}<nil>`] != 109 {
		t.Errorf("answers = %v, want one accepted and the rest duplicates", answers)
	}
	if events, err := s.Events(t.Context(), store.EventFilter{}, 10); err != nil || len(events) != 1 {
		t.Errorf("the inbox has %d events, %v", len(events), err)
	}
}

// Slow and idle connections pile up: the slow ones are closed in time, and honest deliveries are answered meanwhile.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	t.Log("FAULT | slow headers, slow body, 1,000 idle connections while honest traffic goes on | I5 I11")
	address, _ := newStoreReceiver(t)
	dial := func(first string) net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, first); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 1000 {
		defer dial("").Close()
	}
	slow := map[string]net.Conn{
		"slow headers": dial("POST " + webhook.Path + " HTTP/1.1\r\nHost: x\r\nX-A"),
		"slow body": dial("POST " + webhook.Path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n" +
			ordergroove.SignatureHeader + ": " + forged() + "\r\n\r\n{"),
	}
	for _, c := range slow {
		defer c.Close()
		go func() { // a byte a second does not keep a connection alive forever
			for range 30 {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i := range 50 {
		body := fmt.Sprintf(`{"id":"e%d","type":"order.success","created":1}`, i)
		got, err := send(client, address, body)
		if err != nil || got.status != 200 || got.took > 5*time.Second {
			t.Fatalf("an honest delivery: %+v, %v", got, err)
		}
	}
	for name, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(12 * time.Second))
		answer, err := io.ReadAll(c)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			t.Errorf("%s: still open after 12 s, answered %q", name, answer)
		}
		if strings.Contains(string(answer), "200 OK") {
			t.Errorf("%s: answered %q", name, answer)
		}
	}
}

func TestStrangeBodies(t *testing.T) {
	t.Log("FAULT | signed body: no id, trailing bytes, duplicate keys, deep nesting, unknown type | I1 I6")
	receiver := newReceiver(t)
	for body, want := range map[string]string{
		`{"type":"order.success"}`:                                                "quarantined",
		`{"id":"1","type":"order.success"} x`:                                     "quarantined",
		`{"id":"1","id":"2","type":"x","type":"order.success"}`:                   "accepted",
		`{"id":"d","type":"order.success","data":` + strings.Repeat(`{"a":`, 700): "quarantined",
		strings.Repeat("[", 3000):                                                 "quarantined",
		`{"id":"9","type":"merchant.moved"}`:                                      "ignored",
		"\xff\xfe\x00":                                                            "quarantined",
	} {
		if status, answer := receiver.post(body); status != 200 || answer != `{"status":"`+want+`"}` {
			t.Errorf("%.40q: %d %s, want %s", body, status, answer, want)
		}
	}
	if got := len(receiver.inbox.stored); got != 7 {
		t.Errorf("%d were stored, want all 7", got)
	}
}

func TestStrangeHeaders(t *testing.T) {
	t.Log("FAULT | header: repeated or signed ts, 10,000 sigs, odd hex, two header lines, unsigned floods | I6")
	receiver := newReceiver(t)
	good := ordergroove.Sign(now, []byte(`{}`), key)
	ts, sig, _ := strings.Cut(good, ",")
	for _, header := range [][]string{
		{},
		{""},
		{good, good},
		{ts + "," + ts + "," + sig},
		{strings.Replace(good, "ts=", "ts=+", 1)},
		{strings.Replace(good, "ts=", "ts=-", 1)},
		{ts + strings.Repeat(",sig="+strings.Repeat("ab", 32), 10_000)},
		{good[:len(good)-1]},
		{ts + ",sig=" + strings.Repeat("xy", 32)},
		{ts},
		{sig},
		{"ts=99999999999999999999," + sig},
		{strings.Repeat("a", 1<<20)},
	} {
		request := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(`{}`))
		request.Header[ordergroove.SignatureHeader] = header
		answer := httptest.NewRecorder()
		receiver.ServeHTTP(answer, request)
		if answer.Code != http.StatusUnauthorized {
			t.Errorf("%.60q = %d, want 401", header, answer.Code)
		}
	}
	if len(receiver.inbox.stored) > 0 {
		t.Errorf("stored %v", receiver.inbox.stored)
	}
}
