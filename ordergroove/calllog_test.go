package ordergroove_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ordergroove"
)

// Every request to the API is one line at level debug, retries included, with what it was about and neither the key nor
// a body nor a query.
func TestCallsAreLogged(t *testing.T) {
	statuses := []int{502, 200, 400, 200, 404, 200}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
		_, _ = w.Write([]byte(`{"public_id":"s1","live":true,"extra_data":{"canary":1},"results":[]}`))
	}))
	defer server.Close()
	var log bytes.Buffer
	client, err := ordergroove.NewClient(ordergroove.Options{
		URL: server.URL,
		Key: canaryKey,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == "duration" {
					return slog.Attr{}
				}
				return a
			},
		})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	data, err := ordergroove.ParseExtraData([]byte(`{"canary":1}`))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, _ = client.Subscription(ctx, "s1")
	_, _ = client.Do(ctx, ordergroove.UpdateExtraData("s1", data))
	_, _ = client.Do(ctx, ordergroove.CancelSubscription("s1", "1|canary"))
	_, _ = client.OrderItems(ctx, "o1")
	_, _ = client.UpcomingItems(ctx, "")
	server.Close()
	_, _ = client.Do(ctx, ordergroove.CancelSubscription("s1", ""))
	const line = `level=DEBUG msg="api call" operation=`
	want := []string{
		line + `"reading subscription" subscription=s1 status=502 attempt=1`,
		line + `"reading subscription" subscription=s1 status=200 attempt=2`,
		line + `"updating extra_data of subscription" subscription=s1 status=400 attempt=1`,
		line + `"canceling subscription" subscription=s1 status=200 attempt=1`,
		line + `"reading items of order" order=o1 status=404 attempt=1`,
		line + `"listing upcoming items" status=200 attempt=1`,
		line + `"canceling subscription" subscription=s1 status=0 attempt=1`,
	}
	got := strings.Split(strings.TrimSpace(log.String()), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
