package store

import "context"

// Counts is what somebody may have to act on.
type Counts struct {
	Attention   int `db:"attention"`   // subscriptions that need attention
	Dead        int `db:"dead"`        // events that can never be processed
	Quarantined int `db:"quarantined"` // events that are unreadable
	// When the longest waiting work became due, UTC unix milliseconds; 0: none is.
	OldestEvent        int64 `db:"oldest_event"`
	OldestSubscription int64 `db:"oldest_subscription"`
}

// Counts counts what somebody may have to act on.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	var c Counts
	err := s.reads.GetContext(ctx, &c, `
		select (select count(*) from subscriptions where state = 'attention') as attention,
		       (select count(*) from events where status = 'dead') as dead,
		       (select count(*) from events where status = 'quarantined') as quarantined,
		       (select coalesce(min(due), 0) from events where due is not null) as oldest_event,
		       (select coalesce(min(s.due), 0)
		        from subscriptions s
		        join enrollments e on e.subscription = s.id
		         and e.number = (select max(number) from enrollments where subscription = s.id)
		        where s.due is not null and e.state not in ('attention', 'throttled')) as oldest_subscription`)
	return c, wrap("counting what needs somebody", err)
}
