package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ControlPath is the path prefix that Control serves.
const ControlPath = "/simulator/"

// ControlCall is one thing that a person can do to the simulator, over HTTP.
type ControlCall struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	What    string `json:"what"`
	Example string `json:"example,omitempty"` // of a body; SUBSCRIPTION stands for the ID of one
	handle  func(s *Simulator, r *http.Request) (any, error)
}

// ControlCalls are all there are.
var ControlCalls = []ControlCall{
	{
		"POST", "/simulator/subscriptions",
		"a checkout, or with \"silent\" an agent, makes a subscription; \"prepaid_subscription_context\" makes it prepaid",
		`{"customer":"c1","product":"GIFT-3MO","extra_data":{"note":"hi"}}`, controlSubscribe,
	},
	{
		"POST", "/simulator/orders", "an order with the next shipment of each subscription, and one-time items, is placed",
		`{"subscriptions":["SUBSCRIPTION"],"one_time":["MUG"]}`, controlPlace,
	},
	{
		"POST", "/simulator/orders/fail", "the upcoming order fails with a status, announced by an event of a type",
		`{"subscription":"SUBSCRIPTION","type":"order.reject","status":3}`, controlFail,
	},
	{
		"POST", "/simulator/subscriptions/{id}/cancel", "an agent or the customer cancels the subscription", `{}`,
		onControlled((*Simulator).CancelByAgent),
	},
	{
		"POST", "/simulator/subscriptions/{id}/reactivate", "somebody reactivates it", `{}`,
		onControlled((*Simulator).Reactivate),
	},
	{
		"POST", "/simulator/subscriptions/{id}/swap",
		"its product is swapped; with \"once\" that of its upcoming order alone",
		`{"product":"SIX","once":false}`, controlSwap,
	},
	{
		"POST", "/simulator/subscriptions/{id}/extra_data", "another application overwrites its extra_data",
		`{"fulfillment_counter":"5"}`, controlEdit,
	},
	{
		"POST", "/simulator/subscriptions/{id}/reschedule", "its upcoming order is to be placed that long from now",
		`{"in":"2d"}`, controlReschedule,
	},
	{
		"DELETE", "/simulator/subscriptions/{id}", "it is deleted, as if it had never existed", ``,
		func(s *Simulator, r *http.Request) (any, error) {
			s.Forget(r.PathValue("id"))
			return nil, nil
		},
	},
	{
		"POST", "/simulator/webhooks/lose", "that number of the next events is never delivered", `{"next":2}`,
		controlLose,
	},
	{
		"POST", "/simulator/webhooks/delay", "nothing is delivered for that long; then all of it", `{"for":"30s"}`,
		controlDelay,
	},
	{
		"POST", "/simulator/clock",
		"the clock is put forward, and orders that are due by then are placed, at most one of each subscription",
		`{"forward":"31d"}`, controlClock,
	},
	{
		"POST", "/simulator/faults", "API calls fail; without a status the connection is closed",
		`{"method":"PATCH","status":423,"times":3,"delay":"2s"}`, controlBreak,
	},
	{
		"DELETE", "/simulator/faults", "API calls work again", ``,
		func(s *Simulator, _ *http.Request) (any, error) {
			s.ClearFaults()
			return nil, nil
		},
	},
	{
		"GET", "/simulator/state", "all subscriptions, and how many API calls were made", ``,
		func(s *Simulator, _ *http.Request) (any, error) {
			return map[string]any{"subscriptions": s.Subscriptions(), "calls": len(s.Calls())}, nil
		},
	},
}

// Control lets a person act on the simulator by ControlCalls. GET /simulator/ lists them.
func (s *Simulator) Control() http.Handler {
	mux := http.NewServeMux()
	for _, c := range ControlCalls {
		mux.HandleFunc(c.Method+" "+c.Path, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			answer, err := c.handle(s, r)
			if bad, ok := errors.AsType[bodyError](err); ok && c.Example != "" {
				err = fmt.Errorf("%w; for example %s", bad, c.Example)
			}
			writeControl(w, answer, err)
		})
	}
	mux.HandleFunc("GET /simulator/{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeControl(w, ControlCalls, nil)
	})
	mux.HandleFunc("/simulator/", func(w http.ResponseWriter, r *http.Request) {
		writeControl(w, nil, controlError{http.StatusNotFound, r.Method + " " + r.URL.Path + ": there is no such call; " +
			"GET /simulator/ lists them"})
	})
	return mux
}

// controlError is a refusal with a status of its own; others are answered 400.
type controlError struct {
	status int
	text   string
}

func (e controlError) Error() string { return e.text }

// bodyError is a body that cannot be read.
type bodyError struct{ error }

// onControlled does something to the subscription of the path.
func onControlled(do func(*Simulator, string) error) func(*Simulator, *http.Request) (any, error) {
	return func(s *Simulator, r *http.Request) (any, error) {
		id := r.PathValue("id")
		if err := s.mustKnow(id); err != nil {
			return nil, err
		}
		if err := do(s, id); err != nil {
			return nil, err
		}
		sub, _ := s.Subscription(id)
		return sub, nil
	}
}

func (s *Simulator) mustKnow(ids ...string) error {
	for _, id := range ids {
		if _, known := s.Subscription(id); !known {
			return controlError{http.StatusNotFound, "unknown subscription " + strconv.Quote(id)}
		}
	}
	return nil
}

func controlSubscribe(s *Simulator, r *http.Request) (any, error) {
	var n NewSubscription
	if err := readControl(r, &n); err != nil {
		return nil, err
	}
	if n.Customer == "" || n.Product == "" {
		return nil, errors.New(`a subscription needs a "customer" and a "product"`)
	}
	return s.Subscribe(n)
}

func controlPlace(s *Simulator, r *http.Request) (any, error) {
	var n struct {
		Subscriptions []string `json:"subscriptions"`
		OneTime       []string `json:"one_time"`
	}
	if err := readControl(r, &n); err != nil {
		return nil, err
	}
	if len(n.Subscriptions) == 0 {
		return nil, errors.New(`an order needs "subscriptions", a list of IDs`)
	}
	if err := s.mustKnow(n.Subscriptions...); err != nil {
		return nil, err
	}
	order, err := s.Place(n.Subscriptions, n.OneTime...)
	if err == nil && order == "" {
		err = controlError{http.StatusConflict, "no order is placed: " + strings.Join(n.Subscriptions, ", ") + " has ended"}
	}
	return map[string]string{"order": order}, err
}

func controlFail(s *Simulator, r *http.Request) (any, error) {
	var n struct {
		Subscription string `json:"subscription"`
		Type         string `json:"type"`
		Status       int    `json:"status"`
	}
	if err := readControl(r, &n); err != nil {
		return nil, err
	}
	if err := s.mustKnow(n.Subscription); err != nil {
		return nil, err
	}
	return n, s.Fail(n.Subscription, n.Type, n.Status)
}

func controlSwap(s *Simulator, r *http.Request) (any, error) {
	var n struct {
		Product string `json:"product"`
		Once    bool   `json:"once"`
	}
	if err := readControl(r, &n); err != nil {
		return nil, err
	}
	if n.Product == "" {
		return nil, errors.New(`a swap needs a "product"`)
	}
	swap := s.Swap
	if n.Once {
		swap = s.SwapOnce
	}
	return onControlled(func(_ *Simulator, id string) error { return swap(id, n.Product) })(s, r)
}

func controlEdit(s *Simulator, r *http.Request) (any, error) {
	var data map[string]json.RawMessage
	var raw json.RawMessage
	if err := readControl(r, &raw); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, errors.New("extra_data is a JSON object")
	}
	return onControlled(func(s *Simulator, id string) error { return s.Edit(id, raw) })(s, r)
}

func controlReschedule(s *Simulator, r *http.Request) (any, error) {
	var n struct {
		In duration `json:"in"`
	}
	if err := readControl(r, &n); err != nil {
		return nil, err
	}
	at := s.Now().Add(time.Duration(n.In))
	return onControlled(func(s *Simulator, id string) error { return s.Reschedule(id, at) })(s, r)
}

func controlLose(s *Simulator, r *http.Request) (any, error) {
	var n struct {
		Next int `json:"next"`
	}
	if err := readControl(r, &n); err != nil {
		return nil, err
	}
	if n.Next < 0 {
		return nil, errors.New(`"next" is the number of events, 0 or more`)
	}
	s.Lose(n.Next)
	return n, nil
}

func controlDelay(s *Simulator, r *http.Request) (any, error) {
	var n struct {
		For duration `json:"for"`
	}
	if err := readControl(r, &n); err != nil {
		return nil, err
	}
	s.Hold(time.Duration(n.For))
	return nil, nil
}

func controlClock(s *Simulator, r *http.Request) (any, error) {
	var n struct {
		Forward duration `json:"forward"`
	}
	if err := readControl(r, &n); err != nil {
		return nil, err
	}
	orders, err := s.Advance(time.Duration(n.Forward))
	return map[string]any{"now": s.Now().UTC(), "orders": append([]string{}, orders...)}, err
}

func controlBreak(s *Simulator, r *http.Request) (any, error) {
	var f struct {
		Fault
		Delay duration `json:"delay"`
	}
	if err := readControl(r, &f); err != nil {
		return nil, err
	}
	f.Fault.Delay = time.Duration(f.Delay)
	s.Break(f.Fault)
	return nil, nil
}

// Now is the time by the simulator's clock.
func (s *Simulator) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// duration is a time such as "2s" or "31d".
type duration time.Duration

// UnmarshalJSON reads a text, and refuses what is negative.
func (d *duration) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf(`%s is not a duration; write a text such as "2s" or "31d"`, raw)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			*d = duration(time.Duration(n) * 24 * time.Hour)
			return nil
		}
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a duration; write 2s or 31d, for example", text)
	}
	*d = duration(parsed)
	return nil
}

// readControl reads a body, and refuses fields that there are not.
func readControl(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return bodyError{err}
	}
	return nil
}

func writeControl(w http.ResponseWriter, answer any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status := http.StatusBadRequest
		if refusal, ok := errors.AsType[controlError](err); ok {
			status = refusal.status
		}
		w.WriteHeader(status)
		answer = map[string]string{"error": err.Error()}
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(answer)
}

// Server returns an HTTP server for a handler, with timeouts that suit a loopback address.
func Server(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}
