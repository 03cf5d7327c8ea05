package ogsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Evergreen is the number of recurring orders due of a subscription that is not termed.
const Evergreen = -1

// Judge says what is wrong with a subscription at rest, from the simulator's own record: nothing but the orders placed, the
// recurring orders due, and the extra_data that it had at first. It shares no code with the product.
func Judge(sub Subscription, due int, first json.RawMessage) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	before, now := membersOf(first), membersOf(sub.ExtraData)
	if due == Evergreen {
		if sub.Writes > 0 || sub.Cancels > 0 || !sub.Live {
			fault("evergreen, but written %d times, cancelled %d times, live %v", sub.Writes, sub.Cancels, sub.Live)
		}
		if !bytes.Equal(orNull(first), orNull(sub.ExtraData)) {
			fault("evergreen, but its extra_data changed")
		}
		return faults
	}
	left := max(0, due-sub.Placed)
	if sub.Placed > due {
		fault("%d boxes were shipped, %d were due", sub.Placed, due)
	}
	if want := strconv.Quote(strconv.Itoa(left)); string(now["fulfillment_counter"]) != want {
		fault("fulfillment_counter is %s, not %s", now["fulfillment_counter"], want)
	}
	if string(now["termed"]) != `"true"` {
		fault("termed is %s", now["termed"])
	}
	if hidden := string(now["hide"]) == "true"; hidden != (left == 0) {
		fault("hide is %s with %d to go", now["hide"], left)
	}
	if done := left == 0; sub.Live == done || sub.Cancels != map[bool]int{false: 0, true: 1}[done] {
		fault("live is %v after %d cancels, with %d to go", sub.Live, sub.Cancels, left)
	}
	ours := []string{"fulfillment_counter", "termed", "hide"}
	for name, value := range before {
		if !slices.Contains(ours, name) && !bytes.Equal(value, now[name]) {
			fault("member %q was %s and is %s", name, value, now[name])
		}
	}
	for name := range now {
		if _, there := before[name]; !there && !slices.Contains(ours, name) {
			fault("member %q appeared", name)
		}
	}
	return faults
}

// JudgePrepaid says what is wrong with a prepaid subscription of a termed product at rest: Ordergroove counts it and ends it,
// so nothing is written but its renewal behaviour, and hide once it has ended; it is never cancelled.
func JudgePrepaid(sub Subscription, first json.RawMessage) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	var context struct {
		Renewal string `json:"renewal_behavior"`
	}
	if err := json.Unmarshal(sub.Prepaid, &context); err != nil || context.Renewal != "cancel" {
		fault("its renewal behavior is %q", context.Renewal)
	}
	if sub.Cancels > 0 {
		fault("it was cancelled %d times", sub.Cancels)
	}
	before, now := membersOf(first), membersOf(sub.ExtraData)
	if hidden := string(now["hide"]) == "true"; hidden == sub.Live {
		fault("hide is %s, live %v", now["hide"], sub.Live)
	}
	delete(now, "hide")
	if len(before) != len(now) {
		fault("it had %d members and has %d", len(before), len(now))
	}
	for name, value := range before {
		if !bytes.Equal(value, now[name]) {
			fault("member %q was %s and is %s", name, value, now[name])
		}
	}
	return faults
}

// Counter returns the counter and whether it is hidden, as they stand in extra_data, for showing.
func (s Subscription) Counter() (counter string, hidden bool) {
	now := membersOf(s.ExtraData)
	_ = json.Unmarshal(now["fulfillment_counter"], &counter)
	return counter, string(now["hide"]) == "true"
}

func membersOf(extraData json.RawMessage) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(orNull(extraData), &members)
	return members
}
