package sim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// The PATCH calls of the contract, section 2, by the last part of their path. Each row is what the call does; it
// returns the zero answer where it succeeds, and the caller then gets the object as it is afterwards.
var (
	subscriptionChanges = map[string]change[*Subscription]{
		"update":                  (*Simulator).updateSubscription,
		"cancel":                  (*Simulator).cancelSubscription,
		"reactivate":              (*Simulator).reactivateSubscription,
		"change_next_order_date":  (*Simulator).changeNextOrderDate,
		"change_frequency":        (*Simulator).changeFrequency,
		"change_product":          (*Simulator).changeProduct,
		"change_renewal_behavior": (*Simulator).changeRenewalBehavior,
	}
	itemChanges = map[string]change[*Item]{
		"change_quantity": (*Simulator).changeItemQuantity,
		"change_product":  (*Simulator).changeItemProduct,
	}
	orderChanges = map[string]change[*Order]{
		"skip_subscription": (*Simulator).skipSubscription,
		"cancel":            (*Simulator).cancelOrder,
		"send_now":          (*Simulator).sendNow,
		"change_place_date": (*Simulator).changePlaceDate,
		"change_shipping":   changeOrderField("shipping_address"),
		"change_payment":    changeOrderField("payment"),
	}
)

// change works under the simulator's lock.
type change[T any] func(s *Simulator, r *request, object T) answer

// handler works under the simulator's lock.
type handler func(r *request) answer

// Handler answers the REST API (contract, section 2). Paths end in a slash; without it they are not found.
func (s *Simulator) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range s.routes() {
		mux.Handle(pattern, s.serve(handle))
	}
	notFoundHandler := s.serve(func(*request) answer { return notFound() })
	mux.Handle("/", notFoundHandler)
	return s.withFaults(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat)) // every server has its clock there
		if !strings.HasSuffix(r.URL.Path, "/") {                      // the mux would redirect
			notFoundHandler.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

func (s *Simulator) routes() map[string]handler {
	routes := map[string]handler{
		"GET /subscriptions/{$}":               s.listSubscriptions,
		"GET /subscriptions/{id}/{$}":          s.onSubscription(nothing[*Subscription]),
		"GET /items/{$}":                       s.listItems,
		"GET /orders/{$}":                      s.listOrders,
		"GET /orders/{id}/{$}":                 s.onOrder(nothing[*Order]),
		"POST /addresses/create/{$}":           s.createAddress,
		"POST /one_time_incentives/create/{$}": s.createIncentive,
		"GET /merchant/cancel_reason/{$}":      s.cancelReasons,
	}
	for name, change := range subscriptionChanges {
		routes["PATCH /subscriptions/{id}/"+name+"/{$}"] = s.onSubscription(change)
	}
	for name, change := range itemChanges {
		routes["PATCH /items/{id}/"+name+"/{$}"] = s.onItem(change)
	}
	for name, change := range orderChanges {
		routes["PATCH /orders/{id}/"+name+"/{$}"] = s.onOrder(change)
	}
	return routes
}

// nothing is the change that a read makes.
func nothing[T any](*Simulator, *request, T) answer { return answer{} }

func (s *Simulator) onSubscription(change change[*Subscription]) handler {
	return func(r *request) answer {
		sub, found := s.subscriptions[r.PathValue("id")]
		if !found {
			return notFound()
		}
		if a := change(s, r, sub); a.status != 0 {
			return a
		}
		return ok(s.subscriptionObject(sub, false))
	}
}

func (s *Simulator) onItem(change change[*Item]) handler {
	return func(r *request) answer {
		item, found := s.items[r.PathValue("id")]
		if !found {
			return notFound()
		}
		if a := change(s, r, item); a.status != 0 {
			return a
		}
		return ok(s.itemObject(item))
	}
}

func (s *Simulator) onOrder(change change[*Order]) handler {
	return func(r *request) answer {
		order, found := s.orders[r.PathValue("id")]
		if !found {
			return notFound()
		}
		if a := change(s, r, order); a.status != 0 {
			return a
		}
		return ok(s.orderObject(order, false))
	}
}

// serve takes the lock, checks what every call needs, and writes the answer.
func (s *Simulator) serve(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		s.mu.Lock()
		a := s.answer(r, body, handle)
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false) // values in extra_data are answered as they were written
		err = encoder.Encode(a.body)
		s.mu.Unlock()
		if err != nil {
			a.status = http.StatusInternalServerError
		}
		w.Header().Set("Content-Type", "application/json")
		if a.status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(a.status)
		_, _ = w.Write(out.Bytes())
	})
}

func (s *Simulator) answer(r *http.Request, body []byte, handle handler) answer {
	if r.Header.Get("x-api-key") != s.o.Key {
		return answer{http.StatusForbidden, detail("Authentication Failed")}
	}
	if s.overLimit() {
		return answer{http.StatusTooManyRequests, detail("Request was throttled.")}
	}
	parsed := &request{Request: r}
	if len(body) == 0 { // the same as an empty object
		return handle(parsed)
	}
	if !json.Valid(body) {
		return answer{http.StatusBadRequest, detail("JSON parse error")}
	}
	if json.Unmarshal(body, &parsed.fields) != nil {
		return answer{http.StatusBadRequest, detail("Invalid data. Expected a dictionary.")}
	}
	return handle(parsed)
}

// overLimit counts a call and says whether it is one too many in this minute.
func (s *Simulator) overLimit() bool {
	if s.o.RequestsPerMinute == 0 {
		return false
	}
	if now := s.now(); now.Sub(s.minute) >= time.Minute {
		s.minute = now
		s.callsInMinute = 0
	}
	s.callsInMinute++
	return s.callsInMinute > s.o.RequestsPerMinute
}

type request struct {
	*http.Request
	fields map[string]json.RawMessage // of the body
}

// text returns a field that is a string, or "".
func (r *request) text(name string) string {
	var value string
	_ = json.Unmarshal(r.fields[name], &value)
	return value
}

// number returns a field that is a whole number, or 0.
func (r *request) number(name string) int {
	var value int
	_ = json.Unmarshal(r.fields[name], &value)
	return value
}

// missing returns a 400 that names the first missing field, or the zero answer.
func (r *request) missing(names ...string) answer {
	for _, name := range names {
		if raw, found := r.fields[name]; !found || string(raw) == "null" {
			return badRequest(name, "This field is required.")
		}
	}
	return answer{}
}

// answer is what a call gets; the zero answer stands for success without an answer yet.
type answer struct {
	status int
	body   any
}

func ok(body any) answer { return answer{http.StatusOK, body} }

func detail(text string) map[string]string { return map[string]string{"detail": text} }

func badRequest(field, text string) answer {
	return answer{http.StatusBadRequest, map[string]any{field: []string{text}}}
}

func notFound() answer { return answer{http.StatusNotFound, detail("Not found.")} }

// internalError reports a failure of the simulator itself: it lacks a recorded payload.
func internalError(err error) answer {
	return answer{http.StatusInternalServerError, detail(err.Error())}
}
