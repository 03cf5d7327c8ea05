// Command termed runs termed (fixed-length) subscriptions on Ordergroove. This package owns the commands and the wiring:
// it is the one place that joins the others.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(mainExit())
}

// mainExit is main with an exit code to return: tests run it as a process of its own.
func mainExit() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	err := run(ctx, os.Args[1:], environment{os.LookupEnv, os.Stdin, os.Stdout, os.Stderr})
	if err == nil {
		return 0
	}
	if told, ok := errors.AsType[exit](err); ok {
		if told.text != "" {
			fmt.Fprintln(os.Stderr, told.text)
		}
		return told.code
	}
	fmt.Fprintln(os.Stderr, "termed: "+err.Error())
	return 1
}

// environment is what a command has of the outside.
type environment struct {
	lookup         func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
}

// exit is an error with a code of its own; its text stands as it is.
type exit struct {
	code int
	text string
}

func (e exit) Error() string { return e.text }
