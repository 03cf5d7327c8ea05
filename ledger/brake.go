package ledger

// Pause says that an operator has paused all changes at Ordergroove. The zero value is no pause.
type Pause struct {
	Since  int64  `db:"since"` // UTC unix milliseconds; 0: not paused
	Actor  string `db:"actor"`
	Reason string `db:"reason"`

	// Restored says that the database was brought back from a copy. The pause ends when all subscriptions have been
	// recounted.
	Restored bool `db:"restored"`
}

// Brake is what holds back changes, and how much it holds back.
type Brake struct {
	Pause     Pause
	Throttled int // subscriptions whose end is held back because there were too many unexplained ones in the last hour
	Terms     []Unapproved
	Withheld  int // subscriptions of which a change is held back, for whatever reason
}

// Unapproved counts the subscriptions of a term that wait for an approval.
type Unapproved struct {
	Term     string `db:"term"`
	Complete int    `db:"complete"` // that would be ended now
	Running  int    `db:"running"`  // that would be ended later
}
