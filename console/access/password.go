package access

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	// longestPassword is how many bytes bcrypt compares.
	longestPassword = 72
	// comparisons is how many passwords are compared at a time: each takes a processor for a quarter of a second.
	comparisons = 2
	// longestTurn is how long a sign-in waits for its turn to be compared.
	longestTurn = 5 * time.Second
)

// passwords compares passwords with hashes. It takes the same time for a user that does not exist.
type passwords struct {
	dummy   []byte        // compared where there is no user; nil if there are no users at all
	slots   chan struct{} // one for each comparison that may run
	compare func(hash, password []byte) error
}

func newPasswords(users []User) (*passwords, error) {
	p := &passwords{slots: make(chan struct{}, comparisons), compare: bcrypt.CompareHashAndPassword}
	most := bcrypt.MinCost
	for _, u := range users {
		cost, err := bcrypt.Cost([]byte(u.Password))
		if err != nil {
			return nil, fmt.Errorf("reading the password hash of user %s: %w", u.Name, err)
		}
		most = max(most, cost)
	}
	if len(users) == 0 {
		return p, nil
	}
	var err error
	if p.dummy, err = bcrypt.GenerateFromPassword([]byte("nobody has this password"), most); err != nil {
		return nil, fmt.Errorf("hashing a password: %w", err)
	}
	return p, nil
}

// match compares a password with the hash of a user, or with the dummy for a user that does not exist. The error says
// that too many others are compared at the moment.
func (p *passwords) match(ctx context.Context, user User, exists bool, password string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, longestTurn)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return false, fmt.Errorf("waiting to compare a password: %w", ctx.Err())
	}
	hash := []byte(user.Password)
	// safeguard: dummy-hash
	if !exists {
		hash = p.dummy
	}
	if len(password) > longestPassword {
		exists = false // and a password of any length takes the same time
		password = password[:longestPassword]
	}
	err := p.compare(hash, []byte(password))
	return err == nil && exists, nil
}
