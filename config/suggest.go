package config

import "strings"

// nearest returns the allowed key that a misspelled one probably stands for, or "".
func nearest(key string, allowed []string) string {
	best, least := "", 2+len(key)/4
	for _, candidate := range allowed {
		if d := distance(strings.ToLower(key), candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace that turn one text into the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
