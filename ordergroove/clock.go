package ordergroove

import (
	"net/http"
	"sync/atomic"
	"time"
)

// skew is how far Ordergroove's clock is ahead of this machine's, by its latest answer; nil is not known.
type skew struct {
	latest atomic.Pointer[time.Duration]
}

// note reads the Date header of an answer (RFC 9110, section 6.6.1). It has seconds, and was written at some time while
// the request was on its way.
func (s *skew) note(date string, sent, answered time.Time) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	var ahead time.Duration
	switch latest := at.Add(time.Second); {
	case at.After(answered):
		ahead = at.Sub(answered)
	case latest.Before(sent):
		ahead = latest.Sub(sent)
	}
	s.latest.Store(&ahead)
}

// ClockSkew is how far Ordergroove's clock is ahead of this machine's at least, by its latest answer; false: not known.
func (c *Client) ClockSkew() (time.Duration, bool) {
	latest := c.skew.latest.Load()
	if latest == nil {
		return 0, false
	}
	return *latest, true
}
