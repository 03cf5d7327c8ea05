//go:build !failpoints

// Package failpoint lets a test end the process at a named place, as a crash would. It does something only when built with
// the tag failpoints: in the product Hit is empty and costs nothing.
package failpoint

// Hit marks a place where the process may die.
func Hit(string) {}
