package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/testdata"
)

// webhookKey signs what is offered.
const webhookKey = "bench-webhook-key"

// offer is a load: deliveries over connections that are kept alive.
type offer struct {
	url         string
	connections int
	time        time.Duration
	perSecond   int           // of all connections; 0: each sends the next as soon as it has the answer
	body        func() []byte // of the next delivery, from any goroutine
}

// offered is what became of a load.
type offered struct {
	deliveries int
	refused    int
	took       time.Duration
	latencies  []time.Duration // sorted; from the time at which the delivery was to be sent
}

func (o offered) perSecond() float64 { return float64(o.deliveries) / o.took.Seconds() }

// percentile returns the latency that p of 100 deliveries do not exceed.
func (o offered) percentile(p float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	return o.latencies[min(len(o.latencies)-1, int(float64(len(o.latencies))*p/100))]
}

// run offers the load. A connection that breaks ends it with an error.
func (o offer) run(ctx context.Context) (offered, error) {
	address, err := url.Parse(o.url)
	if err != nil {
		return offered{}, err
	}
	var (
		next  atomic.Int64
		each  = make([]offered, o.connections)
		fails = make([]error, o.connections)
		group sync.WaitGroup
		start = time.Now()
	)
	ctx, cancel := context.WithDeadline(ctx, start.Add(o.time))
	defer cancel()
	for i := range o.connections {
		group.Go(func() { each[i], fails[i] = o.sendOver(ctx, address, start, &next) })
	}
	group.Wait()
	all := offered{took: time.Since(start)}
	for _, one := range each {
		all.deliveries += one.deliveries
		all.refused += one.refused
		all.latencies = append(all.latencies, one.latencies...)
	}
	slices.Sort(all.latencies)
	return all, errors.Join(fails...)
}

// sendOver sends over one connection until the context is done.
func (o offer) sendOver(
	ctx context.Context, address *url.URL, start time.Time, next *atomic.Int64,
) (sent offered, err error) {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address.Host)
	if err != nil {
		return sent, err
	}
	defer connection.Close()
	answers := bufio.NewReader(connection)
	var request bytes.Buffer
	for ctx.Err() == nil {
		n := next.Add(1)
		due := time.Now()
		if o.perSecond > 0 {
			due = start.Add(time.Duration(n) * time.Second / time.Duration(o.perSecond))
			time.Sleep(time.Until(due))
		}
		request.Reset()
		o.write(&request, address, o.body())
		if _, err := connection.Write(request.Bytes()); err != nil {
			return sent, fmt.Errorf("sending: %w", err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return sent, fmt.Errorf("reading an answer: %w", err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return sent, fmt.Errorf("reading an answer: %w", err)
		}
		answer.Body.Close()
		sent.latencies = append(sent.latencies, time.Since(due))
		sent.deliveries++
		if answer.StatusCode != http.StatusOK {
			sent.refused++
		}
	}
	return sent, nil
}

// write writes one delivery as it goes over the wire: net/http's client would take more of the processors that it
// shares with the server than the server does.
func (o offer) write(to *bytes.Buffer, address *url.URL, body []byte) {
	fmt.Fprintf(to, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n",
		address.Path, address.Host, len(body))
	fmt.Fprintf(to, "%s: %s\r\n\r\n", ordergroove.SignatureHeader, ordergroove.Sign(time.Now(), body, webhookKey))
	to.Write(body)
}

// recorded makes deliveries of a recorded payload, each with an id of its own.
func recorded(eventType, as string) (func() []byte, error) {
	payload, err := fs.ReadFile(testdata.Webhooks(), eventType+".json")
	if err != nil {
		return nil, err
	}
	before, after, found := bytes.Cut(payload, []byte("evt_"))
	if !found {
		return nil, fmt.Errorf("the payload of %s has no id that begins with evt_", eventType)
	}
	after = bytes.Replace(after, []byte(eventType), []byte(as), 1)
	run := time.Now().UnixNano()
	var sequence atomic.Int64
	return func() []byte { return fmt.Appendf(nil, "%sevt_%x_%d_%s", before, run, sequence.Add(1), after) }, nil
}
