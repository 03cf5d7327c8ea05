package ordergroove_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/testdata"
)

const canaryKey = "canary-api-key"

// served is a client of a handler, and what the handler was asked.
type served struct {
	*ordergroove.Client
	url   string
	mu    sync.Mutex
	asked []string // METHOD path?query body
}

// take returns what was asked since, and forgets it.
func (s *served) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func serve(t *testing.T, handle http.HandlerFunc) *served {
	t.Helper()
	s := &served{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		s.mu.Unlock()
		if got := r.Header.Get("x-api-key"); got != canaryKey {
			t.Errorf("x-api-key = %q", got)
		}
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	client, err := ordergroove.NewClient(ordergroove.Options{URL: server.URL, Key: canaryKey, Timeout: time.Second, MaxAnswer: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s.Client, s.url = client, server.URL
	return s
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const live = `{"public_id":"s1","product":"GIFT","live":true,"extra_data":{"a":1}}`

func TestClientRequests(t *testing.T) {
	data, err := ordergroove.ParseExtraData(json.RawMessage(`{"<&>":1e400,"s":" "}`))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/items/") || strings.HasPrefix(r.URL.Path, "/orders/") || r.URL.Path == "/subscriptions/" {
			_, _ = io.WriteString(w, `{"next":null,"results":[]}`)
			return
		}
		_, _ = io.WriteString(w, live)
	})
	ctx := t.Context()
	for _, call := range []func() (any, error){
		func() (any, error) { return s.Subscription(ctx, "s1") },
		func() (any, error) { return s.UpdateExtraData(ctx, "s1", data) },
		func() (any, error) { return s.Cancel(ctx, "s1", "1|Gift complete") },
		func() (any, error) { return s.Cancel(ctx, "s1", "") },
		func() (any, error) { return s.EndAtRenewal(ctx, "s1") },
		func() (any, error) { return s.ChangeProduct(ctx, "s1", `COFFEE "&"`) },
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
		`PATCH /subscriptions/s1/change_product/ {"product":"COFFEE \"\u0026\""}`,
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

func TestClientErrors(t *testing.T) {
	tests := []struct {
		name    string
		handle  http.HandlerFunc
		is      error
		words   string
		after   time.Duration
		repeats int // of a read, besides the first
	}{
		{name: "400 by field", handle: answer(400, `{"extra_data":["Not valid.","Really."],"price":"A number."}`), is: ordergroove.ErrRejected, words: "extra_data: Not valid.; Really.; price: A number."},
		{name: "400 with detail", handle: answer(400, `{"detail":"No."}`), is: ordergroove.ErrRejected, words: "No."},
		{name: "400 with strange words", handle: answer(400, `{"detail":"a\u0000\u001bb`+strings.Repeat("é", 300)+`"}`), is: ordergroove.ErrRejected, words: "ab" + strings.Repeat("é", 149) + "…"},
		{name: "401", handle: answer(401, `{"detail":"Authentication Failed"}`), is: ordergroove.ErrUnauthorized, words: "Authentication Failed"},
		{name: "403", handle: answer(403, `{"detail":"Authentication Failed"}`), is: ordergroove.ErrUnauthorized, words: "Authentication Failed"},
		{name: "404", handle: answer(404, `{"detail":"Not found."}`), is: ordergroove.ErrNotFound, words: "Not found."},
		{name: "423", handle: answer(423, `{"details":"Resource is currently in use. Please try again shortly."}`), is: ordergroove.ErrBusy, words: "Resource is currently in use. Please try again shortly."},
		{name: "429", handle: withRetryAfter(429, "7"), is: ordergroove.ErrThrottled, after: 7 * time.Second},
		{name: "429 until a date", handle: withRetryAfter(429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), is: ordergroove.ErrThrottled, after: time.Hour},
		{name: "429 without sense", handle: withRetryAfter(429, "soon"), is: ordergroove.ErrThrottled},
		{name: "429 in the past", handle: withRetryAfter(429, "-5"), is: ordergroove.ErrThrottled},
		{name: "500", handle: answer(500, `oops`), is: ordergroove.ErrUnavailable, repeats: 2},
		{name: "502", handle: answer(502, ``), is: ordergroove.ErrUnavailable, repeats: 2},
		{name: "503", handle: withRetryAfter(503, "1000000000"), is: ordergroove.ErrUnavailable, after: 1e9 * time.Second, repeats: 2},
		{name: "504", handle: answer(504, `<html>`), is: ordergroove.ErrUnavailable, repeats: 2},
		{name: "a redirect", handle: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:9/", http.StatusFound)
		}, is: ordergroove.ErrUnavailable},
		{name: "a page", handle: answer(200, `<html>login</html>`), is: ordergroove.ErrUnavailable},
		{name: "nothing", handle: answer(204, ``), is: ordergroove.ErrUnavailable},
		{name: "cut", handle: answer(200, live[:30]), is: ordergroove.ErrUnavailable},
		{name: "about another", handle: answer(200, strings.Replace(live, "s1", "s2", 1)), is: ordergroove.ErrUnavailable},
		{name: "without live", handle: answer(200, `{"public_id":"s1"}`), is: ordergroove.ErrUnavailable},
		{name: "endless", handle: answer(200, strings.Repeat(" ", 1<<16)+live), is: ordergroove.ErrUnavailable},
		{name: "a closed connection", handle: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, is: ordergroove.ErrUnavailable, repeats: 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.handle)
			_, readErr := s.Subscription(t.Context(), "s1")
			if got := len(s.take()) - 1; got != test.repeats {
				t.Errorf("a read was repeated %d times, want %d", got, test.repeats)
			}
			_, changeErr := s.Cancel(t.Context(), "s1", "")
			if n := len(s.take()); n != 1 {
				t.Errorf("a change was sent %d times; it is worked out from a fresh read and must never be repeated", n)
			}
			for _, err := range []error{readErr, changeErr} {
				e, ok := errors.AsType[*ordergroove.Error](err)
				if !ok || !errors.Is(err, test.is) {
					t.Fatalf("error = %v, want %v", err, test.is)
				}
				if e.Words != test.words {
					t.Errorf("words = %q, want %q", e.Words, test.words)
				}
				if (e.RetryAfter - test.after).Abs() > 2*time.Second {
					t.Errorf("retry after %v, want %v", e.RetryAfter, test.after)
				}
				if strings.Contains(err.Error(), canaryKey) {
					t.Errorf("the error holds the key: %v", err)
				}
			}
		})
	}
}

func withRetryAfter(status int, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(status)
	}
}

// The key goes with every request, so a request must go nowhere else. Remove CheckRedirect, or the host check of the next
// page, and this turns red.
func TestClientStaysWithItsHost(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked %s with key %q", r.URL, r.Header.Get("x-api-key"))
	}))
	defer elsewhere.Close()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/items/") || strings.HasPrefix(r.URL.Path, "/orders/") || r.URL.Path == "/subscriptions/" {
			fmt.Fprintf(w, `{"next":%q,"results":[]}`, elsewhere.URL+"/items/?cursor=2")
			return
		}
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	if _, err := s.Subscription(t.Context(), "s1"); err == nil {
		t.Error("a redirect was taken for an answer")
	}
	if _, err := s.OrderItems(t.Context(), "o1"); err == nil {
		t.Error("a page of another host was taken for an answer")
	}
}

func TestClientDeadline(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Cancel(ctx, "s1", ""); !errors.Is(err, context.DeadlineExceeded) || !ordergroove.Temporary(err) {
		t.Errorf("error = %v, want a temporary one about the deadline", err)
	}
}

// Pages of both kinds, whatever their size.
func TestClientPages(t *testing.T) {
	sim := ogsim.New(ogsim.Options{Key: canaryKey, Payloads: testdata.Webhooks(), PageSize: 3, Snapshot: "none"})
	server := httptest.NewServer(sim.Handler())
	defer server.Close()
	client, err := ordergroove.NewClient(ordergroove.Options{URL: server.URL, Key: canaryKey})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 8 {
		sub, err := sim.Subscribe(ogsim.NewSubscription{Customer: "c", Product: fmt.Sprint("P", i)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sub.ID)
	}
	order, err := sim.Place(ids, "MUG")
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

// Both readings of the contract: an API that wants extra_data as a string is asked once too often, and then never again.
func TestClientLearnsTheFormOfExtraData(t *testing.T) {
	for _, asText := range []bool{false, true} {
		sim := ogsim.New(ogsim.Options{Key: canaryKey, Payloads: testdata.Webhooks(), ExtraDataAsText: asText})
		server := httptest.NewServer(sim.Handler())
		defer server.Close()
		client, err := ordergroove.NewClient(ordergroove.Options{URL: server.URL, Key: canaryKey})
		if err != nil {
			t.Fatal(err)
		}
		first := json.RawMessage(`{"a <&>":1e400,"b":"x"}`)
		sub, err := sim.Subscribe(ogsim.NewSubscription{Product: "P", ExtraData: first})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			read, err := client.Subscription(t.Context(), sub.ID)
			if err != nil {
				t.Fatal(err)
			}
			data, err := ordergroove.ParseExtraData(read.ExtraData)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(data.Object()); got != string(first) {
				t.Errorf("extra_data = %s, want %s", got, first)
			}
			if _, err := client.UpdateExtraData(t.Context(), sub.ID, data); err != nil {
				t.Fatal(err)
			}
		}
		patches := 0
		for _, call := range sim.Calls() {
			if call.Method == http.MethodPatch {
				patches++
			}
		}
		if want := map[bool]int{false: 3, true: 4}[asText]; patches != want {
			t.Errorf("as text %v: %d calls, want %d", asText, patches, want)
		}
	}
}

// All requests together keep to the limit. Take the limiter away, and this turns red.
func TestClientLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := ordergroove.NewClient(ordergroove.Options{
			URL: "http://127.0.0.1", Key: canaryKey, RequestsPerMinute: 600,
			Transport: transport(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(live)), Header: http.Header{}}, nil
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

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// A list is read page by page, on either kind of page; what cannot be read is counted and the rest is not lost. Of what is
// counted as a whole, one entry that cannot be read spoils it.
func TestClientLists(t *testing.T) {
	sim := ogsim.New(ogsim.Options{Key: canaryKey, Payloads: testdata.Webhooks(), PageSize: 3})
	server := httptest.NewServer(sim.Handler())
	defer server.Close()
	client, err := ordergroove.NewClient(ordergroove.Options{URL: server.URL, Key: canaryKey})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if _, err := sim.Subscribe(ogsim.NewSubscription{Customer: "c", Product: []string{"GIFT", "COFFEE"}[i%2]}); err != nil {
			t.Fatal(err)
		}
	}
	seen, pages, from := map[string]bool{}, 0, ""
	for {
		page, err := client.Subscriptions(t.Context(), ordergroove.SubscriptionQuery{Product: "GIFT", LiveOnly: true}, from)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Results {
			seen[s.ID] = s.Product == "GIFT" && s.Live
		}
		if pages++; page.Next == "" {
			break
		}
		from = page.Next
	}
	if len(seen) != 4 || pages != 2 {
		t.Errorf("%d subscriptions on %d pages, want 4 on 2: %v", len(seen), pages, seen)
	}

	s := serve(t, answer(200, `{"next":null,"results":[{"public_id":"s1","live":true},{"public_id":"s2"},{"live":true},7]}`))
	page, err := s.Subscriptions(t.Context(), ordergroove.SubscriptionQuery{Product: "GIFT"}, "")
	if err != nil || len(page.Results) != 1 || page.Unreadable != 3 {
		t.Errorf("page = %+v, %v; want s1, and 3 unreadable", page, err)
	}
	if _, err := s.Orders(t.Context(), "s1", ordergroove.StatusSuccess); !errors.Is(err, ordergroove.ErrUnavailable) {
		t.Errorf("orders of which some cannot be read: %v, want no answer that counts", err)
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

// Of calls that wait for the limit the urgent go first and what can wait goes last, whoever came first.
func TestClientUrgency(t *testing.T) {
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
		call(t.Context(), "first")  // goes at once
		call(t.Context(), "second") // waits for the limit already
		call(ordergroove.WithUrgency(t.Context(), ordergroove.Background), "background")
		given, cancel := context.WithCancel(ordergroove.WithUrgency(t.Context(), ordergroove.Urgent))
		call(given, "given up")
		call(t.Context(), "ordinary")
		call(ordergroove.WithUrgency(t.Context(), ordergroove.Urgent), "urgent")
		cancel()
		all.Wait()
		got := strings.ReplaceAll(strings.Join(order, " "), "subscriptions/", "")
		if want := "first second urgent ordinary background"; got != want {
			t.Errorf("calls went %s, want %s", got, want)
		}
	})
}

// An answer that comes just as its caller gives up is let go of: its connection would be held for ever.
func TestClientLetsGoOfAnswers(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	body := &closable{Reader: strings.NewReader("{}")}
	client, err := ordergroove.NewClient(ordergroove.Options{URL: "http://127.0.0.1", Key: "k", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		giveUp()
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
	})})
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

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
