//go:build !failpoints

// Package failpoint lets a test kill the process at a named place, as a crash would. It only works when built with
// the tag failpoints; in the product Hit is empty and costs nothing.
package failpoint

// Hit marks a place where a test may kill the process.
func Hit(string) {}
