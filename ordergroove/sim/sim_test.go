package sim_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/testdata"
)

// call calls the simulator's API and returns the status and the answer.
func call(t *testing.T, simulator *sim.Simulator, request, body string, headers ...string) (int, map[string]any) {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("x-api-key", "simulated-api-key")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	simulator.Handler().ServeHTTP(answer, r)
	var fields map[string]any
	_ = json.Unmarshal(answer.Body.Bytes(), &fields)
	return answer.Code, fields
}

func newSim(t *testing.T) (*sim.Simulator, sim.Subscription, string) {
	t.Helper()
	simulator := sim.New(sim.Options{Payloads: testdata.Webhooks()})
	sub, err := simulator.Subscribe(sim.NewSubscription{
		Customer: "c1", Product: "GIFT", ExtraData: json.RawMessage(`{"a":1}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, list := call(t, simulator, "GET /orders/?subscription="+sub.ID, "")
	order := list["results"].([]any)[0].(map[string]any)["public_id"].(string)
	return simulator, sub, order
}

// apiCase is a call of the contract, section 2, and what the simulator must answer. <S>, <O> and <I> stand for a
// subscription, its upcoming order and that order's item.
type apiCase struct {
	request string
	body    string
	status  int
	want    string // a field of the answer, as name=value
}

var apiCases = []apiCase{
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
	{
		"PATCH /orders/<O>/skip_subscription/", `{"subscription":"nobody"}`,
		400, "subscription=[This subscription is not on this order.]",
	},
	{"PATCH /orders/<O>/cancel/", "", 200, "status=4"},
	{"PATCH /orders/<O>/send_now/", "", 200, "status=5"},
	{"PATCH /orders/<O>/change_place_date/", `{"place":"2099-02-01 10:00:00"}`, 200, "place=2099-02-01 10:00:00"},
	{"PATCH /orders/<O>/change_place_date/", `{"place":"2026-02-01"}`, 400, ""},
	{"PATCH /orders/<O>/change_place_date/", `{"place":"2001-02-01 10:00:00"}`, 400, "place=[The date is in the past.]"},
	{"PATCH /orders/<O>/change_shipping/", `{"shipping_address":"a1"}`, 400, ""},
	{"PATCH /orders/<O>/change_payment/", `{"payment":"p1"}`, 200, "payment=p1"},
	{"POST /addresses/create/", `{"customer":"c1"}`, 400, "address_type=[This field is required.]"},
	{"POST /addresses/create/", address, 201, "city=C"},
	{"POST /one_time_incentives/create/", incentive("order"), 201, ""},
	{"POST /one_time_incentives/create/", incentive("item"), 400, ""},
	{
		"POST /one_time_incentives/create/", `{"merchant":"m","customer":"c1","stacking_type":"base","incentive":{}}`,
		400, "",
	},
	{"GET /merchant/cancel_reason/", "", 200, ""},
}

const address = `{"customer":"c1","address_type":"shipping_address","first_name":"A","last_name":"B",` +
	`"address":"1 St","city":"C","state_province_code":"NY","zip_postal_code":"1","country_code":"US","phone":"1"}`

func incentive(target string) string {
	return `{"merchant":"m","customer":"c1","order":"<O>","stacking_type":"base",` +
		`"incentive":{"name":"n","discount_type":"Discount Percent","value":"15.00","type":"Discount","target":"` + target +
		`","field":"sub_total"}}`
}

func TestAPI(t *testing.T) {
	for _, test := range apiCases {
		t.Run(test.request+" "+test.body, func(t *testing.T) {
			simulator, sub, order := newSim(t)
			_, list := call(t, simulator, "GET /items/?order="+order, "")
			item := list["results"].([]any)[0].(map[string]any)["public_id"].(string)
			fill := strings.NewReplacer("<S>", sub.ID, "<O>", order, "<I>", item)
			status, answer := call(t, simulator, fill.Replace(test.request), fill.Replace(test.body))
			if status != test.status {
				t.Fatalf("status = %d %v, want %d", status, answer, test.status)
			}
			if name, want, ok := strings.Cut(fill.Replace(test.want), "="); ok && fmt.Sprint(answer[name]) != want {
				t.Errorf("%s = %v, want %s", name, answer[name], want)
			}
		})
	}
}

func TestAPIChecksKeyAndLimit(t *testing.T) {
	simulator := sim.New(sim.Options{Payloads: testdata.Webhooks(), RequestsPerMinute: 2})
	status, answer := call(t, simulator, "GET /subscriptions/", "", "x-api-key: wrong")
	if status != 403 || answer["detail"] != "Authentication Failed" {
		t.Errorf("a wrong key = %d %v", status, answer)
	}
	for _, want := range []int{200, 200, 429} {
		if status, _ := call(t, simulator, "GET /subscriptions/", ""); status != want {
			t.Errorf("status = %d, want %d", status, want)
		}
	}
}

func TestAPIPrepaid(t *testing.T) {
	simulator := sim.New(sim.Options{Payloads: testdata.Webhooks()})
	sub, err := simulator.Subscribe(sim.NewSubscription{
		Product: "GIFT", Prepaid: json.RawMessage(`{"prepaid_orders_remaining":2,"renewal_behavior":"autorenew"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := "PATCH /subscriptions/" + sub.ID
	if status, _ := call(t, simulator, path+"/cancel/", `{}`); status != 400 {
		t.Errorf("canceling = %d, want 400", status)
	}
	if status, _ := call(t, simulator, path+"/change_renewal_behavior/", `{"renewal_behavior":"never"}`); status != 400 {
		t.Errorf("an unknown behavior = %d, want 400", status)
	}
	status, answer := call(t, simulator, path+"/change_renewal_behavior/", `{"renewal_behavior":"cancel"}`)
	want := "map[prepaid_orders_remaining:2 renewal_behavior:cancel]"
	if got := fmt.Sprint(answer["prepaid_subscription_context"]); status != 200 || got != want {
		t.Errorf("behavior cancel = %d %s, want %s", status, got, want)
	}
}

// Both paginations return every row once.
func TestPagination(t *testing.T) {
	simulator := sim.New(sim.Options{Payloads: testdata.Webhooks()})
	for i := range 25 {
		n := sim.NewSubscription{Customer: fmt.Sprint("c", i%2), Product: "P"}
		if _, err := simulator.Subscribe(n); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("by cursor", func(t *testing.T) { checkPages(t, simulator, "X-OG-API-VERSION: 2", false) })
	t.Run("by number", func(t *testing.T) { checkPages(t, simulator, "X-Other: 1", true) })
	if _, page := call(t, simulator, "GET /subscriptions/?customer=c1&live=true", ""); page["count"] != 12.0 {
		t.Errorf("filtered count = %v, want 12", page["count"])
	}
}

func checkPages(t *testing.T, simulator *sim.Simulator, header string, wantCount bool) {
	t.Helper()
	seen := map[any]bool{}
	pages := 0
	for next := "/subscriptions/?page_size=7&product=P"; next != "" && pages < 10; pages++ {
		_, page := call(t, simulator, "GET "+next, "", header)
		for _, row := range page["results"].([]any) {
			seen[row.(map[string]any)["public_id"]] = true
		}
		if _, counted := page["count"]; counted != wantCount {
			t.Errorf("the page has a count: %v, want %v", counted, wantCount)
		}
		next, _ = page["next"].(string)
		next = strings.TrimPrefix(next, "http://example.com")
	}
	if len(seen) != 25 || pages != 4 {
		t.Errorf("%d rows on %d pages, want 25 on 4", len(seen), pages)
	}
}

func TestFaultTakesEffect(t *testing.T) {
	simulator, sub, _ := newSim(t)
	simulator.Break(sim.Fault{Method: "PATCH", Status: 502, TakesEffect: true, Times: 1})
	path := "PATCH /subscriptions/" + sub.ID + "/update/"
	if status, _ := call(t, simulator, path, `{"extra_data":{"b":2}}`); status != 502 {
		t.Errorf("status = %d, want 502", status)
	}
	if now, _ := simulator.Subscription(sub.ID); string(now.ExtraData) != `{"b":2}` {
		t.Errorf("extra_data = %s, want the change to take effect", now.ExtraData)
	}
	if status, _ := call(t, simulator, path, `{"extra_data":{}}`); status != 200 {
		t.Errorf("status = %d after the fault, want 200", status)
	}
}

// verifyingTransport checks the signature of each delivery and answers with the given statuses, the last one repeated.
// Status 0 is a lost connection.
type verifyingTransport struct {
	t        *testing.T
	verifier *ordergroove.Verifier
	statuses []int
	attempts int
}

func (v *verifyingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	if err := v.verifier.Verify(r.Header[ordergroove.SignatureHeader], time.Now(), body); err != nil {
		v.t.Error(err)
	}
	status := v.statuses[min(v.attempts, len(v.statuses)-1)]
	v.attempts++
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("x"))}, nil
}

// newSender returns a sender whose deliveries get the given statuses. It must be called inside a synctest bubble.
func newSender(t *testing.T, statuses ...int) (*sim.Sender, *verifyingTransport) {
	t.Helper()
	verifier, err := ordergroove.NewVerifier([]string{"old"}, time.Hour, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	transport := &verifyingTransport{t: t, verifier: verifier, statuses: statuses}
	return &sim.Sender{
		URL:    "http://127.0.0.1/",
		Keys:   []string{"new", "old"},
		Client: &http.Client{Transport: transport},
	}, transport
}

func TestSenderRetriesUntilAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sender, transport := newSender(t, 500, 503, 0, 200)
		start := time.Now()
		if err := sender.Send(t.Context(), sim.Event{Type: "t", Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); transport.attempts != 4 || took != 14*time.Minute {
			t.Errorf("%d attempts in %v, want 4 in 1+3+10 min", transport.attempts, took)
		}
	})
}

func TestSenderDisablesTargetAfterThreeDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sender, transport := newSender(t, 500)
		for range 200 {
			if err := sender.Send(t.Context(), sim.Event{Body: []byte("{}")}); err == nil {
				t.Fatal("Send succeeded")
			}
		}
		before := transport.attempts
		reply := sender.Deliver(t.Context(), sim.Event{Body: []byte("{}")})
		if !errors.Is(reply.Err, sim.ErrDisabled) || transport.attempts != before {
			t.Errorf("after three days: %+v, want ErrDisabled and no request", reply)
		}
	})
}

const (
	foreign   = `{"mine":1.10}`
	running   = `{"mine":1.10,"fulfillment_counter":"1","termed":"true"}`
	completed = `{"mine":1.10,"fulfillment_counter":"0","termed":"true","hide":true}`
)

// judgeCases has a case for each violation. Two orders are due unless the case says otherwise.
var judgeCases = []struct {
	name string
	sub  sim.Subscription
	data string // extra_data
	due  int
	want string
}{
	{name: "running", sub: sim.Subscription{Live: true, Placed: 1}, data: running},
	{name: "completed", sub: sim.Subscription{Placed: 2, Cancels: 1}, data: completed},
	{
		name: "one shipment too many", sub: sim.Subscription{Placed: 3, Cancels: 1}, data: completed,
		want: "3 shipments were made, 2 were due",
	},
	{
		name: "wrong counter",
		sub:  sim.Subscription{Live: true, Placed: 1},
		data: running,
		due:  3,
		want: `fulfillment_counter is "1", want "2"`,
	},
	{
		name: "counter is a number", sub: sim.Subscription{Live: true, Placed: 1},
		data: `{"mine":1.10,"fulfillment_counter":1,"termed":"true"}`,
		want: `fulfillment_counter is 1, want "1"`,
	},
	{
		name: "termed is missing", sub: sim.Subscription{Live: true, Placed: 1},
		data: `{"mine":1.10,"fulfillment_counter":"1"}`,
		want: `termed is missing, want "true"`,
	},
	{
		name: "not hidden", sub: sim.Subscription{Placed: 2, Cancels: 1},
		data: `{"mine":1.10,"fulfillment_counter":"0","termed":"true"}`,
		want: "hide is missing with 0 orders remaining",
	},
	{
		name: "not canceled", sub: sim.Subscription{Live: true, Placed: 2}, data: completed,
		want: "live is true after 0 cancels, with 0 orders remaining",
	},
	{
		name: "canceled twice", sub: sim.Subscription{Placed: 2, Cancels: 2}, data: completed,
		want: "live is false after 2 cancels, with 0 orders remaining",
	},
	{
		name: "canceled early", sub: sim.Subscription{Placed: 1, Cancels: 1}, data: running,
		want: "live is false after 1 cancels, with 1 orders remaining",
	},
	{
		name: "foreign value respelled", sub: sim.Subscription{Live: true, Placed: 1},
		data: `{"mine":1.1,"fulfillment_counter":"1","termed":"true"}`,
		want: `foreign key "mine" was 1.10 and is 1.1`,
	},
	{
		name: "foreign key removed", sub: sim.Subscription{Live: true, Placed: 1},
		data: `{"fulfillment_counter":"1","termed":"true"}`,
		want: `foreign key "mine" was 1.10 and is missing`,
	},
	{
		name: "foreign key added", sub: sim.Subscription{Live: true, Placed: 1},
		data: `{"mine":1.10,"new":1,"fulfillment_counter":"1","termed":"true"}`,
		want: `foreign key "new" appeared`,
	},
	{
		name: "evergreen written",
		sub:  sim.Subscription{Live: true, Writes: 1},
		data: foreign,
		due:  sim.Evergreen,
		want: "evergreen, but written 1 times, canceled 0 times, live true",
	},
}

func TestJudge(t *testing.T) {
	for _, test := range judgeCases {
		t.Run(test.name, func(t *testing.T) {
			test.sub.ExtraData = json.RawMessage(test.data)
			due := cmp.Or(test.due, 2)
			if got := strings.Join(sim.Judge(test.sub, due, json.RawMessage(foreign)), "; "); got != test.want {
				t.Errorf("Judge = %q, want %q", got, test.want)
			}
		})
	}
}

func TestControl(t *testing.T) {
	simulator := sim.New(sim.Options{Payloads: testdata.Webhooks()})
	do := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		answer := httptest.NewRecorder()
		simulator.Control().ServeHTTP(answer, r)
		return answer.Code, answer.Body.String()
	}
	status, body := do("POST", "/simulator/subscriptions", `{"customer":"c","product":"GIFT"}`)
	var sub struct {
		ID string `json:"public_id"`
	}
	if err := json.Unmarshal([]byte(body), &sub); err != nil || status != 200 {
		t.Fatalf("creating a subscription = %d %s", status, body)
	}
	status, body = do("POST", "/simulator/orders", `{"subscriptions":["`+sub.ID+`"]}`)
	if status != 200 || !strings.Contains(body, `"order":"`) {
		t.Errorf("placing an order = %d %s", status, body)
	}
	taken := `{"customer":"c","product":"G","public_id":"` + sub.ID + `"}`
	for path, refused := range map[string]struct {
		body   string
		status int
		words  string
	}{
		"/simulator/orders":                      {`{"subscribers":[]}`, 400, `for example {\"subscriptions\"`},
		"/simulator/orders?unknown":              {`{"subscriptions":["nobody"]}`, 404, `unknown subscription`},
		"/simulator/orders?none":                 {`{"subscriptions":[]}`, 400, `a list of IDs`},
		"/simulator/subscriptions":               {`{"customer":"c"}`, 400, `needs a \"customer\" and a \"product\"`},
		"/simulator/subscriptions?taken":         {taken, 400, `already`},
		"/simulator/subscriptions/nobody/cancel": {`{}`, 404, `unknown subscription`},
		"/simulator/faults":                      {`{"delay":2}`, 400, `such as \"2s\" or \"31d\"`},
		"/simulator/faults?unit":                 {`{"delay":"2 weeks"}`, 400, `\"2 weeks\" is not a duration`},
		"/simulator/nothing":                     {``, 404, `GET /simulator/ lists them`},
	} {
		status, body := do("POST", path, refused.body)
		if status != refused.status || !strings.Contains(body, refused.words) {
			t.Errorf("%s %s = %d %s, want %d and %q", path, refused.body, status, body, refused.status, refused.words)
		}
	}
	status, _ = do("POST", "/simulator/faults", `{"status":500,"delay":"2s"}`)
	if status != 204 || simulator.Faults() != 1 {
		t.Errorf("adding a fault = %d, %d faults", status, simulator.Faults())
	}
	if status, _ := do("DELETE", "/simulator/faults", ``); status != 204 || simulator.Faults() != 0 {
		t.Errorf("removing the faults = %d, %d faults", status, simulator.Faults())
	}
	status, body = do("GET", "/simulator/state", ``)
	if status != 200 || !strings.Contains(body, `"orders_placed":1`) {
		t.Errorf("state = %d %s", status, body)
	}
}

// Every control call that is listed works as its example shows, and the list is served.
func TestControlExamples(t *testing.T) {
	simulator := sim.New(sim.Options{Payloads: testdata.Webhooks()})
	do := func(method, path, body string) (int, string) {
		answer := httptest.NewRecorder()
		simulator.Control().ServeHTTP(answer, httptest.NewRequest(method, path, strings.NewReader(body)))
		return answer.Code, answer.Body.String()
	}
	for _, c := range sim.ControlCalls {
		sub, err := simulator.Subscribe(sim.NewSubscription{Customer: "c", Product: "GIFT"})
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(c.Path, "/reactivate") {
			if err := simulator.CancelByAgent(sub.ID); err != nil {
				t.Fatal(err)
			}
		}
		path := strings.Replace(c.Path, "{id}", sub.ID, 1)
		body := strings.ReplaceAll(c.Example, "SUBSCRIPTION", sub.ID)
		if status, answer := do(c.Method, path, body); status/100 != 2 {
			t.Errorf("%s %s %s = %d %s", c.Method, path, body, status, answer)
		}
		if _, list := do("GET", "/simulator/", ""); !strings.Contains(list, c.Path) {
			t.Errorf("GET /simulator/ does not list %s", c.Path)
		}
	}
}

// The clock goes forward and places what is due; events get lost or come late; ids differ by the seed.
func TestSimulatedTime(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	o := sim.Options{Payloads: testdata.Webhooks(), Now: func() time.Time { return now }}
	simulator := sim.New(o)
	sub, err := simulator.Subscribe(sim.NewSubscription{Customer: "c", Product: "GIFT"})
	if err != nil {
		t.Fatal(err)
	}
	simulator.Take()
	placed := func() int {
		now, _ := simulator.Subscription(sub.ID)
		return now.Placed
	}
	for _, step := range []struct {
		forward time.Duration
		want    int
	}{
		{24 * time.Hour, 0},
		{31 * 24 * time.Hour, 1},
		{90 * 24 * time.Hour, 2}, // at most one at a time
	} {
		if _, err := simulator.Advance(step.forward); err != nil || placed() != step.want {
			t.Errorf("forward by %v: %d orders placed, %v; want %d", step.forward, placed(), err, step.want)
		}
	}
	simulator.Take()
	simulator.Lose(1)
	if _, err := simulator.Place([]string{sub.ID}); err != nil || len(simulator.Take()) != 0 {
		t.Errorf("a lost event was delivered, %v", err)
	}
	simulator.Hold(time.Minute)
	if _, err := simulator.Place([]string{sub.ID}); err != nil || len(simulator.Take()) != 0 {
		t.Errorf("a delayed event was delivered, %v", err)
	}
	now = now.Add(time.Minute)
	if events := simulator.Take(); len(events) != 1 {
		t.Errorf("%d events after the delay, want 1", len(events))
	}
	o.Seed = 7
	other, err := sim.New(o).Subscribe(sim.NewSubscription{Customer: "c", Product: "GIFT"})
	if err != nil || other.ID == sub.ID {
		t.Errorf("another seed gives the same id %s, %v", other.ID, err)
	}
}
