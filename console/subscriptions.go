package console

import (
	"cmp"
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/console/access"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// subscriptionRow is a line of a list of subscriptions.
type subscriptionRow struct {
	ID, Term, SKU string
	Progress      steps
	State         chip
	Created       time.Time
	Note          string
	Withheld      string
}

func rowOf(s ledger.Subscription) subscriptionRow {
	return subscriptionRow{
		ID:       s.ID,
		Term:     s.Term,
		SKU:      s.SKU,
		Progress: progressOf(s.Subscription, false),
		State:    stateChip(s.State),
		Created:  at(cmp.Or(s.CreatedAt, s.Created)),
		Note:     noteOf(s),
		Withheld: s.Permission.Withheld,
	}
}

type subscriptionsPage struct {
	Search         string
	States, Terms  []option
	Last, Filtered bool
	Rows           []subscriptionRow
	CSV            string
	Here           string // where the list refreshes itself from
	Previous, Next string
}

var allStates = []counter.State{
	counter.Enrolled, counter.Active, counter.Completing, counter.AwaitingApproval, counter.Throttled,
	counter.BlockingReactivation, counter.Completed, counter.Ended, counter.Released, counter.Attention,
}

// queryOf is what a page's address selects.
func queryOf(q url.Values) store.Query {
	return store.Query{
		State:            counter.State(q.Get("state")),
		Term:             q.Get("term"),
		SKU:              q.Get("sku"),
		LastShipmentNext: q.Get("last") == "true",
		Search:           strings.TrimSpace(q.Get("q")),
	}
}

func (c *Console) subscriptions(g *gin.Context) {
	ctx, cancel := within(g, pageTimeout)
	defer cancel()
	values := g.Request.URL.Query()
	q := queryOf(values)
	found, err := c.Store.List(ctx, q, values.Get("cursor"), rowsAPage)
	if err != nil {
		c.fail(g, err)
		return
	}
	p := subscriptionsPage{
		Search:   q.Search,
		Last:     q.LastShipmentNext,
		Filtered: q != store.Query{},
		CSV:      withQuery("/subscriptions.csv", values, "cursor", ""),
		Here:     withQuery("/subscriptions", values),
	}
	for _, s := range found.Rows {
		p.Rows = append(p.Rows, rowOf(s))
	}
	if found.Previous != "" {
		p.Previous = withQuery("/subscriptions", values, "cursor", found.Previous)
	}
	if found.Next != "" {
		p.Next = withQuery("/subscriptions", values, "cursor", found.Next)
	}
	for _, s := range allStates {
		p.States = append(p.States, option{string(s), stateChip(s).Text, q.State == s})
	}
	for _, name := range c.termNames(c.counts.get()) {
		p.Terms = append(p.Terms, option{name, name, q.Term == name})
	}
	c.show(g, http.StatusOK, "subscriptions", "Subscriptions", p)
}

// exportCSV streams the selected subscriptions.
func (c *Console) exportCSV(g *gin.Context) {
	customers := c.may(g, access.SeeCustomers)
	g.Header("Content-Type", "text/csv; charset=utf-8")
	g.Header("Content-Disposition", `attachment; filename="subscriptions.csv"`)
	out := csv.NewWriter(g.Writer)
	_ = out.Write([]string{"subscription", "customer", "sku", "term", "state", "shipments_made", "shipments_total",
		"remaining", "prepaid", "live", "created", "reason"})
	err := c.Store.Each(g.Request.Context(), queryOf(g.Request.URL.Query()), func(s ledger.Subscription) error {
		customer := ""
		if customers {
			customer = s.Customer
		}
		return out.Write(harmless(s.ID, customer, s.SKU, s.Term, string(s.State),
			counted(s, s.ShipmentsMade()), counted(s, s.ShipmentsTotal()), counted(s, s.Remaining()),
			strconv.FormatBool(s.Prepaid), strconv.FormatBool(s.Live),
			at(cmp.Or(s.CreatedAt, s.Created)).Format(time.RFC3339), s.Reason))
	})
	if err != nil {
		// The status is sent already: the file itself says that it is not whole.
		c.Log.Warn("an export was cut short", "error", err)
		_ = out.Write([]string{"INCOMPLETE: the export was cut short; export it again"})
	}
	out.Flush()
}

// counted is a number of shipments; "" where Ordergroove counts them.
func counted(s ledger.Subscription, n int) string {
	if s.Prepaid {
		return ""
	}
	return strconv.Itoa(n)
}

// harmless keeps a spreadsheet from taking a value for a formula.
func harmless(values ...string) []string {
	for i, v := range values {
		if v != "" && strings.ContainsRune("=+-@\t\r", rune(v[0])) {
			values[i] = "'" + v
		}
	}
	return values
}
