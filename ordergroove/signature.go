// Package ordergroove owns the wire to Ordergroove, in both directions: the signed webhooks it sends (signature,
// envelope, event types) and the REST API it answers (client, errors, extra_data). The source of every rule is the
// contract, named by its section where it matters.
//
// It never decides anything about terms, keeps no state, and writes no log.
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
// case-insensitive, so its other documented spelling, OrderGroove-Signature, is the same header.
const SignatureHeader = "Ordergroove-Signature"

const (
	maxSignatureHeader = 1 << 10
	maxSignatures      = 8
)

// ErrSignature says that a delivery is not authentic, or too old or too new to be taken. The text behind it says which
// rule refused, never what was received.
var ErrSignature = errors.New("signature does not verify")

// Sign makes the value of SignatureHeader for a body sent at the given time: one sig for each key, in the order given
// (during a rotation Ordergroove sends the new key's first).
func Sign(at time.Time, body []byte, keys ...string) string {
	ts := strconv.FormatInt(at.Unix(), 10)
	var header strings.Builder
	header.WriteString("ts=" + ts)
	for _, key := range keys {
		header.WriteString(",sig=" + hex.EncodeToString(digest([]byte(key), ts, body)))
	}
	return header.String()
}

// Verifier decides whether a delivery was signed with one of the merchant's webhook keys, and recently enough.
type Verifier struct {
	keys   [][]byte
	maxAge time.Duration
	ahead  time.Duration
}

// NewVerifier takes the webhook keys in force (two during a rotation), the oldest age a delivery may have, and how far
// ahead of our clock its sender's may be. It is an error to have no key: everything would be refused, or worse, taken.
func NewVerifier(keys []string, maxAge, ahead time.Duration) (*Verifier, error) {
	v := &Verifier{maxAge: maxAge, ahead: ahead}
	for _, key := range keys {
		if key == "" {
			return nil, errors.New("a webhook key is empty")
		}
		v.keys = append(v.keys, []byte(key))
	}
	if len(v.keys) == 0 {
		return nil, errors.New("no webhook key: deliveries could not be told from forgeries")
	}
	return v, nil
}

// Verify checks the raw body against the values of SignatureHeader as they came. Every refusal is an ErrSignature.
func (v *Verifier) Verify(header []string, body []byte, now time.Time) error {
	if len(header) != 1 {
		return fmt.Errorf("%w: want exactly one header", ErrSignature)
	}
	ts, sigs, err := parseSignature(header[0])
	if err != nil {
		return err
	}
	if !v.signed(ts, sigs, body) {
		return fmt.Errorf("%w: no key matches", ErrSignature)
	}
	// The age is looked at last, so that it is only ever said of an authentic delivery.
	seconds, err := strconv.ParseInt(ts, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: timestamp out of range", ErrSignature)
	}
	sent := time.Unix(seconds, 0)
	if sent.Before(now.Add(-v.maxAge)) || sent.After(now.Add(v.ahead)) {
		return fmt.Errorf("%w: timestamp outside the accepted window", ErrSignature)
	}
	return nil
}

func (v *Verifier) signed(ts string, sigs [][]byte, body []byte) bool {
	for _, key := range v.keys {
		want := digest(key, ts, body)
		for _, sig := range sigs {
			if hmac.Equal(sig, want) {
				return true
			}
		}
	}
	return false
}

// parseSignature reads ts=<digits>,sig=<hex>[,sig=<hex>…]. The timestamp is handed on literally, since it is part of
// what was signed; parts that are neither ts nor sig are left for Ordergroove to invent.
func parseSignature(header string) (ts string, sigs [][]byte, err error) {
	if len(header) > maxSignatureHeader {
		return "", nil, fmt.Errorf("%w: header too long", ErrSignature)
	}
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "ts":
			if ts != "" || !isDigits(value) {
				return "", nil, fmt.Errorf("%w: malformed timestamp", ErrSignature)
			}
			ts = value
		case "sig":
			sig, err := hex.DecodeString(value)
			if err != nil || len(sig) != sha256.Size || len(sigs) == maxSignatures {
				return "", nil, fmt.Errorf("%w: malformed signature", ErrSignature)
			}
			sigs = append(sigs, sig)
		}
	}
	if ts == "" || len(sigs) == 0 {
		return "", nil, fmt.Errorf("%w: header incomplete", ErrSignature)
	}
	return ts, sigs, nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 18
}

func digest(key []byte, ts string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(ts))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}
