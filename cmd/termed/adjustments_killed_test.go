package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove/sim"
)

// TestKilledDuringAnAdjustment ends the process while an adjustment is applied: before its call, after it, and while
// Ordergroove answers. There is one effect at most, and what cannot be known says so.
func TestKilledDuringAnAdjustment(t *testing.T) {
	t.Parallel()
	program := failpointProgram(t)
	t.Log("FAULT | kill -9 while an adjustment is applied, before its call, after it, and before and after its effect |" +
		" I14: one effect at most; a discount whose outcome is not known needs attention")
	actions := []struct{ name, action, path string }{
		{"product", `{"type":"UPDATE_PRODUCTS","input":{"lines":[{"lineId":"{id}","variantId":"MINT"}]}}`,
			"/change_product/"},
		{"skip", `{"type":"SKIP_ORDER","input":{"reason":"away"}}`, "/skip_subscription/"},
		{"discount", `{"type":"APPLY_DISCOUNT","input":{"discountSource":"manual","discountCode":"Sorry","discountType":` +
			`"percentage","value":15,"targetType":"line_item","targeting":{"type":"all"}}}`, "/one_time_incentives/"},
	}
	for _, a := range actions {
		for _, where := range []string{
			"adjustment-recorded", "adjustment-answered", "before its effect", "after its effect",
		} {
			t.Run(a.name+", "+where, func(t *testing.T) {
				t.Parallel()
				killedDuringAnAdjustment(t, program, a.name, a.action, a.path, where)
			})
		}
	}
}

func killedDuringAnAdjustment(t *testing.T, program, name, action, path, where string) {
	s := newSupervised(t, sim.Options{OrderEvents: true})
	s.rewrite(`console: {`, `console: { actions: [adjust],`)
	kill := func() { s.signal(syscall.SIGKILL) }
	switch where {
	case "before its effect":
		s.sim.Break(sim.Fault{Path: path, Times: 1, Before: kill})
	case "after its effect":
		s.sim.Break(sim.Fault{Path: path, Times: 1, After: kill})
	default:
		s.program = program
		s.failpoint = where + ":1"
	}
	s.start()
	defer s.close()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	if err := s.subscribe("anna", "SIX", sim.NewSubscription{}); err != nil {
		t.Fatal(err)
	}
	s.deliverAndSettle(ctx)
	id := s.subscriptions["anna"].id
	status := ""
	for status == "" || status == "pending" {
		if ctx.Err() != nil {
			t.Fatalf("the adjustment did not come to an end: %s", status)
		}
		now, err := s.ask(ctx, id, "adjustments",
			fmt.Sprintf(`{"matcher":{"type":"CYCLE","cycle":0},"action":%s}`, strings.ReplaceAll(action, "{id}", id)))
		if err == nil {
			status = now
		}
		time.Sleep(50 * time.Millisecond)
	}
	if s.died() != 1 {
		t.Errorf("it died %d times, want once", s.died())
	}
	s.deliverAndSettle(ctx)
	effects := 0
	for _, call := range s.sim.Calls() {
		if strings.Contains(call.Path, path) && call.Status/100 == 2 {
			effects++
		}
	}
	switch name {
	case "discount":
		known := where == "adjustment-answered" || where == "after its effect"
		if given := len(s.sim.Incentives()); given > 1 || known && given != 1 || status != "attention" {
			t.Errorf("%d discounts, and the adjustment is %s", given, status)
		}
	case "skip":
		if effects > 1 || status != "applied" {
			t.Errorf("%d skips, and the adjustment is %s", effects, status)
		}
	default:
		if status != "applied" {
			t.Errorf("the adjustment is %s", status)
		}
	}
	for range 5 {
		if _, err := s.place([]string{"anna"}); err != nil {
			t.Fatal(err)
		}
		s.deliverAndSettle(ctx)
	}
	s.judgeAll(map[string]int{"anna": 5})
}
