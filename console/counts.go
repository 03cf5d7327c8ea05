package console

import (
	"context"
	"fmt"
	"html/template"
	"strings"
	"sync"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

const (
	countInterval = 10 * time.Second
	// countShare is how many times as long as counting took it is not done again: at a million subscriptions it takes a
	// second or two.
	countShare   = 20
	countTimeout = time.Minute
	chartDays    = 90
)

// counts are figures over all subscriptions. They are counted in the background, so that no page waits for them. The
// zero value is that nothing was counted yet.
type counts struct {
	mu     sync.Mutex
	latest figures
}

// figures is one count of everything.
type figures struct {
	at     time.Time // zero: not yet
	byTerm []store.TermCount
	byDay  []store.DayCount
	work   store.Counts
}

func (c *counts) get() figures {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// run counts until ctx is done.
func (c *counts) run(ctx context.Context, of *Console) {
	for {
		began := time.Now()
		if err := c.count(ctx, of); err != nil && ctx.Err() == nil {
			of.Log.Warn("the console's figures could not be counted", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(countInterval, countShare*time.Since(began))):
		}
	}
}

func (c *counts) count(ctx context.Context, of *Console) error {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	f := figures{at: of.Now()}
	var err error
	if f.byTerm, err = of.Store.TermCounts(ctx); err != nil {
		return err
	}
	since := f.at.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-chartDays)
	if f.byDay, err = of.Store.DayCounts(ctx, since.UnixMilli()); err != nil {
		return err
	}
	if f.work, err = of.Store.Counts(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = f
	return nil
}

// in counts the subscriptions in some states; none: in all.
func (f figures) in(term string, states ...counter.State) int {
	n := 0
	for _, t := range f.byTerm {
		if term != "" && t.Term != term {
			continue
		}
		if len(states) == 0 {
			n += t.N
		}
		for _, s := range states {
			if t.State == s {
				n += t.N
			}
		}
	}
	return n
}

// running are the states of a subscription whose term is under way.
var running = []counter.State{counter.Enrolled, counter.Active, counter.Completing, counter.BlockingReactivation,
	counter.AwaitingApproval, counter.Throttled, counter.Attention}

func (f figures) lastNext() int {
	n := 0
	for _, t := range f.byTerm {
		if t.State == counter.Active && t.ShipmentsTotal-t.ShipmentsMade == 1 {
			n += t.N
		}
	}
	return n
}

func (f figures) completedSince(day int64) int {
	n := 0
	for _, d := range f.byDay {
		if d.Day >= day {
			n += d.Completed
		}
	}
	return n
}

// dayChart draws shipments and completed terms a day.
func (f figures) dayChart(now time.Time) template.HTML {
	const (
		width  = 1000
		height = 160
		gap    = 2
	)
	today := now.UTC().Unix() / 86400
	byDay := map[int64]store.DayCount{}
	most := 1
	for _, d := range f.byDay {
		byDay[d.Day] = d
		most = max(most, d.Shipments, d.Completed)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="bars" viewBox="0 0 %d %d" role="img" aria-label="Shipments and completed terms a day, `+
		`last 90 days; at most %d a day">`, width, height+30, most)
	fmt.Fprintf(&b, `<line class="axis" x1="0" y1="%d" x2="%d" y2="%d"/>`, height, width, height)
	step := float64(width) / chartDays
	for i := range int64(chartDays) {
		day := today - chartDays + 1 + i
		d := byDay[day]
		date := time.Unix(day*86400, 0).UTC()
		x := float64(i) * step
		for _, bar := range []struct {
			class string
			n     int
		}{{"shipments", d.Shipments}, {"completed", d.Completed}} {
			if bar.n == 0 {
				continue
			}
			h := max(2, float64(bar.n)/float64(most)*(height-10))
			fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2">`+
				`<title>%s: %d %s</title></rect>`,
				bar.class, x+gap/2, height-h, step-gap, h, date.Format("Jan 02"), bar.n, bar.class)
		}
		if date.Day() == 1 {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`, x, height+20, date.Format("Jan"))
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers and dates of ours
}

// byShipment counts the active subscriptions of a term by shipments made: none, one, two, and so on.
func (f figures) byShipment(term string) []int {
	counted := []int{}
	for _, t := range f.byTerm {
		if t.Term != term || t.State != counter.Active {
			continue
		}
		for len(counted) <= t.ShipmentsMade {
			counted = append(counted, 0)
		}
		counted[t.ShipmentsMade] += t.N
	}
	return counted
}

// maxBars is how many bars a term's chart has: a longer term's are drawn together.
const maxBars = 24

// termChart draws how many running subscriptions of a term have made how many shipments.
func (f figures) termChart(term string) template.HTML {
	total, most := 0, 1
	for _, t := range f.byTerm {
		if t.Term == term && t.State == counter.Active {
			total = max(total, t.ShipmentsTotal)
		}
	}
	group := 1 + total/maxBars
	bars := total/group + 1
	grouped := make([]int, bars)
	for made, n := range f.byShipment(term) {
		i := min(made/group, bars-1)
		grouped[i] += n
		most = max(most, grouped[i])
	}
	const each, height = 46, 44
	var b strings.Builder
	words := []string{}
	for i, n := range grouped {
		if n > 0 {
			words = append(words, fmt.Sprintf("%d with %d of %d", n, i*group, total))
		}
	}
	fmt.Fprintf(&b, `<svg class="bars" viewBox="0 0 %d %d" role="img" aria-label="%s">`, max(bars*each, 12*each),
		height+22, strings.Join(words, ", "))
	for i, n := range grouped {
		h := float64(n) / float64(most) * (height - 14)
		if n > 0 {
			h = max(2, h)
		}
		fmt.Fprintf(&b, `<rect class="shipments" x="%d" y="%.1f" width="%d" height="%.1f" rx="2"/>`,
			i*each+2, height-h, each-8, h)
		if n > 0 {
			fmt.Fprintf(&b, `<text x="%d" y="%.1f">%s</text>`, i*each+4, height-h-3, number(n))
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d">%d/%d</text>`, i*each+4, height+16, i*group, total)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers of ours
}
