package counter

// Reconciliation is a comparison with Ordergroove under way: which lists of subscriptions it goes through, and how far it has
// come in each. There is one at a time, whoever makes it; one that was interrupted goes on where it stopped.
type Reconciliation struct {
	Claim   string           // fences what is written under it
	Started int64            // UTC unix milliseconds
	Lists   map[string]Place // by SKU; one that has not begun is not there
	Compared
}

// Place is how far the list of one SKU has been gone through.
type Place struct {
	Next string // the address of the page to go on with
	Done bool
}

// Compared says when the last comparisons that came to their end began, UTC unix milliseconds; 0: never.
type Compared struct {
	All    int64 // of everything
	Recent int64 // of everything, or of what was updated lately
}

// Known is what the ledger knows of a subscription that Ordergroove lists.
type Known struct {
	Ledger
	Next     int64  // when it is due, UTC unix milliseconds; 0: when something happens
	Attempts int    // looks in vain since the last that worked
	Upcoming string // the orders that its next boxes were on when its placed orders were last asked for, by id; "" unknown
}

// Listed says that a comparison came by a subscription.
type Listed struct {
	Subscription string
	At           int64   // when the comparison began, UTC unix milliseconds
	Upcoming     *string // as in Known; nil: as before
}
