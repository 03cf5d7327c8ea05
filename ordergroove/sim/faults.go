package sim

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/termed/termed/ordergroove"
)

// Fault makes calls fail. The zero Status closes the connection instead of answering.
type Fault struct {
	Method       string        `json:"method"`       // "" matches any
	Path         string        `json:"path"`         // a part of the path; "" matches any
	WholePath    bool          `json:"whole_path"`   // Path must be the whole path
	Subscription string        `json:"subscription"` // the path must name this subscription; "" matches any
	Skip         int           `json:"skip"`         // how many matching calls pass first
	Times        int           `json:"times"`        // how many calls fail; 0: all, until ClearFaults
	Status       int           `json:"status"`       // of the answer; 0 closes the connection
	Body         string        `json:"body"`         // of the answer
	RetryAfter   string        `json:"retry_after"`  // header of the answer
	Delay        time.Duration `json:"delay"`        // nanoseconds, before anything else
	OnlyDelay    bool          `json:"only_delay"`   // after the delay the call succeeds
	TakesEffect  bool          `json:"takes_effect"` // the call does its work before it fails

	// Before is called when the call has arrived, After when it has taken effect and is not answered yet. With either of
	// them the call succeeds.
	Before func() `json:"-"`
	After  func() `json:"-"`
}

func (f *Fault) matches(r *http.Request) bool {
	if f.WholePath && r.URL.Path != f.Path {
		return false
	}
	return fits(f.Method, r.Method) && strings.Contains(r.URL.Path, f.Path) && strings.Contains(r.URL.Path, f.Subscription)
}

// Break adds a fault. Where several match a call, the oldest applies.
func (s *Simulator) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults removes all faults.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Faults returns how many faults there are.
func (s *Simulator) Faults() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults)
}

// withFaults applies the fault that matches a call, and records the call.
func (s *Simulator) withFaults(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.trackChange(r)()
		fault := s.takeFault(r)
		if fault == nil {
			s.serveAndRecord(w, r, next)
			return
		}
		time.Sleep(fault.Delay)
		switch {
		case fault.Before != nil || fault.After != nil:
			s.serveWithHooks(w, r, next, *fault)
		case fault.OnlyDelay:
			s.serveAndRecord(w, r, next)
		default:
			s.fail(w, r, next, *fault)
		}
	})
}

func (s *Simulator) serveAndRecord(w http.ResponseWriter, r *http.Request, next http.Handler) {
	recorder := &statusRecorder{ResponseWriter: w}
	next.ServeHTTP(recorder, r)
	s.record(r, recorder.status)
}

// fail answers with the fault, after the call's work where the fault takes effect.
func (s *Simulator) fail(w http.ResponseWriter, r *http.Request, next http.Handler, f Fault) {
	if f.TakesEffect {
		next.ServeHTTP(discardWriter{}, r)
	}
	s.record(r, f.Status)
	if f.Status == 0 {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(f.Body))
}

// trackChange marks a subscription while a change of it is in progress, and counts changes that overlap.
func (s *Simulator) trackChange(r *http.Request) (done func()) {
	id := subscriptionOf(r)
	if r.Method != http.MethodPatch || id == "" {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changing[id] {
		s.overlaps++
		return func() {}
	}
	s.changing[id] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.changing, id)
	}
}

// Changing returns how many subscriptions have a change in progress, also one whose caller is gone.
func (s *Simulator) Changing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.changing)
}

// subscriptionOf returns the id of the subscription that a path names, or "".
func subscriptionOf(r *http.Request) string {
	rest, ok := strings.CutPrefix(r.URL.Path, "/subscriptions/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// serveWithHooks answers a call normally, with Before and After around its work.
func (s *Simulator) serveWithHooks(w http.ResponseWriter, r *http.Request, next http.Handler, f Fault) {
	if f.Before != nil {
		f.Before()
	}
	buffer := &bufferedAnswer{header: http.Header{}}
	next.ServeHTTP(buffer, r)
	s.record(r, buffer.status)
	if f.After != nil {
		f.After()
	}
	maps.Copy(w.Header(), buffer.header)
	w.WriteHeader(buffer.status)
	_, _ = w.Write(buffer.body.Bytes())
}

// IsPing says whether a call is about nothing in particular: it only finds out whether the key is accepted.
func (c Call) IsPing() bool { return isPing(c.Path) }

func isPing(path string) bool { return path == ordergroove.PingPath }

// takeFault returns the fault that applies to a call, or nil, and counts the call against it.
func (s *Simulator) takeFault(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !f.matches(r) || isPing(r.URL.Path) && f.Times > 0 && f.Path == "" {
			continue // a fault of so many calls is not for the one that asks how things are
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		found := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return &found
	}
	return nil
}

func (s *Simulator) record(r *http.Request, status int) {
	subscription := subscriptionOf(r)
	if subscription == "" {
		subscription = r.URL.Query().Get("subscription")
	}
	call := Call{
		Method:       r.Method,
		Path:         r.URL.Path,
		Subscription: subscription,
		Status:       status,
		At:           s.o.Now(),
	}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	if s.o.OnCall != nil {
		s.o.OnCall(call)
	}
}

// bufferedAnswer holds an answer until it is to be sent.
type bufferedAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *bufferedAnswer) Header() http.Header         { return b.header }
func (b *bufferedAnswer) WriteHeader(status int)      { b.status = status }
func (b *bufferedAnswer) Write(p []byte) (int, error) { return b.body.Write(p) }

// discardWriter discards an answer.
type discardWriter struct{}

func (discardWriter) Header() http.Header         { return http.Header{} }
func (discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (discardWriter) WriteHeader(int)             {}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}
