package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove/sim"
)

// TestKilledDuringAnAction ends the process while an agent's action is carried out: before its call, after it, and
// while Ordergroove answers. Whoever asks again with the same key gets one effect.
func TestKilledDuringAnAction(t *testing.T) {
	t.Parallel()
	program := failpointProgram(t)
	t.Log("FAULT | kill -9 during an agent's cancel and skip, before the call, after it, and before and after its" +
		" effect, then the same request again | I14: one effect")
	for _, kind := range []string{"cancel", "skip"} {
		for _, where := range []string{"action-recorded", "action-answered", "before its effect", "after its effect"} {
			t.Run(kind+", "+where, func(t *testing.T) {
				t.Parallel()
				killedDuringAnAction(t, program, kind, where)
			})
		}
	}
}

func killedDuringAnAction(t *testing.T, program, kind, where string) {
	s := newSupervised(t, sim.Options{})
	s.rewrite(`console: {`, `console: { actions: [cancel, skip],`)
	path := map[string]string{"cancel": "/cancel/", "skip": "/skip_subscription/"}[kind]
	kill := func() { s.signal(syscall.SIGKILL) }
	switch where {
	case "before its effect":
		s.sim.Break(sim.Fault{Method: "PATCH", Path: path, Times: 1, Before: kill})
	case "after its effect":
		s.sim.Break(sim.Fault{Method: "PATCH", Path: path, Times: 1, After: kill})
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
	if _, err := s.place([]string{"anna"}); err != nil {
		t.Fatal(err)
	}
	s.deliverAndSettle(ctx)
	id := s.subscriptions["anna"].id
	var status string
	for status != "done" {
		var err error
		status, err = s.ask(ctx, id, kind, `{}`)
		if err != nil && ctx.Err() != nil {
			t.Fatalf("the action did not come to an end: %s, %v", status, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if s.died() != 1 {
		t.Errorf("it died %d times, want once", s.died())
	}
	s.deliverAndSettle(ctx)
	sub, _ := s.sim.Subscription(id)
	switch kind {
	case "cancel":
		if sub.Live || sub.Cancels != 1 {
			t.Errorf("live %v after %d cancels", sub.Live, sub.Cancels)
		}
	case "skip":
		skips := 0
		for _, call := range s.sim.Calls() {
			if call.Method == http.MethodPatch && call.Status == http.StatusOK && strings.Contains(call.Path, path) {
				skips++
			}
		}
		if skips > 1 || !sub.Live {
			t.Errorf("%d skips took effect, live %v", skips, sub.Live)
		}
		if _, err := s.place([]string{"anna"}); err != nil {
			t.Fatal(err)
		}
		s.deliverAndSettle(ctx)
		s.judgeAll(map[string]int{"anna": 5})
	}
}

// ask posts to a subscription's part of the API, always with the same key, and answers the status of what it asked for.
func (s *supervised) ask(ctx context.Context, id, what, body string) (string, error) {
	address := fmt.Sprintf("%s/api/v1/subscriptions/%s/%s", s.consoleURL, id, what)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "one")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err // it was killed
	}
	defer response.Body.Close()
	answered, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode/100 != 2 {
		return "", fmt.Errorf("%d: %s", response.StatusCode, answered)
	}
	var answer struct {
		Status string `json:"status"`
	}
	return answer.Status, json.Unmarshal(answered, &answer)
}
