package ordergroove_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/termed/termed/ordergroove"
)

// Every request counts under what came of it, and the call that proves the key says whether it was accepted.
func TestOutcomes(t *testing.T) {
	var status atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != ordergroove.PingPath || r.Method != http.MethodGet || r.Header.Get("x-api-key") != "k" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		w.WriteHeader(int(status.Load()))
	}))
	defer server.Close()
	client, err := ordergroove.NewClient(ordergroove.Options{URL: server.URL, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	want := map[ordergroove.Outcome]int64{}
	for _, test := range []struct {
		status  int
		outcome ordergroove.Outcome
		n       int64 // requests
	}{
		{200, ordergroove.Answered, 1},
		{400, ordergroove.Rejected, 1},
		{401, ordergroove.Unauthorized, 1},
		{403, ordergroove.Unauthorized, 1},
		{404, ordergroove.NotFound, 1},
		{423, ordergroove.Locked, 1},
		{429, ordergroove.Throttled, 1},
		{503, ordergroove.Unavailable, 1},
	} {
		status.Store(int32(test.status))
		if err := client.Ping(t.Context()); (err == nil) != (test.status == 200) {
			t.Errorf("%d: Ping = %v", test.status, err)
		}
		want[test.outcome] += test.n
		if got := client.Calls(test.outcome); got != want[test.outcome] {
			t.Errorf("%d: %d calls are %q, want %d", test.status, got, test.outcome, want[test.outcome])
		}
	}
}
