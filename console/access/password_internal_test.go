package access

import (
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// For a user that does not exist, a dummy hash of the same cost is compared: the time does not say who exists.
func TestUnknownUserTakesAsLong(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost+1)
	if err != nil {
		t.Fatal(err)
	}
	user := User{Name: "vi", Password: string(hash)}
	p, err := newPasswords([]User{user})
	if err != nil {
		t.Fatal(err)
	}
	var compared []int // the cost of each comparison
	p.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			t.Errorf("what is compared is no hash: %v", err)
		}
		compared = append(compared, cost)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	for _, u := range []User{user, {}} {
		if ok, err := p.match(t.Context(), u, u.Name != "", "wrong"); ok || err != nil {
			t.Errorf("a wrong password of %q: %v, %v", u.Name, ok, err)
		}
	}
	if len(compared) != 2 || compared[0] != compared[1] || compared[0] != bcrypt.MinCost+1 {
		t.Errorf("comparisons of cost %v, want two of %d", compared, bcrypt.MinCost+1)
	}
}
