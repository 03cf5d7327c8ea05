package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what a command prints while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// find waits for what an expression matches in the output.
func (o *output) find(t *testing.T, expression string) string {
	t.Helper()
	pattern := regexp.MustCompile(expression)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		o.mu.Lock()
		found := pattern.FindString(o.text.String())
		o.mu.Unlock()
		if found != "" {
			return found
		}
	}
	t.Fatalf("%s is not in the output:\n%s", expression, o.text.String())
	return ""
}

// simulatedID runs `termed simulate`, makes a subscription and a change of it, and returns its ID.
func simulatedID(t *testing.T, flags ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out := &output{}
	lookup := func(string) (string, bool) { return "", false }
	ended := make(chan error, 1)
	go func() {
		args := []string{"simulate", "--listen", "127.0.0.1:0", "--key", "k", "--deliver-to", "http://127.0.0.1:9/"}
		ended <- run(ctx, append(args, flags...), environment{lookup, strings.NewReader(""), out, out})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	api := out.find(t, `http://127\.0\.0\.1:\d+`)
	response, err := http.Post(api+"/simulator/subscriptions", "application/json",
		strings.NewReader(`{"customer":"c1","product":"GIFT"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var sub struct {
		ID string `json:"public_id"`
	}
	if err := json.NewDecoder(response.Body).Decode(&sub); err != nil || sub.ID == "" {
		t.Fatalf("no subscription was made: %v", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, api+"/subscriptions/"+sub.ID+"/update/",
		strings.NewReader(`{"extra_data":{"fulfillment_counter":"2"}}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("x-api-key", "simulated-api-key")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()

	out.find(t, `PATCH /subscriptions/`+sub.ID+`/update/ 200  counter 2`)
	out.find(t, `subscription.create evt_\S+: .*`)

	return sub.ID
}

// The simulator prints what it is called with and what it delivers. Its IDs are new at each start unless a seed is
// given.
func TestSimulate(t *testing.T) {
	t.Parallel()
	first, second := simulatedID(t), simulatedID(t)
	if first == second {
		t.Errorf("both runs have a subscription %s", first)
	}
	if one, other := simulatedID(t, "--seed", "7"), simulatedID(t, "--seed", "7"); one != other {
		t.Errorf("with one seed the IDs are %s and %s", one, other)
	}
}
