package ogsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Handler answers the REST API (contract, section 2). Paths end in a slash; one without is not there.
func (s *Simulator) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]handler{
		"GET /subscriptions/{$}":                                s.listSubscriptions,
		"GET /subscriptions/{id}/{$}":                           s.getSubscription,
		"PATCH /subscriptions/{id}/update/{$}":                  s.updateSubscription,
		"PATCH /subscriptions/{id}/cancel/{$}":                  s.cancelSubscription,
		"PATCH /subscriptions/{id}/reactivate/{$}":              s.reactivateSubscription,
		"PATCH /subscriptions/{id}/change_next_order_date/{$}":  s.changeNextOrderDate,
		"PATCH /subscriptions/{id}/change_frequency/{$}":        s.changeFrequency,
		"PATCH /subscriptions/{id}/change_product/{$}":          s.changeProduct,
		"PATCH /subscriptions/{id}/change_renewal_behavior/{$}": s.changeRenewalBehavior,
		"GET /items/{$}":                           s.listItems,
		"PATCH /items/{id}/change_quantity/{$}":    s.changeItemQuantity,
		"PATCH /items/{id}/change_product/{$}":     s.changeItemProduct,
		"GET /orders/{$}":                          s.listOrders,
		"GET /orders/{id}/{$}":                     s.getOrder,
		"PATCH /orders/{id}/skip_subscription/{$}": s.skipSubscription,
		"PATCH /orders/{id}/cancel/{$}":            s.cancelOrder,
		"PATCH /orders/{id}/send_now/{$}":          s.sendNow,
		"PATCH /orders/{id}/change_place_date/{$}": s.changePlaceDate,
		"PATCH /orders/{id}/change_shipping/{$}":   s.changeOrderField("shipping_address"),
		"PATCH /orders/{id}/change_payment/{$}":    s.changeOrderField("payment"),
		"POST /addresses/create/{$}":               s.createAddress,
		"POST /one_time_incentives/create/{$}":     s.createIncentive,
		"GET /merchant/cancel_reason/{$}":          s.cancelReasons,
	} {
		mux.Handle(pattern, s.guarded(handle))
	}
	nothing := s.guarded(func(*request) answer { return notFound() })
	mux.Handle("/", nothing)
	return s.faulty(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/") { // the mux would redirect
			nothing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

// handler works under the simulator's lock.
type handler func(r *request) answer

type request struct {
	*http.Request
	fields map[string]json.RawMessage // of the body
}

type answer struct {
	status int
	body   any
}

func ok(body any) answer { return answer{http.StatusOK, body} }

func badRequest(field, words string) answer {
	return answer{http.StatusBadRequest, map[string]any{field: []string{words}}}
}

func notFound() answer {
	return answer{http.StatusNotFound, map[string]string{"detail": "Not found."}}
}

// guarded checks what every call must have, takes the lock and writes the answer.
func (s *Simulator) guarded(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		s.mu.Lock()
		a := s.check(r, body)
		if a.status == 0 {
			request := &request{Request: r}
			if a = request.read(body); a.status == 0 {
				a = handle(request)
			}
		}
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

func (s *Simulator) check(r *http.Request, body []byte) answer {
	if r.Header.Get("x-api-key") != s.o.Key {
		return answer{http.StatusForbidden, map[string]string{"detail": "Authentication Failed"}}
	}
	if now := s.o.Now(); s.o.RequestsPerMinute > 0 {
		if now.Sub(s.window) >= time.Minute {
			s.window, s.inWindow = now, 0
		}
		if s.inWindow++; s.inWindow > s.o.RequestsPerMinute {
			return answer{http.StatusTooManyRequests, map[string]string{"detail": "Request was throttled."}}
		}
	}
	if len(body) > 0 && !json.Valid(body) {
		return answer{http.StatusBadRequest, map[string]string{"detail": "JSON parse error"}}
	}
	return answer{}
}

// read takes the members of the body; no body is an empty object.
func (r *request) read(body []byte) answer {
	if len(body) == 0 {
		return answer{}
	}
	if json.Unmarshal(body, &r.fields) != nil {
		return answer{http.StatusBadRequest, map[string]string{"detail": "Invalid data. Expected a dictionary."}}
	}
	return answer{}
}

// text returns a member that must be a text.
func (r *request) text(name string) string {
	var value string
	_ = json.Unmarshal(r.fields[name], &value)
	return value
}

func (r *request) number(name string) int {
	var value int
	_ = json.Unmarshal(r.fields[name], &value)
	return value
}

// missing returns the refusal of the first member that is not there, or an answer of status 0.
func (r *request) missing(names ...string) answer {
	for _, name := range names {
		if raw, ok := r.fields[name]; !ok || string(raw) == "null" {
			return badRequest(name, "This field is required.")
		}
	}
	return answer{}
}

func (s *Simulator) withSubscription(r *request, do func(*Subscription) answer) answer {
	sub, there := s.subscriptions[r.PathValue("id")]
	if !there {
		return notFound()
	}
	if a := do(sub); a.status != 0 {
		return a
	}
	return ok(s.subscriptionObject(sub, false))
}

func (s *Simulator) getSubscription(r *request) answer {
	return s.withSubscription(r, func(*Subscription) answer { return answer{} })
}

func (s *Simulator) listSubscriptions(r *request) answer {
	q := r.URL.Query()
	var rows []any
	for _, id := range s.sequence {
		sub := s.subscriptions[id]
		created, updated := sub.Created.UTC().Format(time.DateOnly), sub.Updated.UTC().Format(time.DateOnly)
		switch {
		case q.Get("product") != "" && q.Get("product") != sub.Product,
			q.Get("customer") != "" && q.Get("customer") != sub.Customer,
			q.Get("live") != "" && strings.EqualFold(q.Get("live"), "true") != sub.Live,
			q.Get("created_start") > created, q.Get("created_end") != "" && q.Get("created_end") < created,
			q.Get("updated_start") > updated, q.Get("updated_end") != "" && q.Get("updated_end") < updated:
			continue
		}
		rows = append(rows, s.subscriptionObject(sub, false))
	}
	return s.page(r, rows)
}

func (s *Simulator) updateSubscription(r *request) answer {
	return s.withSubscription(r, func(sub *Subscription) answer {
		if raw, there := r.fields["extra_data"]; there {
			data, fault := s.readExtraData(raw)
			if fault != "" {
				return badRequest("extra_data", fault)
			}
			sub.ExtraData = data // the whole of it, whatever was there
			sub.Writes++
		}
		for _, name := range []string{"price", "offer", "cancel_reason", "components"} {
			if raw, there := r.fields[name]; there {
				sub.Fields[name] = raw
			}
		}
		sub.Updated = s.o.Now()
		return answer{}
	})
}

func (s *Simulator) readExtraData(raw json.RawMessage) (json.RawMessage, string) {
	isText := bytes.HasPrefix(raw, []byte{'"'})
	if s.o.ExtraDataAsText != isText {
		if isText {
			return nil, "Expected a dictionary of items but got type \"str\"."
		}
		return nil, "Not a valid string."
	}
	if isText {
		var inner string
		if json.Unmarshal(raw, &inner) != nil {
			return nil, "Not a valid string."
		}
		raw = json.RawMessage(inner)
	}
	if !json.Valid(raw) || !bytes.HasPrefix(bytes.TrimSpace(raw), []byte{'{'}) {
		return nil, "Value must be valid JSON."
	}
	return bytes.Clone(raw), ""
}

func (s *Simulator) cancelSubscription(r *request) answer {
	return s.withSubscription(r, func(sub *Subscription) answer {
		if string(sub.Prepaid) != "null" {
			return badRequest("prepaid_subscription_context", "Prepaid subscriptions cannot be cancelled.")
		}
		reason := r.text("cancel_reason")
		if _, there := r.fields["cancel_reason"]; there && !strings.Contains(reason, "|") {
			return badRequest("cancel_reason", "Expected <code>|<details>.")
		}
		if err := s.cancel(sub, reason, true); err != nil {
			return fault(err)
		}
		return answer{}
	})
}

func (s *Simulator) reactivateSubscription(r *request) answer {
	return s.withSubscription(r, func(sub *Subscription) answer {
		if a := r.missing("every", "every_period", "start_date"); a.status != 0 {
			return a
		}
		if _, err := time.Parse(time.DateOnly, r.text("start_date")); err != nil {
			return badRequest("start_date", "Date has wrong format. Use YYYY-MM-DD.")
		}
		if err := s.reactivate(sub); err != nil {
			return fault(err)
		}
		return answer{}
	})
}

func (s *Simulator) changeNextOrderDate(r *request) answer {
	return s.withSubscription(r, func(sub *Subscription) answer {
		date, err := time.Parse(time.DateOnly, r.text("order_date"))
		if err != nil {
			return badRequest("order_date", "Date has wrong format. Use YYYY-MM-DD.")
		}
		if order := s.upcoming(sub.ID); order != nil {
			order.Place = date
		}
		return answer{}
	})
}

func (s *Simulator) changeFrequency(r *request) answer {
	return s.withSubscription(r, func(sub *Subscription) answer {
		if period := r.number("every_period"); r.number("every") < 1 || period < 1 || period > 4 {
			return badRequest("every_period", "Not a valid frequency.")
		}
		sub.Fields["every"], sub.Fields["every_period"] = r.number("every"), r.number("every_period")
		return s.changed(sub, "subscription.change_frequency")
	})
}

func (s *Simulator) changeProduct(r *request) answer {
	return s.withSubscription(r, func(sub *Subscription) answer {
		if a := r.missing("product"); a.status != 0 {
			return a
		}
		if err := s.swap(sub, r.text("product")); err != nil {
			return fault(err)
		}
		return answer{}
	})
}

func (s *Simulator) changeRenewalBehavior(r *request) answer {
	return s.withSubscription(r, func(sub *Subscription) answer {
		behavior := r.text("renewal_behavior")
		if behavior != "autorenew" && behavior != "cancel" && behavior != "downgrade" {
			return badRequest("renewal_behavior", fmt.Sprintf("%q is not a valid choice.", behavior))
		}
		var context map[string]any
		if json.Unmarshal(sub.Prepaid, &context) != nil || context == nil {
			return badRequest("renewal_behavior", "Only for prepaid subscriptions.")
		}
		context["renewal_behavior"] = behavior
		sub.Prepaid, _ = json.Marshal(context)
		return answer{}
	})
}

// changed dates a change and announces it.
func (s *Simulator) changed(sub *Subscription, eventType string) answer {
	sub.Updated = s.o.Now()
	if err := s.announce(eventType, s.subscriptionObject(sub, true), nil); err != nil {
		return fault(err)
	}
	return answer{}
}

func (s *Simulator) cancelReasons(*request) answer {
	return ok([]map[string]any{
		{"code": 1, "reason": "Other"}, {"code": 2, "reason": "Overstocked"}, {"code": 8, "reason": "Too expensive"},
	})
}

// fault is the simulator's own: a payload that it has no recording of.
func fault(err error) answer {
	return answer{http.StatusInternalServerError, map[string]string{"detail": err.Error()}}
}
