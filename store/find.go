package store

import (
	"context"
	"math"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// Filter selects subscriptions; an empty field selects all.
type Filter struct {
	State    counter.State
	Term     string
	SKU      string
	Customer string
	Order    string // one that it has a shipment on, or that is known to come
	IDPrefix string
}

// conditions are those of a filter, each of which has an index.
func (f Filter) conditions(d dialect) (clause string, args []any) {
	clause = "where 1 = 1"
	add := func(condition string, values ...any) {
		clause += " and " + condition
		args = append(args, values...)
	}
	for _, c := range []struct{ condition, value string }{
		{"s.state = ?", string(f.State)},
		{"s.term = ?", f.Term},
		{"s.sku = ?", f.SKU},
		{"s.customer = ?", f.Customer},
	} {
		if c.value != "" {
			add(c.condition, c.value)
		}
	}
	if f.Order != "" {
		add(`(s.extra_order = ? or s.upcoming = ? or s.`+onOrder+`)`, f.Order, f.Order, f.Order)
	}
	if f.IDPrefix != "" {
		add(`s.id`+d.bytewise+` >= ? and s.id`+d.bytewise+` < ?`, f.IDPrefix, f.IDPrefix+"\U0010FFFF")
	}
	return clause, args
}

// Find returns up to n of the selected subscriptions, in the order in which they were first recorded.
func (s *Store) Find(ctx context.Context, f Filter, n int) ([]ledger.Subscription, error) {
	clause, args := f.conditions(s.dialect)
	return s.find(ctx, clause+" order by s.created, s.id limit ?", append(args, n)...)
}

// Subscriptions returns the subscriptions in a state, or all for "", in the order in which they were first recorded.
func (s *Store) Subscriptions(ctx context.Context, state counter.State) ([]ledger.Subscription, error) {
	return s.Find(ctx, Filter{State: state}, math.MaxInt32)
}

// Names are the terms and SKUs that subscriptions have.
func (s *Store) Names(ctx context.Context) (terms, skus []string, err error) {
	for _, c := range []struct {
		column string
		into   *[]string
	}{{"term", &terms}, {"sku", &skus}} {
		query := `select distinct ` + c.column + ` from subscriptions`
		if err := s.reads.SelectContext(ctx, c.into, query); err != nil {
			return nil, nil, wrap("reading the names of terms and SKUs", err)
		}
	}
	return terms, skus, nil
}
