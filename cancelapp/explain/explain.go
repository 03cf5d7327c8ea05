// Package explain gathers what is known of one subscription: how its counter comes about, who changed what, what the
// next sync would do, and how one that needs attention is put right. It changes nothing.
package explain

import (
	"context"
	"fmt"
	"strings"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// Store is what an explanation needs of the store.
type Store interface {
	// Enrollments returns every enrollment that a subscription has had, the first one first.
	Enrollments(ctx context.Context, subscription string) ([]counter.Enrollment, error)
	// Shipments returns a subscription's shipments, oldest first.
	Shipments(ctx context.Context, subscription string) ([]counter.Shipment, error)
	// Journal returns a subscription's lines in the journal, oldest first.
	Journal(ctx context.Context, subscription string) ([]ledger.JournalEntry, error)
}

// Explanation is everything that is known of one subscription.
type Explanation struct {
	Sub         ledger.Subscription
	Enrollments []counter.Enrollment
	Shipments   []counter.Shipment
	Journal     []ledger.JournalEntry
	Next        cancelapp.DryRun
	NextError   error // why it is unknown what the next sync would do
	Verified    *cancelapp.Difference
}

// Read gathers what is recorded of a subscription, without asking Ordergroove.
func Read(ctx context.Context, store Store, sub ledger.Subscription) (Explanation, error) {
	e := Explanation{Sub: sub}
	var err error
	if e.Enrollments, err = store.Enrollments(ctx, sub.ID); err != nil {
		return e, err
	}
	if e.Shipments, err = store.Shipments(ctx, sub.ID); err != nil {
		return e, err
	}
	e.Journal, err = store.Journal(ctx, sub.ID)
	return e, err
}

// Ask adds what the next sync would do, which takes a read or two at Ordergroove.
func (e *Explanation) Ask(ctx context.Context, app *cancelapp.App) {
	e.Next, e.NextError = app.DryRun(ctx, e.Sub.Subscription, nil, nil)
}

// Opened is when the i-th enrollment was opened, as far as that is known.
func (e Explanation) Opened(i int) int64 {
	switch {
	case e.Enrollments[i].OpenedAt != 0:
		return e.Enrollments[i].OpenedAt
	case i == 0:
		return e.Sub.Created
	}
	return e.Enrollments[i-1].ClosedAt
}

// Shipment is a shipment with its number in its enrollment; 0 where it belongs to none. The checkout's order
// is not one of Ordergroove's, and has no id.
type Shipment struct {
	counter.Shipment
	Number int
}

// CheckoutSource is the source of a shipment that the checkout made.
const CheckoutSource = "checkout"

// Numbered are all shipments, enrollment by enrollment, those of none last.
func (e Explanation) Numbered() []Shipment {
	var all []Shipment
	for _, enrollment := range e.Enrollments {
		number := 0
		for range enrollment.CheckoutShipments {
			number++
			checkout := counter.Shipment{Enrollment: enrollment.Number, Source: CheckoutSource}
			all = append(all, Shipment{checkout, number})
		}
		for _, s := range e.Shipments {
			if s.Enrollment == enrollment.Number {
				number++
				all = append(all, Shipment{s, number})
			}
		}
	}
	for _, s := range e.Shipments {
		if s.Enrollment == 0 {
			all = append(all, Shipment{Shipment: s})
		}
	}
	return all
}

// NextSync says what the next sync would do, and why.
func (e Explanation) NextSync() []string {
	if e.NextError != nil {
		return []string{"unknown: " + e.NextError.Error()}
	}
	var lines []string
	for _, entry := range e.Next.Journal {
		words := reconcile.Words([]ledger.JournalEntry{entry})
		if words == "" {
			words = entry.What
		}
		lines = append(lines, words+Because(entry.Reason))
	}
	if len(lines) > 0 {
		return lines
	}
	if next := e.Next.Subscription; next.Permission.Withheld != "" {
		return []string{fmt.Sprintf("no changes: it would %s, which is held back%s",
			next.Permission.Withheld, Because(next.Reason))}
	}
	if e.Next.Subscription.State == counter.Attention {
		return []string{"no changes (needs attention" + Because(e.Next.Subscription.Reason) + ")"}
	}
	return []string{fmt.Sprintf("no changes (%s, in sync with Ordergroove)", e.Next.Subscription.State)}
}

// resolutions say what a person does about a reason, by how the reason begins.
var resolutions = []struct{ reason, resolution string }{
	{"the counter in extra_data is not a number", "set the counter to a number, or remove it, in the Ordergroove Admin"},
	{"extra_data is not an object", "make extra_data an object, or empty it, in the Ordergroove Admin"},
	{"Ordergroove does not know this subscription", "check whether the API key belongs to the right store"},
}

// Resolve says how a subscription that needs attention is put right; "" for one that does not.
func (e Explanation) Resolve() string {
	if counter.NeedsApproval(e.Sub.Subscription) {
		return "if it is to end with its term, run: termed approve " + e.Sub.ID +
			" --yes; to leave it alone for good, add --release"
	}
	if e.Sub.State != counter.Attention {
		return ""
	}
	retry := "run: termed subscriptions retry " + e.Sub.ID
	if e.NextError == nil && e.Next.Subscription.State != counter.Attention {
		return "nothing is wrong at Ordergroove any longer; " + retry
	}
	for _, r := range resolutions {
		if strings.HasPrefix(e.Sub.Reason, r.reason) {
			return r.resolution + ", then " + retry
		}
	}
	return "correct what the reason says, then " + retry
}

// Because puts a reason behind a sentence; "" adds nothing.
func Because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
