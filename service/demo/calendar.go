package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove/sim"
)

const (
	calendarOrders = 60              // of one subscription at most
	calendarDays   = 400             // without an order, until the calendar ends
	answerWithin   = 5 * time.Second // of the console
)

// calendar takes one subscription of each term through its whole term, while the simulator's clock runs ahead, and
// prints what happens on which day.
type calendar struct {
	*story
	terms  []config.Term
	out    io.Writer
	faults []string
	seen   map[string]string // the status of each adjustment, and the type of each notification, by id
}

func (c *calendar) play(ctx context.Context) error {
	c.seen = map[string]string{}
	for _, term := range c.terms {
		if err := c.term(ctx, term); err != nil {
			return fmt.Errorf("%s: %w", term.Name, err)
		}
	}
	return nil
}

// day is one line of a calendar.
type day struct {
	date time.Time
	what string
}

// term prints the calendar of one subscription of a term.
func (c *calendar) term(ctx context.Context, term config.Term) error {
	due := ordersDue(term)
	r, events, err := c.subscribe(term.Name, term.SKUs[0], due, `{"note":"yours stays as it is"}`)
	if err != nil {
		return err
	}
	r.term = &term
	r.ownKeys = len(term.Set) > 0 || c.setup.config.Keys != config.Default().Keys
	if err := c.deliver(ctx, events); err != nil {
		return err
	}
	rows := newTable("date", "what", "status", "extra_data for your theme", "adjustments", "notifications")
	first := "the checkout order"
	if due == term.Shipments {
		first = "the checkout, which is no shipment"
	}
	if err := c.add(ctx, rows, r, day{c.setup.sim.Now(), first}); err != nil {
		return err
	}
	for range calendarOrders {
		next, err := c.nextDay(ctx, r)
		if err != nil {
			return err
		}
		if err := c.add(ctx, rows, r, next); err != nil {
			return err
		}
		if sub, _ := c.setup.sim.Subscription(r.id); !sub.Live || sub.Placed > due {
			break // it has ended, or has continued for one order
		}
	}
	fmt.Fprintf(c.out, "\n%s: %s, %s\n%s\n", term.Name, term.SKUs[0], shipments(term.Shipments), rows.Render())
	return c.end(ctx, r)
}

// end judges a subscription, and cancels one that continues: the calendar of another term is its own.
func (c *calendar) end(ctx context.Context, r *role) error {
	enrolled, err := c.setup.service.Subscriptions(ctx)
	if err != nil {
		return err
	}
	sub, _ := c.setup.sim.Subscription(r.id)
	for _, known := range enrolled {
		if known.ID != r.id {
			continue
		}
		for _, fault := range r.judgeTour(sub, known) {
			c.faults = append(c.faults, r.name+": "+fault)
		}
	}
	if !sub.Live {
		return nil
	}
	if err := c.setup.sim.CancelByAgent(r.id); err != nil {
		return err
	}
	return c.deliver(ctx, c.setup.sim.Take())
}

// nextDay puts the clock forward, day by day, until the subscription's next order is placed.
func (c *calendar) nextDay(ctx context.Context, r *role) (day, error) {
	before, _ := c.setup.sim.Subscription(r.id)
	for range calendarDays {
		if _, err := c.setup.sim.Advance(24 * time.Hour); err != nil {
			return day{}, err
		}
		if err := c.deliver(ctx, c.setup.sim.Take()); err != nil {
			return day{}, err
		}
		after, _ := c.setup.sim.Subscription(r.id)
		switch {
		case after.Placed > before.Placed:
			what := "recurring order " + fmt.Sprint(after.Placed)
			if after.Product != before.Product {
				what += ", continues as " + after.Product
			}
			return day{c.setup.sim.Now(), what}, nil
		case !after.Live:
			return day{c.setup.sim.Now(), "no order"}, nil
		}
	}
	return day{c.setup.sim.Now(), "no order any more"}, nil
}

// add adds what is true on a day.
func (c *calendar) add(ctx context.Context, rows table.Writer, r *role, d day) error {
	notifications, err := c.newNotifications(ctx, r.id)
	if err != nil {
		return err
	}
	adjustments, err := c.changedAdjustments(ctx, r.id)
	if err != nil {
		return err
	}
	sub, _ := c.setup.sim.Subscription(r.id)
	rows.AppendRow(table.Row{
		d.date.UTC().Format(time.DateOnly),
		d.what,
		status(sub),
		c.forTheme(sub),
		strings.Join(adjustments, ", "),
		strings.Join(notifications, ", "),
	})
	return nil
}

// status is what has become of a subscription.
func status(sub sim.Subscription) string {
	_, hidden := sub.Counter()
	switch {
	case sub.Live:
		return "active"
	case hidden:
		return "hidden, canceled"
	}
	return "canceled"
}

// forTheme are the keys of extra_data that a theme reads.
func (c *calendar) forTheme(sub sim.Subscription) string {
	var keys map[string]json.RawMessage
	_ = json.Unmarshal(sub.ExtraData, &keys) // what cannot be read has none
	var shown []string
	k := c.setup.config.Keys
	for _, name := range []string{k.Counter, k.Hide, k.ShipmentsTotal, k.ShipmentsMade, k.LastShipment} {
		if value, ok := keys[name]; ok && name != "" {
			shown = append(shown, name+": "+string(value))
		}
	}
	return strings.Join(shown, ", ")
}

// changedAdjustments are the adjustments of a subscription whose status has changed since the last day.
func (c *calendar) changedAdjustments(ctx context.Context, subscription string) ([]string, error) {
	var list struct {
		Items []struct {
			ID      string `json:"id"`
			Status  string `json:"status"`
			Matcher struct {
				Shipment int `json:"shipment"`
			} `json:"matcher"`
			Action struct {
				Type string `json:"type"`
			} `json:"action"`
		} `json:"items"`
	}
	if err := c.ask(ctx, "/api/v1/subscriptions/"+subscription+"/adjustments", &list); err != nil {
		return nil, err
	}
	var changed []string
	for _, a := range slices.Backward(list.Items) {
		if before, known := c.seen[a.ID]; known && before == a.Status || !known && a.Status == "pending" {
			continue
		}
		c.seen[a.ID] = a.Status
		changed = append(changed, fmt.Sprintf("%s of shipment %d: %s", a.Action.Type, a.Matcher.Shipment, a.Status))
	}
	return changed, nil
}

// newNotifications are those of a subscription that are in the outbox since the last day. Some are due when their order
// is placed by the simulator's clock, which is ahead of the service's.
func (c *calendar) newNotifications(ctx context.Context, subscription string) ([]string, error) {
	var list struct {
		Items []struct {
			ID           string `json:"notification"`
			Type         string `json:"type"`
			Subscription string `json:"subscription"`
		} `json:"items"`
	}
	if err := c.ask(ctx, "/api/v1/notifications?limit=100", &list); err != nil {
		return nil, err
	}
	var types []string
	for _, n := range slices.Backward(list.Items) {
		if _, known := c.seen[n.ID]; known || n.Subscription != subscription {
			continue
		}
		c.seen[n.ID] = n.Type
		types = append(types, n.Type)
	}
	return types, nil
}

// ask reads JSON from the console.
func (c *calendar) ask(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.setup.service.ConsoleURL()+path, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: answerWithin}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the console answers %s to %s", response.Status, path)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// receiveNotifications answers in the place of a merchant's own system, on loopback, until ctx is done.
func receiveNotifications(ctx context.Context) (config.Endpoint, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return config.Endpoint{}, err
	}
	server := sim.Server(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	go func() { _ = server.Serve(listener) }() // it returns when the server is closed
	context.AfterFunc(ctx, func() { _ = server.Close() })
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text()+rand.Text()))
	return config.Endpoint{
		Name:    "calendar",
		URL:     config.Secret("http://" + listener.Addr().String() + "/"),
		Secrets: []config.Secret{config.Secret(secret)},
		Private: true,
	}, nil
}
