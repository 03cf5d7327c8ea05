package ordergroove_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/termed/termed/ordergroove"
)

// answering counts requests, and answers each with an empty object.
type answering struct{ n atomic.Int64 }

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.n.Add(1)
	answer := httptest.NewRecorder()
	_, _ = answer.WriteString(`{}`)
	return answer.Result(), nil
}

// Processes that share an outgoing address share its limit. Who does not know its share makes no call.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &answering{}
		client, err := ordergroove.NewClient(ordergroove.Options{
			URL:               "http://ordergroove.test",
			Key:               "key",
			RequestsPerMinute: 600,
			Transport:         wire,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_, _ = client.Subscription(ctx, "s1")
			}
		}()
		inMinute := func() int64 {
			before := wire.n.Load()
			time.Sleep(time.Minute)
			return wire.n.Load() - before
		}
		for _, test := range []struct {
			what  string
			among int
			lasts time.Duration
			want  int64
			share float64
		}{
			{"one of three", 3, time.Hour, 200, 200},
			{"one of four, for half a minute", 4, 30 * time.Second, 75, 150},
			{"none yet", 0, time.Hour, 0, 0},
			{"alone", 1, time.Hour, 600, 600},
			{"one of 1200", 1200, time.Hour, 1, 0.5},
		} {
			client.Share(test.among, time.Now().Add(test.lasts))
			if got := client.PerMinute(); got != test.share {
				t.Errorf("%s: %v calls a minute are allowed, want %v", test.what, got, test.share)
			}
			if got := inMinute(); got < test.want-3 || got > test.want+11 { // a second's worth may be saved up
				t.Errorf("%s: %d calls in a minute, want %d", test.what, got, test.want)
			}
		}
		client.Share(2, time.Now().Add(-time.Second))
		if got := client.PerMinute(); got != 0 {
			t.Errorf("%v calls a minute are allowed by a share that has expired", got)
		}
		stop()
		<-done
	})
}
