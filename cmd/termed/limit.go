package main

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"
)

// listLimit is how many rows a list shows unless --limit says otherwise.
const listLimit = 1000

func limitFlag(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", listLimit, "how many rows to show at most; 0 for all of them")
}

func checkLimit(limit int) error {
	if limit < 0 {
		return exit{exitUsage, fmt.Sprintf("termed: --limit is %d; write a number of rows, or 0 for all of them", limit)}
	}
	return nil
}

// oneMore is how many rows a list reads: one more than it shows, to know whether there are more.
func oneMore(limit int) int {
	if limit == 0 {
		return math.MaxInt32
	}
	return limit + 1
}

// cut returns the rows to show, and a line that says so if there are more.
func cut[T any](rows []T, limit int) ([]T, string) {
	// safeguard: list-cut
	if limit == 0 || len(rows) <= limit {
		return rows, ""
	}
	return rows[:limit], fmt.Sprintf("only %d shown, there are more; --limit 0 shows all of them\n", limit)
}
