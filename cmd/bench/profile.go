package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// takeProfile writes a profile of termed to a file while a load lasts, if one is wanted. The channel says when it is
// there.
func (b *bench) takeProfile(ctx context.Context, p *process, lasts time.Duration) <-chan error {
	done := make(chan error, 1)
	if b.profile == "" || p.console == noConsole {
		done <- nil
		return done
	}
	go func() {
		done <- fetch(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", p.console, int(lasts.Seconds())), b.profile)
	}()
	return done
}

func fetch(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the profile was answered %s", response.Status)
	}
	to, err := os.Create(file)
	if err != nil {
		return err
	}
	defer to.Close()
	_, err = io.Copy(to, response.Body)
	return err
}
