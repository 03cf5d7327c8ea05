package ledger

// MessageStatus is the state of a message in the outbox.
type MessageStatus string

// The states of a message.
const (
	MessagePending   MessageStatus = "pending"   // to be sent when due
	MessageDelivered MessageStatus = "delivered" // its endpoint has accepted it
	MessageDead      MessageStatus = "dead"      // given up; kept
)

// Message is a notification for one endpoint.
type Message struct {
	ID           string
	Endpoint     string // by its name
	Type         string
	Subscription string
	At           int64
	Body         []byte // exactly as it is sent, however often
	Attempts     int    // failed attempts so far
}
