package ordergroove

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrExtraData says that a subscription's extra_data is not an object in any documented form, so that nothing can be
// added to it without losing what is there.
var ErrExtraData = errors.New("extra_data is not a JSON object")

// ExtraData is a subscription's extra_data: an ordered list of members whose names and values are the bytes that came.
// The values are the merchant's own and go back exactly as they were (contract, section 2), so none is ever decoded into
// a Go value: no float64, no HTML escaping, no re-ordering.
type ExtraData struct {
	members []member
}

type member struct {
	name  string          // decoded, to look it up
	raw   json.RawMessage // the name as it was spelled, quotes included
	value json.RawMessage
}

// ParseExtraData understands every form the contract lists: a JSON object, a string holding one, null, and "".
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
	if trimmed := bytes.TrimSpace([]byte(inner)); len(trimmed) > 0 && !bytes.Equal(trimmed, []byte("null")) {
		return parseObject(trimmed)
	}
	return ExtraData{}, nil
}

// Get returns a member's value as it came; where a name stands twice the last one counts, as for other readers.
func (d ExtraData) Get(name string) (value json.RawMessage, ok bool) {
	for _, m := range slices.Backward(d.members) {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// With returns a copy in which the member has the value, in its old place or at the end.
func (d ExtraData) With(name string, value json.RawMessage) ExtraData {
	members := slices.Clone(d.members)
	at := slices.IndexFunc(members, func(m member) bool { return m.name == name })
	if at < 0 {
		quoted, _ := json.Marshal(name) // a string always marshals
		return ExtraData{append(members, member{name, quoted, value})}
	}
	members[at].value = value
	after := slices.DeleteFunc(members[at+1:], func(m member) bool { return m.name == name })
	return ExtraData{members[:at+1+len(after)]}
}

// Without returns a copy that lacks the member.
func (d ExtraData) Without(name string) ExtraData {
	return ExtraData{slices.DeleteFunc(slices.Clone(d.members), func(m member) bool { return m.name == name })}
}

// Object returns the whole as a JSON object.
func (d ExtraData) Object() json.RawMessage {
	out := []byte{'{'}
	for i, m := range d.members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, m.raw...)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

// text returns the whole as a JSON string that holds the object: the other documented form.
func (d ExtraData) text() json.RawMessage {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(string(d.Object())) // a string always marshals, and a buffer takes it
	return bytes.TrimSpace(out.Bytes())
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
		name, err := decoder.Token()
		if err != nil {
			return ExtraData{}, fmt.Errorf("%w: %w", ErrExtraData, err)
		}
		spelled := bytes.TrimLeft(raw[before:decoder.InputOffset()], ", \t\r\n")
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return ExtraData{}, fmt.Errorf("%w: %w", ErrExtraData, err)
		}
		d.members = append(d.members, member{name.(string), bytes.Clone(spelled), value})
	}
	if _, err := decoder.Token(); err != nil && err != io.EOF {
		return ExtraData{}, ErrExtraData
	}
	return d, nil
}
