package ordergroove_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/termed/termed/ordergroove"
)

func TestExtraDataForms(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"absent", ``, `{}`},
		{"null", `null`, `{}`},
		{"an empty string", `""`, `{}`},
		{"a blank string", `" "`, `{}`},
		{"a string of null", `"null"`, `{}`},
		{"an object", `{"a":1}`, `{"a":1}`},
		{"an object with white space", " {\n \"a\" : 1 , \"b\":2}\n", `{"a":1,"b":2}`},
		{"a string of an object", `"{\"a\":\"<\\\"b\\\">\"}"`, `{"a":"<\"b\">"}`},
		{"beyond float64", `{"n":9007199254740993,"d":1.10,"e":1e400,"neg":-0}`, `{"n":9007199254740993,"d":1.10,"e":1e400,"neg":-0}`},
		{"null, nested, empty key", `{"x":null,"":{"a":[1,{"b":[]}]}}`, `{"x":null,"":{"a":[1,{"b":[]}]}}`},
		{"HTML", `{"<&>":"<script>&amp;</script>"}`, `{"<&>":"<script>&amp;</script>"}`},
		{"U+2028 as it is and escaped", "{\"a\":\"\u2028\",\"b\":\"\\u2028\"}", "{\"a\":\"\u2028\",\"b\":\"\\u2028\"}"},
		{"emoji as it is and escaped", `{"🎁":"🎁","e":"\ud83c\udf81"}`, `{"🎁":"🎁","e":"\ud83c\udf81"}`},
		{"a lone surrogate", `{"\ud800":"\udfff"}`, `{"\ud800":"\udfff"}`},
		{"white space inside a value", `{"a":{ "b" : [ 1 ] }}`, `{"a":{ "b" : [ 1 ] }}`},
		{"the same name twice", `{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{"a name spelled with an escape", `{"\u0061":1}`, `{"\u0061":1}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := ordergroove.ParseExtraData(json.RawMessage(test.raw))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(data.Object()); got != test.want {
				t.Errorf("ParseExtraData(%s) = %s, want %s", test.raw, got, test.want)
			}
		})
	}
	for _, raw := range []string{`[]`, `7`, `true`, `"text"`, `"[1]"`, `"{"`, `{"a":1`, `{"a":1}{}`, `"{} {}"`} {
		if _, err := ordergroove.ParseExtraData(json.RawMessage(raw)); !errors.Is(err, ordergroove.ErrExtraData) {
			t.Errorf("ParseExtraData(%s) = %v, want ErrExtraData", raw, err)
		}
	}
}

func TestExtraDataWith(t *testing.T) {
	tests := []struct{ raw, name, value, want string }{
		{`{}`, "k", `"2"`, `{"k":"2"}`},
		{`{"a":1,"k":"3","b":2}`, "k", `"2"`, `{"a":1,"k":"2","b":2}`},
		{`{"k":1,"a":1,"k":2}`, "k", `"2"`, `{"k":"2","a":1}`},
		{`{"\u006b":1}`, "k", `"2"`, `{"\u006b":"2"}`},
	}
	for _, test := range tests {
		data, err := ordergroove.ParseExtraData(json.RawMessage(test.raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(data.With(test.name, json.RawMessage(test.value)).Object()); got != test.want {
			t.Errorf("%s with %s = %s, want %s", test.raw, test.name, got, test.want)
		}
		if got := string(data.Object()); got != test.raw {
			t.Errorf("With changed what it was called on: %s, was %s", got, test.raw)
		}
		if _, there := data.With(test.name, nil).Without(test.name).Get(test.name); there {
			t.Errorf("%s without %s still has it", test.raw, test.name)
		}
	}
}

// The law: any JSON object in, the same members out, byte for byte, but for ours.
func TestExtraDataLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var raw bytes.Buffer
		raw.WriteByte('{')
		count := rapid.IntRange(0, 6).Draw(t, "members")
		for i := range count {
			if i > 0 {
				raw.WriteByte(',')
			}
			name := rapid.StringMatching(`[a-c]{0,2}|<&>|fulfillment_counter|hide|[\x{2028}🎁é]`).Draw(t, "name")
			spelled, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&raw, "%s:%s", spelled, rapid.SampledFrom([]string{
				`null`, `true`, `"text"`, `"<&>"`, `"\u2028"`, `0`, `-0`, `1.10`, `1e400`, `9007199254740993`, `[]`, `[1, 2]`, `{"a":{}}`, `{"b": "\ud83c\udf81"}`, `""`,
			}).Draw(t, "value"))
		}
		raw.WriteByte('}')
		checkLaw(t, raw.Bytes())
	})
}

// FuzzExtraData holds the same law over whatever a fuzzer finds that is an object.
func FuzzExtraData(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `""`, `{"a":1.10,"b":[1e400,null],"":{}}`, `{"a":1,"a":2,"hide":false}`, "{\"\u2028\":\"<&>\"}", `{"\ud800":0}`, `"{\"a\":1}"`,
		`{ "a" : { "b" : [ 1 , 2 ] } , "fulfillment_counter" : "3" }`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkLaw(t, raw) })
}

type tester interface {
	Fatalf(format string, args ...any)
}

func checkLaw(t tester, raw []byte) {
	data, err := ordergroove.ParseExtraData(raw)
	if err != nil {
		return
	}
	out := data.With("fulfillment_counter", json.RawMessage(`"2"`)).With("termed", json.RawMessage(`"true"`)).Object()
	if !json.Valid(out) {
		t.Fatalf("%q became %q, which is no JSON", raw, out)
	}
	again, err := ordergroove.ParseExtraData(out)
	if err != nil {
		t.Fatalf("%q became %q: %v", raw, out, err)
	}
	var before, after map[string]json.RawMessage
	if json.Unmarshal(data.Object(), &before) != nil || json.Unmarshal(out, &after) != nil {
		t.Fatalf("%q or %q does not decode", raw, out)
	}
	for name, value := range before {
		if name != "fulfillment_counter" && name != "termed" && !bytes.Equal(value, after[name]) {
			t.Fatalf("%q: member %q was %q and became %q", raw, name, value, after[name])
		}
	}
	for name := range after {
		if _, there := before[name]; !there && name != "fulfillment_counter" && name != "termed" {
			t.Fatalf("%q: member %q appeared", raw, name)
		}
	}
	if got, _ := again.Get("fulfillment_counter"); string(got) != `"2"` {
		t.Fatalf("%q: the counter is %s", out, got)
	}
	// The string form holds the same.
	text, err := json.Marshal(string(out))
	if err != nil {
		t.Fatalf("marshalling: %v", err)
	}
	if fromText, err := ordergroove.ParseExtraData(text); err != nil && json.Valid(out) && bytes.Equal(bytes.ToValidUTF8(out, nil), out) {
		t.Fatalf("%q as a string: %v %v", out, fromText, err)
	}
}
