//go:build !race

package main

import "time"

const (
	// commandTimeout is how long a command of a story, or a part of a test, may take.
	commandTimeout = time.Minute
	// testsAtOnceEach is how many tests run at a time, for each processor: most of a story is waiting, for a retry or a
	// poll.
	testsAtOnceEach = 5
)

// underRace says that the race detector is at work, which makes everything several times slower.
const underRace = false
