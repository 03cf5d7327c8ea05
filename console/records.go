package console

import (
	"cmp"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/termed/termed/cancelapp/explain"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// What the API answers. Its fields are named as in the outgoing notifications (docs/notifications.md): made and total
// are shipments, the checkout's included; remaining are the recurring orders still to come, which is the counter; times
// are RFC 3339 in UTC, and left out where there is none.

// State is the state of an enrollment.
type State counter.State

// Schema names the states.
func (State) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, state := range allStates {
		s.Enum = append(s.Enum, string(state))
	}
	s.PrecomputeMessages()
	return s
}

// Subscription is a line of the list of subscriptions.
type Subscription struct {
	ID               string     `json:"subscription"`
	Customer         string     `json:"customer,omitempty" doc:"left out for viewers"`
	SKU              string     `json:"sku"`
	Term             string     `json:"term"`
	State            State      `json:"state"`
	Reason           string     `json:"reason,omitempty"`
	ShipmentsMade    int        `json:"made" doc:"shipments made, the checkout's included; 0 for a prepaid subscription"`
	ShipmentsTotal   int        `json:"total" doc:"shipments in all; 0 for a prepaid subscription"`
	Remaining        int        `json:"remaining" doc:"recurring orders still to come, which is the counter"`
	LastShipmentNext bool       `json:"last_shipment_next"`
	Prepaid          bool       `json:"prepaid" doc:"Ordergroove counts and ends it"`
	Live             bool       `json:"live" doc:"at the last sync"`
	Approval         string     `json:"approval,omitempty" doc:"needed or given"`
	Withheld         string     `json:"withheld,omitempty" doc:"the change that is held back"`
	Created          *time.Time `json:"created,omitempty"`
	NextSync         *time.Time `json:"next_sync,omitempty"`
	Attempts         int        `json:"attempts" doc:"failed attempts since the last sync that worked"`
	LastError        string     `json:"last_error,omitempty"`
}

func subscriptionRecord(s ledger.Subscription, customer string) Subscription {
	r := Subscription{
		ID:        s.ID,
		Customer:  customer,
		SKU:       s.SKU,
		Term:      s.Term,
		State:     State(s.State),
		Reason:    s.Reason,
		Prepaid:   s.Prepaid,
		Live:      s.Live,
		Approval:  string(s.Permission.Approval),
		Withheld:  s.Permission.Withheld,
		Created:   timeRecord(cmp.Or(s.CreatedAt, s.Created)),
		NextSync:  timeRecord(s.Due),
		Attempts:  s.Attempts,
		LastError: s.Error,
	}
	if !s.Prepaid {
		r.ShipmentsMade = s.ShipmentsMade()
		r.ShipmentsTotal = s.ShipmentsTotal()
		r.Remaining = s.Remaining()
		r.LastShipmentNext = s.State == counter.Active && r.Remaining == 1
	}
	return r
}

func timeRecord(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// Enrollment is one run of a term by a subscription.
type Enrollment struct {
	Number         int        `json:"enrollment"`
	Term           string     `json:"term"`
	SKU            string     `json:"sku"`
	State          string     `json:"state"`
	Reason         string     `json:"reason,omitempty"`
	Opened         *time.Time `json:"opened,omitempty"`
	OpenedBy       string     `json:"opened_by"`
	ShipmentsMade  int        `json:"made"`
	ShipmentsTotal int        `json:"total"`
	Remaining      int        `json:"remaining"`
	Closed         *time.Time `json:"closed,omitempty"`
	ClosedAs       string     `json:"closed_as,omitempty"`
}

// Shipment is one shipment of a subscription. The checkout's order is not one of Ordergroove's, and has no ID here.
type Shipment struct {
	Enrollment int        `json:"enrollment,omitempty" doc:"the one that it belongs to, if any"`
	Number     int        `json:"shipment,omitempty" doc:"its number in the enrollment"`
	Order      string     `json:"order,omitempty"`
	SKU        string     `json:"sku,omitempty"`
	Placed     *time.Time `json:"placed,omitempty"`
	Source     string     `json:"source" doc:"checkout, the ID of an event, or reconcile"`
	Excluded   string     `json:"excluded,omitempty" doc:"why it belongs to no enrollment"`
}

// JournalEntry says who did what to a subscription, and why.
type JournalEntry struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	What   string    `json:"what"`
	Before string    `json:"before,omitempty"`
	After  string    `json:"after,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Remote is what Ordergroove says of a subscription now, and what the next sync would do about it.
type Remote struct {
	Error       string     `json:"error,omitempty" doc:"why Ordergroove could not be asked"`
	Live        bool       `json:"live"`
	Counter     string     `json:"counter,omitempty" doc:"as extra_data has it"`
	NextOrder   string     `json:"next_order,omitempty"`
	NextPlaced  *time.Time `json:"next_order_placed,omitempty" doc:"when the next order is placed"`
	NextChanges []string   `json:"next_changes" doc:"what the next sync would do, and why"`
}

// SubscriptionDetail is everything about one subscription.
type SubscriptionDetail struct {
	Subscription
	Enrollments []Enrollment   `json:"enrollments"`
	Shipments   []Shipment     `json:"shipments"`
	Journal     []JournalEntry `json:"journal" doc:"oldest first"`
	Actions     []ActionRecord `json:"actions" doc:"what agents did, newest first"`
	Resolve     string         `json:"resolve,omitempty" doc:"how one that needs attention is put right"`
	Remote      *Remote        `json:"remote,omitempty" doc:"with remote=true"`
}

func detailRecord(e explain.Explanation, customer string, actions []ledger.Action) SubscriptionDetail {
	d := SubscriptionDetail{
		Subscription: subscriptionRecord(e.Sub, customer),
		Enrollments:  []Enrollment{},
		Shipments:    []Shipment{},
		Journal:      []JournalEntry{},
		Actions:      []ActionRecord{},
		Resolve:      e.Resolve(),
	}
	for i, one := range e.Enrollments {
		d.Enrollments = append(d.Enrollments, Enrollment{
			Number:         one.Number,
			Term:           one.Term,
			SKU:            one.SKU,
			State:          string(one.State),
			Reason:         one.Reason,
			Opened:         timeRecord(e.Opened(i)),
			OpenedBy:       one.OpenedBy,
			ShipmentsMade:  one.ShipmentsMade(),
			ShipmentsTotal: one.ShipmentsTotal(),
			Remaining:      one.Remaining(),
			Closed:         timeRecord(one.ClosedAt),
			ClosedAs:       string(one.ClosedAs),
		})
	}
	for _, s := range e.Numbered() {
		d.Shipments = append(d.Shipments, Shipment{
			Enrollment: s.Enrollment,
			Number:     s.Number,
			Order:      s.Order,
			SKU:        s.SKU,
			Placed:     timeRecord(s.At),
			Source:     s.Source,
			Excluded:   s.Excluded,
		})
	}
	for _, one := range e.Journal {
		d.Journal = append(d.Journal, JournalEntry{at(one.At), one.Actor, one.What, one.Before, one.After, one.Reason})
	}
	for _, a := range actions {
		d.Actions = append(d.Actions, actionRecord(a))
	}
	return d
}

// ActionRecord is what became of an action.
type ActionRecord struct {
	Key          string     `json:"key" doc:"the idempotency key"`
	Subscription string     `json:"subscription"`
	Action       string     `json:"action" enum:"cancel,skip"`
	Actor        string     `json:"actor"`
	Reason       string     `json:"reason,omitempty" doc:"<code>|<details>"`
	Order        string     `json:"order,omitempty" doc:"of a skip: the order that was skipped"`
	Status       string     `json:"status" enum:"started,unknown,done,failed" doc:"unknown: no answer came in time"`
	Detail       string     `json:"detail,omitempty" doc:"why it failed, in Ordergroove's words"`
	Created      time.Time  `json:"created"`
	Finished     *time.Time `json:"finished,omitempty"`
}

func actionRecord(a ledger.Action) ActionRecord {
	return ActionRecord{
		Key:          a.Key,
		Subscription: a.Subscription,
		Action:       string(a.Kind),
		Actor:        a.Actor,
		Reason:       a.Reason,
		Order:        a.Order,
		Status:       string(a.Status),
		Detail:       a.Detail,
		Created:      at(a.Created),
		Finished:     timeRecord(a.Finished),
	}
}

// EventRecord is a webhook in the inbox.
type EventRecord struct {
	ID          string     `json:"event"`
	Created     int64      `json:"created" doc:"the event's own time, UTC unix milliseconds: with the ID, its key"`
	Type        string     `json:"type"`
	Received    time.Time  `json:"received"`
	Status      string     `json:"status" enum:"pending,done,ignored,dead,quarantined"`
	Attempts    int        `json:"attempts" doc:"failed attempts so far"`
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	Reason      string     `json:"reason,omitempty" doc:"why it is in this status"`
}

func eventRecord(e store.Event) EventRecord {
	r := EventRecord{
		ID:       e.ID,
		Created:  e.Created,
		Type:     e.Type,
		Received: at(e.Received),
		Status:   string(e.Status),
		Attempts: e.Attempts,
		Reason:   cmp.Or(e.LastError, e.Reason),
	}
	if e.Due.Valid {
		r.NextAttempt = timeRecord(e.Due.Int64)
	}
	return r
}

// EventDetail is one event with what it is about. The payload is for operators only.
type EventDetail struct {
	EventRecord
	Subscriptions []string `json:"subscriptions"`
	Payload       string   `json:"payload,omitempty" doc:"as it came; only for operators, with payload=true"`
}

// MessageRecord is an outgoing notification.
type MessageRecord struct {
	ID           string     `json:"notification"`
	Endpoint     string     `json:"endpoint"`
	Type         string     `json:"type"`
	Subscription string     `json:"subscription,omitempty"`
	Created      time.Time  `json:"created"`
	Status       string     `json:"status" enum:"pending,delivered,dead"`
	Attempts     int        `json:"attempts"`
	NextAttempt  *time.Time `json:"next_attempt,omitempty"`
	LastError    string     `json:"last_error,omitempty"`
}

func messageRecord(m store.Message) MessageRecord {
	r := MessageRecord{
		ID:           m.ID,
		Endpoint:     m.Endpoint,
		Type:         m.Type,
		Subscription: m.Subscription,
		Created:      at(m.Created),
		Status:       string(m.Status),
		Attempts:     m.Attempts,
		LastError:    m.LastError,
	}
	if m.Due.Valid {
		r.NextAttempt = timeRecord(m.Due.Int64)
	}
	return r
}

// TermRecord is a term of termed.yaml, or one that only subscriptions still have, with its counts.
type TermRecord struct {
	Name          string   `json:"name"`
	SKUs          []string `json:"skus"`
	Removed       bool     `json:"removed" doc:"it is not in termed.yaml anymore"`
	Sentences     []string `json:"sentences" doc:"what it does"`
	Subscriptions int      `json:"subscriptions"`
	Running       int      `json:"running"`
	ByShipment    []int    `json:"by_shipment" doc:"active subscriptions by shipments made: none, one, two, and so on"`
}

// ReconciliationRecord is the run that was started here last, and when the last ones by schedule began.
type ReconciliationRecord struct {
	Running  bool            `json:"running"`
	By       string          `json:"by,omitempty"`
	Began    *time.Time      `json:"began,omitempty"`
	Compared int             `json:"compared"`
	Findings []FindingRecord `json:"findings" doc:"at most 500"`
	Error    string          `json:"error,omitempty" doc:"why not everything could be compared"`
	All      *time.Time      `json:"last_full,omitempty"`
	Recent   *time.Time      `json:"last_recent,omitempty"`
}

// FindingRecord is a subscription that was not as it should be.
type FindingRecord struct {
	Subscription string `json:"subscription"`
	SKU          string `json:"sku"`
	Kind         string `json:"kind"`
	Why          string `json:"why"`
}

// HealthRecord says whether the service can work, and what holds back changes.
type HealthRecord struct {
	Ready      bool               `json:"ready"`
	Checks     map[string]string  `json:"checks" doc:"ok, or what is wrong"`
	Warnings   map[string]string  `json:"warnings"`
	Observe    bool               `json:"observe"`
	Pause      *PauseRecord       `json:"pause,omitempty"`
	Throttled  int                `json:"throttled" doc:"ends that wait for the throttle"`
	Unapproved []UnapprovedRecord `json:"unapproved" doc:"terms with subscriptions that wait for an approval"`
}

// PauseRecord says who paused all changes, and why.
type PauseRecord struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// UnapprovedRecord counts the subscriptions of a term that wait for an approval.
type UnapprovedRecord struct {
	Term     string `json:"term"`
	EndNow   int    `json:"would_end_now"`
	EndLater int    `json:"would_end_later"`
}
