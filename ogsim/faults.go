package ogsim

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Fault makes calls go wrong. The zero Status closes the connection instead of answering.
type Fault struct {
	Method       string        `json:"method"`       // "" is any
	Path         string        `json:"path"`         // a part of the path; "" is any
	WholePath    bool          `json:"whole_path"`   // Path is all of it
	Times        int           `json:"times"`        // how many calls it spoils; 0: all, until ClearFaults
	Status       int           `json:"status"`       // what is answered; 0: nothing, the connection is closed
	Body         string        `json:"body"`         // what is answered
	RetryAfter   string        `json:"retry_after"`  // the header
	Delay        time.Duration `json:"delay"`        // nanoseconds, before anything else
	TakesEffect  bool          `json:"takes_effect"` // the call does its work before it goes wrong
	OnlyDelay    bool          `json:"only_delay"`   // nothing else goes wrong
	Subscription string        `json:"subscription"` // only calls whose path names it; "" is any
	Skip         int           `json:"skip"`         // how many calls that fit it lets pass first
	Before       func()        `json:"-"`            // called when the call has arrived, before anything else; it goes on as if nothing were
	After        func()        `json:"-"`            // called when the call took effect, before its answer; it goes on as if nothing were
}

// Break switches a fault on. Of several that fit a call, the oldest spoils it.
func (s *Simulator) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults switches all faults off.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Faults returns how many faults are switched on.
func (s *Simulator) Faults() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults)
}

// faulty answers through the fault that fits, and keeps the record of calls.
func (s *Simulator) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.changes(r)()
		fault := s.faultFor(r)
		if fault != nil && fault.Delay > 0 {
			time.Sleep(fault.Delay)
		}
		if fault != nil && (fault.Before != nil || fault.After != nil) {
			s.interrupted(w, r, next, *fault)
			return
		}
		if fault == nil || fault.OnlyDelay {
			watched := &watched{ResponseWriter: w}
			next.ServeHTTP(watched, r)
			s.record(r, watched.status)
			return
		}
		if fault.TakesEffect {
			next.ServeHTTP(unheard{}, r)
		}
		s.record(r, fault.Status)
		if fault.Status == 0 {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		if fault.RetryAfter != "" {
			w.Header().Set("Retry-After", fault.RetryAfter)
		}
		w.WriteHeader(fault.Status)
		_, _ = w.Write([]byte(fault.Body))
	})
}

// changes notes a change of a subscription for as long as it is in hand, and whether it is the only one.
func (s *Simulator) changes(r *http.Request) (done func()) {
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

// subscriptionOf returns the subscription that a path names, or "".
func subscriptionOf(r *http.Request) string {
	rest, ok := strings.CutPrefix(r.URL.Path, "/subscriptions/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// interrupted answers a call as always, with something else happening before or after it.
func (s *Simulator) interrupted(w http.ResponseWriter, r *http.Request, next http.Handler, f Fault) {
	if f.Before != nil {
		f.Before()
	}
	answer := &kept{header: http.Header{}}
	next.ServeHTTP(answer, r)
	s.record(r, answer.status)
	if f.After != nil {
		f.After()
	}
	maps.Copy(w.Header(), answer.header)
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes())
}

// kept holds an answer back.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

func (s *Simulator) faultFor(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Path) || f.WholePath && r.URL.Path != f.Path ||
			!strings.Contains(r.URL.Path, f.Subscription) {
			continue
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
	call := Call{Method: r.Method, Path: r.URL.Path, Status: status, At: s.o.Now()}
	if call.Subscription = subscriptionOf(r); call.Subscription == "" {
		call.Subscription = r.URL.Query().Get("subscription")
	}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	if s.o.OnCall != nil {
		s.o.OnCall(call)
	}
}

// unheard takes an answer that nobody gets.
type unheard struct{}

func (unheard) Header() http.Header         { return http.Header{} }
func (unheard) Write(b []byte) (int, error) { return len(b), nil }
func (unheard) WriteHeader(int)             {}

// watched keeps the status that was answered.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
