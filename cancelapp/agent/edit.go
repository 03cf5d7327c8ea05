package agent

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// editWait is how long an edit waits for a sync in progress; longer than a lease.
const editWait = 40 * time.Second

// Edit is a change that an operator makes to what is recorded of subscriptions. A sync carries it out.
type Edit struct {
	What   string // for the journal
	Change func(counter.Subscription) (counter.Subscription, error)
	Show   func(counter.Subscription) string // the value that it changes
}

// SetLength makes subscriptions last a number of shipments in all, the checkout's included.
func SetLength(shipments int) Edit {
	return Edit{"length", func(s counter.Subscription) (counter.Subscription, error) {
		return counter.SetLength(s, shipments)
	}, showLength}
}

// ApplyTerm gives subscriptions the length that their term has.
func ApplyTerm(terms counter.Terms) Edit {
	return Edit{"length", func(s counter.Subscription) (counter.Subscription, error) {
		term, ok := terms.Of(s.SKU)
		if !ok {
			return s, refused("its product belongs to no term")
		}
		return counter.ApplyTerm(s, term)
	}, showLength}
}

// Approve lets subscriptions be written and ended that wait for a person's word.
func Approve() Edit { return Edit{"approval", counter.Approve, showApproval} }

// Release takes subscriptions out of their terms.
func Release() Edit { return Edit{"release", counter.Release, showRelease} }

// Enroll takes a release back.
func Enroll(terms counter.Terms) Edit {
	return Edit{"enroll", func(s counter.Subscription) (counter.Subscription, error) {
		_, termed := terms.Of(s.SKU)
		return counter.Enroll(s, termed)
	}, showRelease}
}

func showLength(s counter.Subscription) string { return strconv.Itoa(s.ShipmentsTotal()) }

func showApproval(s counter.Subscription) string {
	switch {
	case s.Permission.Approval != "":
		return string(s.Permission.Approval)
	case s.State == counter.Throttled:
		return "throttled"
	}
	return "none"
}

func showRelease(s counter.Subscription) string {
	if s.IsReleasing() {
		return "to be released"
	}
	return string(s.State)
}

// Editor is what an edit needs of the store.
type Editor interface {
	// EditSubscription makes an operator's change: ledger.ErrLeased, ledger.ErrUnknown, counter.ErrRefused.
	EditSubscription(ctx context.Context, edit ledger.Edit) (before, after counter.Subscription, err error)
}

// Do makes the change to one subscription and answers it before and after. It waits for a sync in progress; ErrBusy
// says that it waited too long. counter.ErrRefused and ledger.ErrUnknown: nothing was changed.
func (e Edit) Do(
	ctx context.Context, store Editor, id, actor, reason string,
) (before, after counter.Subscription, err error) {
	edit := ledger.Edit{Subscription: id, Change: e.Change}
	edit.Entry = func(before, after counter.Subscription) ledger.JournalEntry {
		return ledger.JournalEntry{
			Subscription: id,
			At:           edit.At,
			Actor:        actor,
			What:         e.What,
			Before:       e.Show(before),
			After:        e.Show(after),
			Reason:       reason,
		}
	}
	until := time.Now().Add(editWait)
	for {
		edit.At = time.Now().UnixMilli()
		before, after, err = store.EditSubscription(ctx, edit)
		switch {
		case !errors.Is(err, ledger.ErrLeased):
			return before, after, err
		case time.Now().After(until):
			return before, after, ErrBusy
		}
		select {
		case <-ctx.Done():
			return before, after, ctx.Err()
		case <-time.After(leaseInterval):
		}
	}
}
