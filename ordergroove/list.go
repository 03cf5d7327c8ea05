package ordergroove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Status codes of an order (contract, section 2, "Order status codes").
const (
	StatusUnsent  = 1 // upcoming
	StatusSuccess = 5 // placed
)

// Page is a part of a list (contract, section 2, "Lists"). Lists come in no documented order.
type Page[T any] struct {
	Results    []T
	Unreadable int    // entries that say less than we need
	Next       string // the address of the next part, followed as it is; "" after the last
}

// SubscriptionQuery narrows a list of subscriptions; the zero value of a field narrows nothing.
type SubscriptionQuery struct {
	Product      string
	LiveOnly     bool
	UpdatedSince string // YYYY-MM-DD
}

// Order is what we read of an order.
type Order struct {
	ID     string
	Status int
	Place  time.Time // when it is, or was, to be placed, UTC; zero where it does not say
}

// UnmarshalJSON reads an order as the wire has it: its place date with a time of day, or without.
func (o *Order) UnmarshalJSON(raw []byte) error {
	var wire struct {
		ID     text `json:"public_id"`
		Status int  `json:"status"`
		Place  text `json:"place"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return err
	}
	if wire.ID == "" {
		return errors.New("the order has no id")
	}
	*o = Order{ID: string(wire.ID), Status: wire.Status}
	for _, layout := range []string{time.DateTime, time.DateOnly} {
		if at, err := time.Parse(layout, string(wire.Place)); err == nil {
			o.Place = at
			break
		}
	}
	return nil
}

// Subscriptions reads one page of the subscriptions of all customers: the first, or, with an address from the page before,
// the next. The key needs Bulk Operations (contract, section 2); without, it is ErrUnauthorized.
func (c *Client) Subscriptions(ctx context.Context, q SubscriptionQuery, from string) (Page[Subscription], error) {
	query := url.Values{"product": {q.Product}}
	if q.LiveOnly {
		query.Set("live", "true")
	}
	if q.UpdatedSince != "" {
		query.Set("updated_start", q.UpdatedSince)
	}
	p, err := page[Subscription](ctx, c, "listing the subscriptions of "+q.Product, "/subscriptions/", query, from)
	named := slices.DeleteFunc(p.Results, func(s Subscription) bool { return s.ID == "" })
	p.Unreadable += len(p.Results) - len(named)
	p.Results = named
	return p, err
}

// UpcomingItems reads one page of the items, of all customers, whose order is still to be placed. The key needs Bulk
// Operations.
func (c *Client) UpcomingItems(ctx context.Context, from string) (Page[Item], error) {
	return page[Item](ctx, c, "listing the upcoming items", "/items/", url.Values{"status": {fmt.Sprint(StatusUnsent)}}, from)
}

// Orders reads a subscription's orders of a status.
func (c *Client) Orders(ctx context.Context, subscription string, status int) ([]Order, error) {
	return everything[Order](ctx, c, "reading the orders of subscription "+subscription, "/orders/",
		url.Values{"subscription": {subscription}, "status": {fmt.Sprint(status)}})
}

// OrderItems reads all items of an order.
func (c *Client) OrderItems(ctx context.Context, order string) ([]Item, error) {
	return everything[Item](ctx, c, "reading the items of order "+order, "/items/", url.Values{"order": {order}})
}

// PlacedItems reads all items of a subscription whose order was placed.
func (c *Client) PlacedItems(ctx context.Context, subscription string) ([]Item, error) {
	return everything[Item](ctx, c, "reading the placed items of subscription "+subscription, "/items/",
		url.Values{"subscription": {subscription}, "status": {fmt.Sprint(StatusSuccess)}})
}

const maxPages = 1000

// everything reads a list to its end. One entry that cannot be read spoils it: what is counted must be whole.
func everything[T any](ctx context.Context, c *Client, op, path string, query url.Values) ([]T, error) {
	var all []T
	from := ""
	for range maxPages {
		p, err := page[T](ctx, c, op, path, query, from)
		if err != nil {
			return nil, err
		}
		if p.Unreadable > 0 {
			return nil, noAnswer(op, errUnreadable)
		}
		all = append(all, p.Results...)
		if from = p.Next; from == "" {
			return all, nil
		}
	}
	return nil, noAnswer(op, fmt.Errorf("more than %d pages", maxPages))
}

// page reads the page at an address, or, for "", the first of a query.
func page[T any](ctx context.Context, c *Client, op, path string, query url.Values, from string) (Page[T], error) {
	query.Set("page_size", "100")
	address := c.base.JoinPath(path)
	address.RawQuery = query.Encode()
	if from != "" {
		next, err := c.follow(from)
		if err != nil {
			return Page[T]{}, noAnswer(op, err)
		}
		address = next
	}
	body, err := c.do(ctx, c.reads, call{op: op, method: http.MethodGet, url: address})
	if err != nil {
		return Page[T]{}, err
	}
	var wire struct {
		Next    string             `json:"next"`
		Results *[]json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(body, &wire); err != nil || wire.Results == nil {
		return Page[T]{}, noAnswer(op, errUnreadable)
	}
	p := Page[T]{Next: wire.Next}
	for _, raw := range *wire.Results {
		var entry T
		if json.Unmarshal(raw, &entry) != nil {
			p.Unreadable++
			continue
		}
		p.Results = append(p.Results, entry)
	}
	return p, nil
}

// follow takes the address of the next page as it is, but never to another host: the key goes with it.
func (c *Client) follow(address string) (*url.URL, error) {
	next, err := url.Parse(address)
	if err != nil || next.Scheme != c.base.Scheme || next.Host != c.base.Host {
		return nil, errors.New("the next page is on another host")
	}
	return next, nil
}
