package ledger

import "github.com/termed/termed/counter"

// JournalEntry is one line of the journal: who did what to a subscription, and why.
type JournalEntry struct {
	Subscription string
	At           int64
	Actor        string // ByOrdergroove, ByTermed, or an operator's name
	What         string // enrolled, shipment, counter, adopted, restored, cancel, completed …
	Before       string
	After        string
	Reason       string
}

// ShipmentEntry is the line about a shipment that is recorded for the first time.
func ShipmentEntry(s counter.Shipment) JournalEntry {
	entry := JournalEntry{
		Subscription: s.Subscription,
		At:           s.At,
		Actor:        ByOrdergroove,
		What:         "shipment",
		After:        s.Order,
		Reason:       s.Source,
	}
	if s.Excluded != "" {
		entry.Actor = ByTermed
		entry.What = "excluded"
		entry.Reason = "it carried " + s.SKU + ": " + s.Excluded
	}
	return entry
}

// Actors of the journal that are not persons.
const (
	ByOrdergroove = "ordergroove"
	ByTermed      = "termed"
)
