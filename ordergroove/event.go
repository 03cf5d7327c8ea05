package ordergroove

// Event types we act on (contract, section 1). Both documented spellings of a type mean the same event; Canonical folds
// them.
const (
	SubscriptionCreate     = "subscription.create"
	SubscriptionCancel     = "subscription.cancel"
	SubscriptionReactivate = "subscription.reactivate"
	SubscriptionChangeLive = "subscription.change_live"
	SubscriptionSKUSwap    = "subscription.sku_swap"
	OrderSuccess           = "order.success"
	ItemPlaced             = "item.successfully_placed"
)

// eventTypes holds every event type of the contract, in its order.
var eventTypes = []string{
	SubscriptionCreate, "subscription.created",
	SubscriptionCancel, "subscription.cancelled",
	SubscriptionReactivate,
	SubscriptionChangeLive,
	SubscriptionSKUSwap,
	"subscription.change_quantity",
	"subscription.change_frequency",
	OrderSuccess,
	"order.create",
	"order.cancel",
	"order.reject",
	"order.skip_order",
	"order.send_now",
	"order.delete",
	"order.reminder",
	"order.generic_error",
	"order.retryable_placement_failure",
	"order.change_next_order_date",
	"item.create",
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

// EventTypes lists every event type that the contract names, both spellings of those that have two.
func EventTypes() []string {
	return append([]string(nil), eventTypes...)
}

// KnownType says whether the contract names the event type.
func KnownType(eventType string) bool {
	return knownTypes[eventType]
}

// Canonical returns the spelling that this package has a constant for.
func Canonical(eventType string) string {
	switch eventType {
	case "subscription.created":
		return SubscriptionCreate
	case "subscription.cancelled":
		return SubscriptionCancel
	}
	return eventType
}
