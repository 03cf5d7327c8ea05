package console

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// functions are what the templates call.
func (c *Console) functions() template.FuncMap {
	return template.FuncMap{
		"when":   func(t time.Time) string { return when(t, c.Now()) },
		"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"full":   func(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" },
		"short":  short,
		"number": number,
	}
}

// when is a time as people say it: how long ago where it is fresh, the date where it is not.
func when(t, now time.Time) string {
	t = t.UTC()
	d := now.Sub(t)
	switch {
	case d >= 0 && d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d >= 0 && d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case t.Format(time.DateOnly) == now.UTC().Format(time.DateOnly):
		return "today " + t.Format("15:04")
	case t.Year() == now.UTC().Year():
		return t.Format("Jan 02 15:04")
	}
	return t.Format("Jan 02, 2006")
}

// short is an ID that fits into a table; the whole one is its title.
func short(id string) string {
	runes := []rune(id)
	if len(runes) <= 14 {
		return id
	}
	return string(runes[:8]) + "…" + string(runes[len(runes)-4:])
}

// number is a number with separators: 4,812.
func number(n any) string {
	digits := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// at is a time of UTC unix milliseconds; 0 is the zero time.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// chip is a state with its color: never a color alone.
type chip struct {
	Text string
	Kind string // "", info, ok, warn or bad
}

func stateChip(state counter.State) chip {
	switch state {
	case counter.Attention:
		return chip{"needs attention", "bad"}
	case counter.AwaitingApproval:
		return chip{"awaiting approval", "warn"}
	case counter.Throttled, counter.Completing, counter.BlockingReactivation:
		return chip{string(state), "warn"}
	case counter.Active, counter.Enrolled:
		return chip{string(state), "info"}
	case counter.Completed:
		return chip{"completed", "ok"}
	}
	return chip{string(state), ""}
}

func eventChip(status ledger.EventStatus) chip {
	switch status {
	case ledger.EventDone:
		return chip{"done", "ok"}
	case ledger.EventPending:
		return chip{"pending", "info"}
	case ledger.EventDead, ledger.EventQuarantined:
		return chip{string(status), "bad"}
	}
	return chip{string(status), ""}
}

// steps is the progress of a term, a segment a shipment.
type steps struct {
	ShipmentsMade  int
	ShipmentsTotal int
	Prepaid        bool
	Large, Ended   bool
}

func progressOf(s counter.Subscription, large bool) steps {
	return steps{
		ShipmentsMade:  s.ShipmentsMade(),
		ShipmentsTotal: s.ShipmentsTotal(),
		Prepaid:        s.Prepaid,
		Large:          large,
		Ended:          s.State == counter.Completed,
	}
}

// Text is the progress in words.
func (s steps) Text() string {
	if s.Prepaid {
		return ""
	}
	return fmt.Sprintf("%d of %d", s.ShipmentsMade, s.ShipmentsTotal)
}

// Segments are the classes of the segments.
func (s steps) Segments() []string {
	all := make([]string, s.ShipmentsTotal)
	for i := range all {
		switch {
		case i < s.ShipmentsMade:
			all[i] = "done"
		case i == s.ShipmentsMade && !s.Ended:
			all[i] = "next"
		}
	}
	return all
}

// option is one to choose in a form.
type option struct {
	Value, Text string
	Selected    bool
}

// withQuery is a path with the query of this page, and some of it changed; "" removes a parameter.
func withQuery(path string, query url.Values, changes ...string) string {
	changed := url.Values{}
	for name, values := range query {
		changed[name] = values
	}
	for i := 0; i+1 < len(changes); i += 2 {
		changed.Del(changes[i])
		if changes[i+1] != "" {
			changed.Set(changes[i], changes[i+1])
		}
	}
	if len(changed) == 0 {
		return path
	}
	return path + "?" + changed.Encode()
}

// event is what the journal says, for the timeline.
type event struct {
	At     time.Time
	Kind   string // the color of its dot
	Text   string
	Detail string
}

// timeline turns the journal into sentences, the newest first.
func timeline(journal []ledger.JournalEntry) []event {
	all := make([]event, 0, len(journal))
	for i := len(journal) - 1; i >= 0; i-- {
		all = append(all, eventOf(journal[i]))
	}
	return all
}

func eventOf(e ledger.JournalEntry) event {
	one := event{At: at(e.At), Text: e.What, Detail: e.Reason}
	change := e.After
	if e.Before != "" {
		change = e.Before + " → " + e.After
	}
	switch e.What {
	case "counter", "started", "length":
		one.Text = e.What + " " + strings.ReplaceAll(change, `"`, "")
	case "shipment":
		one.Text = "order " + short(e.After) + " placed"
		one.Detail = "webhook " + e.Reason
		if e.Reason == counter.Reconciled {
			one.Detail = "found at Ordergroove: its webhook had not arrived"
		}
	case "enrolled":
		one.Text = "enrolled with " + e.After
	case "skip":
		one.Text = "skipped order " + short(e.Before)
		if e.After != "" {
			one.Detail = "next order " + e.After
		}
	case "cancel":
		one.Text = "canceled"
		if e.After == "unknown" {
			one.Text = "cancel: outcome unknown"
		}
	default:
		if change != "" && change != e.What {
			one.Text = e.What + ": " + change
		}
	}
	if e.Actor != ledger.ByTermed && e.Actor != ledger.ByOrdergroove {
		one.Text = e.Actor + ": " + one.Text
		one.Kind = "person"
	}
	switch {
	case strings.HasSuffix(e.What, "failed"), e.After == string(counter.Attention):
		one.Kind = "bad"
	case e.After == string(counter.Completed):
		one.Kind = "ok"
	case e.After == string(counter.AwaitingApproval), e.After == "unknown":
		one.Kind = "warn"
	}
	return one
}

// noteOf says what a list has to say of a subscription besides its state.
func noteOf(s ledger.Subscription) string {
	switch {
	case s.Reason != "":
		return s.Reason
	case s.Error != "":
		return s.Error
	case s.State == counter.Active && s.Remaining() == 1 && !s.Prepaid:
		return "last shipment next"
	}
	return ""
}

func atoi(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return otherwise
}
