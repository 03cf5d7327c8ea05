package access

import (
	"context"
	"fmt"
)

// Role is what a user or token may do. Each role may do what those before it may. The zero Role may do nothing.
type Role int

// The roles.
const (
	Viewer   Role = iota + 1 // sees everything but customers and payloads, changes nothing
	Agent                    // also sees customers, and uses the activated actions
	Operator                 // may do everything
)

var roleNames = map[string]Role{"viewer": Viewer, "agent": Agent, "operator": Operator}

// ParseRole returns the role of a name in termed.yaml.
func ParseRole(name string) (Role, error) {
	role, known := roleNames[name]
	if !known {
		return 0, fmt.Errorf("unknown role %q", name)
	}
	return role, nil
}

// String returns the name of the role in termed.yaml, and "none" for the zero Role.
func (r Role) String() string {
	for name, role := range roleNames {
		if role == r {
			return name
		}
	}
	return "none"
}

// Action is something that changes a subscription or the service, or that not everybody sees.
type Action string

// The actions. Each of the first three is off, for everybody, until the merchant activates it.
const (
	Cancel       Action = "cancel"
	Skip         Action = "skip"
	Adjust       Action = "adjust"        // one order of a term, before it ships
	Operate      Action = "operate"       // everything else that changes something
	SeeCustomers Action = "see customers" // who a subscription's customer is
	SeePayloads  Action = "see payloads"  // the webhooks as they came, which name customers
)

// Principal is a user, a token, or whoever sits at the machine. Its name is the actor in the journal.
type Principal struct {
	Name string
	Role Role
}

// local is everybody, if nobody has to sign in.
var local = Principal{"local", Operator}

// MayDo says whether whoever sent the request of a context may do something.
func (a *Access) MayDo(ctx context.Context, action Action) bool {
	p, ok := PrincipalFrom(ctx)
	return ok && a.May(p, action)
}

// May says whether the principal may do something. Pages hide what it may not, and the middleware refuses it.
func (a *Access) May(p Principal, action Action) bool {
	switch action {
	case Cancel, Skip, Adjust:
		return p.Role >= Agent && a.activated[action]
	case SeeCustomers:
		return p.Role >= Agent
	}
	return p.Role >= Operator
}

// mayChange says whether the principal may do what a request asks for. An action that nobody named is Operate.
func (a *Access) mayChange(p Principal, action Action) bool {
	if action == "" {
		action = Operate
	}
	return a.May(p, action)
}
