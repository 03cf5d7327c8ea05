//go:build failpoints

// Package failpoint lets a test end the process at a named place, as a crash would: TERMED_FAILPOINT=name:n kills it the
// n-th time that it comes by.
package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

var left = func() *atomic.Int64 {
	var n atomic.Int64
	_, times, _ := strings.Cut(os.Getenv("TERMED_FAILPOINT"), ":")
	if count, err := strconv.ParseInt(times, 10, 64); err == nil {
		n.Store(count)
	}
	return &n
}()

var name, _, _ = strings.Cut(os.Getenv("TERMED_FAILPOINT"), ":")

// Hit kills the process, without any of its clean-up, when it is the one.
func Hit(at string) {
	if at != name || left.Add(-1) != 0 {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		_ = self.Kill()
	}
	select {} // it takes a moment to arrive
}
