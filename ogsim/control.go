package ogsim

import (
	"encoding/json"
	"net/http"
	"time"
)

// ControlPath is where Control answers.
const ControlPath = "/simulator/"

// Control answers what a person at the simulator wants done: POST /simulator/subscriptions makes one, POST
// /simulator/orders places one, POST /simulator/faults breaks something, DELETE mends it, GET /simulator/state shows all.
func (s *Simulator) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /simulator/subscriptions", func(w http.ResponseWriter, r *http.Request) {
		var n NewSubscription
		if readControl(w, r, &n) {
			sub, err := s.Subscribe(n)
			writeControl(w, sub, err)
		}
	})
	mux.HandleFunc("POST /simulator/orders", func(w http.ResponseWriter, r *http.Request) {
		var n struct {
			Subscriptions []string `json:"subscriptions"`
			OneTime       []string `json:"one_time"`
		}
		if readControl(w, r, &n) {
			order, err := s.Place(n.Subscriptions, n.OneTime...)
			writeControl(w, map[string]string{"order": order}, err)
		}
	})
	mux.HandleFunc("POST /simulator/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		if readControl(w, r, &f) {
			s.Break(f)
			writeControl(w, f, nil)
		}
	})
	mux.HandleFunc("DELETE /simulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /simulator/state", func(w http.ResponseWriter, _ *http.Request) {
		writeControl(w, map[string]any{"subscriptions": s.Subscriptions(), "calls": len(s.Calls())}, nil)
	})
	return mux
}

func readControl(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func writeControl(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// Server wraps a handler in the limits of a loopback address.
func Server(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}
