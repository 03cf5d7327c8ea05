package counter

// Types of notifications.
const (
	TermStarted         = "term.started"
	TermShipment        = "term.shipment"
	LastShipmentNext    = "term.last_shipment_next"
	TermCompleted       = "term.completed"
	TermEnded           = "term.ended"
	BlockedReactivation = "term.blocked_reactivation"
	OvershipRisk        = "overship.risk"
	NeedsAttention      = "subscription.attention"
	NoDeliveries        = "service.no_deliveries"
	ApprovalNeededOf    = "approval.needed"
	EndsHeldBack        = "brake.ends_held_back"
	AdjustmentMissed    = "adjustment.missed"
	AdjustmentFailed    = "adjustment.failed"
	AdjustmentAttention = "adjustment.attention"
)

// NotificationTypes are all there are.
var NotificationTypes = []string{
	TermStarted, TermShipment, LastShipmentNext, TermCompleted, TermEnded, BlockedReactivation, OvershipRisk,
	NeedsAttention,
	NoDeliveries, ApprovalNeededOf, EndsHeldBack,
	AdjustmentMissed, AdjustmentFailed, AdjustmentAttention,
}

// Notification is something that a merchant's other systems, or a person, may want to know. Times are UTC unix
// milliseconds.
type Notification struct {
	ID           string // "": one of its own; notifications with the same id are the same
	Type         string
	At           int64        // when it happened
	Subscription Subscription // as it is then; the zero value where it is about the service
	Shipment     int          // of a shipment: which one of the term, the checkout's included; 0: of an earlier enrollment
	Order        string       // of a shipment, or the one to come, if it is known
	Place        int64        // when that order is to be placed; 0: unknown
	Reason       string
	Adjustment   string // the id of a schedule adjustment
	Since        int64  // of missing deliveries: the last one
	Waiting      Waiting
}

// Waiting counts the subscriptions that wait for an approval, of one term, or for the throttle, of all.
type Waiting struct {
	Term     string
	Complete int // whose end waits
	Running  int // that are counted, and written once they are approved
}

// Notifications says what there is to notify after a sync, from the subscription before and after it and the shipments
// that no notification has told about, oldest first. What happened before we knew of a subscription is not news.
func Notifications(before, after Subscription, shipments []Shipment, at int64) []Notification {
	if after.Permission.Approval == ApprovalNeeded && after.IsNew() {
		return nil // as far as anybody knows it is in no term
	}
	completedNow := after.Remaining() == 0 && !after.IsNew() &&
		before.State != Released && (before.ClosedAs != ClosedCompleted || before.State == Ended)
	if after.State == Released && !completedNow {
		return nil
	}
	var all []Notification
	number := after.ShipmentsMade() // of the last shipment before the new ones
	for _, s := range shipments {
		if s.Enrollment == after.Number {
			number--
		}
	}
	if before.State == Enrolled && !after.IsNew() && number == after.CheckoutShipments && !after.Prepaid {
		all = append(all, Notification{Type: TermStarted, At: at, Subscription: after})
	}
	for _, s := range shipments {
		if after.Prepaid {
			break
		}
		n := Notification{Type: TermShipment, At: s.At, Subscription: after, Order: s.Order}
		if s.Enrollment == after.Number {
			number++
			n.Shipment = number
		}
		all = append(all, n)
	}
	if outcome := outcomeOf(before, after); outcome != "" {
		all = append(all, Notification{Type: outcome, At: at, Subscription: after, Reason: reasonOf(after)})
	}
	return all
}

// outcomeOf says which notification the state after a sync asks for; "": none.
func outcomeOf(before, after Subscription) string {
	switch after.State {
	case Completed:
		switch {
		case before.State == Completed:
			return ""
		case before.State == BlockingReactivation, before.ClosedAs == ClosedCompleted && before.State != Ended:
			return BlockedReactivation
		}
		return TermCompleted
	case Released:
		return TermCompleted
	case Ended:
		if before.State != Ended {
			return TermEnded
		}
	case Attention:
		if before.State != Attention || before.Reason != after.Reason {
			return NeedsAttention
		}
	}
	return ""
}

func reasonOf(s Subscription) string {
	if s.State == Completed {
		return ""
	}
	return s.Reason
}
