package ordergroove

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// ErrExtraData says that a subscription's extra_data is not an object in any documented form. Nothing can be added to
// it without losing what it holds.
var ErrExtraData = errors.New("extra_data is not a JSON object")

// ExtraData is a subscription's extra_data: an ordered list of keys and values, each kept as the bytes that were
// received. The values are the merchant's own and go back exactly as they were (contract, section 2), so none is ever
// decoded into a Go value: no float64, no HTML escaping, no reordering.
type ExtraData struct {
	fields []field
}

type field struct {
	key   string          // decoded, for lookups
	raw   json.RawMessage // the key as it was spelled, quotes included
	value json.RawMessage
}

// ParseExtraData reads every form that the contract lists: a JSON object, a string that holds one, null, and "".
func ParseExtraData(raw json.RawMessage) (ExtraData, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return ExtraData{}, nil
	}
	if raw[0] != '"' {
		return parseObject(raw)
	}
	var inner string
	if err := json.Unmarshal(raw, &inner); err != nil {
		return ExtraData{}, ErrExtraData
	}
	// What is no valid text would be replaced, and written back as something else.
	// safeguard: valid-text
	if strings.Count(inner, replacement) > countReplacements(raw) {
		return ExtraData{}, ErrExtraData
	}
	if trimmed := bytes.TrimSpace([]byte(inner)); len(trimmed) > 0 && !bytes.Equal(trimmed, []byte("null")) {
		return parseObject(trimmed)
	}
	return ExtraData{}, nil
}

// replacement stands for what is no valid text.
const replacement = "\uFFFD"

var escapedReplacement = regexp.MustCompile(`(?i)\\ufffd`)

// countReplacements counts those that were sent as such.
func countReplacements(raw []byte) int {
	return bytes.Count(raw, []byte(replacement)) + len(escapedReplacement.FindAllIndex(raw, -1))
}

// Get returns a key's value as it was received. Of a repeated key the last one counts, as for other readers.
func (d ExtraData) Get(key string) (value json.RawMessage, ok bool) {
	// safeguard: last-of-duplicates
	for _, f := range slices.Backward(d.fields) {
		if f.key == key {
			return f.value, true
		}
	}
	return nil, false
}

// With returns a copy in which the key has the value, in its old place or at the end.
func (d ExtraData) With(key string, value json.RawMessage) ExtraData {
	fields := slices.Clone(d.fields)
	at := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
	if at < 0 {
		return ExtraData{append(fields, field{key, quote(key), value})}
	}
	fields[at].value = value
	after := slices.DeleteFunc(fields[at+1:], func(f field) bool { return f.key == key })
	return ExtraData{fields[:at+1+len(after)]}
}

// Without returns a copy that lacks the key.
func (d ExtraData) Without(key string) ExtraData {
	return ExtraData{slices.DeleteFunc(slices.Clone(d.fields), func(f field) bool { return f.key == key })}
}

// Object returns the data as a JSON object.
func (d ExtraData) Object() json.RawMessage {
	out := []byte{'{'}
	for i, f := range d.fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, f.raw...)
		out = append(out, ':')
		out = append(out, f.value...)
	}
	return append(out, '}')
}

func parseObject(raw []byte) (ExtraData, error) {
	if !json.Valid(raw) || raw[0] != '{' {
		return ExtraData{}, ErrExtraData
	}
	var d ExtraData
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if _, err := decoder.Token(); err != nil {
		return ExtraData{}, ErrExtraData
	}
	for decoder.More() {
		before := decoder.InputOffset()
		key, err := decoder.Token()
		if err != nil {
			return ExtraData{}, fmt.Errorf("%w: %w", ErrExtraData, err)
		}
		spelled := bytes.TrimLeft(raw[before:decoder.InputOffset()], ", \t\r\n")
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return ExtraData{}, fmt.Errorf("%w: %w", ErrExtraData, err)
		}
		d.fields = append(d.fields, field{key.(string), bytes.Clone(spelled), value})
	}
	if _, err := decoder.Token(); err != nil && err != io.EOF {
		return ExtraData{}, ErrExtraData
	}
	return d, nil
}
