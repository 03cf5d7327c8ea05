package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
)

const (
	tourSKUs   = 20 // subscriptions at most
	tourOrders = 60 // of one subscription at most
)

// tour takes one subscription of each SKU of a merchant's own terms through its whole term, and one order further.
type tour struct {
	*story
	terms []config.Term
}

func (t *tour) play(ctx context.Context) error {
	left := tourSKUs
	skipped := 0
	for _, term := range t.terms {
		for _, sku := range term.SKUs {
			if left--; left < 0 {
				skipped++
				continue
			}
			if err := t.term(ctx, term, sku); err != nil {
				return fmt.Errorf("%s: %w", sku, err)
			}
		}
	}
	if skipped > 0 {
		t.timeline.scene(fmt.Sprintf("%d more SKUs are not played: the demo plays the first %d.", skipped, tourSKUs))
	}
	return nil
}

// term plays one subscription. What comes after the last shipment shows with the order that would be next.
func (t *tour) term(ctx context.Context, term config.Term, sku string) error {
	due := ordersDue(term)
	how := "the first at checkout"
	if due == term.Shipments {
		how = "all of them recurring orders"
	}
	t.timeline.scene(fmt.Sprintf("%s: %s lasts %s, %s.", term.Name, sku, shipments(term.Shipments), how))
	r, events, err := t.subscribe(sku, sku, due, `{"note":"yours stays as it is"}`)
	if err != nil {
		return err
	}
	r.term = &term
	r.ownKeys = len(term.Set) > 0 || t.setup.config.Keys != config.Default().Keys
	if err := t.deliver(ctx, events); err != nil {
		return err
	}
	for range min(due, tourOrders) {
		if err := t.next(ctx, r); err != nil {
			return err
		}
	}
	if due > tourOrders {
		t.timeline.say(fmt.Sprintf("the demo stops after %d of %d orders", tourOrders, due))
		return nil
	}
	before, _ := t.setup.sim.Subscription(r.id)
	if err := t.next(ctx, r); err != nil {
		return err
	}
	if after, _ := t.setup.sim.Subscription(r.id); after.Placed == before.Placed {
		t.timeline.say("no further order is placed: the subscription has ended")
	}
	return nil
}

// next places the next order, if Ordergroove would.
func (t *tour) next(ctx context.Context, r *role) error {
	events, err := t.place(r)
	if err != nil {
		return err
	}
	return t.deliver(ctx, events)
}

func shipments(n int) string {
	if n == 1 {
		return "1 shipment"
	}
	return fmt.Sprintf("%d shipments", n)
}

func ordersDue(term config.Term) int {
	if term.FirstShipment == "recurring" {
		return term.Shipments
	}
	return term.Shipments - 1
}

// judgeTour says what is wrong with a subscription of the merchant's own after its whole term and, where it goes on,
// one order more.
func (r *role) judgeTour(sub sim.Subscription, known ledger.Subscription) []string {
	switch {
	case r.due > tourOrders:
		return nil
	case r.term.OnComplete == "cancel" && r.ownKeys:
		if sub.Live {
			return []string{"it is live, and its term is complete"}
		}
		return nil
	case r.term.OnComplete == "" || r.term.OnComplete == "cancel":
		return r.faults(sub, known)
	}
	var faults []string
	if !sub.Live {
		faults = append(faults, "it has ended, and was to continue")
	}
	counter, hidden := sub.Counter()
	want := ""
	if r.term.OnComplete == "renew" {
		want = fmt.Sprint(cmp.Or(r.term.Shipments-1, r.term.Shipments)) // a term of one shipment is renewed by each order
	}
	if counter != want && !r.ownKeys || hidden {
		faults = append(faults, fmt.Sprintf("its counter is %q, want %q; hidden: %v", counter, want, hidden))
	}
	if r.term.OnComplete == "swap" && sub.Product != r.term.SwapTo {
		faults = append(faults, fmt.Sprintf("its product is %s, want %s", sub.Product, r.term.SwapTo))
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(sub.ExtraData, &keys) != nil || string(keys["note"]) != `"yours stays as it is"` {
		faults = append(faults, "a key of the merchant's own was changed")
	}
	return faults
}
