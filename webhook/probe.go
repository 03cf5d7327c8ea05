package webhook

import (
	"bytes"
	"encoding/hex"
)

// A probe is a signed delivery that files nothing: `termed doctor` sends one on the way of Ordergroove's webhooks, and
// the answer proves that it arrived, with its signature intact. No event of Ordergroove begins like it.

const (
	probeBegin = `{"termed_probe":"`
	probeEnd   = `"}`
	probeSize  = 16 // bytes
)

// Probe is the body of a probe with a number, 16 bytes in hexadecimal digits.
func Probe(number string) []byte { return []byte(probeBegin + number + probeEnd) }

// ProbeAnswer is what is in the answer to a probe, and in no other.
func ProbeAnswer(number string) string { return "probe " + number }

// probeNumber returns the number of a probe, or "" for any other body.
func probeNumber(body []byte) string {
	number, found := bytes.CutPrefix(body, []byte(probeBegin))
	if !found {
		return ""
	}
	number, found = bytes.CutSuffix(number, []byte(probeEnd))
	if decoded, err := hex.DecodeString(string(number)); !found || err != nil || len(decoded) != probeSize {
		return ""
	}
	return string(number)
}
