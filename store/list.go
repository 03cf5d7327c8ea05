package store

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// ErrCursor says that a cursor is not one that a list answered.
var ErrCursor = errors.New("not a cursor of this list")

// leastPrefix is how many characters the beginning of an ID must have to be searched for.
const leastPrefix = 4

// Query selects subscriptions for a list; an empty field selects all.
type Query struct {
	State            counter.State
	Term             string
	SKU              string
	Customer         string
	Order            string // one that it has a shipment on
	LastShipmentNext bool   // it is active, and one shipment remains
	Withheld         bool   // a change is held back
	Search           string // an ID or at least four characters of its beginning, an order, a customer or a SKU
}

// Page is a part of a list, newest first. A cursor is "" where there is nothing more.
type Page[T any] struct {
	Rows           []T
	Previous, Next string
}

// key is where a list stands: an entry's time and ID.
type key struct {
	at int64
	id string
}

// cursor points to what comes after an entry in a list, or before it.
type cursor struct {
	key
	backwards bool
}

func (c cursor) String() string {
	direction := ">"
	if c.backwards {
		direction = "<"
	}
	return base64.RawURLEncoding.EncodeToString([]byte(direction + strconv.FormatInt(c.at, 10) + "." + c.id))
}

// readCursor reads a cursor; "" is the beginning of the list, and nil.
func readCursor(text string) (*cursor, error) {
	if text == "" {
		return nil, nil
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(decoded) < 2 || decoded[0] != '<' && decoded[0] != '>' || !utf8.Valid(decoded) {
		return nil, ErrCursor
	}
	at, id, ok := strings.Cut(string(decoded[1:]), ".")
	c := cursor{key{id: id}, decoded[0] == '<'}
	if c.at, err = strconv.ParseInt(at, 10, 64); err != nil || !ok {
		return nil, ErrCursor
	}
	return &c, nil
}

// listing is one list with its keyset: what it reads, from where, and by which columns.
type listing struct {
	columns, from string
	at, id        string // the columns of the key
	clause        string
	args          []any
}

// readPage reads the page of a list that a cursor points to, at most n entries.
func readPage[T any](ctx context.Context, s *Store, l listing, from string, n int, keyOf func(T) key) (Page[T], error) {
	start, err := readCursor(from)
	if err != nil {
		return Page[T]{}, err
	}
	set, backwards := start != nil, start != nil && start.backwards
	compare, order := "<", "desc"
	if backwards {
		compare, order = ">", "asc"
	}
	clause := l.clause
	args := slices.Clone(l.args)
	if set {
		clause += fmt.Sprintf(" and (%s, %s) %s (?, ?)", l.at, l.id, compare)
		args = append(args, start.at, start.id)
	}
	var rows []T
	if err := s.reads.SelectContext(ctx, &rows, s.reads.Rebind(fmt.Sprintf(
		`select %s from %s where %s order by %s %s, %s %s limit ?`,
		l.columns, l.from, clause, l.at, order, l.id, order)), append(args, n+1)...); err != nil {
		return Page[T]{}, err
	}
	more := len(rows) > n
	rows = rows[:min(n, len(rows))]
	if backwards {
		slices.Reverse(rows)
	}
	page := Page[T]{Rows: rows}
	if len(rows) == 0 {
		return page, nil
	}
	if set && !backwards || backwards && more {
		page.Previous = cursor{keyOf(rows[0]), true}.String()
	}
	if backwards || more {
		page.Next = cursor{keyOf(rows[len(rows)-1]), false}.String()
	}
	return page, nil
}

// subscriptionKey is what a list of subscriptions is ordered by.
type subscriptionKey struct {
	ID      string `db:"id"`
	Created int64  `db:"created"`
}

// List returns a page of the selected subscriptions, those first recorded last first. ErrCursor: the cursor is none.
func (s *Store) List(ctx context.Context, q Query, cursor string, n int) (Page[ledger.Subscription], error) {
	l, err := s.listingOf(ctx, q)
	if err != nil {
		return Page[ledger.Subscription]{}, wrap("searching subscriptions", err)
	}
	keys, err := readPage(ctx, s, l, cursor, n, func(k subscriptionKey) key { return key{k.Created, k.ID} })
	if err != nil {
		return Page[ledger.Subscription]{}, wrap("listing subscriptions", err)
	}
	rows, err := s.withIDs(ctx, keys.Rows)
	return Page[ledger.Subscription]{rows, keys.Previous, keys.Next}, wrap("listing subscriptions", err)
}

// Each calls do with each of the selected subscriptions, in the order of List. It reads in parts, so that what is
// written meanwhile waits for nobody.
func (s *Store) Each(ctx context.Context, q Query, do func(ledger.Subscription) error) error {
	for cursor := ""; ; {
		page, err := s.List(ctx, q, cursor, rowsAtATime)
		if err != nil {
			return err
		}
		for _, sub := range page.Rows {
			if err := do(sub); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		cursor = page.Next
	}
}

// withIDs reads subscriptions in the order of their keys.
func (s *Store) withIDs(ctx context.Context, keys []subscriptionKey) ([]ledger.Subscription, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = k.ID
	}
	all, err := s.find(ctx, `where s.id in (?`+strings.Repeat(", ?", len(args)-1)+`)`, args...)
	slices.SortFunc(all, func(a, b ledger.Subscription) int {
		return cmp.Or(cmp.Compare(b.Created, a.Created), strings.Compare(b.ID, a.ID))
	})
	return all, err
}

// listingOf turns a query into a list, each of whose conditions has an index.
func (s *Store) listingOf(ctx context.Context, q Query) (listing, error) {
	l := listing{
		columns: "id, created",
		from:    "subscriptions",
		at:      "created",
		id:      "id" + s.dialect.bytewise,
		clause:  "1 = 1",
	}
	add := func(condition string, args ...any) {
		l.clause += " and " + condition
		l.args = append(l.args, args...)
	}
	for _, c := range []struct{ column, value string }{
		{"state", string(q.State)}, {"term", q.Term}, {"sku", q.SKU}, {"customer", q.Customer},
	} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if q.Order != "" {
		add(onOrder, q.Order)
	}
	if q.LastShipmentNext {
		add("last_next = 1")
	}
	if q.Withheld {
		add(`id in (
			select subscription
			from enrollments e
			where withheld <> '' and number = (select max(number) from enrollments where subscription = e.subscription))`)
	}
	if q.Search == "" {
		return l, nil
	}
	condition, args, err := s.search(ctx, q.Search)
	add(condition, args...)
	return l, err
}

const onOrder = `id in (select subscription from shipments where order_id = ?)`

// search finds out what a text is: the first that it names something of.
func (s *Store) search(ctx context.Context, text string) (condition string, args []any, err error) {
	for _, condition := range []string{"id = ?", onOrder, "customer = ?", "sku = ?"} {
		none, err := s.nothingDue(ctx, `select 1 from subscriptions where `+condition+` limit 1`, text)
		if err != nil {
			return "", nil, err
		}
		if !none {
			return condition, []any{text}, nil
		}
	}
	if utf8.RuneCountInString(text) < leastPrefix {
		return "1 = 0", nil, nil
	}
	bytewise := s.dialect.bytewise
	return `id` + bytewise + ` >= ? and id` + bytewise + ` < ?`, []any{text, text + "\U0010FFFF"}, nil
}

// EventQuery selects events; an empty field selects all.
type EventQuery struct {
	ID           string
	Status       ledger.EventStatus
	Type         string
	Subscription string
	Since        int64 // received since, UTC unix milliseconds
}

// conditions are those of a query, each of which has an index.
func (q EventQuery) conditions() (clause string, args []any) {
	clause = "received >= ?"
	args = []any{q.Since}
	for _, c := range []struct{ condition, value string }{
		{"id = ?", q.ID},
		{"type = ?", q.Type},
		{"(created, id) in (select created, id from event_subscriptions where subscription = ?)", q.Subscription},
	} {
		if c.value != "" {
			clause += " and " + c.condition
			args = append(args, c.value)
		}
	}
	switch q.Status {
	case "":
	case ledger.EventPending:
		clause += " and due is not null and status = 'pending'"
	case ledger.EventDone, ledger.EventIgnored, ledger.EventDead, ledger.EventQuarantined:
		clause += " and status = '" + string(q.Status) + "'" // by its partial index
	default:
		clause += " and 1 = 0"
	}
	return clause, args
}

// ListEvents returns a page of the selected events, those received last first. ErrCursor: the cursor is none.
func (s *Store) ListEvents(ctx context.Context, q EventQuery, cursor string, n int) (Page[Event], error) {
	clause, args := q.conditions()
	l := listing{
		columns: "created, id, type, received, status, attempts, due, last_error, reason",
		from:    "events",
		at:      "received",
		id:      "id" + s.dialect.bytewise,
		clause:  clause,
		args:    args,
	}
	page, err := readPage(ctx, s, l, cursor, n, func(e Event) key { return key{e.Received, e.ID} })
	return page, wrap("listing events", err)
}

// Event returns one event by its key; found says whether it is still kept.
func (s *Store) Event(ctx context.Context, created int64, id string) (e Event, found bool, err error) {
	var all []Event
	err = s.reads.SelectContext(ctx, &all, s.reads.Rebind(`
		select created, id, type, received, status, attempts, due, last_error, reason
		from events
		where created = ? and id = ?`), created, id)
	if err != nil || len(all) == 0 {
		return Event{}, false, wrap("reading an event", err)
	}
	return all[0], true, nil
}

// TermCount counts the subscriptions of a term that are equally far.
type TermCount struct {
	Term           string        `db:"term"`
	State          counter.State `db:"state"`
	ShipmentsMade  int           `db:"made"`
	ShipmentsTotal int           `db:"total"`
	N              int           `db:"n"`
}

// TermCounts counts all subscriptions by term, state and progress. It reads every one.
func (s *Store) TermCounts(ctx context.Context) ([]TermCount, error) {
	var all []TermCount
	err := s.reads.SelectContext(ctx, &all, `
		select term, state, made, total, count(*) as n
		from subscriptions
		group by term, state, made, total
		order by term, state, total, made`)
	return all, wrap("counting subscriptions", err)
}

// DayCount counts what happened on one day.
type DayCount struct {
	Day       int64 `db:"day"` // of UTC, since 1970
	Shipments int   `db:"shipments"`
	Completed int   `db:"completed"` // terms
}

// DayCounts counts shipments and completed terms for each day since a time, UTC unix milliseconds. A day without any is
// not there.
func (s *Store) DayCounts(ctx context.Context, since int64) ([]DayCount, error) {
	var all []DayCount
	err := s.reads.SelectContext(ctx, &all, s.reads.Rebind(`
		select day, sum(shipments) as shipments, sum(completed) as completed
		from (
			select placed_at / 86400000 as day, count(*) as shipments, 0 as completed
			from shipments
			where enrollment > 0 and placed_at >= ?
			group by 1
			union all
			select closed_at / 86400000 as day, 0 as shipments, count(*) as completed
			from enrollments
			where closed_as = 'completed' and closed_at >= ?
			group by 1) as days
		group by day
		order by day`), since, since)
	return all, wrap("counting days", err)
}
