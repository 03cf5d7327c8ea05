package ledger

import "github.com/termed/termed/counter"

// Edit is an operator's change to one subscription.
type Edit struct {
	Subscription string
	At           int64 // UTC unix milliseconds
	// Change answers the subscription as it is to be, or why it cannot be. It may be called more than once.
	Change func(counter.Subscription) (counter.Subscription, error)
	// Entry is the journal's line about it.
	Entry func(before, after counter.Subscription) JournalEntry
}
