//go:build race

package main

import "time"

// Under the race detector a process takes several times as long, and waiting is still the larger part of a story.
const (
	commandTimeout  = 5 * time.Minute
	testsAtOnceEach = 3 // of a processor
)

// underRace says that the race detector is at work, which makes everything several times slower.
const underRace = true
