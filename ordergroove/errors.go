package ordergroove

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// What callers branch on; every *Error is exactly one of them.
var (
	ErrUnauthorized = errors.New("the api key is refused")   // 401, 403: wrong for every call
	ErrNotFound     = errors.New("not there")                // 404
	ErrRejected     = errors.New("refused")                  // 400 and other 4xx: the same call can never work
	ErrBusy         = errors.New("in use")                   // 423: somebody else is changing it
	ErrThrottled    = errors.New("too many requests")        // 429
	ErrUnavailable  = errors.New("no answer that counts")    // 5xx, timeout, connection error, unreadable 2xx
	errUnreadable   = errors.New("the answer is unreadable") // a cause of ErrUnavailable
)

// Error is a call that did not do what it was to do.
type Error struct {
	Op         string            // what was being done: "cancelling subscription 51a3…"
	Status     int               // HTTP status; 0 where there was no answer
	Words      string            // Ordergroove's own words, shortened
	Fields     map[string]string // a 400's words by field
	RetryAfter time.Duration     // what the answer asked for; 0 where it did not ask

	kind  error
	cause error
}

// Error says what was being done, what came back, and in whose words.
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(e.Op + ": " + e.kind.Error())
	if e.Status != 0 {
		fmt.Fprintf(&s, " (%d)", e.Status)
	}
	if e.Words != "" {
		s.WriteString(": " + e.Words)
	}
	if e.cause != nil {
		s.WriteString(": " + e.cause.Error())
	}
	return s.String()
}

// Unwrap gives the sentinel and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// Temporary says whether the same call may work later, without anybody doing anything.
func Temporary(err error) bool {
	return errors.Is(err, ErrBusy) || errors.Is(err, ErrThrottled) || errors.Is(err, ErrUnavailable)
}

// RetryAfter returns how long the answer behind an error asked to wait, or 0.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

func noAnswer(op string, cause error) *Error {
	return &Error{Op: op, kind: ErrUnavailable, cause: cause}
}

// statusError reads a non-2xx answer (contract, section 2, "Errors").
func statusError(op string, response *http.Response, body []byte, now time.Time) *Error {
	e := &Error{Op: op, Status: response.StatusCode, kind: kindOf(response.StatusCode)}
	e.Fields = readFields(body)
	e.Words = joinFields(e.Fields)
	e.RetryAfter = readRetryAfter(response.Header.Get("Retry-After"), now)
	return e
}

func kindOf(status int) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ErrUnauthorized
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusLocked:
		return ErrBusy
	case status == http.StatusTooManyRequests:
		return ErrThrottled
	case status == http.StatusRequestTimeout, status < 400, status >= 500:
		return ErrUnavailable // a redirect too: nothing we call redirects, so it is something in between that answered
	}
	return ErrRejected
}

// readFields reads {"field": "words"} and {"field": ["words", …]}; anything else has no words of Ordergroove's.
func readFields(body []byte) map[string]string {
	var raw map[string]json.RawMessage
	if json.Unmarshal(body, &raw) != nil {
		return nil
	}
	fields := make(map[string]string, len(raw))
	for name, value := range raw {
		var one string
		var many []string
		switch {
		case json.Unmarshal(value, &one) == nil:
			fields[name] = one
		case json.Unmarshal(value, &many) == nil:
			fields[name] = strings.Join(many, "; ")
		}
	}
	return fields
}

func joinFields(fields map[string]string) string {
	words := make([]string, 0, len(fields))
	for name, text := range fields {
		if name == "detail" || name == "details" {
			words = append(words, text)
			continue
		}
		words = append(words, name+": "+text)
	}
	slices.Sort(words)
	return shorten(printable(strings.Join(words, "; ")), 300)
}

// printable drops control characters: the words go into a database and onto a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// readRetryAfter reads both of the header's forms; what cannot be read asks for nothing.
func readRetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
