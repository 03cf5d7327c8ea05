// Command termed runs termed (fixed-length) subscriptions on Ordergroove. This package owns the command line: flags,
// output and exit codes, one command a file. What the commands do, other packages do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(mainExit())
}

// mainExit is main with the exit code returned: tests run it as a process of its own.
func mainExit() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	cobra.EnableCommandSorting = false // --help has them in the order in which they are needed
	err := run(ctx, os.Args[1:], environment{os.LookupEnv, os.Stdin, os.Stdout, os.Stderr})
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[exit](err); ok {
		if e.text != "" {
			fmt.Fprintln(os.Stderr, e.text)
		}
		return e.code
	}
	fmt.Fprintln(os.Stderr, "termed: "+err.Error())
	return exitError
}

// environment is what a command may use of the process around it.
type environment struct {
	lookup         func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
}
