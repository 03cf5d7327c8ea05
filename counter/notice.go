package counter

// Types of notices.
const (
	TermStarted         = "term.started"
	TermShipment        = "term.shipment"
	LastShipmentNext    = "term.last_shipment_next"
	TermCompleted       = "term.completed"
	TermEnded           = "term.ended"
	BlockedReactivation = "term.blocked_reactivation"
	ExtraOrder          = "guard.extra_order"
	NeedsAttention      = "subscription.attention"
	Silence             = "service.silence"
)

// NoticeTypes are all there are.
var NoticeTypes = []string{
	TermStarted, TermShipment, LastShipmentNext, TermCompleted, TermEnded, BlockedReactivation, ExtraOrder, NeedsAttention, Silence,
}

// Notice is something that a merchant's other systems, or a person, may want to know. Times are UTC unix milliseconds.
type Notice struct {
	ID     string // "": one of its own; notices with the same id are the same
	Type   string
	At     int64  // when it came about
	Page   Ledger // of the subscription, as it is then; of one about the service the zero value
	Box    int    // of a shipment: which box of the term, the checkout's included
	Order  string // of a shipment, or the one to come, if it is known
	Place  int64  // when that order is to be placed; 0: unknown
	Reason string
	Since  int64 // of a silence: the last delivery
}

// Post is a notice on its way to one endpoint.
type Post struct {
	ID           string
	Endpoint     string // by its name
	Type         string
	Subscription string
	At           int64  // UTC unix milliseconds
	Body         []byte // exactly as it is sent, however often
	Attempts     int    // in vain so far
}

// Tell says what a look has to tell of, from the page as it was before and after, and the boxes that were not told of, oldest
// first. What had happened before we knew of a subscription is no news.
func Tell(before, after Ledger, boxes []Shipment, at int64) []Notice {
	var told []Notice
	add := func(n Notice) {
		n.Page = after
		if n.At == 0 {
			n.At = at
		}
		told = append(told, n)
	}
	complete := after.Remaining() == 0 && !after.Fresh()
	if after.State == Released && !(complete && before.State != Released && !before.Completed) {
		return nil
	}
	if before.State == Enrolled && !after.Fresh() && after.Made == len(boxes) && !after.Prepaid {
		add(Notice{Type: TermStarted})
	}
	for i, box := range boxes {
		if !after.Prepaid {
			add(Notice{Type: TermShipment, At: box.At, Box: after.Boxes() - len(boxes) + i + 1, Order: box.Order})
		}
	}
	switch after.State {
	case Completed:
		if after.Blocking {
			add(Notice{Type: BlockedReactivation})
		} else if before.State != Completed {
			add(Notice{Type: TermCompleted})
		}
	case Released:
		add(Notice{Type: TermCompleted, Reason: after.Reason})
	case Ended:
		if before.State != Ended {
			add(Notice{Type: TermEnded, Reason: after.Reason})
		}
	case Attention:
		if before.State != Attention || before.Reason != after.Reason {
			add(Notice{Type: NeedsAttention, Reason: after.Reason})
		}
	}
	return told
}
