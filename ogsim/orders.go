package ogsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Simulator) listItems(r *request) answer {
	q := r.URL.Query()
	order, subscription, status := q.Get("order"), q.Get("subscription"), q.Get("status")
	var items []*Item
	for _, item := range s.items {
		switch {
		case order != "" && order != item.Order,
			subscription != "" && subscription != item.Subscription,
			status != "" && status != strconv.Itoa(s.orders[item.Order].Status):
			continue
		}
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b *Item) int { return strings.Compare(a.ID, b.ID) })
	rows := make([]any, len(items))
	for i, item := range items {
		rows[i] = s.itemObject(item)
	}
	return s.page(r, rows)
}

func (s *Simulator) withItem(r *request, do func(*Item) answer) answer {
	item, there := s.items[r.PathValue("id")]
	if !there {
		return notFound()
	}
	if a := do(item); a.status != 0 {
		return a
	}
	return ok(s.itemObject(item))
}

func (s *Simulator) changeItemQuantity(r *request) answer {
	return s.withItem(r, func(item *Item) answer {
		if sub := s.subscriptions[item.Subscription]; sub != nil && string(sub.Prepaid) != "null" {
			return badRequest("quantity", "Not for prepaid subscriptions.")
		}
		if item.Quantity = r.number("quantity"); item.Quantity < 1 {
			return badRequest("quantity", "Ensure this value is greater than or equal to 1.")
		}
		return answer{}
	})
}

func (s *Simulator) changeItemProduct(r *request) answer {
	return s.withItem(r, func(item *Item) answer {
		if a := r.missing("product"); a.status != 0 {
			return a
		}
		item.Product = r.text("product")
		return answer{}
	})
}

func (s *Simulator) listOrders(r *request) answer {
	q := r.URL.Query()
	var orders []*Order
	on := map[string]bool{} // the orders of the subscription that is asked for
	for _, item := range s.items {
		if item.Subscription != "" && item.Subscription == q.Get("subscription") {
			on[item.Order] = true
		}
	}
	for _, order := range s.orders {
		switch {
		case q.Get("customer") != "" && q.Get("customer") != order.Customer,
			q.Get("status") != "" && q.Get("status") != strconv.Itoa(order.Status),
			q.Get("subscription") != "" && !on[order.ID]:
			continue
		}
		orders = append(orders, order)
	}
	slices.SortFunc(orders, func(a, b *Order) int { return strings.Compare(a.ID, b.ID) })
	rows := make([]any, len(orders))
	for i, order := range orders {
		rows[i] = s.orderObject(order, false)
	}
	return s.page(r, rows)
}

func (s *Simulator) holds(order *Order, subscription string) bool {
	return slices.ContainsFunc(s.itemsOf(order.ID), func(i *Item) bool { return i.Subscription == subscription })
}

func (s *Simulator) withOrder(r *request, do func(*Order) answer) answer {
	order, there := s.orders[r.PathValue("id")]
	if !there {
		return notFound()
	}
	if a := do(order); a.status != 0 {
		return a
	}
	return ok(s.orderObject(order, false))
}

func (s *Simulator) getOrder(r *request) answer {
	return s.withOrder(r, func(*Order) answer { return answer{} })
}

// skipSubscription takes the subscription's items off the order and creates its next order.
func (s *Simulator) skipSubscription(r *request) answer {
	return s.withOrder(r, func(order *Order) answer {
		sub := s.subscriptions[r.text("subscription")]
		if sub == nil || !s.holds(order, sub.ID) || order.Status != unsent {
			return badRequest("subscription", "This subscription is not on this order.")
		}
		for _, item := range s.itemsOf(order.ID) {
			if item.Subscription == sub.ID {
				delete(s.items, item.ID)
			}
		}
		s.nextOrder(sub)
		return s.announced("order.skip_order", order)
	})
}

func (s *Simulator) cancelOrder(r *request) answer {
	return s.withOrder(r, func(order *Order) answer {
		if order.Status != unsent {
			return badRequest("status", "Only an unsent order can be cancelled.")
		}
		order.Status = cancelled
		for _, item := range s.itemsOf(order.ID) {
			if sub := s.subscriptions[item.Subscription]; sub != nil && sub.Live {
				s.nextOrder(sub)
			}
		}
		return s.announced("order.cancel", order)
	})
}

func (s *Simulator) sendNow(r *request) answer {
	return s.withOrder(r, func(order *Order) answer {
		if order.Status != unsent {
			return badRequest("status", "Only an unsent order can be sent.")
		}
		if a := s.announced("order.send_now", order); a.status != 0 {
			return a
		}
		if err := s.place(order); err != nil {
			return fault(err)
		}
		return answer{}
	})
}

func (s *Simulator) announced(eventType string, order *Order) answer {
	if err := s.announce(eventType, s.orderObject(order, true), nil); err != nil {
		return fault(err)
	}
	return answer{}
}

func (s *Simulator) changePlaceDate(r *request) answer {
	return s.withOrder(r, func(order *Order) answer {
		place, err := time.Parse("2006-01-02 15:04:05", r.text("place"))
		if err != nil {
			return badRequest("place", "Datetime has wrong format. Use YYYY-MM-DD HH:MM:SS.")
		}
		order.Place = place
		return answer{}
	})
}

func (s *Simulator) changeOrderField(name string) handler {
	return func(r *request) answer {
		return s.withOrder(r, func(order *Order) answer {
			if a := r.missing(name); a.status != 0 {
				return a
			}
			order.Fields[name] = r.text(name)
			return answer{}
		})
	}
}

func (s *Simulator) createAddress(r *request) answer {
	if a := r.missing("customer", "address_type", "first_name", "last_name", "address", "city", "state_province_code",
		"zip_postal_code", "country_code", "phone"); a.status != 0 {
		return a
	}
	if kind := r.text("address_type"); kind != "shipping_address" && kind != "billing_address" {
		return badRequest("address_type", fmt.Sprintf("%q is not a valid choice.", kind))
	}
	address := map[string]any{"public_id": s.newID("address")}
	for name, value := range r.fields {
		address[name] = value
	}
	return answer{http.StatusCreated, address}
}

func (s *Simulator) createIncentive(r *request) answer {
	if a := r.missing("merchant", "customer", "stacking_type", "incentive"); a.status != 0 {
		return a
	}
	_, order := r.fields["order"]
	_, item := r.fields["item"]
	if order == item {
		return badRequest("order", "Exactly one of order and item is required.")
	}
	var incentive struct{ Target, Field string }
	if json.Unmarshal(r.fields["incentive"], &incentive) != nil {
		return badRequest("incentive", "Expected a dictionary.")
	}
	switch incentive.Target + " " + incentive.Field {
	case "item total_price", "order sub_total", "order shipping_total":
		return answer{http.StatusCreated, map[string]any{"public_id": s.newID("incentive"), "incentive": r.fields["incentive"]}}
	}
	return badRequest("incentive", "This field does not go with this target.")
}

// page answers a part of a list: by cursor with X-OG-API-VERSION: 2, else by page number.
func (s *Simulator) page(r *request, rows []any) answer {
	q := r.URL.Query()
	size := 10
	if n, err := strconv.Atoi(q.Get("page_size")); err == nil && n > 0 {
		size = n
	}
	size = min(size, s.o.PageSize)
	byCursor := r.Header.Get("X-OG-API-VERSION") == "2"
	from := 0
	if byCursor {
		// The cursor is the offset in a form that nobody can count up.
		if n, err := strconv.ParseInt(strings.TrimPrefix(q.Get("cursor"), "c"), 36, 32); err == nil {
			from = int(n)
		}
	} else if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 {
		from = (n - 1) * size
	}
	if from > len(rows) {
		return notFound()
	}
	to := min(len(rows), from+size)
	link := func(offset int) any {
		if offset < 0 || offset >= len(rows) {
			return nil
		}
		next := *r.URL
		next.Scheme, next.Host = "http", r.Host
		if byCursor {
			q.Set("cursor", "c"+strconv.FormatInt(int64(offset), 36))
		} else {
			q.Set("page", strconv.Itoa(offset/size+1))
		}
		next.RawQuery = q.Encode()
		return next.String()
	}
	previous := any(nil)
	if from > 0 {
		previous = link(max(0, from-size))
	}
	list := map[string]any{"next": link(to), "previous": previous, "results": append([]any{}, rows[from:to]...)}
	if !byCursor {
		list["count"] = len(rows)
	}
	return ok(list)
}
