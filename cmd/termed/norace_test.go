//go:build !race

package main

// underRace says that the race detector is at work, which makes everything several times slower.
const underRace = false
