//go:build race

package webhook_test

// underRace says that the race detector multiplies what memory is used.
const underRace = true
