package ogsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/testdata"
)

// ask calls the simulator's API and returns the status and the answer.
func ask(t *testing.T, sim *ogsim.Simulator, request, body string, headers ...string) (int, map[string]any) {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("x-api-key", "simulated-api-key")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	sim.Handler().ServeHTTP(answer, r)
	var fields map[string]any
	_ = json.Unmarshal(answer.Body.Bytes(), &fields)
	return answer.Code, fields
}

func newSim(t *testing.T) (*ogsim.Simulator, ogsim.Subscription, string) {
	t.Helper()
	sim := ogsim.New(ogsim.Options{Payloads: testdata.Webhooks()})
	sub, err := sim.Subscribe(ogsim.NewSubscription{Customer: "c1", Product: "GIFT", ExtraData: json.RawMessage(`{"a":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, list := ask(t, sim, "GET /orders/?subscription="+sub.ID, "")
	order := list["results"].([]any)[0].(map[string]any)["public_id"].(string)
	return sim, sub, order
}

// The contract's calls (section 2), with what each takes and refuses. <S>, <O> and <I> stand for a subscription, its upcoming order
// and that order's item.
func TestAPI(t *testing.T) {
	tests := []struct {
		request, body string
		status        int
		shows         string // a part of the answer, as name=value
	}{
		{"GET /subscriptions/<S>", "", 404, "detail=Not found."},
		{"GET /subscriptions/nobody/", "", 404, "detail=Not found."},
		{"GET /nothing/", "", 404, "detail=Not found."},
		{"POST /subscriptions/<S>/", "", 404, "detail=Not found."},
		{"GET /subscriptions/<S>/", "", 200, "live=true"},
		{"GET /subscriptions/<S>/", "", 200, "every_period_display=month"},
		{"PATCH /subscriptions/<S>/update/", `{"extra_data":{"b":2}}`, 200, "extra_data=map[b:2]"},
		{"PATCH /subscriptions/<S>/update/", `{"extra_data":[1]}`, 400, "extra_data=[Value must be valid JSON.]"},
		{"PATCH /subscriptions/<S>/update/", `{"extra_data":`, 400, "detail=JSON parse error"},
		{"PATCH /subscriptions/<S>/update/", `{"price":"9.00"}`, 200, "price=9.00"},
		{"PATCH /subscriptions/<S>/cancel/", `{"cancel_reason":"1|done"}`, 200, "live=false"},
		{"PATCH /subscriptions/<S>/cancel/", `{}`, 200, "live=false"},
		{"PATCH /subscriptions/<S>/cancel/", `{"cancel_reason":"done"}`, 400, "cancel_reason=[Expected <code>|<details>.]"},
		{"PATCH /subscriptions/<S>/reactivate/", `{"every":1,"every_period":3,"start_date":"2026-01-01"}`, 200, "live=true"},
		{"PATCH /subscriptions/<S>/reactivate/", `{"every":1,"every_period":3}`, 400, "start_date=[This field is required.]"},
		{"PATCH /subscriptions/<S>/change_next_order_date/", `{"order_date":"2026-02-01"}`, 200, ""},
		{"PATCH /subscriptions/<S>/change_next_order_date/", `{"order_date":"soon"}`, 400, ""},
		{"PATCH /subscriptions/<S>/change_frequency/", `{"every":2,"every_period":2}`, 200, "every=2"},
		{"PATCH /subscriptions/<S>/change_frequency/", `{"every":2,"every_period":9}`, 400, ""},
		{"PATCH /subscriptions/<S>/change_product/", `{"product":"OTHER"}`, 200, "product=OTHER"},
		{"PATCH /subscriptions/<S>/change_renewal_behavior/", `{"renewal_behavior":"cancel"}`, 400, ""},
		{"GET /items/?order=<O>", "", 200, "next=<nil>"},
		{"PATCH /items/<I>/change_quantity/", `{"quantity":2}`, 200, "quantity=2"},
		{"PATCH /items/<I>/change_quantity/", `{"quantity":0}`, 400, ""},
		{"PATCH /items/<I>/change_product/", `{"product":"ONCE"}`, 200, "product=ONCE"},
		{"GET /orders/<O>/", "", 200, "status=1"},
		{"PATCH /orders/<O>/skip_subscription/", `{"subscription":"<S>"}`, 200, "public_id=<O>"},
		{"PATCH /orders/<O>/skip_subscription/", `{"subscription":"nobody"}`, 400, "subscription=[This subscription is not on this order.]"},
		{"PATCH /orders/<O>/cancel/", "", 200, "status=4"},
		{"PATCH /orders/<O>/send_now/", "", 200, "status=5"},
		{"PATCH /orders/<O>/change_place_date/", `{"place":"2026-02-01 10:00:00"}`, 200, "place=2026-02-01 10:00:00"},
		{"PATCH /orders/<O>/change_place_date/", `{"place":"2026-02-01"}`, 400, ""},
		{"PATCH /orders/<O>/change_shipping/", `{"shipping_address":"a1"}`, 200, "shipping_address=a1"},
		{"PATCH /orders/<O>/change_payment/", `{"payment":"p1"}`, 200, "payment=p1"},
		{"POST /addresses/create/", `{"customer":"c1"}`, 400, "address_type=[This field is required.]"},
		{"POST /addresses/create/", `{"customer":"c1","address_type":"shipping_address","first_name":"A","last_name":"B","address":"1 St","city":"C","state_province_code":"NY","zip_postal_code":"1","country_code":"US","phone":"1"}`, 201, "city=C"},
		{"POST /one_time_incentives/create/", `{"merchant":"m","customer":"c1","order":"<O>","stacking_type":"base","incentive":{"target":"order","field":"sub_total"}}`, 201, ""},
		{"POST /one_time_incentives/create/", `{"merchant":"m","customer":"c1","order":"<O>","stacking_type":"base","incentive":{"target":"item","field":"sub_total"}}`, 400, ""},
		{"POST /one_time_incentives/create/", `{"merchant":"m","customer":"c1","stacking_type":"base","incentive":{}}`, 400, ""},
		{"GET /merchant/cancel_reason/", "", 200, ""},
	}
	for _, test := range tests {
		t.Run(test.request+" "+test.body, func(t *testing.T) {
			sim, sub, order := newSim(t)
			_, list := ask(t, sim, "GET /items/?order="+order, "")
			item := list["results"].([]any)[0].(map[string]any)["public_id"].(string)
			fill := strings.NewReplacer("<S>", sub.ID, "<O>", order, "<I>", item)
			status, answer := ask(t, sim, fill.Replace(test.request), fill.Replace(test.body))
			if status != test.status {
				t.Fatalf("status = %d %v, want %d", status, answer, test.status)
			}
			if name, want, ok := strings.Cut(fill.Replace(test.shows), "="); ok && fmt.Sprint(answer[name]) != want {
				t.Errorf("%s = %v, want %s", name, answer[name], want)
			}
		})
	}
}

func TestKeyAndLimit(t *testing.T) {
	sim := ogsim.New(ogsim.Options{Payloads: testdata.Webhooks(), RequestsPerMinute: 2})
	if status, answer := ask(t, sim, "GET /subscriptions/", "", "x-api-key: wrong"); status != 403 || answer["detail"] != "Authentication Failed" {
		t.Errorf("a wrong key = %d %v", status, answer)
	}
	for _, want := range []int{200, 200, 429} {
		if status, _ := ask(t, sim, "GET /subscriptions/", ""); status != want {
			t.Errorf("status = %d, want %d", status, want)
		}
	}
}

func TestPrepaid(t *testing.T) {
	sim := ogsim.New(ogsim.Options{Payloads: testdata.Webhooks()})
	sub, err := sim.Subscribe(ogsim.NewSubscription{Product: "GIFT", Prepaid: json.RawMessage(`{"prepaid_orders_remaining":2,"renewal_behavior":"autorenew"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := ask(t, sim, "PATCH /subscriptions/"+sub.ID+"/cancel/", `{}`); status != 400 {
		t.Errorf("cancelling a prepaid one = %d, want 400", status)
	}
	if status, _ := ask(t, sim, "PATCH /subscriptions/"+sub.ID+"/change_renewal_behavior/", `{"renewal_behavior":"never"}`); status != 400 {
		t.Errorf("a strange behavior = %d, want 400", status)
	}
	status, answer := ask(t, sim, "PATCH /subscriptions/"+sub.ID+"/change_renewal_behavior/", `{"renewal_behavior":"cancel"}`)
	if status != 200 || fmt.Sprint(answer["prepaid_subscription_context"]) != "map[prepaid_orders_remaining:2 renewal_behavior:cancel]" {
		t.Errorf("ending it at renewal = %d %v", status, answer)
	}
}

// Both paginations give every row once.
func TestPages(t *testing.T) {
	sim := ogsim.New(ogsim.Options{Payloads: testdata.Webhooks()})
	for i := range 25 {
		if _, err := sim.Subscribe(ogsim.NewSubscription{Customer: fmt.Sprint("c", i%2), Product: "P"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, header := range []string{"X-OG-API-VERSION: 2", "X-Other: 1"} {
		byCursor := strings.HasPrefix(header, "X-OG")
		seen, pages := map[any]bool{}, 0
		for next := "/subscriptions/?page_size=7&product=P"; next != "" && pages < 10; pages++ {
			_, page := ask(t, sim, "GET "+next, "", header)
			for _, row := range page["results"].([]any) {
				seen[row.(map[string]any)["public_id"]] = true
			}
			if _, counted := page["count"]; counted == byCursor {
				t.Errorf("%s: count is there: %v", header, counted)
			}
			next, _ = page["next"].(string)
			next = strings.TrimPrefix(next, "http://example.com")
		}
		if len(seen) != 25 || pages != 4 {
			t.Errorf("%s: %d rows on %d pages, want 25 on 4", header, len(seen), pages)
		}
	}
	if _, page := ask(t, sim, "GET /subscriptions/?customer=c1&live=true", ""); page["count"] != 12.0 {
		t.Errorf("filtered = %v, want 12", page["count"])
	}
}

func TestFaults(t *testing.T) {
	sim, sub, _ := newSim(t)
	sim.Break(ogsim.Fault{Method: "PATCH", Status: 502, TakesEffect: true, Times: 1})
	path := "PATCH /subscriptions/" + sub.ID + "/update/"
	if status, _ := ask(t, sim, path, `{"extra_data":{"b":2}}`); status != 502 {
		t.Errorf("status = %d, want 502", status)
	}
	if now, _ := sim.Subscription(sub.ID); string(now.ExtraData) != `{"b":2}` {
		t.Errorf("extra_data = %s: it was to take effect", now.ExtraData)
	}
	if status, _ := ask(t, sim, path, `{"extra_data":{}}`); status != 200 {
		t.Errorf("status = %d after the fault, want 200", status)
	}
}

// What is sent is signed, comes again until it is taken, and stops coming after three days of nothing.
func TestSender(t *testing.T) {
	verifier, err := ordergroove.NewVerifier([]string{"old"}, time.Hour, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		answers := []int{500, 503, 0, 200}
		attempts := 0
		sender := &ogsim.Sender{URL: "http://127.0.0.1/", Keys: []string{"new", "old"}, Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			if err := verifier.Verify(r.Header[ordergroove.SignatureHeader], body, time.Now()); err != nil {
				t.Error(err)
			}
			status := answers[min(attempts, len(answers)-1)]
			attempts++
			if status == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("x"))}, nil
		})}}
		start := time.Now()
		if err := sender.Send(context.Background(), ogsim.Event{Type: "t", Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); attempts != 4 || took != 14*time.Minute {
			t.Errorf("%d attempts in %v, want 4 in 1+3+10 min", attempts, took)
		}
		answers = []int{500}
		for range 200 {
			if err := sender.Send(context.Background(), ogsim.Event{Body: []byte("{}")}); err == nil {
				t.Fatal("it was taken")
			}
		}
		before := attempts
		if reply := sender.Deliver(context.Background(), ogsim.Event{Body: []byte("{}")}); reply.Err != ogsim.ErrDisabled || attempts != before {
			t.Errorf("after three days: %+v, want ErrDisabled and nothing sent", reply)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// The oracle finds each kind of fault.
func TestJudge(t *testing.T) {
	first := json.RawMessage(`{"mine":1.10}`)
	right := ogsim.Subscription{Live: true, Placed: 1, ExtraData: json.RawMessage(`{"mine":1.10,"fulfillment_counter":"1","termed":"true"}`)}
	done := ogsim.Subscription{Placed: 2, Cancels: 1, ExtraData: json.RawMessage(`{"mine":1.10,"fulfillment_counter":"0","termed":"true","hide":true}`)}
	tests := []struct {
		name   string
		sub    ogsim.Subscription
		due    int
		change func(*ogsim.Subscription)
		want   string
	}{
		{"right", right, 2, func(*ogsim.Subscription) {}, ""},
		{"done", done, 2, func(*ogsim.Subscription) {}, ""},
		{"a box too many", done, 2, func(s *ogsim.Subscription) { s.Placed = 3 }, "3 boxes were shipped, 2 were due"},
		{"miscounted", right, 3, func(*ogsim.Subscription) {}, `fulfillment_counter is "1", not "2"`},
		{"a number", right, 2, func(s *ogsim.Subscription) {
			s.ExtraData = json.RawMessage(`{"mine":1.10,"fulfillment_counter":1,"termed":"true"}`)
		}, `fulfillment_counter is 1, not "1"`},
		{"not marked", right, 2, func(s *ogsim.Subscription) { s.ExtraData = json.RawMessage(`{"mine":1.10,"fulfillment_counter":"1"}`) }, "termed is "},
		{"not hidden", done, 2, func(s *ogsim.Subscription) {
			s.ExtraData = json.RawMessage(`{"mine":1.10,"fulfillment_counter":"0","termed":"true"}`)
		}, "hide is  with 0 to go"},
		{"not cancelled", done, 2, func(s *ogsim.Subscription) { s.Live, s.Cancels = true, 0 }, "live is true after 0 cancels, with 0 to go"},
		{"cancelled twice", done, 2, func(s *ogsim.Subscription) { s.Cancels = 2 }, "live is false after 2 cancels, with 0 to go"},
		{"cancelled early", right, 2, func(s *ogsim.Subscription) { s.Live, s.Cancels = false, 1 }, "live is false after 1 cancels, with 1 to go"},
		{"another spelling", right, 2, func(s *ogsim.Subscription) {
			s.ExtraData = json.RawMessage(`{"mine":1.1,"fulfillment_counter":"1","termed":"true"}`)
		}, `member "mine" was 1.10 and is 1.1`},
		{"wiped", right, 2, func(s *ogsim.Subscription) {
			s.ExtraData = json.RawMessage(`{"fulfillment_counter":"1","termed":"true"}`)
		}, `member "mine" was 1.10 and is `},
		{"evergreen touched", ogsim.Subscription{Live: true, Writes: 1, ExtraData: first}, ogsim.Evergreen, func(*ogsim.Subscription) {}, "evergreen, but written 1 times, cancelled 0 times, live true"},
	}
	for _, test := range tests {
		test.change(&test.sub)
		if got := strings.Join(ogsim.Judge(test.sub, test.due, first), "; "); got != test.want {
			t.Errorf("%s: Judge = %q, want %q", test.name, got, test.want)
		}
	}
}

// Control is what a person has at the simulator.
func TestControl(t *testing.T) {
	sim := ogsim.New(ogsim.Options{Payloads: testdata.Webhooks()})
	do := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		answer := httptest.NewRecorder()
		sim.Control().ServeHTTP(answer, r)
		return answer.Code, answer.Body.String()
	}
	status, body := do("POST", "/simulator/subscriptions", `{"customer":"c","product":"GIFT"}`)
	var sub struct {
		ID string `json:"public_id"`
	}
	if err := json.Unmarshal([]byte(body), &sub); err != nil || status != 200 {
		t.Fatalf("making one = %d %s", status, body)
	}
	if status, body := do("POST", "/simulator/orders", `{"subscriptions":["`+sub.ID+`"]}`); status != 200 || !strings.Contains(body, `"order":"`) {
		t.Errorf("placing = %d %s", status, body)
	}
	if status, body := do("POST", "/simulator/orders", `{"subscribers":[]}`); status != 400 {
		t.Errorf("a misspelled field = %d %s, want 400", status, body)
	}
	if status, _ := do("POST", "/simulator/faults", `{"status":500}`); status != 200 || sim.Faults() != 1 {
		t.Errorf("breaking = %d, %d faults", status, sim.Faults())
	}
	if status, _ := do("DELETE", "/simulator/faults", ``); status != 204 || sim.Faults() != 0 {
		t.Errorf("mending = %d, %d faults", status, sim.Faults())
	}
	if status, body := do("GET", "/simulator/state", ``); status != 200 || !strings.Contains(body, `"orders_placed":1`) {
		t.Errorf("state = %d %s", status, body)
	}
}
