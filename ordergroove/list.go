package ordergroove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Status codes of an order (contract, section 2, "Order status codes").
const (
	StatusUnsent   = 1 // upcoming
	StatusRejected = 3
	StatusCanceled = 4
	StatusSuccess  = 5  // placed
	StatusMerged   = 17 // into another order
)

// Page is a part of a list (contract, section 2, "Lists"). Lists come in no documented order.
type Page[T any] struct {
	Results    []T
	Unreadable int    // entries that lack what we need
	Next       string // the URL of the next part, followed as it is; "" after the last
}

// SubscriptionQuery filters a list of subscriptions. The zero value of a field filters nothing.
type SubscriptionQuery struct {
	Product      string
	LiveOnly     bool
	UpdatedSince string // YYYY-MM-DD
}

// Order is what we read of an order.
type Order struct {
	ID       string
	Status   int
	Place    time.Time // when it was or will be placed, UTC; zero where the order does not say
	Customer string
	Merchant string
	Shipping string // the id of its address
	Payment  string // the id of its payment method
}

// UnmarshalJSON reads an order from the wire. Its place date comes with or without a time of day.
func (o *Order) UnmarshalJSON(raw []byte) error {
	var wire struct {
		ID       text `json:"public_id"`
		Status   int  `json:"status"`
		Place    text `json:"place"`
		Customer text `json:"customer"`
		Merchant text `json:"merchant"`
		Shipping text `json:"shipping_address"`
		Payment  text `json:"payment"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return err
	}
	if wire.ID == "" {
		return errors.New("the order has no id")
	}
	*o = Order{
		ID:       string(wire.ID),
		Status:   wire.Status,
		Customer: string(wire.Customer),
		Merchant: string(wire.Merchant),
		Shipping: string(wire.Shipping),
		Payment:  string(wire.Payment),
	}
	for _, layout := range []string{time.DateTime, time.DateOnly} {
		if at, err := time.Parse(layout, string(wire.Place)); err == nil {
			o.Place = at
			break
		}
	}
	return nil
}

// Subscriptions reads one page of the subscriptions of all customers: the first page where from is "", else the page at
// that URL. The key needs Bulk Operations (contract, section 2); a key without gets ErrUnauthorized.
func (c *Client) Subscriptions(ctx context.Context, q SubscriptionQuery, from string) (Page[Subscription], error) {
	query := url.Values{"product": {q.Product}}
	if q.LiveOnly {
		query.Set("live", "true")
	}
	if q.UpdatedSince != "" {
		query.Set("updated_start", q.UpdatedSince)
	}
	list := listing{"listing subscriptions of product", slog.String("product", q.Product), "/subscriptions/", query}
	page, err := readPage[Subscription](ctx, c, list, from)
	withID := slices.DeleteFunc(page.Results, func(s Subscription) bool { return s.ID == "" })
	page.Unreadable += len(page.Results) - len(withID)
	page.Results = withID
	return page, err
}

// UpcomingItems reads one page of the items on upcoming orders of all customers. The key needs Bulk Operations.
func (c *Client) UpcomingItems(ctx context.Context, from string) (Page[Item], error) {
	query := url.Values{"status": {fmt.Sprint(StatusUnsent)}}
	return readPage[Item](ctx, c, listing{"listing upcoming items", slog.Attr{}, "/items/", query}, from)
}

// Orders reads all orders of a subscription that have a status.
func (c *Client) Orders(ctx context.Context, subscription string, status int) ([]Order, error) {
	query := url.Values{"subscription": {subscription}, "status": {fmt.Sprint(status)}}
	about := slog.String("subscription", subscription)
	orders, err := readAll[Order](ctx, c, listing{"reading orders of subscription", about, "/orders/", query})
	// safeguard: order-status
	return slices.DeleteFunc(orders, func(o Order) bool { return o.Status != status }), err // whatever the filter did
}

// Order reads one order as it is now.
func (c *Client) Order(ctx context.Context, id string) (Order, error) {
	r := request{
		doing:  "reading order",
		about:  slog.String("order", id),
		method: http.MethodGet,
		url:    c.base.JoinPath("/orders/" + url.PathEscape(id) + "/"),
	}
	raw, err := c.send(ctx, c.reads, r)
	if err != nil {
		return Order{}, err
	}
	var o Order
	if err := json.Unmarshal(raw, &o); err != nil || o.ID != id {
		return Order{}, unavailable(r.what(), ErrUnreadable)
	}
	return o, nil
}

// OrderItems reads all items of an order.
func (c *Client) OrderItems(ctx context.Context, order string) ([]Item, error) {
	about := slog.String("order", order)
	return readAll[Item](ctx, c, listing{"reading items of order", about, "/items/", url.Values{"order": {order}}})
}

// PlacedItems reads all items of a subscription whose order was placed.
func (c *Client) PlacedItems(ctx context.Context, subscription string) ([]Item, error) {
	query := url.Values{"subscription": {subscription}, "status": {fmt.Sprint(StatusSuccess)}}
	about := slog.String("subscription", subscription)
	return readAll[Item](ctx, c, listing{"reading placed items of subscription", about, "/items/", query})
}

const maxPages = 1000

// listing is one list of the API.
type listing struct {
	doing string // for errors and the log
	about slog.Attr
	path  string
	query url.Values
}

// readAll reads a list to its end. One unreadable entry fails it, because what is counted must be complete.
func readAll[T any](ctx context.Context, c *Client, l listing) ([]T, error) {
	var all []T
	from := ""
	for range maxPages {
		page, err := readPage[T](ctx, c, l, from)
		if err != nil {
			return nil, err
		}
		if page.Unreadable > 0 {
			return nil, unavailable(what(l.doing, l.about), ErrUnreadable)
		}
		all = append(all, page.Results...)
		if page.Next == "" {
			return all, nil
		}
		from = page.Next
	}
	return nil, unavailable(what(l.doing, l.about), fmt.Errorf("more than %d pages", maxPages))
}

// readPage reads the page at a URL, or the first page of the list where from is "".
func readPage[T any](ctx context.Context, c *Client, l listing, from string) (Page[T], error) {
	address, err := c.pageURL(l, from)
	if err != nil {
		return Page[T]{}, &Error{Doing: what(l.doing, l.about), kind: ErrRejected, cause: err} // by us
	}
	body, err := c.send(ctx, c.reads, request{doing: l.doing, about: l.about, method: http.MethodGet, url: address})
	if err != nil {
		return Page[T]{}, err
	}
	var wire struct {
		Next    string             `json:"next"`
		Results *[]json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(body, &wire); err != nil || wire.Results == nil {
		return Page[T]{}, unavailable(what(l.doing, l.about), ErrUnreadable)
	}
	page := Page[T]{Next: wire.Next}
	for _, raw := range *wire.Results {
		var entry T
		if json.Unmarshal(raw, &entry) != nil {
			page.Unreadable++
			continue
		}
		page.Results = append(page.Results, entry)
	}
	return page, nil
}

// pageURL follows the URL of a next page as it is, but never to another host, because the key goes with it, and by the
// scheme that api_url has.
func (c *Client) pageURL(l listing, from string) (*url.URL, error) {
	if from == "" {
		first := c.base.JoinPath(l.path)
		l.query.Set("page_size", "100")
		first.RawQuery = l.query.Encode()
		return first, nil
	}
	next, err := url.Parse(from)
	// safeguard: same-host
	if err != nil || next.Host != c.base.Host {
		return nil, errors.New("the next page is on another host")
	}
	next.Scheme = c.base.Scheme // behind a proxy that ends TLS, links have the other one
	return next, nil
}
