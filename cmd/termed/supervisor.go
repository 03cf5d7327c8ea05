package main

import (
	"context"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellSupervisor tells systemd, where it started the service and waits for that (Type=notify), that the service
// receives and later that it stops, and keeps the watchdog quiet for as long as the address answers. Without systemd it
// does nothing.
func tellSupervisor(ctx context.Context, address string) {
	notify := func(state string) {
		_, _ = daemon.SdNotify(false, state) // a supervisor that is gone need not hear it
	}
	notify(daemon.SdNotifyReady)
	defer notify(daemon.SdNotifyStopping)
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil || within == 0 {
		<-ctx.Done()
		return
	}
	clock := time.NewTicker(within / 3)
	defer clock.Stop()
	for {
		if answers(ctx, address, within/3) {
			notify(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// answers says whether an address answers 200 in time.
func answers(ctx context.Context, address string, within time.Duration) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	response, err := (&http.Client{Timeout: within}).Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
