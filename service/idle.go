package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	idleTimeout  = 5 * time.Minute
	idleInterval = 50 * time.Millisecond
)

// WaitIdle waits until the service behind a console has no work left. One that answers too late is busy.
func WaitIdle(ctx context.Context, consoleURL string) error {
	ctx, cancel := context.WithTimeout(ctx, idleTimeout)
	defer cancel()
	clock := time.NewTicker(idleInterval)
	defer clock.Stop()
	for {
		idle, err := Idle(ctx, consoleURL)
		if err != nil && !isTimeout(err) || idle {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("the service still has work after five minutes")
		case <-clock.C:
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// ReadyPath is where the console says whether the service can do its work.
const ReadyPath = "/readyz"

// consoleTimeout is how long the console may take to answer.
const consoleTimeout = 10 * time.Second

// Idle asks the console of a service whether its backlog is empty.
func Idle(ctx context.Context, consoleURL string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, consoleURL+ReadyPath, nil)
	if err != nil {
		return false, err
	}
	client := &http.Client{Timeout: consoleTimeout}
	response, err := client.Do(request)
	if err != nil {
		return false, fmt.Errorf("asking the service for its backlog: %w", err)
	}
	defer response.Body.Close()
	var answer struct {
		Backlog *struct{ Events, Subscriptions int }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return false, fmt.Errorf("reading the service's backlog: %w", err)
	}
	return answer.Backlog != nil && answer.Backlog.Events == 0 && answer.Backlog.Subscriptions == 0, nil
}
