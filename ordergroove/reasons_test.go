package ordergroove_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ordergroove"
)

func TestCancelReasons(t *testing.T) {
	want := []ordergroove.CancelReason{{Code: "8", Text: "Too expensive"}, {Code: "1", Text: "Other"}}
	for _, body := range []string{
		`[{"code":8,"reason":"Too expensive"},{"code":"1","reason":"Other"}]`,
		`{"next":null,"results":[{"reason_code":8,"description":"Too expensive"},{"code":1,"name":"Other"},{"id":9}]}`,
		`{"cancel_reasons":[{"code":8,"text":"Too expensive"},{"code":1,"text":"Other"}]}`,
	} {
		got, err := serve(t, answer(200, body)).CancelReasons(t.Context())
		if err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("CancelReasons of %s = %v, %v; want %v", body, got, err, want)
		}
	}
	for _, body := range []string{`{"reasons":"none"}`, `[]`, `["Too expensive"]`, `<html>`} {
		if got, err := serve(t, answer(200, body)).CancelReasons(t.Context()); !errors.Is(err, ordergroove.ErrUnreadable) {
			t.Errorf("CancelReasons of %s = %v, %v; want ErrUnreadable", body, got, err)
		}
	}
}

func TestSkipOrder(t *testing.T) {
	s := serve(t, answer(200, `{"public_id":"o1","status":1}`))
	if _, err := s.Do(t.Context(), ordergroove.SkipOrder("s1", "o1")); err != nil {
		t.Fatal(err)
	}
	want := []string{`PATCH /orders/o1/skip_subscription/ {"subscription":"s1"}`}
	if diff := cmp.Diff(want, s.take()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}
