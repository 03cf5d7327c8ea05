package console_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/termed/termed/console"
)

func TestReady(t *testing.T) {
	var fault error
	handler := console.Handler(console.Options{
		Checks: []console.Check{
			{Name: "database", Test: func(context.Context) error { return nil }},
			{Name: "ordergroove", Test: func(context.Context) error { return fault }},
		},
		Backlog: func(context.Context) (any, error) { return map[string]int{"events": 3}, nil },
	})
	ask := func(path string) (int, string) {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		return answer.Code, strings.TrimSpace(answer.Body.String())
	}
	tests := []struct {
		path, answer string
		fault        error
		status       int
	}{
		{"/livez", "ok", errors.New("the key is refused"), 200},
		{"/readyz", `{"backlog":{"events":3},"checks":{"database":"ok","ordergroove":"ok"},"ready":true}`, nil, 200},
		{"/readyz", `{"backlog":{"events":3},"checks":{"database":"ok","ordergroove":"the key is refused"},"ready":false}`, errors.New("the key is refused"), 503},
		{"/webhooks/ordergroove", "404 page not found", nil, 404},
	}
	for _, test := range tests {
		fault = test.fault
		if status, answer := ask(test.path); status != test.status || answer != test.answer {
			t.Errorf("%s = %d %s, want %d %s", test.path, status, answer, test.status, test.answer)
		}
	}
}
