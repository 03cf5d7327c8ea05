package ordergroove_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/termed/termed/ordergroove"
)

// The signatures were computed with openssl, not with our own code: see testdata/signatures/README.md.
const (
	signedAt = 1592570791
	sigKey1  = "7b959b4d898507b9d867577c928b99e74068aa2321538e67e00848b56918f5d9"
	sigKey2  = "fe9a1f81376eb789a329e63cdd3dd2572bea5c33dd8b2a44140aa3b9f213d46a"
)

func signedBody(t testing.TB) []byte {
	t.Helper()
	body, err := os.ReadFile("../testdata/signatures/body.json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestSignMatchesOpenSSL(t *testing.T) {
	got := ordergroove.Sign(time.Unix(signedAt, 0), signedBody(t), "webhook-key-1", "webhook-key-2")
	if want := "ts=1592570791,sig=" + sigKey1 + ",sig=" + sigKey2; got != want {
		t.Errorf("Sign = %s, want %s", got, want)
	}
}

func TestVerify(t *testing.T) {
	body := signedBody(t)
	now := time.Unix(signedAt, 0)
	header := func(parts ...string) []string { return []string{strings.Join(parts, ",")} }
	const ts = "ts=1592570791"
	eight := strings.Repeat(",sig="+strings.Repeat("00", 32), 8)
	tests := []struct {
		name   string
		header []string
		at     time.Duration // how much later it arrives
		body   string        // instead of the signed one
		ok     bool
	}{
		{name: "no header", header: nil},
		{name: "empty header", header: []string{""}},
		{name: "two header lines", header: []string{ts + ",sig=" + sigKey1, ts + ",sig=" + sigKey1}},
		{name: "no timestamp", header: header("sig=" + sigKey1)},
		{name: "no signature", header: header(ts)},
		{name: "repeated timestamp", header: header(ts, ts, "sig="+sigKey1)},
		{name: "timestamp with plus sign", header: header("ts=+1592570791", "sig="+sigKey1)},
		{name: "negative timestamp", header: header("ts=-1592570791", "sig="+sigKey1)},
		{name: "timestamp with leading zero", header: header("ts=01592570791", "sig="+sigKey1)},
		{name: "timestamp too long", header: header("ts="+strings.Repeat("9", 30), "sig="+sigKey1)},
		{name: "another timestamp", header: header("ts=1592570792", "sig="+sigKey1)},
		{name: "another body", header: header(ts, "sig="+sigKey1), body: "{}"},
		{name: "unknown key", header: header(ts, "sig="+strings.Repeat("ab", 32))},
		{name: "odd number of hex digits", header: header(ts, "sig="+sigKey1[:63])},
		{name: "not hex", header: header(ts, "sig="+strings.Repeat("zz", 32))},
		{name: "signature too short", header: header(ts, "sig="+sigKey1[:32])},
		{name: "malformed signature before a valid one", header: header(ts, "sig=zz", "sig="+sigKey1)},
		{name: "nine signatures", header: []string{ts + eight + ",sig=" + sigKey1}},
		{name: "over 1 KiB", header: []string{ts + ",sig=" + sigKey1 + ",x=" + strings.Repeat("y", 1024)}},
		{name: "too old", header: header(ts, "sig="+sigKey1), at: 72*time.Hour + time.Second},
		{name: "too far ahead", header: header(ts, "sig="+sigKey1), at: -5*time.Minute - time.Second},

		{name: "first key", header: header(ts, "sig="+sigKey1), ok: true},
		{name: "second key", header: header(ts, "sig="+sigKey2), ok: true},
		{
			name: "rotation, known key second", header: header(ts, "sig="+strings.Repeat("ab", 32), "sig="+sigKey2),
			ok: true,
		},
		{name: "upper-case hex", header: header(ts, "sig="+strings.ToUpper(sigKey1)), ok: true},
		{name: "spaces", header: header(ts, " sig="+sigKey1), ok: true},
		{name: "unknown part", header: header(ts, "alg=sha256", "sig="+sigKey1), ok: true},
		{name: "signature first", header: header("sig="+sigKey1, ts), ok: true},
		{name: "maximum age", header: header(ts, "sig="+sigKey1), at: 72 * time.Hour, ok: true},
		{name: "maximum ahead", header: header(ts, "sig="+sigKey1), at: -5 * time.Minute, ok: true},
	}
	verifier, err := ordergroove.NewVerifier([]string{"webhook-key-1", "webhook-key-2"}, 72*time.Hour, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.body == "" {
				test.body = string(body)
			}
			err := verifier.Verify(test.header, now.Add(test.at), []byte(test.body))
			if test.ok != (err == nil) {
				t.Errorf("Verify = %v, want ok %v", err, test.ok)
			}
			if err != nil && !errors.Is(err, ordergroove.ErrSignature) {
				t.Errorf("Verify = %v, want ErrSignature", err)
			}
		})
	}
}

func TestNewVerifierRequiresKeys(t *testing.T) {
	for _, keys := range [][]string{nil, {}, {""}, {"good", ""}} {
		if _, err := ordergroove.NewVerifier(keys, time.Hour, time.Hour); err == nil {
			t.Errorf("NewVerifier(%q) succeeded", keys)
		}
	}
}

// FuzzVerify checks that only a header with a signature by the key is accepted.
func FuzzVerify(f *testing.F) {
	f.Add("ts=1592570791,sig=" + sigKey1)
	f.Add("ts=1592570791,sig=" + sigKey1 + ",sig=" + sigKey2)
	f.Add("ts=,sig=")
	f.Add("ts=1,ts=2,sig=00")
	f.Add(strings.Repeat("sig=00,", 200))
	body := signedBody(f)
	verifier, err := ordergroove.NewVerifier([]string{"webhook-key-1", "webhook-key-2"}, 72*time.Hour, 5*time.Minute)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		err := verifier.Verify([]string{header}, time.Unix(signedAt, 0), body)
		lower := strings.ToLower(header)
		if err == nil && !strings.Contains(lower, sigKey1) && !strings.Contains(lower, sigKey2) {
			t.Errorf("Verify accepted %q", header)
		}
	})
}
