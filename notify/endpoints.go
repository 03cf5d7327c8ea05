// Package notify owns outgoing webhooks, in the format of the Standard Webhooks specification: it renders
// notifications, addresses them to the merchant's endpoints, signs, sends and retries them.
//
// It does not decide what to notify about (counter does), and stores nothing: messages wait in the outbox.
package notify

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
)

// Endpoint is an address that receives notifications.
type Endpoint struct {
	Name    string   // unique
	URL     string   // https, unless Private
	Secrets []string // whsec_<base64>; each one signs, so that they can be rotated
	Types   []string // of notifications; empty: all
	Private bool     // the URL may be http, and may point to an address that is not public
}

// Endpoints are all endpoints. They are immutable.
type Endpoints struct {
	all []endpoint
}

type endpoint struct {
	Endpoint
	signers []*standardwebhooks.Webhook
}

// NewEndpoints checks the endpoints.
func NewEndpoints(all []Endpoint) (*Endpoints, error) {
	endpoints := &Endpoints{}
	for _, e := range all {
		if _, taken := endpoints.named(e.Name); taken || e.Name == "" {
			return nil, fmt.Errorf("endpoint %q: missing or duplicate name", e.Name)
		}
		checked, err := newEndpoint(e)
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", e.Name, err)
		}
		endpoints.all = append(endpoints.all, checked)
	}
	return endpoints, nil
}

func newEndpoint(e Endpoint) (endpoint, error) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && e.Private) {
		return endpoint{}, errors.New("the URL is not https")
	}
	if len(e.Secrets) == 0 {
		return endpoint{}, errors.New("no signing secret")
	}
	checked := endpoint{Endpoint: e}
	for _, secret := range e.Secrets {
		if err := CheckSecret(secret); err != nil {
			return endpoint{}, err
		}
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return endpoint{}, ErrSecret // the library's own error may quote the secret
		}
		checked.signers = append(checked.signers, signer)
	}
	return checked, nil
}

func (e *Endpoints) named(name string) (endpoint, bool) {
	i := slices.IndexFunc(e.all, func(e endpoint) bool { return e.Name == name })
	if i < 0 {
		return endpoint{}, false
	}
	return e.all[i], true
}

func (e *Endpoints) names() []string {
	names := make([]string, len(e.all))
	for i, endpoint := range e.all {
		names[i] = endpoint.Name
	}
	return names
}

// Messages addresses a notification to the endpoints that subscribe to its type.
func (e *Endpoints) Messages(n counter.Notification) []ledger.Message {
	var messages []ledger.Message
	for _, endpoint := range e.all {
		if len(endpoint.Types) > 0 && !slices.Contains(endpoint.Types, n.Type) {
			continue
		}
		if n.ID == "" {
			n.ID = rand.Text()
		}
		messages = append(messages, ledger.Message{
			ID:           "msg_" + n.ID,
			Endpoint:     endpoint.Name,
			Type:         n.Type,
			Subscription: n.Subscription.ID,
			At:           n.At,
			Body:         Body(n),
		})
	}
	return messages
}

// ErrSecret says that a signing secret is malformed.
var ErrSecret = errors.New("invalid signing secret; write whsec_ followed by the base64 of 24 to 64 random bytes")

// CheckSecret returns ErrSecret unless the secret is whsec_ followed by the base64 of 24 to 64 bytes.
func CheckSecret(secret string) error {
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return ErrSecret
	}
	return nil
}
