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

// The errors that callers branch on. Every *Error is exactly one of them.
var (
	ErrUnauthorized = errors.New("API key refused for this call") // 401, 403; perhaps for every other
	ErrNotFound     = errors.New("not found")                     // 404
	ErrRejected     = errors.New("request rejected")              // 400 and other 4xx: the same call can never work
	ErrBusy         = errors.New("resource in use")               // 423: another change of it is under way
	ErrThrottled    = errors.New("rate limited")                  // 429
	ErrUnavailable  = errors.New("Ordergroove unavailable")       // 5xx, timeout, connection error, unreadable 2xx
)

// ErrNotSent is a cause of an error of a call that never left this process: it has had no effect.
var ErrNotSent = errors.New("not sent")

// notSentError reads as the error that it is, and is ErrNotSent besides.
type notSentError struct{ error }

func (e notSentError) Unwrap() error        { return e.error }
func (e notSentError) Is(target error) bool { return target == ErrNotSent }

// NotSent says of an error that the call was not sent.
func NotSent(err error) error { return notSentError{err} }

// ErrUnreadable is a cause of ErrUnavailable: Ordergroove answered, and the answer cannot be read.
var ErrUnreadable = errors.New("unreadable answer")

// Error is a call that failed.
type Error struct {
	Doing      string            // what was being done: "canceling subscription 51a3…"
	Status     int               // HTTP status; 0 where there was no answer
	Detail     string            // Ordergroove's own explanation, shortened
	Fields     map[string]string // the explanation of a 400, by field
	RetryAfter time.Duration     // how long the answer asked us to wait; 0 where it did not ask

	kind  error
	cause error
}

// Error says what was being done, what came back, and how Ordergroove explained it.
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(e.Doing + ": " + e.kind.Error())
	if e.Status != 0 {
		fmt.Fprintf(&s, " (HTTP %d)", e.Status)
	}
	if e.Detail != "" {
		s.WriteString(": " + e.Detail)
	}
	if e.cause != nil {
		s.WriteString(": " + e.cause.Error())
	}
	return s.String()
}

// Unwrap returns the sentinel and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// Temporary says whether the same call may work later by itself.
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

func unavailable(doing string, cause error) *Error {
	return &Error{Doing: doing, kind: ErrUnavailable, cause: cause}
}

// statusError reads a non-2xx answer (contract, section 2, "Errors").
func statusError(doing string, response *http.Response, body []byte, now time.Time) *Error {
	fields := readFields(body)
	return &Error{
		Doing:      doing,
		Status:     response.StatusCode,
		Detail:     joinFields(fields),
		Fields:     fields,
		RetryAfter: readRetryAfter(response.Header.Get("Retry-After"), now),
		kind:       kindOf(response.StatusCode, fields != nil),
	}
}

// kindOf says which of the errors an answer is. Ordergroove explains what it refuses, in JSON: an answer without an
// explanation is that of a proxy in between, which says nothing about the object.
func kindOf(status int, explained bool) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ErrUnauthorized
	case status == http.StatusLocked:
		return ErrBusy
	case status == http.StatusTooManyRequests:
		return ErrThrottled
	case status == http.StatusRequestTimeout, status < 400, status >= 500:
		return ErrUnavailable // a redirect too: the API never redirects
	// safeguard: foreign-refusal
	case !explained:
		return ErrUnavailable
	case status == http.StatusNotFound:
		return ErrNotFound
	}
	return ErrRejected
}

// readFields reads {"field": "text"} and {"field": ["text", …]}; any other body explains nothing.
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
	details := make([]string, 0, len(fields))
	for name, text := range fields {
		if name == "detail" || name == "details" {
			details = append(details, text)
			continue
		}
		details = append(details, name+": "+text)
	}
	slices.Sort(details)
	return shorten(printable(strings.Join(details, "; ")), 300)
}

// printable drops control characters, because the text goes into a database and onto a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// readRetryAfter reads both forms of the header; a value that cannot be read means 0.
func readRetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
