//go:build failpoints

// Package failpoint lets a test kill the process at a named place, as a crash would: TERMED_FAILPOINT=name:n kills it
// at the n-th call of Hit with that name.
package failpoint

import (
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

var (
	name, count = parse(os.Getenv("TERMED_FAILPOINT"))
	hits        atomic.Int64
	_           = endWithTest()
)

// endWithTest ends the process when the test that started it is gone: then its standard input ends.
func endWithTest() bool {
	if os.Getenv("TERMED_TEST_LIFELINE") == "" {
		return false
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	return true
}

func parse(setting string) (string, int64) {
	name, count, _ := strings.Cut(setting, ":")
	n, _ := strconv.ParseInt(count, 10, 64) // 0, which no call reaches, for a malformed number
	return name, n
}

// Hit kills the process without any cleanup if this call is the configured one.
func Hit(at string) {
	if at != name || hits.Add(1) != count {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		_ = self.Kill()
	}
	select {} // until the signal arrives
}
