package ordergroove

// The event types that we act on (contract, section 1). Two spellings of a type can be documented; Canonical maps both
// to the constant.
const (
	SubscriptionCreate     = "subscription.create"
	SubscriptionCancel     = "subscription.cancel"
	SubscriptionReactivate = "subscription.reactivate"
	SubscriptionChangeLive = "subscription.change_live"
	SubscriptionSKUSwap    = "subscription.sku_swap"
	OrderSuccess           = "order.success"
	OrderCreate            = "order.create"
	OrderReminder          = "order.reminder"
	OrderSkipped           = "order.skip_order"
	OrderCanceled          = "order.cancel"
	OrderDateChanged       = "order.change_next_order_date"
	ItemCreate             = "item.create"
	ItemPlaced             = "item.successfully_placed"
)

// eventTypes are the event types of the contract, in its order.
var eventTypes = []string{
	SubscriptionCreate, "subscription.created",
	SubscriptionCancel, "subscription.cancelled",
	SubscriptionReactivate,
	SubscriptionChangeLive,
	SubscriptionSKUSwap,
	"subscription.change_quantity",
	"subscription.change_frequency",
	OrderSuccess,
	OrderCreate,
	OrderCanceled,
	"order.reject",
	OrderSkipped,
	"order.send_now",
	"order.delete",
	OrderReminder,
	"order.generic_error",
	"order.retryable_placement_failure",
	OrderDateChanged,
	ItemCreate,
	"item.remove",
	"item.sku_swap",
	ItemPlaced,
	"item.out_of_stock",
}

var knownTypes = func() map[string]bool {
	known := make(map[string]bool, len(eventTypes))
	for _, t := range eventTypes {
		known[t] = true
	}
	return known
}()

// EventTypes returns every event type that the contract names, in both spellings where there are two.
func EventTypes() []string {
	return append([]string(nil), eventTypes...)
}

// KnownType says whether the contract names the event type.
func KnownType(eventType string) bool {
	return knownTypes[eventType]
}

// Canonical returns the spelling for which this package has a constant.
func Canonical(eventType string) string {
	switch eventType {
	case "subscription.created":
		return SubscriptionCreate
	case "subscription.cancelled":
		return SubscriptionCancel
	}
	return eventType
}
