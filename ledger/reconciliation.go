package ledger

// Reconciliation is a comparison with Ordergroove in progress: which lists of subscriptions it goes through, and how
// far it is in each. There is one at a time, whoever runs it; one that was interrupted is resumed.
type Reconciliation struct {
	Token   string // fences what is written under it
	Started int64
	Lists   map[string]ListProgress // by SKU; one that has not begun is not there
	LastReconciled
}

// ListProgress is how far the list of one SKU is.
type ListProgress struct {
	Next string // the address of the page to continue with
	Done bool
}

// LastReconciled says when the last reconciliations that were finished began; 0: never.
type LastReconciled struct {
	All    int64 // of everything
	Recent int64 // of everything, or of what was updated lately

	Upcoming      int64 // when the list of upcoming items was last read, wholly or in part
	UpcomingPages int64 // how many pages of it are known

	Recounted bool // the one that was finished just now asked for the placed orders of every subscription
}

// Upcoming says which orders a subscription's next shipments are on.
type Upcoming struct {
	Subscription string `db:"subscription"`
	Orders       string `db:"orders"` // with spaces between them
}

// Listed says that a reconciliation has seen a subscription.
type Listed struct {
	Subscription string
	At           int64   // when the reconciliation began
	Upcoming     *string // as in Subscription; nil: as before
}
