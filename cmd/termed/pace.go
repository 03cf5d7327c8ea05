package main

import (
	"fmt"
	"time"
)

// pace says how far some work is: how much of how much, how fast, and how long the rest will take.
type pace struct {
	began time.Time
	total int // 0: not known
}

func newPace(total int) pace { return pace{time.Now(), total} }

// after describes the work when so much of it is done. What is left is said once it can be estimated.
func (p pace) after(done int, now time.Time) string {
	text := fmt.Sprint(done)
	if p.total > 0 {
		text = fmt.Sprintf("%d of %d", done, max(done, p.total))
	}
	took := now.Sub(p.began)
	if done == 0 || took < time.Second {
		return text
	}
	each := took / time.Duration(done)
	text += fmt.Sprintf(", %.0f a second", float64(time.Second)/float64(max(1, each)))
	if left := p.total - done; left > 0 {
		text += fmt.Sprintf(", %s left", (time.Duration(left) * each).Round(time.Second))
	}
	return text
}
