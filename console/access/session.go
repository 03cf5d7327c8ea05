package access

import (
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
)

const (
	sessionLifetime = 12 * time.Hour
	sessionIdle     = time.Hour // without a request
)

// newSessions makes no manager with scs.New, which starts a goroutine that never ends.
func (a *Access) newSessions() *scs.SessionManager {
	secure := a.public.Scheme == "https"
	name := "termed"
	if secure {
		name = "__Host-termed" // no other host of the domain can set it
	}
	return &scs.SessionManager{
		IdleTimeout: sessionIdle,
		Lifetime:    sessionLifetime,
		Store:       &sessionStore{sessions: map[string]session{}},
		Codec:       scs.GobCodec{},
		Cookie: scs.SessionCookie{
			Name:     name,
			Path:     "/",
			Secure:   secure,
			HttpOnly: true,
			SameSite: http.SameSiteStrictMode,
		},
		ErrorFunc: func(w http.ResponseWriter, r *http.Request, err error) {
			a.log.Error("session error", "error", err)
			a.refuse(w, r, http.StatusInternalServerError, "the session could not be read or written")
		},
		HashTokenInStore: true,
	}
}

// session is the data of one, as scs encodes it.
type session struct {
	data    []byte
	expires time.Time
	ended   bool
}

// sessionStore holds sessions in memory. One that was ended stays known until it would have expired: a request that
// was running meanwhile writes it back at its end, and must not bring it back.
type sessionStore struct {
	mu       sync.Mutex
	sessions map[string]session
}

// Find returns a session that neither ended nor expired.
func (s *sessionStore) Find(token string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.sessions[token]
	if !ok || found.ended || !time.Now().Before(found.expires) {
		return nil, false, nil
	}
	return found.data, true, nil
}

// Commit stores a session, unless it has ended.
func (s *sessionStore) Commit(token string, data []byte, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.sessions[token]
	// safeguard: ended-session
	if old.ended {
		return nil
	}
	if !known {
		s.prune(time.Now())
	}
	s.sessions[token] = session{data: data, expires: expires}
	return nil
}

// Delete ends a session.
func (s *sessionStore) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, known := s.sessions[token]; known {
		s.sessions[token] = session{expires: old.expires, ended: true}
	}
	return nil
}

func (s *sessionStore) prune(at time.Time) {
	for token, old := range s.sessions {
		if !at.Before(old.expires) {
			delete(s.sessions, token)
		}
	}
}
