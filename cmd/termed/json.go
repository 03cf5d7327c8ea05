package main

import (
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp/explain"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// What --json prints. The fields are named as in the outgoing notifications (docs/notifications.md): made and total are
// shipments, the checkout's included; remaining are the recurring orders still to come, which is the counter; times are
// RFC 3339 in UTC.

func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON")
}

// printJSON prints one value, indented.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// timestamp is a time of UTC unix milliseconds. In JSON it is RFC 3339, and null for 0.
type timestamp int64

func (t timestamp) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(time.UnixMilli(int64(t)).UTC().Format("2006-01-02T15:04:05.000Z"))
}

// termJSON says of which term a subscription is, and how far it has come. Ordergroove counts prepaid subscriptions, so
// they have no made, total and remaining.
type termJSON struct {
	Subscription   string        `json:"subscription"`
	Customer       string        `json:"customer"`
	SKU            string        `json:"sku"`
	Term           string        `json:"term"`
	State          counter.State `json:"state"`
	Reason         string        `json:"reason,omitempty"`
	Approval       string        `json:"approval,omitempty"` // needed or given
	Withheld       string        `json:"withheld,omitempty"` // the change that is held back
	Prepaid        bool          `json:"prepaid"`
	ShipmentsMade  *int          `json:"made,omitempty"`
	ShipmentsTotal *int          `json:"total,omitempty"`
	Remaining      *int          `json:"remaining,omitempty"`
}

func termOf(l counter.Subscription) termJSON {
	t := termJSON{
		Subscription: l.ID,
		Customer:     l.Customer,
		SKU:          l.SKU,
		Term:         l.Term,
		State:        l.State,
		Reason:       l.Reason,
		Approval:     string(l.Permission.Approval),
		Withheld:     l.Permission.Withheld,
		Prepaid:      l.Prepaid,
	}
	if !l.Prepaid {
		made, total := l.ShipmentsMade(), l.ShipmentsTotal()
		remaining := l.Remaining()
		t.ShipmentsMade, t.ShipmentsTotal = &made, &total
		t.Remaining = &remaining
	}
	return t
}

// subscriptionJSON is a line of `subscriptions list`.
type subscriptionJSON struct {
	termJSON
	Attempts  int       `json:"attempts"`
	NextSync  timestamp `json:"next_sync"`
	LastError string    `json:"last_error"`
}

func subscriptionsJSON(subscriptions []ledger.Subscription) []subscriptionJSON {
	all := make([]subscriptionJSON, len(subscriptions))
	for i, s := range subscriptions {
		all[i] = subscriptionOf(s)
	}
	return all
}

func subscriptionOf(s ledger.Subscription) subscriptionJSON {
	return subscriptionJSON{termOf(s.Subscription), s.Attempts, timestamp(s.Due), s.Error}
}

// eventJSON is a line of `events list`.
type eventJSON struct {
	Event       string    `json:"event"`
	Type        string    `json:"type"`
	Received    timestamp `json:"received"`
	State       string    `json:"state"`
	Attempts    int       `json:"attempts"`
	NextAttempt timestamp `json:"next_attempt"`
	Reason      string    `json:"reason,omitempty"` // why it is in this state
}

// tailJSON is a line of `events tail`.
type tailJSON struct {
	eventJSON
	Subscriptions []string `json:"subscriptions"`
}

// shownEventJSON is `events show`.
type shownEventJSON struct {
	eventJSON
	Created       timestamp       `json:"created"`
	Subscriptions []string        `json:"subscriptions"`
	Body          json.RawMessage `json:"body,omitempty"`
	BodyText      string          `json:"body_text,omitempty"` // of one that is not JSON
}

func shownEvent(e store.Event, subscriptions []string, body []byte) shownEventJSON {
	shown := shownEventJSON{
		eventJSON:     eventsJSON([]store.Event{e})[0],
		Created:       timestamp(e.Created),
		Subscriptions: append([]string{}, subscriptions...),
	}
	if json.Valid(body) {
		shown.Body = body
	} else {
		shown.BodyText = string(body)
	}
	return shown
}

func eventsJSON(events []store.Event) []eventJSON {
	all := make([]eventJSON, len(events))
	for i, e := range events {
		all[i] = eventJSON{
			Event:       e.ID,
			Type:        e.Type,
			Received:    timestamp(e.Received),
			State:       string(e.Status),
			Attempts:    e.Attempts,
			NextAttempt: timestamp(e.Due.Int64),
			Reason:      eventReason(e),
		}
	}
	return all
}

// notificationJSON is a line of `notifications list`.
type notificationJSON struct {
	Notification string    `json:"notification"`
	Endpoint     string    `json:"endpoint"`
	Type         string    `json:"type"`
	Subscription string    `json:"subscription"`
	Created      timestamp `json:"created"`
	State        string    `json:"state"`
	Attempts     int       `json:"attempts"`
	NextAttempt  timestamp `json:"next_attempt"`
	LastError    string    `json:"last_error"`
}

func notificationsJSON(notifications []store.Message) []notificationJSON {
	all := make([]notificationJSON, len(notifications))
	for i, n := range notifications {
		all[i] = notificationJSON{
			Notification: n.ID,
			Endpoint:     n.Endpoint,
			Type:         n.Type,
			Subscription: n.Subscription,
			Created:      timestamp(n.Created),
			State:        string(n.Status),
			Attempts:     n.Attempts,
			NextAttempt:  timestamp(n.Due.Int64),
			LastError:    n.LastError,
		}
	}
	return all
}

// entryJSON is a line of the journal.
type entryJSON struct {
	At           timestamp `json:"at"`
	Subscription string    `json:"subscription"`
	Actor        string    `json:"actor"`
	What         string    `json:"what"`
	Before       string    `json:"before"`
	After        string    `json:"after"`
	Reason       string    `json:"reason"`
}

func entryOf(e ledger.JournalEntry) entryJSON {
	return entryJSON{
		At:           timestamp(e.At),
		Subscription: e.Subscription,
		Actor:        e.Actor,
		What:         e.What,
		Before:       e.Before,
		After:        e.After,
		Reason:       e.Reason,
	}
}

// enrollmentJSON is one run of a term in `explain`, the first one first.
type enrollmentJSON struct {
	Enrollment        int             `json:"enrollment"`
	Term              string          `json:"term"`
	SKU               string          `json:"sku"`
	State             counter.State   `json:"state"`
	Reason            string          `json:"reason,omitempty"`
	Opened            timestamp       `json:"opened"`
	OpenedBy          string          `json:"opened_by"`
	CheckoutShipments int             `json:"checkout_shipments"`
	OrdersDue         int             `json:"orders_due"`
	Adjustment        int             `json:"adjustment"`
	ShipmentsMade     int             `json:"made"`
	ShipmentsTotal    int             `json:"total"`
	Remaining         int             `json:"remaining"`
	Closed            timestamp       `json:"closed"`
	ClosedAs          counter.Closing `json:"closed_as,omitempty"`
}

// shipmentJSON is one shipment of `explain`. The checkout's order is not one of Ordergroove's, and has no id here.
type shipmentJSON struct {
	Enrollment int       `json:"enrollment,omitempty"` // the one that it belongs to, if any
	Shipment   int       `json:"shipment,omitempty"`   // its number in the enrollment
	Order      string    `json:"order,omitempty"`
	SKU        string    `json:"sku,omitempty"`
	Placed     timestamp `json:"placed"`
	Source     string    `json:"source"`             // "checkout", an event, or "reconcile"
	Excluded   string    `json:"excluded,omitempty"` // why it belongs to no enrollment
}

// verificationJSON is what `explain --verify` found.
type verificationJSON struct {
	Agrees       bool     `json:"agrees"`
	OrdersPlaced int      `json:"orders_placed"`
	Missing      []string `json:"missing"`
	Unknown      []string `json:"unknown"`
	Excluded     []string `json:"excluded"`
}

// explanationJSON is `explain`.
type explanationJSON struct {
	subscriptionJSON
	Enrollments []enrollmentJSON   `json:"enrollments"`
	Shipments   []shipmentJSON     `json:"shipments"`
	Journal     []entryJSON        `json:"journal"`
	NextChanges []string           `json:"next_changes"`      // what the next sync would do
	Expected    []explain.Expected `json:"expected"`          // the orders to come
	Resolve     string             `json:"resolve,omitempty"` // how one that needs attention is put right
	Verified    *verificationJSON  `json:"verified,omitempty"`
}

// planJSON is `plan`.
type planJSON struct {
	Failed       bool               `json:"failed"`          // not everything could be asked for:
	Error        string             `json:"error,omitempty"` // why
	Changes      []lengthChangeJSON `json:"changes"`
	RemovedTerms []removedTermJSON  `json:"removed_terms"`
	NewSKUs      []newSKUJSON       `json:"new_skus"`
	Unapproved   []unapprovedJSON   `json:"unapproved"`
	Withheld     []termJSON         `json:"withheld"` // of which a change is held back
}

// newSKUJSON is a SKU that is not in force yet, with the subscriptions that Ordergroove has of it.
type newSKUJSON struct {
	Term    string `json:"term"`
	SKU     string `json:"sku"`
	EndNow  int    `json:"would_end_now"`        // once they are approved
	Later   int    `json:"would_end_later"`      // once they are approved
	Counted int    `json:"counted_already"`      // they have a counter: no approval is needed
	AtOnce  int    `json:"counted_and_complete"` // of these, complete now
}

// unapprovedJSON counts the subscriptions of a term that wait for an approval.
type unapprovedJSON struct {
	Term   string `json:"term"`
	EndNow int    `json:"would_end_now"`
	Later  int    `json:"would_end_later"`
}

// lengthChangeJSON is one subscription whose term has another length in the configuration.
type lengthChangeJSON struct {
	termJSON
	NewTotal     int `json:"new_total"`
	NewRemaining int `json:"new_remaining"`
}

// removedTermJSON is a term that running subscriptions have and the configuration does not.
type removedTermJSON struct {
	Term          string `json:"term"`
	Subscriptions int    `json:"subscriptions"`
}

// bulkEditJSON is `subscriptions set`, `subscriptions release` and `apply`.
type bulkEditJSON struct {
	DryRun        bool       `json:"dry_run"`
	Changed       int        `json:"changed"` // in a dry run: to be changed
	Subscriptions []editJSON `json:"subscriptions"`
}

// editJSON is what became of one subscription, or would.
type editJSON struct {
	termJSON        // before
	What     string `json:"what"`
	Before   string `json:"before"`
	After    string `json:"after"`
	Result   string `json:"result"`
	Done     bool   `json:"done"` // nothing is left to do for it
}

// reconciliationJSON is `reconcile`.
type reconciliationJSON struct {
	Failed         bool          `json:"failed"`          // not everything was compared or repaired:
	Error          string        `json:"error,omitempty"` // why
	Scope          string        `json:"scope"`
	DryRun         bool          `json:"dry_run"`
	Resumed        bool          `json:"resumed"`
	Compared       int           `json:"compared"`
	AskedForOrders int           `json:"asked_for_orders"`
	Unreadable     int           `json:"unreadable"`
	APICalls       int64         `json:"api_calls"`
	Seconds        float64       `json:"seconds"`
	NeedAttention  int           `json:"need_attention"`
	Found          []findingJSON `json:"found"`
}

// findingJSON is one subscription that a reconciliation found to differ.
type findingJSON struct {
	Subscription string        `json:"subscription"`
	SKU          string        `json:"sku"`
	Kind         string        `json:"kind"`
	Reason       string        `json:"reason"`
	Result       string        `json:"result"`
	State        counter.State `json:"state"`
	Repaired     bool          `json:"repaired"`
	HeldBack     bool          `json:"held_back"`
}

// checkJSON is `check`.
type checkJSON struct {
	Terms             []termRulesJSON      `json:"terms"`
	EveryTerm         []ruleJSON           `json:"every_term"`
	Webhooks          string               `json:"webhooks"`
	WebhookKeys       int                  `json:"webhook_keys"`
	APIURL            string               `json:"api_url"`
	RequestsPerMinute int                  `json:"requests_per_minute"`
	OutgoingGroup     string               `json:"outgoing_group,omitempty"`
	Reconcile         reconcileEveryJSON   `json:"reconcile"`
	ExtraDataKeys     extraDataKeysJSON    `json:"extra_data_keys"`
	LastShipmentDays  int                  `json:"last_shipment_days"`
	Endpoints         []endpointConfigJSON `json:"endpoints"`
}

// extraDataKeysJSON are the names of termed's keys in extra_data; an empty one is not written.
type extraDataKeysJSON struct {
	Counter        string `json:"counter"`
	Termed         string `json:"termed"`
	Hide           string `json:"hide"`
	ShipmentsTotal string `json:"total"`
	ShipmentsMade  string `json:"made"`
	LastShipment   string `json:"last"`
}

type termRulesJSON struct {
	Term      string     `json:"term"`
	Shipments int        `json:"shipments"`
	SKUs      []skuJSON  `json:"skus"`
	Rules     []ruleJSON `json:"rules"`
}

type skuJSON struct {
	SKU  string `json:"sku"`
	Rule string `json:"rule"`
}

type ruleJSON struct {
	Setting string `json:"setting,omitempty"`
	Rule    string `json:"rule"`
}

func rulesJSON(rules []counter.Rule) []ruleJSON {
	all := make([]ruleJSON, len(rules))
	for i, r := range rules {
		all[i] = ruleJSON{r.Setting, r.Sentence}
	}
	return all
}

// reconcileEveryJSON says how often what is compared; "0s" is never.
type reconcileEveryJSON struct {
	Recent string `json:"recent"`
	Full   string `json:"full"`
}

type endpointConfigJSON struct {
	Endpoint string   `json:"endpoint"`
	Types    []string `json:"types"` // none: all
	Secrets  int      `json:"secrets"`
}

// schemaJSON is `migrate status`.
type schemaJSON struct {
	Version int64 `json:"version"`
	Latest  int64 `json:"latest"`
}

// copiedTableJSON is a line of `copy`.
type copiedTableJSON struct {
	Table    string `json:"table"`
	Rows     int    `json:"rows"`
	Checksum string `json:"checksum"`
}

// actionResult is what became of an action that a person asked for.
type actionResult struct {
	Key          string              `json:"key"`
	Subscription string              `json:"subscription"`
	Action       ledger.ActionKind   `json:"action"`
	Actor        string              `json:"actor"`
	Reason       string              `json:"reason,omitempty"`
	Order        string              `json:"order,omitempty"`
	Status       ledger.ActionStatus `json:"status"` // started, unknown, done or failed
	Detail       string              `json:"detail,omitempty"`
	Created      timestamp           `json:"created"`
	Finished     timestamp           `json:"finished"`
}

func actionJSON(a ledger.Action) actionResult {
	return actionResult{
		Key:          a.Key,
		Subscription: a.Subscription,
		Action:       a.Kind,
		Actor:        a.Actor,
		Reason:       a.Reason,
		Order:        a.Order,
		Status:       a.Status,
		Detail:       a.Detail,
		Created:      timestamp(a.Created),
		Finished:     timestamp(a.Finished),
	}
}
