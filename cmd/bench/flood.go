package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// floodWith sends a megabyte over each of many connections at once, and says how many were answered with what.
func floodWith(ctx context.Context, address string, senders int) (string, error) {
	target, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	var (
		group   sync.WaitGroup
		mu      sync.Mutex
		answers = map[string]int{}
	)
	for range senders {
		group.Go(func() {
			answer := floodOver(ctx, target)
			mu.Lock()
			defer mu.Unlock()
			answers[answer]++
		})
	}
	group.Wait()
	var all []string
	for _, answer := range slices.Sorted(maps.Keys(answers)) {
		all = append(all, fmt.Sprintf("%d: %s", answers[answer], answer))
	}
	return strings.Join(all, ", "), nil
}

// floodOver sends one, and returns its answer.
func floodOver(ctx context.Context, target *url.URL) string {
	connection, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", target.Host)
	if err != nil {
		return "no connection"
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "no connection"
	}
	body := make([]byte, 1<<20)
	fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n",
		target.Path, target.Host, len(body))
	go func() { _, _ = connection.Write(body) }() // an answer may come, and the connection end, before it is through
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return "closed"
	}
	answer.Body.Close()
	return fmt.Sprint(answer.StatusCode)
}
