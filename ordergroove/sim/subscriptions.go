package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

func (s *Simulator) listSubscriptions(r *request) answer {
	q := r.URL.Query()
	var rows []any
	for _, id := range s.ids {
		if sub := s.subscriptions[id]; sub.matches(q) {
			rows = append(rows, s.subscriptionObject(sub, false))
		}
	}
	return s.page(r, rows)
}

// matches says whether a subscription passes the filters of a list.
func (s *Subscription) matches(q url.Values) bool {
	created := s.Created.UTC().Format(time.DateOnly)
	updated := s.Updated.UTC().Format(time.DateOnly)
	switch {
	case q.Get("product") != "" && q.Get("product") != s.Product,
		q.Get("customer") != "" && q.Get("customer") != s.Customer,
		q.Get("live") != "" && strings.EqualFold(q.Get("live"), "true") != s.Live,
		q.Get("created_start") > created, q.Get("created_end") != "" && q.Get("created_end") < created,
		q.Get("updated_start") > updated, q.Get("updated_end") != "" && q.Get("updated_end") < updated:
		return false
	}
	return true
}

func (s *Simulator) updateSubscription(r *request, sub *Subscription) answer {
	if raw, found := r.fields["extra_data"]; found {
		data, problem := s.readExtraData(raw)
		if problem != "" {
			return badRequest("extra_data", problem)
		}
		sub.ExtraData = data // the whole of it is overwritten
		sub.Writes++
	}
	for _, name := range []string{"price", "offer", "cancel_reason", "components"} {
		if raw, found := r.fields[name]; found {
			sub.Fields[name] = raw
		}
	}
	sub.Updated = s.now()
	return answer{}
}

// readExtraData returns extra_data as an object, or what is wrong with it.
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

func (s *Simulator) cancelSubscription(r *request, sub *Subscription) answer {
	if string(sub.Prepaid) != "null" {
		return badRequest("prepaid_subscription_context", "Prepaid subscriptions cannot be canceled.")
	}
	reason := r.text("cancel_reason")
	if _, found := r.fields["cancel_reason"]; found && !strings.Contains(reason, "|") {
		return badRequest("cancel_reason", "Expected <code>|<details>.")
	}
	if err := s.cancel(sub, reason, true); err != nil {
		return internalError(err)
	}
	return answer{}
}

func (s *Simulator) reactivateSubscription(r *request, sub *Subscription) answer {
	if a := r.missing("every", "every_period", "start_date"); a.status != 0 {
		return a
	}
	if _, err := time.Parse(time.DateOnly, r.text("start_date")); err != nil {
		return badRequest("start_date", "Date has wrong format. Use YYYY-MM-DD.")
	}
	if err := s.reactivate(sub); err != nil {
		return internalError(err)
	}
	return answer{}
}

func (s *Simulator) changeNextOrderDate(r *request, sub *Subscription) answer {
	date, err := time.Parse(time.DateOnly, r.text("order_date"))
	if err != nil {
		return badRequest("order_date", "Date has wrong format. Use YYYY-MM-DD.")
	}
	if order := s.upcoming(sub.ID); order != nil {
		order.Place = date
		return s.announceUpcoming("order.change_next_order_date", order)
	}
	return answer{}
}

func (s *Simulator) changeFrequency(r *request, sub *Subscription) answer {
	every := r.number("every")
	period := r.number("every_period")
	if every < 1 || period < 1 || period > 4 {
		return badRequest("every_period", "Not a valid frequency.")
	}
	sub.Fields["every"] = every
	sub.Fields["every_period"] = period
	sub.Updated = s.now()
	if err := s.announce("subscription.change_frequency", s.subscriptionObject(sub, true), nil); err != nil {
		return internalError(err)
	}
	return answer{}
}

func (s *Simulator) changeProduct(r *request, sub *Subscription) answer {
	if a := r.missing("product"); a.status != 0 {
		return a
	}
	if err := s.swap(sub, r.text("product")); err != nil {
		return internalError(err)
	}
	return answer{}
}

func (s *Simulator) changeRenewalBehavior(r *request, sub *Subscription) answer {
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
}

func (s *Simulator) cancelReasons(*request) answer {
	return ok([]map[string]any{
		{"code": 1, "reason": "Other"}, {"code": 2, "reason": "Overstocked"}, {"code": 8, "reason": "Too expensive"},
	})
}

// Summary says in a few words what termed has made of a subscription.
func (s Subscription) Summary() string {
	counter, hidden := s.Counter()
	text := "counter " + counter
	if counter == "" {
		text = "no counter"
	}
	if hidden {
		text += ", hidden"
	}
	if !s.Live {
		text += ", canceled"
	}
	return text
}
