package ordergroove_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/testdata"
)

const canaryKey = "canary-api-key"

// testServer is a client of a handler, and a record of the requests.
type testServer struct {
	*ordergroove.Client
	url      string
	mu       sync.Mutex
	requests []string // METHOD path?query body
}

// take empties the record and returns what was in it.
func (s *testServer) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

func serve(t *testing.T, handle http.HandlerFunc) *testServer {
	t.Helper()
	s := &testServer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		s.mu.Unlock()
		if got := r.Header.Get("x-api-key"); got != canaryKey {
			t.Errorf("x-api-key = %q", got)
		}
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	client, err := ordergroove.NewClient(ordergroove.Options{
		URL: server.URL, Key: canaryKey, Timeout: 10 * time.Second, MaxAnswer: 1 << 16,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s.Client = client
	s.url = server.URL
	return s
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const live = `{"public_id":"s1","product":"GIFT","live":true,"extra_data":{"a":1}}`

// newClient returns a client of a simulator.
func newClient(t *testing.T, simulator *sim.Simulator) *ordergroove.Client {
	t.Helper()
	server := httptest.NewServer(simulator.Handler())
	t.Cleanup(server.Close)
	client, err := ordergroove.NewClient(ordergroove.Options{URL: server.URL, Key: canaryKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// isList says whether a request is for a list.
func isList(r *http.Request) bool {
	return r.URL.Path == "/subscriptions/" || r.URL.Path == "/items/" || r.URL.Path == "/orders/"
}

func TestClientRequests(t *testing.T) {
	data, err := ordergroove.ParseExtraData(json.RawMessage(`{"<&>":1e400,"s":" "}`))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if isList(r) {
			_, _ = io.WriteString(w, `{"next":null,"results":[]}`)
			return
		}
		_, _ = io.WriteString(w, live)
	})
	ctx := t.Context()
	for _, call := range []func() (any, error){
		func() (any, error) { return s.Subscription(ctx, "s1") },
		func() (any, error) { return s.Do(ctx, ordergroove.UpdateExtraData("s1", data)) },
		func() (any, error) { return s.Do(ctx, ordergroove.CancelSubscription("s1", "1|Gift complete")) },
		func() (any, error) { return s.Do(ctx, ordergroove.CancelSubscription("s1", "")) },
		func() (any, error) { return s.Do(ctx, ordergroove.EndAtRenewal("s1")) },
		func() (any, error) { return s.Do(ctx, ordergroove.ChangeProduct("s1", `COFFEE "&"`)) },
		func() (any, error) { return s.OrderItems(ctx, "o1") },
		func() (any, error) { return s.PlacedItems(ctx, "s1") },
		func() (any, error) {
			return s.Subscriptions(ctx, ordergroove.SubscriptionQuery{Product: "A&B", LiveOnly: true}, "")
		},
		func() (any, error) {
			return s.Subscriptions(ctx, ordergroove.SubscriptionQuery{Product: "A&B", UpdatedSince: "2026-11-19"}, "")
		},
		func() (any, error) {
			return s.Subscriptions(ctx, ordergroove.SubscriptionQuery{Product: "A&B"}, s.url+"/subscriptions/?cursor=c7")
		},
		func() (any, error) { return s.UpcomingItems(ctx, "") },
		func() (any, error) { return s.Orders(ctx, "s1", ordergroove.StatusUnsent) },
	} {
		if _, err := call(); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		`GET /subscriptions/s1/`,
		`PATCH /subscriptions/s1/update/ {"extra_data":{"<&>":1e400,"s":" "}}`,
		`PATCH /subscriptions/s1/cancel/ {"cancel_reason":"1|Gift complete"}`,
		`PATCH /subscriptions/s1/cancel/ {}`,
		`PATCH /subscriptions/s1/change_renewal_behavior/ {"renewal_behavior":"cancel"}`,
		`PATCH /subscriptions/s1/change_product/ {"product":"COFFEE \"&\""}`,
		`GET /items/?order=o1&page_size=100`,
		`GET /items/?page_size=100&status=5&subscription=s1`,
		`GET /subscriptions/?live=true&page_size=100&product=A%26B`,
		`GET /subscriptions/?page_size=100&product=A%26B&updated_start=2026-11-19`,
		`GET /subscriptions/?cursor=c7`,
		`GET /items/?page_size=100&status=1`,
		`GET /orders/?page_size=100&status=1&subscription=s1`,
	}
	if diff := cmp.Diff(want, s.take()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// errorCase is an answer and the error that it must become, for a read and for a change.
type errorCase struct {
	name    string
	handle  http.HandlerFunc
	want    error
	detail  string
	after   time.Duration
	retries int // of a read
}

var errorCases = []errorCase{
	{
		name: "400 by field", handle: answer(400, `{"extra_data":["Not valid.","Really."],"price":"A number."}`),
		want: ordergroove.ErrRejected, detail: "extra_data: Not valid.; Really.; price: A number.",
	},
	{name: "400 with detail", handle: answer(400, `{"detail":"No."}`), want: ordergroove.ErrRejected, detail: "No."},
	{
		name:   "400 with control characters, too long",
		handle: answer(400, `{"detail":"a\u0000\u001bb`+strings.Repeat("é", 300)+`"}`),
		want:   ordergroove.ErrRejected, detail: "ab" + strings.Repeat("é", 149) + "…",
	},
	{name: "401", handle: answer(401, authFailed), want: ordergroove.ErrUnauthorized, detail: "Authentication Failed"},
	{name: "403", handle: answer(403, authFailed), want: ordergroove.ErrUnauthorized, detail: "Authentication Failed"},
	{name: "404", handle: answer(404, `{"detail":"Not found."}`), want: ordergroove.ErrNotFound, detail: "Not found."},
	// Ordergroove explains what it refuses, in JSON; a proxy in between does not, and says nothing about the object.
	{name: "404 of a proxy", handle: answer(404, `<html>no such upstream</html>`), want: ordergroove.ErrUnavailable},
	{name: "400 of a firewall", handle: answer(400, `<html>blocked</html>`), want: ordergroove.ErrUnavailable},
	{
		name: "423", handle: answer(423, `{"details":"Resource is currently in use. Please try again shortly."}`),
		want: ordergroove.ErrBusy, detail: "Resource is currently in use. Please try again shortly.",
	},
	{name: "429", handle: withRetryAfter(429, "7"), want: ordergroove.ErrThrottled, after: 7 * time.Second},
	{
		name: "429 until a date", handle: withRetryAfter(429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)),
		want: ordergroove.ErrThrottled, after: time.Hour,
	},
	{name: "429 with an unreadable Retry-After", handle: withRetryAfter(429, "soon"), want: ordergroove.ErrThrottled},
	{name: "429 in the past", handle: withRetryAfter(429, "-5"), want: ordergroove.ErrThrottled},
	{name: "500", handle: answer(500, `oops`), want: ordergroove.ErrUnavailable, retries: 2},
	{name: "502", handle: answer(502, ``), want: ordergroove.ErrUnavailable, retries: 2},
	{
		name:    "503",
		handle:  withRetryAfter(503, "1000000000"),
		want:    ordergroove.ErrUnavailable,
		after:   1e9 * time.Second,
		retries: 2,
	},
	{name: "504", handle: answer(504, `<html>`), want: ordergroove.ErrUnavailable, retries: 2},
	{name: "redirect", handle: redirect, want: ordergroove.ErrUnavailable},
	{name: "HTML page", handle: answer(200, `<html>login</html>`), want: ordergroove.ErrUnavailable},
	{name: "no body", handle: answer(204, ``), want: ordergroove.ErrUnavailable},
	{name: "truncated body", handle: answer(200, live[:30]), want: ordergroove.ErrUnavailable},
	{
		name: "another subscription", handle: answer(200, strings.Replace(live, "s1", "s2", 1)),
		want: ordergroove.ErrUnavailable,
	},
	{name: "no live field", handle: answer(200, `{"public_id":"s1"}`), want: ordergroove.ErrUnavailable},
	{
		name: "body over the limit", handle: answer(200, strings.Repeat(" ", 1<<16)+live),
		want: ordergroove.ErrUnavailable,
	},
	{name: "closed connection", handle: closeConnection, want: ordergroove.ErrUnavailable, retries: 2},
}

const authFailed = `{"detail":"Authentication Failed"}`

func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://127.0.0.1:9/", http.StatusFound)
}

func closeConnection(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestClientErrors(t *testing.T) {
	for _, test := range errorCases {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.handle)
			_, readErr := s.Subscription(t.Context(), "s1")
			if got := len(s.take()) - 1; got != test.retries {
				t.Errorf("a read was retried %d times, want %d", got, test.retries)
			}
			s = serve(t, test.handle) // a client that was told to wait makes no other call until then
			_, changeErr := s.Do(t.Context(), ordergroove.CancelSubscription("s1", ""))
			if n := len(s.take()); n != 1 {
				t.Errorf("a change was sent %d times; it is worked out from a fresh read and must never be retried", n)
			}
			test.check(t, readErr)
			test.check(t, changeErr)
		})
	}
}

func (test errorCase) check(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*ordergroove.Error](err)
	if !ok || !errors.Is(err, test.want) {
		t.Fatalf("error = %v, want %v", err, test.want)
	}
	if e.Detail != test.detail {
		t.Errorf("detail = %q, want %q", e.Detail, test.detail)
	}
	if (e.RetryAfter - test.after).Abs() > 2*time.Second {
		t.Errorf("retry after %v, want %v", e.RetryAfter, test.after)
	}
	if strings.Contains(err.Error(), canaryKey) {
		t.Errorf("the error holds the key: %v", err)
	}
}

func TestClientErrorText(t *testing.T) {
	s := serve(t, answer(500, `{"detail":"Oops."}`))
	_, err := s.Do(t.Context(), ordergroove.CancelSubscription("s1", ""))
	if want := "canceling subscription s1: Ordergroove unavailable (HTTP 500): Oops."; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestNewClientRejectsOptions(t *testing.T) {
	for want, o := range map[string]ordergroove.Options{
		`invalid api_url "ordergroove"`: {URL: "ordergroove", Key: "k"},
		"api_key is missing":            {URL: "https://restapi.ordergroove.com"},
	} {
		if _, err := ordergroove.NewClient(o); err == nil || err.Error() != want {
			t.Errorf("NewClient = %v, want %s", err, want)
		}
	}
}

func withRetryAfter(status int, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(status)
	}
}

// The key goes with every request, so a request must never go to another host. The test fails without CheckRedirect, or
// without the host check of the next page.
func TestClientStaysOnItsHost(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host received %s with key %q", r.URL, r.Header.Get("x-api-key"))
	}))
	defer elsewhere.Close()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if isList(r) {
			fmt.Fprintf(w, `{"next":%q,"results":[]}`, elsewhere.URL+"/items/?cursor=2")
			return
		}
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	if _, err := s.Subscription(t.Context(), "s1"); err == nil {
		t.Error("the client followed a redirect")
	}
	if _, err := s.OrderItems(t.Context(), "o1"); err == nil {
		t.Error("the client read a page of another host")
	}
}

func TestClientReportsDeadline(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Do(ctx, ordergroove.CancelSubscription("s1", ""))
	if !errors.Is(err, context.DeadlineExceeded) || !ordergroove.Temporary(err) {
		t.Errorf("error = %v, want a temporary error that is the deadline", err)
	}
}

// Behind a proxy that ends TLS, the links of a list may have the other scheme: they are followed by our own.
func TestNextPageHasTheOtherScheme(t *testing.T) {
	var s *testServer
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		next := `null`
		if r.URL.Query().Get("cursor") == "" {
			next = strconv.Quote(strings.Replace(s.url, "http:", "https:", 1) + "/items/?cursor=2")
		}
		fmt.Fprintf(w, `{"next":%s,"results":[{"public_id":"i","order":"o1","subscription":"s","product":"P"}]}`, next)
	})
	if items, err := s.OrderItems(t.Context(), "o1"); err != nil || len(items) != 2 {
		t.Errorf("%d items, %v; want one of each page", len(items), err)
	}
}

// A filter by status that is ignored must not make an upcoming order one that was placed.
func TestOrdersHaveTheStatusAskedFor(t *testing.T) {
	s := serve(t, answer(200, `{"next":null,"results":[{"public_id":"o1","status":5},{"public_id":"o2","status":1}]}`))
	orders, err := s.Orders(t.Context(), "s1", ordergroove.StatusSuccess)
	if err != nil || len(orders) != 1 || orders[0].ID != "o1" {
		t.Errorf("Orders = %v, %v; want the one that was placed", orders, err)
	}
}

func TestClientReadsAllPages(t *testing.T) {
	simulator := sim.New(sim.Options{Key: canaryKey, Payloads: testdata.Webhooks(), PageSize: 3, Snapshot: "none"})
	client := newClient(t, simulator)
	var ids []string
	for i := range 8 {
		sub, err := simulator.Subscribe(sim.NewSubscription{Customer: "c", Product: fmt.Sprint("P", i)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sub.ID)
	}
	order, err := simulator.Place(ids, "MUG")
	if err != nil {
		t.Fatal(err)
	}
	items, err := client.OrderItems(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	products := map[string]int{}
	for _, item := range items {
		products[item.Product]++
	}
	if len(items) != 9 || len(products) != 9 || products["MUG"] != 1 {
		t.Errorf("items = %v, want each of 9 once", products)
	}
}

// The contract documents two forms of extra_data. An API that wants a string costs one call more, once.
func TestClientLearnsFormOfExtraData(t *testing.T) {
	for name, test := range map[string]struct {
		asText  bool
		patches int
	}{
		"object": {false, 3},
		"string": {true, 4},
	} {
		t.Run(name, func(t *testing.T) {
			simulator := sim.New(sim.Options{Key: canaryKey, Payloads: testdata.Webhooks(), ExtraDataAsText: test.asText})
			client := newClient(t, simulator)
			sub, err := simulator.Subscribe(sim.NewSubscription{Product: "P", ExtraData: json.RawMessage(foreignData)})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				data := readExtraData(t, client, sub.ID)
				if got := string(data.Object()); got != foreignData {
					t.Errorf("extra_data = %s, want %s", got, foreignData)
				}
				if _, err := client.Do(t.Context(), ordergroove.UpdateExtraData(sub.ID, data)); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(patches(simulator)); got != test.patches {
				t.Errorf("%d changes were sent, want %d", got, test.patches)
			}
		})
	}
}

const foreignData = `{"a <&>":1e400,"b":"x"}`

func readExtraData(t *testing.T, client *ordergroove.Client, id string) ordergroove.ExtraData {
	t.Helper()
	s, err := client.Subscription(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	data, err := ordergroove.ParseExtraData(s.ExtraData)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func patches(simulator *sim.Simulator) []sim.Call {
	return slices.DeleteFunc(simulator.Calls(), func(c sim.Call) bool { return c.Method != http.MethodPatch })
}

// All requests together stay within the limit. The test fails without the rate limiter.
func TestClientLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := ordergroove.NewClient(ordergroove.Options{
			URL: "http://127.0.0.1", Key: canaryKey, RequestsPerMinute: 600,
			Transport: transport(func(*http.Request) (*http.Response, error) {
				body := io.NopCloser(strings.NewReader(live))
				return &http.Response{StatusCode: 200, Body: body, Header: http.Header{}}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 610 {
			if _, err := client.Subscription(t.Context(), "s1"); err != nil {
				t.Fatal(err)
			}
		}
		// A burst of 10 goes at once, then ten a second: a minute for the other 600.
		if took := time.Since(start); took < 59*time.Second || took > 61*time.Second {
			t.Errorf("610 requests at 600 a minute took %v, want a minute", took)
		}
	})
}

// A call has its whole timeout once it is sent, however long it waited for the limit.
func TestWaitingForTheLimitIsNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := limited(t, 2, func(*http.Request) (*http.Response, error) { return respond(200, live), nil })
		for range 5 { // one each half minute, with a timeout of ten seconds
			if _, err := client.Subscription(t.Context(), "s1"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A call that hangs is broken off after its timeout, and not made again at once.
func TestHangingCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := limited(t, 5400, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		start := time.Now()
		_, err := client.Subscription(t.Context(), "s1")
		if !errors.Is(err, ordergroove.ErrUnavailable) || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("error = %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it took %v, want 10 s", took)
		}
	})
}

// Of an answer that does not end no more is read than an answer may have.
func TestAnswerTooLarge(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<12)); err != nil {
				return
			}
		}
	})
	_, err := s.Subscription(t.Context(), "s1")
	if err == nil || !strings.Contains(err.Error(), "over 65536 bytes") {
		t.Errorf("error = %v, want that it is too large", err)
	}
}

// A 429 stops all calls as long as it says, not each caller for itself.
func TestThrottledClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Log("FAULT | another application uses up the limit of calls (429, Retry-After 30) | I9 I13: no call until then")
		start := time.Now()
		client := limited(t, 5400, func(*http.Request) (*http.Response, error) {
			if time.Since(start) < 30*time.Second {
				r := respond(429, `{"detail":"Request was throttled."}`)
				r.Header.Set("Retry-After", "30")
				return r, nil
			}
			return respond(200, live), nil
		})
		if _, err := client.Subscription(t.Context(), "s1"); !errors.Is(err, ordergroove.ErrThrottled) {
			t.Fatalf("error = %v", err)
		}
		for range 20 {
			if _, err := client.Subscription(t.Context(), "s1"); err != nil {
				t.Fatal(err)
			}
		}
		if n := client.Calls(ordergroove.Throttled); n != 1 {
			t.Errorf("%d calls were throttled, want 1", n)
		}
	})
}

// limited makes a client of a transport, with a limit of requests a minute.
func limited(t *testing.T, perMinute int, answer transport) *ordergroove.Client {
	t.Helper()
	client, err := ordergroove.NewClient(ordergroove.Options{
		URL: "http://127.0.0.1", Key: canaryKey, RequestsPerMinute: perMinute, Transport: answer,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func respond(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func TestClientReadsListByPage(t *testing.T) {
	simulator := sim.New(sim.Options{Key: canaryKey, Payloads: testdata.Webhooks(), PageSize: 3})
	client := newClient(t, simulator)
	for i := range 8 {
		product := []string{"GIFT", "COFFEE"}[i%2]
		if _, err := simulator.Subscribe(sim.NewSubscription{Customer: "c", Product: product}); err != nil {
			t.Fatal(err)
		}
	}
	query := ordergroove.SubscriptionQuery{Product: "GIFT", LiveOnly: true}
	seen := map[string]bool{}
	pages := 0
	for from := ""; pages == 0 || from != ""; pages++ {
		page, err := client.Subscriptions(t.Context(), query, from)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Results {
			seen[s.ID] = s.Product == "GIFT" && s.Live
		}
		from = page.Next
	}
	if len(seen) != 4 || pages != 2 {
		t.Errorf("%d subscriptions on %d pages, want 4 on 2: %v", len(seen), pages, seen)
	}
}

// One page reports its unreadable entries. A list that must be complete fails because of one.
func TestClientListWithUnreadableEntries(t *testing.T) {
	const entries = `[{"public_id":"s1","live":true},{"public_id":"s2"},{"live":true},7]`
	s := serve(t, answer(200, `{"next":null,"results":`+entries+`}`))
	page, err := s.Subscriptions(t.Context(), ordergroove.SubscriptionQuery{Product: "GIFT"}, "")
	if err != nil || len(page.Results) != 1 || page.Unreadable != 3 {
		t.Errorf("page = %+v, %v; want s1, and 3 unreadable", page, err)
	}
	_, err = s.Orders(t.Context(), "s1", ordergroove.StatusSuccess)
	if !errors.Is(err, ordergroove.ErrUnavailable) {
		t.Errorf("Orders = %v, want ErrUnavailable because some entries are unreadable", err)
	}
}

func TestOrderPlace(t *testing.T) {
	tests := map[string]time.Time{
		`{"public_id":"o1","place":"2026-11-21 13:30:00"}`: time.Date(2026, 11, 21, 13, 30, 0, 0, time.UTC),
		`{"public_id":"o1","place":"2026-11-21"}`:          time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
		`{"public_id":"o1","place":"soon"}`:                {},
		`{"public_id":"o1","place":null}`:                  {},
	}
	for raw, want := range tests {
		var got ordergroove.Order
		if err := json.Unmarshal([]byte(raw), &got); err != nil || !got.Place.Equal(want) {
			t.Errorf("%s: place = %v, %v; want %v", raw, got.Place, err, want)
		}
	}
}

// Of the calls that wait for the limit, urgent ones go first and background ones last, in any order of arrival.
func TestClientPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		client, err := ordergroove.NewClient(ordergroove.Options{
			URL: "http://127.0.0.1", Key: canaryKey, RequestsPerMinute: 60,
			Transport: transport(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				order = append(order, strings.Trim(r.URL.Path, "/"))
				mu.Unlock()
				return &http.Response{StatusCode: 404, Body: http.NoBody, Header: http.Header{}}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		call := func(ctx context.Context, id string) {
			all.Go(func() { _, _ = client.Subscription(ctx, id) })
			synctest.Wait()
		}
		call(t.Context(), "first")  // is sent at once
		call(t.Context(), "second") // already waits for the rate limiter
		call(ordergroove.WithPriority(t.Context(), ordergroove.Background), "background")
		abandoned, cancel := context.WithCancel(ordergroove.WithPriority(t.Context(), ordergroove.Urgent))
		call(abandoned, "abandoned")
		call(t.Context(), "normal")
		call(ordergroove.WithPriority(t.Context(), ordergroove.Urgent), "urgent")
		cancel()
		all.Wait()
		got := strings.ReplaceAll(strings.Join(order, " "), "subscriptions/", "")
		if want := "first second urgent normal background"; got != want {
			t.Errorf("order of calls = %s, want %s", got, want)
		}
	})
}

// An answer that arrives in the moment its caller gives up must be closed, or its connection leaks.
func TestClientClosesLateAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	body := &closable{Reader: strings.NewReader("{}")}
	client, err := ordergroove.NewClient(ordergroove.Options{
		URL: "http://127.0.0.1", Key: "k",
		Transport: transport(func(r *http.Request) (*http.Response, error) {
			cancel()
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Subscription(ctx, "s1"); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want the context's", err)
	}
	if !body.closed {
		t.Error("the answer's body was not closed")
	}
}

type closable struct {
	io.Reader
	closed bool
}

func (c *closable) Close() error {
	c.closed = true
	return nil
}
