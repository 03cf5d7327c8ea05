package service

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/termed/termed/config"
	"github.com/termed/termed/console"
	"github.com/termed/termed/console/access"
)

// newAccess decides who may use the console, which listens at an address.
func (s *Service) newAccess(c config.Console, listen string, log *slog.Logger) (*access.Access, error) {
	o := access.Options{
		Listen:         listen,
		PublicURL:      c.PublicURL,
		FrameAncestors: c.FrameAncestors,
		ActionOf:       console.ActionOf,
		SignInPage:     func(w http.ResponseWriter, page access.SignIn) { s.console.SignInPage(w, page) },
		Refuse: func(w http.ResponseWriter, r *http.Request, status int, text string) {
			s.console.Refuse(w, r, status, text)
		},
		Log: log,
	}
	for _, u := range c.Users {
		role, err := access.ParseRole(u.Role)
		if err != nil {
			return nil, fmt.Errorf("reading console user %s: %w", u.Name, err)
		}
		o.Users = append(o.Users, access.User{Name: u.Name, Role: role, Password: u.Password.Reveal()})
	}
	for _, t := range c.Tokens {
		role, err := access.ParseRole(t.Role)
		if err != nil {
			return nil, fmt.Errorf("reading console token %s: %w", t.Name, err)
		}
		o.Tokens = append(o.Tokens, access.Token{Name: t.Name, Role: role, Hash: t.Hash.Reveal()})
	}
	if c.OIDC != nil {
		var err error
		if o.OIDC, err = oidcOf(*c.OIDC); err != nil {
			return nil, err
		}
	}
	for _, action := range c.Actions {
		o.Actions = append(o.Actions, access.Action(action))
	}
	return access.New(o)
}

func oidcOf(c config.OIDC) (*access.OIDC, error) {
	o := &access.OIDC{
		Issuer:       c.Issuer,
		ClientID:     c.ClientID,
		ClientSecret: c.ClientSecret.Reveal(),
		Name:         c.Name,
		Scopes:       c.Scopes,
		GroupsClaim:  c.GroupsClaim,
		NameClaim:    c.NameClaim,
		Roles:        map[string]access.Role{},
	}
	for _, g := range c.Groups {
		role, err := access.ParseRole(g.Role)
		if err != nil {
			return nil, fmt.Errorf("reading the group %s of the console: %w", g.Name, err)
		}
		o.Roles[g.Name] = role
	}
	return o, nil
}
