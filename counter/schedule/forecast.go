package schedule

import "time"

// Planned is an adjustment that waits for its order. One of termed.yaml that does not come next has no ID yet.
type Planned struct {
	ID   string
	Spec Spec
	Slot int // of the schedule, which the matcher's cycle was fixed to
}

// Applied is an action that was carried out on the next order.
type Applied struct {
	Action Action
	Unsure bool // it may have been, or not: a person has to check
}

// Expected is an order that is still to come.
type Expected struct {
	Shipment    int    // of the term; 0: the order will be skipped
	Order       string // its id, where Ordergroove has made it
	Date        string // on which it is expected, YYYY-MM-DD in the shop's timezone
	SKU         string
	Adjustments []Planned
	Applied     []Applied
	Last        bool // it ends the term
}

// Forecast works out the orders that are still to come: their dates follow from the next one's and from the frequency,
// as it is now.
type Forecast struct {
	Settings Settings
	Next     Position
	Order    string
	Place    time.Time // of the next order
	SKU      string    // the subscription's
	NextSKU  string    // on the next order
	Total    int       // shipments of the term
	After    func(time.Time) time.Time
	Planned  []Planned
	Applied  []Applied // to the next order
}

// maxExpected bounds a forecast: every order in it could be skipped.
const maxExpected = 2000

// Shipments returns the orders to come, the next one first, up to the one that ends the term.
func (f Forecast) Shipments() []Expected {
	var all []Expected
	used := make([]bool, len(f.Planned)) // each is applied once, also where a skip leaves the shipment to the next order
	at := f.Place
	position := f.Next
	for i := 0; i < maxExpected && position.Shipment <= f.Total; i++ {
		e := Expected{Shipment: position.Shipment, Date: position.Date, SKU: f.SKU, Last: position.Shipment == f.Total}
		if i == 0 {
			e.Order = f.Order
			e.SKU = f.NextSKU
			e.Applied = f.Applied
		}
		next := f.After
		for j, p := range f.Planned {
			if v, _ := p.Spec.Matcher.Match(p.Slot, position); v == Match && !used[j] {
				used[j] = true
				e.Adjustments = append(e.Adjustments, p)
				at, next = f.adjust(&e, p.Spec.Action, at, next)
			}
		}
		all = append(all, e)
		if e.Shipment != 0 {
			position.Shipment++
		}
		position.Slot++
		following := next(at)
		if !following.After(at) {
			following = time.Time{}
		}
		at = following
		position.Date = ""
		if !at.IsZero() {
			position.Date = f.Settings.DateOf(at)
		}
	}
	return all
}

// adjust says what an action makes of an expected order, of its time, and of the way to the next one.
func (f Forecast) adjust(
	e *Expected, a Action, at time.Time, next func(time.Time) time.Time,
) (nowAt time.Time, nowNext func(time.Time) time.Time) {
	switch a.Type {
	case SkipOrder:
		e.Shipment = 0
		e.Last = false
	case ChangeDate:
		if input, err := Decode[Move](a); err == nil {
			if to, _, err := f.Settings.Moment(input.NewDate); err == nil {
				e.Date = f.Settings.DateOf(to)
				return to, next
			}
		}
	case UpdateProducts:
		input, err := Decode[Products](a)
		if err != nil {
			return at, next
		}
		for _, line := range input.Lines {
			if line.Product != "" {
				e.SKU = line.Product
			}
			if line.Interval != nil {
				next = line.Interval.After
			}
		}
	}
	return at, next
}

// After returns a time an interval later.
func (i Interval) After(at time.Time) time.Time {
	switch i.Unit {
	case "DAY":
		return at.AddDate(0, 0, i.Count)
	case "WEEK":
		return at.AddDate(0, 0, 7*i.Count)
	case "MONTH":
		return at.AddDate(0, i.Count, 0)
	case "YEAR":
		return at.AddDate(i.Count, 0, 0)
	}
	return at
}
