package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Evergreen is the number of recurring orders due of a subscription that is not termed.
const Evergreen = -1

// Judge returns what is wrong with a subscription when all work is done. It knows only the simulator's own record: the
// orders placed, the recurring orders due, and the extra_data at first. It shares no code with the product.
func Judge(sub Subscription, ordersDue int, first json.RawMessage) []string {
	if ordersDue == Evergreen {
		return judgeEvergreen(sub, first)
	}
	var v violations
	now := keysOf(sub.ExtraData)
	remaining := max(0, ordersDue-sub.Placed)
	if sub.Placed > ordersDue {
		v.add("%d shipments were made, %d were due", sub.Placed, ordersDue)
	}
	if want := strconv.Quote(strconv.Itoa(remaining)); string(now["fulfillment_counter"]) != want {
		v.add("fulfillment_counter is %s, want %s", show(now["fulfillment_counter"]), want)
	}
	if string(now["termed"]) != `"true"` {
		v.add("termed is %s, want \"true\"", show(now["termed"]))
	}
	if hidden := string(now["hide"]) == "true"; hidden != (remaining == 0) {
		v.add("hide is %s with %d orders remaining", show(now["hide"]), remaining)
	}
	cancels := 0
	if remaining == 0 {
		cancels = 1
	}
	if sub.Live == (remaining == 0) || sub.Cancels != cancels {
		v.add("live is %v after %d cancels, with %d orders remaining", sub.Live, sub.Cancels, remaining)
	}
	v.compareForeign(keysOf(first), now, managedKeys)
	return v
}

// managedKeys are the keys of extra_data that the recipe sets (contract, section 3).
var managedKeys = []string{"fulfillment_counter", "termed", "hide"}

func judgeEvergreen(sub Subscription, first json.RawMessage) []string {
	var v violations
	if sub.Writes > 0 || sub.Cancels > 0 || !sub.Live {
		v.add("evergreen, but written %d times, canceled %d times, live %v", sub.Writes, sub.Cancels, sub.Live)
	}
	if !bytes.Equal(orNull(first), orNull(sub.ExtraData)) {
		v.add("evergreen, but its extra_data changed")
	}
	return v
}

// violations collects what is wrong with a subscription.
type violations []string

func (v *violations) add(format string, args ...any) {
	*v = append(*v, fmt.Sprintf(format, args...))
}

// compareForeign adds a violation for every foreign key that changed, appeared or disappeared.
func (v *violations) compareForeign(before, now map[string]json.RawMessage, managed []string) {
	for key, value := range before {
		if !slices.Contains(managed, key) && !bytes.Equal(value, now[key]) {
			v.add("foreign key %q was %s and is %s", key, value, show(now[key]))
		}
	}
	for key := range now {
		if _, known := before[key]; !known && !slices.Contains(managed, key) {
			v.add("foreign key %q appeared", key)
		}
	}
}

// show returns a value for a message.
func show(value json.RawMessage) string {
	if value == nil {
		return "missing"
	}
	return string(value)
}

// JudgePrepaid returns what is wrong with a prepaid subscription of a termed product when all work is done. Ordergroove
// counts and ends it. So only its renewal behavior is changed, and hide is set once it has ended; it is never canceled.
func JudgePrepaid(sub Subscription, first json.RawMessage) []string {
	var v violations
	var context struct {
		Renewal string `json:"renewal_behavior"`
	}
	if err := json.Unmarshal(sub.Prepaid, &context); err != nil || context.Renewal != "cancel" {
		v.add("its renewal behavior is %q, want \"cancel\"", context.Renewal)
	}
	if sub.Cancels > 0 {
		v.add("it was canceled %d times", sub.Cancels)
	}
	now := keysOf(sub.ExtraData)
	if hidden := string(now["hide"]) == "true"; hidden == sub.Live {
		v.add("hide is %s while live is %v", show(now["hide"]), sub.Live)
	}
	v.compareForeign(keysOf(first), now, []string{"hide"})
	return v
}

// Counter returns fulfillment_counter and whether hide is set, for display.
func (s Subscription) Counter() (counter string, hidden bool) {
	now := keysOf(s.ExtraData)
	_ = json.Unmarshal(now["fulfillment_counter"], &counter)
	return counter, string(now["hide"]) == "true"
}

func keysOf(extraData json.RawMessage) map[string]json.RawMessage {
	var keys map[string]json.RawMessage
	_ = json.Unmarshal(orNull(extraData), &keys)
	return keys
}
