package counter

import (
	"cmp"
	"slices"
)

// Shipment is one subscription's part in one placed order. The pair (Subscription, Order) is its identity, whatever
// event announced it, however often.
type Shipment struct {
	Subscription string
	Order        string
	SKU          string
	Source       string // the id of the event that announced it, or Reconciled
	At           int64  // when it was placed: the event's own time, or when it was found; UTC unix milliseconds
	Enrollment   int    // the number of the enrollment that it belongs to; 0: none
	Excluded     string // why it belongs to none
	Notified     bool   // a notification has told about it, or none has to
}

// Reconciled is the source of a shipment, and the reason of an enrollment, found by asking Ordergroove and not by a
// webhook.
const Reconciled = "reconcile"

// Why a shipment belongs to no enrollment.
const (
	ExcludedByProduct = "placed before its product was in the term" // found with its product; no time changes that
	ExcludedEarly     = "placed before the term began"
	ExcludedLate      = "placed after it left the term"
)

// Assign says which enrollment each shipment belongs to. It follows from the times of placing and from the boundaries
// of the enrollments, so it is worked out again whenever a late fact or a boundary changes. Shipments are answered in
// the order of their placing.
func Assign(enrollments []Enrollment, shipments []Shipment) []Shipment {
	sorted := byTime(shipments)
	current := -1 // of enrollments
	placed := 0   // orders of the current one
	for i := range sorted {
		s := &sorted[i]
		if s.Excluded == ExcludedByProduct {
			s.Enrollment = 0
			continue
		}
		if atBoundary(enrollments, *s) {
			current, placed = counted(enrollments, current, placed, s.Enrollment)
			continue
		}
		s.Enrollment = 0
		for following(enrollments, current, placed, *s) > current {
			current = following(enrollments, current, placed, *s)
			placed = 0
		}
		s.Excluded = excluded(enrollments, current, s.At)
		if s.Excluded == "" {
			s.Enrollment = enrollments[current].Number
			placed++
		}
	}
	return sorted
}

// atBoundary says whether a shipment was assigned already and a later enrollment was opened in the very second of its
// placing. Webhooks count seconds, so the times cannot tell which came first; but what was known when the enrollment
// was opened belongs to the one before.
func atBoundary(enrollments []Enrollment, s Shipment) bool {
	return s.Enrollment != 0 && slices.ContainsFunc(enrollments, func(e Enrollment) bool {
		return e.Number > s.Enrollment && e.OpenedAt != 0 && second(e.OpenedAt) == second(s.At)
	})
}

// counted adds a shipment of an enrollment to the orders of the current one, which it may begin.
func counted(enrollments []Enrollment, current, placed, number int) (nowCurrent, nowPlaced int) {
	n := slices.IndexFunc(enrollments, func(e Enrollment) bool { return e.Number == number })
	switch {
	case n > current:
		return n, 1
	case n == current:
		return current, placed + 1
	}
	return current, placed
}

// second is the beginning of the second of a time.
func second(at int64) int64 { return at - at%1000 }

// following returns the enrollment that a shipment placed at a time belongs to, given the current one and its orders so
// far.
func following(enrollments []Enrollment, current, placed int, s Shipment) int {
	for n := len(enrollments) - 1; n > current; n-- {
		if enrollments[n].OpenedAt != 0 && s.At >= opening(enrollments, n, s) {
			return n
		}
	}
	next := current + 1
	if next == len(enrollments) || enrollments[next].OpenedAt != 0 {
		return current
	}
	if next == 0 || placed >= enrollments[current].OrdersTotal() {
		return next
	}
	return current
}

// opening is from when on a shipment belongs to an enrollment. One with the product that a swap brought cannot be from
// before the swap, so it gets the benefit of clocks that differ.
func opening(enrollments []Enrollment, n int, s Shipment) int64 {
	e := enrollments[n]
	byOurClock := e.OpenedBy == OpenedByRestart || e.OpenedBy == Reconciled
	if byOurClock && s.SKU == e.SKU && (n == 0 || s.SKU != enrollments[n-1].SKU) {
		return e.OpenedAt - clockSkew
	}
	return e.OpenedAt
}

// excluded says why a shipment placed at a time belongs to no enrollment; "" where it belongs to the current one.
func excluded(enrollments []Enrollment, current int, at int64) string {
	if current < 0 {
		return ExcludedEarly
	}
	e := enrollments[current]
	// safeguard: late-orders
	if e.State == Released && e.ClosedAt != 0 && at > e.ClosedAt {
		return ExcludedLate
	}
	return ""
}

// Tally counts the shipments of an enrollment.
func Tally(number int, shipments []Shipment) Placed {
	var p Placed
	for _, s := range shipments {
		if s.Enrollment == 0 || s.Enrollment > number {
			continue
		}
		p.LastAt = max(p.LastAt, s.At)
		if !s.Notified {
			p.Unnotified++
		}
		if s.Enrollment != number {
			continue
		}
		p.Orders++
		if s.Source != Reconciled {
			p.ByWebhook++
		}
	}
	return p
}

// Found is what asking for a subscription's placed orders has brought to light.
type Found struct {
	Shipments []Shipment // not recorded yet; those that do not count say why
	OpenedAt  int64      // from when on shipments belong to the enrollment
}

// Counting returns those found that count.
func (f Found) Counting() []Shipment {
	return slices.DeleteFunc(slices.Clone(f.Shipments), func(s Shipment) bool { return s.Excluded != "" })
}

// Recount compares a subscription's placed orders with the recorded shipments. Where the enrollment was not there from
// the subscription's creation, orders from before its product was in the term do not count; how far back the product
// was in the term is seen from what the orders carried. One-time swaps change one order alone, so a later order counts
// whatever it carried.
func (t Terms) Recount(term Term, e Enrollment, since int64, o Observed, recorded, placed []Shipment) Found {
	placed = Distinct(placed)
	found := Found{Shipments: Without(placed, recorded), OpenedAt: e.OpenedAt}
	if e.OpenedAt == 0 || !e.openedByEvent() {
		return found
	}
	if e.Number == 1 && countedAll(e, o, term.Keys, len(placed)) {
		found.OpenedAt = 0
		return found
	}
	candidates := t.termedLast(candidatesFor(e, since, recorded, placed))
	first := t.firstCounting(term, e, candidates)
	if first < len(candidates) {
		found.OpenedAt = min(e.OpenedAt, candidates[first].At)
	}
	// safeguard: before-termed
	left := candidates[:first]
	for i, s := range found.Shipments {
		if slices.ContainsFunc(left, func(l Shipment) bool { return l.Order == s.Order }) {
			found.Shipments[i].Excluded = ExcludedByProduct
		}
	}
	return found
}

// Since says from when on a shipment found late can be of the enrollment: not before the one that it follows was
// closed.
func Since(e Enrollment, all []Enrollment) int64 {
	for _, before := range all {
		if before.Number == e.Number-1 && before.ClosedAt != 0 {
			return before.ClosedAt - clockSkew
		}
	}
	return 0
}

// NeedsDates says whether Recount can only tell with the dates of the orders, which their items do not carry.
func (t Terms) NeedsDates(e Enrollment, recorded, placed []Shipment) bool {
	if len(Without(placed, recorded)) == 0 {
		return false
	}
	untermed := func(s Shipment) bool { return !t.has(s.SKU) }
	return e.Number > 1 || e.OpenedAt != 0 && slices.ContainsFunc(placed, untermed)
}

// countedAll says whether the counter in extra_data is what all placed orders make of the enrollment: whoever wrote it
// counted all of them.
func countedAll(e Enrollment, o Observed, keys Keys, placed int) bool {
	found := readCounter(o.Extra, keys.Counter)
	return found.kind == number && found.n == max(0, e.OrdersTotal()-placed)
}

// openedByEvent says whether something that happened at Ordergroove opened the enrollment, and not a rule of the term.
func (e Enrollment) openedByEvent() bool {
	switch e.OpenedBy {
	case OpenedByRenewal, OpenedByRestart, OpenedByReactivation:
		return false
	}
	return true
}

// candidatesFor are the placed orders that are not recorded as those of an earlier enrollment. What is recorded has its
// time.
func candidatesFor(e Enrollment, since int64, recorded, placed []Shipment) []Shipment {
	known := map[string]Shipment{}
	for _, r := range recorded {
		known[r.Order] = r
		if r.Enrollment != 0 && r.Enrollment < e.Number {
			since = max(since, r.At+1)
		}
	}
	var candidates []Shipment
	for _, p := range placed {
		r, isKnown := known[p.Order]
		switch {
		case !isKnown && p.At >= since:
			candidates = append(candidates, p)
		case !isKnown || r.At < since: // of an enrollment before, by its time
		case r.Enrollment == 0 || r.Enrollment >= e.Number:
			candidates = append(candidates, r)
		}
	}
	return candidates
}

// firstCounting returns which of the sorted shipments is the first that counts: for a subscription's first enrollment
// the first that carried a termed SKU or was placed since the enrollment was opened; for a later one the first of the
// last ones that do.
func (t Terms) firstCounting(term Term, e Enrollment, sorted []Shipment) int {
	counts := func(s Shipment) bool {
		ours := t.has(s.SKU)
		if e.Number > 1 {
			ours = slices.Contains(term.SKUs, s.SKU)
		}
		return ours || s.At >= e.OpenedAt
	}
	if e.Number == 1 {
		if first := slices.IndexFunc(sorted, counts); first >= 0 {
			return first
		}
		return len(sorted)
	}
	first := len(sorted)
	for first > 0 && counts(sorted[first-1]) {
		first--
	}
	return first
}

// termedLast sorts shipments by their times; of those of one time, the ones that carry a termed SKU come last.
func (t Terms) termedLast(shipments []Shipment) []Shipment {
	rank := func(s Shipment) int {
		if t.has(s.SKU) {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(shipments), func(a, b Shipment) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Order, b.Order))
	})
}

// byTime sorts shipments by their times. Of those of one second, the ones that were assigned before come first.
func byTime(shipments []Shipment) []Shipment {
	rank := func(s Shipment) int {
		if s.Enrollment == 0 {
			return 1 << 30 // after every number
		}
		return s.Enrollment
	}
	return slices.SortedStableFunc(slices.Values(shipments), func(a, b Shipment) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Order, b.Order))
	})
}

// Distinct keeps the first of several lines of one order.
func Distinct(shipments []Shipment) []Shipment {
	var distinct []Shipment
	for i := range shipments {
		distinct = append(distinct, Without(shipments[i:i+1], distinct)...)
	}
	return distinct
}

// Without returns the shipments whose order is not among those of others.
func Without(shipments, others []Shipment) []Shipment {
	known := map[string]bool{}
	for _, s := range others {
		known[s.Order] = true
	}
	var left []Shipment
	for _, s := range shipments {
		if !known[s.Order] {
			left = append(left, s)
		}
	}
	return left
}
