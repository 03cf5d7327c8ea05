// Package ordergroove owns the wire to Ordergroove, in both directions: the signed webhooks that Ordergroove sends
// (signature, envelope, event types) and its REST API (client, changes as data, errors, extra_data). The source of
// every rule is the contract; comments name its sections.
//
// The package never decides anything about terms, keeps no state, and writes no log.
package ordergroove

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader is the header that carries a delivery's signature (contract, section 1). Header names are
// case-insensitive, so the other documented spelling, OrderGroove-Signature, is the same header.
const SignatureHeader = "Ordergroove-Signature"

const (
	maxSignatureHeader = 1 << 10
	maxSignatures      = 8
)

// ErrSignature says that a delivery is not authentic, too old, or from the future. The text after it says which check
// failed, never what was received.
var ErrSignature = errors.New("invalid signature")

// Sign returns the value of SignatureHeader for a body sent at the given time: one sig for each key, in the given order
// (during a rotation Ordergroove sends the new key's first).
func Sign(at time.Time, body []byte, keys ...string) string {
	ts := strconv.FormatInt(at.Unix(), 10)
	var header strings.Builder
	header.WriteString("ts=" + ts)
	for _, key := range keys {
		header.WriteString(",sig=" + hex.EncodeToString(digest([]byte(key), ts, [][]byte{body})))
	}
	return header.String()
}

// Verifier decides whether a delivery was signed with one of the merchant's webhook keys, and recently enough.
type Verifier struct {
	keys     [][]byte
	maxAge   time.Duration
	maxAhead time.Duration
}

// NewVerifier takes the webhook keys in force (two during a rotation), the maximum age of a delivery, and how far the
// sender's clock may be ahead of ours. At least one key is required.
func NewVerifier(keys []string, maxAge, maxAhead time.Duration) (*Verifier, error) {
	v := &Verifier{maxAge: maxAge, maxAhead: maxAhead}
	for _, key := range keys {
		if key == "" {
			return nil, errors.New("a webhook key is empty")
		}
		v.keys = append(v.keys, []byte(key))
	}
	if len(v.keys) == 0 {
		return nil, errors.New("no webhook key is configured")
	}
	return v, nil
}

// CheckSignatureHeader says what is wrong with the received values of SignatureHeader, whatever the body: every failure
// is an ErrSignature.
func CheckSignatureHeader(header []string) error {
	_, err := readSignature(header)
	return err
}

func readSignature(header []string) (signature, error) {
	// safeguard: one-signature-header
	if len(header) != 1 {
		return signature{}, fmt.Errorf("%w: exactly one header is expected", ErrSignature)
	}
	return parseSignature(header[0])
}

// Verify checks the raw body, in one or several parts, against the received values of SignatureHeader. Every failure is
// an ErrSignature.
func (v *Verifier) Verify(header []string, now time.Time, body ...[]byte) error {
	s, err := readSignature(header)
	if err != nil {
		return err
	}
	if !v.anyMatch(s, body) {
		return fmt.Errorf("%w: no key matches", ErrSignature)
	}
	// The age is checked last, so that only an authentic delivery is ever reported as too old.
	seconds, err := strconv.ParseInt(s.ts, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: timestamp out of range", ErrSignature)
	}
	sent := time.Unix(seconds, 0)
	// safeguard: delivery-age
	if sent.Before(now.Add(-v.maxAge)) || sent.After(now.Add(v.maxAhead)) {
		return fmt.Errorf("%w: timestamp outside the accepted window", ErrSignature)
	}
	return nil
}

func (v *Verifier) anyMatch(s signature, body [][]byte) bool {
	for _, key := range v.keys {
		want := digest(key, s.ts, body)
		for _, sig := range s.sigs {
			// safeguard: signature
			if hmac.Equal(sig, want) {
				return true
			}
		}
	}
	return false
}

// signature is the parsed value of SignatureHeader.
type signature struct {
	ts   string // literally as received, because it is part of the signed text
	sigs [][]byte
}

// parseSignature reads ts=<digits>,sig=<hex>[,sig=<hex>…]. Other parts are ignored, so that Ordergroove can add some.
func parseSignature(header string) (signature, error) {
	if len(header) > maxSignatureHeader {
		return signature{}, fmt.Errorf("%w: header too long", ErrSignature)
	}
	var s signature
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "ts":
			if s.ts != "" || !isDigits(value) {
				return signature{}, fmt.Errorf("%w: malformed timestamp", ErrSignature)
			}
			s.ts = value
		case "sig":
			sig, err := hex.DecodeString(value)
			if err != nil || len(sig) != sha256.Size || len(s.sigs) == maxSignatures {
				return signature{}, fmt.Errorf("%w: malformed signature", ErrSignature)
			}
			s.sigs = append(s.sigs, sig)
		}
	}
	if s.ts == "" || len(s.sigs) == 0 {
		return signature{}, fmt.Errorf("%w: header incomplete", ErrSignature)
	}
	return s, nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 18
}

func digest(key []byte, ts string, body [][]byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(ts))
	mac.Write([]byte{'.'})
	for _, part := range body {
		mac.Write(part)
	}
	return mac.Sum(nil)
}
