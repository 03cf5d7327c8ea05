package ordergroove_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/termed/termed/ordergroove"
)

func TestParseExtraDataForms(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"absent", ``, `{}`},
		{"null", `null`, `{}`},
		{"an empty string", `""`, `{}`},
		{"a string of white space", `" "`, `{}`},
		{"a string of null", `"null"`, `{}`},
		{"an object", `{"a":1}`, `{"a":1}`},
		{"an object with white space", " {\n \"a\" : 1 , \"b\":2}\n", `{"a":1,"b":2}`},
		{"a string of an object", `"{\"a\":\"<\\\"b\\\">\"}"`, `{"a":"<\"b\">"}`},
		{
			"numbers beyond float64",
			`{"n":9007199254740993,"d":1.10,"e":1e400,"neg":-0}`,
			`{"n":9007199254740993,"d":1.10,"e":1e400,"neg":-0}`,
		},
		{"null, nested, empty key", `{"x":null,"":{"a":[1,{"b":[]}]}}`, `{"x":null,"":{"a":[1,{"b":[]}]}}`},
		{"HTML", `{"<&>":"<script>&amp;</script>"}`, `{"<&>":"<script>&amp;</script>"}`},
		{"U+2028 literal and escaped", "{\"a\":\"\u2028\",\"b\":\"\\u2028\"}", "{\"a\":\"\u2028\",\"b\":\"\\u2028\"}"},
		{"emoji literal and escaped", `{"🎁":"🎁","e":"\ud83c\udf81"}`, `{"🎁":"🎁","e":"\ud83c\udf81"}`},
		{"a lone surrogate", `{"\ud800":"\udfff"}`, `{"\ud800":"\udfff"}`},
		{"white space inside a value", `{"a":{ "b" : [ 1 ] }}`, `{"a":{ "b" : [ 1 ] }}`},
		{"repeated key", `{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{"key with an escape", `{"\u0061":1}`, `{"\u0061":1}`},
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
	tests := []struct{ raw, key, value, want string }{
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
		if got := string(data.With(test.key, json.RawMessage(test.value)).Object()); got != test.want {
			t.Errorf("%s with %s = %s, want %s", test.raw, test.key, got, test.want)
		}
		if got := string(data.Object()); got != test.raw {
			t.Errorf("With changed its receiver: %s, was %s", got, test.raw)
		}
		if _, found := data.With(test.key, nil).Without(test.key).Get(test.key); found {
			t.Errorf("%s without %s still has it", test.raw, test.key)
		}
	}
}

// The law: all foreign keys of any JSON object come out byte for byte as they went in.
func TestExtraDataKeepsForeignKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var raw bytes.Buffer
		raw.WriteByte('{')
		count := rapid.IntRange(0, 6).Draw(t, "keys")
		for i := range count {
			if i > 0 {
				raw.WriteByte(',')
			}
			key := rapid.StringMatching(`[a-c]{0,2}|<&>|fulfillment_counter|hide|[\x{2028}🎁é]`).Draw(t, "key")
			spelled, err := json.Marshal(key)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&raw, "%s:%s", spelled, rapid.SampledFrom([]string{
				`null`, `true`, `""`, `"text"`, `"<&>"`, `"\u2028"`, `0`, `-0`, `1.10`, `1e400`, `9007199254740993`,
				`[]`, `[1, 2]`, `{"a":{}}`, `{"b": "\ud83c\udf81"}`,
			}).Draw(t, "value"))
		}
		raw.WriteByte('}')
		checkForeignKeys(t, raw.Bytes())
	})
}

// FuzzExtraData checks the same law for every object that the fuzzer finds.
func FuzzExtraData(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `""`, `{"a":1.10,"b":[1e400,null],"":{}}`, `{"a":1,"a":2,"hide":false}`,
		"{\"\u2028\":\"<&>\"}", `{"\ud800":0}`, `"{\"a\":1}"`,
		`{ "a" : { "b" : [ 1 , 2 ] } , "fulfillment_counter" : "3" }`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkForeignKeys(t, raw) })
}

type tester interface {
	Fatalf(format string, args ...any)
}

func checkForeignKeys(t tester, raw []byte) {
	data, err := ordergroove.ParseExtraData(raw)
	if err != nil {
		return
	}
	out := data.With("fulfillment_counter", json.RawMessage(`"2"`)).With("termed", json.RawMessage(`"true"`)).Object()
	if !json.Valid(out) {
		t.Fatalf("%q became %q, which is not JSON", raw, out)
	}
	again, err := ordergroove.ParseExtraData(out)
	if err != nil {
		t.Fatalf("%q became %q: %v", raw, out, err)
	}
	var before, after map[string]json.RawMessage
	if json.Unmarshal(data.Object(), &before) != nil || json.Unmarshal(out, &after) != nil {
		t.Fatalf("%q or %q does not decode", raw, out)
	}
	for key, value := range before {
		if !isOurs(key) && !bytes.Equal(value, after[key]) {
			t.Fatalf("%q: key %q was %q and became %q", raw, key, value, after[key])
		}
	}
	for key := range after {
		if _, known := before[key]; !known && !isOurs(key) {
			t.Fatalf("%q: key %q appeared", raw, key)
		}
	}
	if got, _ := again.Get("fulfillment_counter"); string(got) != `"2"` {
		t.Fatalf("%q: the counter is %s", out, got)
	}
	text, err := json.Marshal(string(out))
	if err != nil {
		t.Fatalf("marshaling: %v", err)
	}
	if _, err := ordergroove.ParseExtraData(text); err != nil && utf8.Valid(out) {
		t.Fatalf("%q as a string: %v", out, err)
	}
}

// isOurs says whether checkForeignKeys sets a key itself.
func isOurs(key string) bool {
	return key == "fulfillment_counter" || key == "termed"
}

// Of a repeated key the last one counts, as for other readers.
func TestDuplicateKeys(t *testing.T) {
	data, err := ordergroove.ParseExtraData(json.RawMessage(`{"k":1,"a":1,"k":2}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := data.Get("k"); string(got) != "2" {
		t.Errorf("Get = %s, want 2", got)
	}
}

// A value in the text form that is no valid text cannot be written back as it was: such extra_data is left alone.
func TestInvalidText(t *testing.T) {
	for raw, valid := range map[string]bool{
		`"{\"a\":\"\\ud800\"}"`:                 true, // an escape of the inner text, which stays as it is spelled
		`"{\"a\":\"\ud800\"}"`:                  false,
		`"{\"a\":\"\ud83d\ude00\",\"b\":1.10}"`: true,
		"\"{\\\"a\\\":\\\"\xff\\\"}\"":          false,
		"\"{\\\"a\\\":\\\"\uFFFD\\\"}\"":        true,
		`"{\"a\":\"\ufffd\"}"`:                  true,
		"\"{\\\"a\\\":\\\"\uFFFD \xff \\\"}\"":  false,
	} {
		if _, err := ordergroove.ParseExtraData(json.RawMessage(raw)); (err == nil) != valid {
			t.Errorf("ParseExtraData(%q) = %v, want valid: %v", raw, err, valid)
		}
	}
}
