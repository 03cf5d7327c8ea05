// Package notice owns outgoing webhooks: what a merchant's other systems are told, who wants to know it, how it is signed, and
// how it gets there, after the Standard Webhooks specification.
//
// It decides nothing about what there is to tell (counter does), and keeps nothing: what is on its way waits in the outbox.
package notice

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/termed/termed/counter"
)

// Endpoint is somebody who wants to know.
type Endpoint struct {
	Name    string   // unlike all others'
	URL     string   // https, unless Private
	Secrets []string // whsec_<base64>; each signs, so that they can be rotated
	Types   []string // of notices; none: all
	Private bool     // it may be http, and on an address that is not public
}

// Book is all endpoints. It does not change.
type Book struct {
	endpoints []endpoint
}

type endpoint struct {
	Endpoint
	signers []*standardwebhooks.Webhook
}

// NewBook checks the endpoints.
func NewBook(endpoints []Endpoint) (*Book, error) {
	book := &Book{}
	for _, e := range endpoints {
		if _, taken := book.of(e.Name); taken || e.Name == "" {
			return nil, fmt.Errorf("endpoint %q: each has a name of its own", e.Name)
		}
		u, err := url.Parse(e.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && e.Private) {
			return nil, fmt.Errorf("endpoint %q: its address is not https", e.Name)
		}
		known := endpoint{Endpoint: e}
		for _, secret := range e.Secrets {
			if err := CheckSecret(secret); err != nil {
				return nil, fmt.Errorf("endpoint %q: %w", e.Name, err)
			}
			signer, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				return nil, fmt.Errorf("endpoint %q: %w", e.Name, ErrSecret) // the library's own may quote it
			}
			known.signers = append(known.signers, signer)
		}
		if len(known.signers) == 0 {
			return nil, fmt.Errorf("endpoint %q: it has no secret", e.Name)
		}
		book.endpoints = append(book.endpoints, known)
	}
	return book, nil
}

func (b *Book) of(name string) (endpoint, bool) {
	i := slices.IndexFunc(b.endpoints, func(e endpoint) bool { return e.Name == name })
	if i < 0 {
		return endpoint{}, false
	}
	return b.endpoints[i], true
}

// Posts addresses a notice to all who want it.
func (b *Book) Posts(n counter.Notice) []counter.Post {
	var posts []counter.Post
	for _, e := range b.endpoints {
		if len(e.Types) > 0 && !slices.Contains(e.Types, n.Type) {
			continue
		}
		if n.ID == "" {
			n.ID = rand.Text()
		}
		posts = append(posts, counter.Post{
			ID: "msg_" + n.ID, Endpoint: e.Name, Type: n.Type, Subscription: n.Page.Subscription, At: n.At, Body: Body(n),
		})
	}
	return posts
}

// payload is what is sent; docs/notices.md has a sample of each type.
type payload struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

type subscriptionData struct {
	Subscription string        `json:"subscription"`
	Customer     string        `json:"customer"`
	SKU          string        `json:"sku"`
	Term         string        `json:"term"`
	State        counter.State `json:"state"`
	Made         *int          `json:"made,omitempty"` // not of a prepaid one, which Ordergroove counts
	Total        *int          `json:"total,omitempty"`
	Remaining    *int          `json:"remaining,omitempty"`
	Box          int           `json:"box,omitempty"`
	Order        string        `json:"order,omitempty"`
	Place        string        `json:"place,omitempty"`
	HoursLeft    *float64      `json:"hours_left,omitempty"`
	Reason       string        `json:"reason,omitempty"`
}

type silenceData struct {
	LastDelivery string `json:"last_delivery"`
}

// Body returns what is sent of a notice.
func Body(n counter.Notice) []byte {
	p := payload{Type: n.Type, Timestamp: stamp(n.At)}
	if n.Type == counter.Silence {
		p.Data = silenceData{stamp(n.Since)}
	} else {
		p.Data = aboutSubscription(n)
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(p) // texts and numbers always marshal
	return []byte(strings.TrimSuffix(text.String(), "\n"))
}

func aboutSubscription(n counter.Notice) subscriptionData {
	d := subscriptionData{
		Subscription: n.Page.Subscription, Customer: n.Page.Customer, SKU: n.Page.SKU, Term: n.Page.Term, State: n.Page.State,
		Box: n.Box, Order: n.Order, Reason: n.Reason,
	}
	if !n.Page.Prepaid {
		made, total, remaining := n.Page.Boxes(), n.Page.Length(), n.Page.Remaining()
		d.Made, d.Total, d.Remaining = &made, &total, &remaining
	}
	if n.Place != 0 {
		hours := math.Round(float64(n.Place-n.At)/float64(time.Hour.Milliseconds())*10) / 10
		d.Place, d.HoursLeft = stamp(n.Place), &hours
	}
	return d
}

func stamp(at int64) string {
	return time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z")
}

// ErrSecret says that a secret is none that can be signed with.
var ErrSecret = errors.New("no signing secret: whsec_ and the base64 of 24 to 64 random bytes")

// CheckSecret says whether a secret can be signed with: whsec_ and the base64 of 24 to 64 bytes.
func CheckSecret(secret string) error {
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return ErrSecret
	}
	return nil
}
