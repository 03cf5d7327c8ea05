package service_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// The API adjusts an order, says what is wrong with its field, and shows an address to those who may see customers.
func TestAdjustByAPI(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	sub := s.subscribe("SIX", "customer-1")
	s.place(sub)
	agent := s.as("agent")
	path := "/api/v1/subscriptions/" + sub.ID + "/adjustments"
	const address = `{"matcher":{"type":"CYCLE","shipment":5},"action":{"type":"UPDATE_SHIPPING","input":{"address":{` +
		`"firstName":"Ada","lastName":"Byron","address1":"1 Pier","city":"Dover","zip":"10001","countryCode":"US",` +
		`"provinceCode":"NY","phone":"1"}}}}`
	created := agent.with("Idempotency-Key", "a1").send("POST", path, address)
	agent.want(created, http.StatusCreated, `"status":"pending"`, `"shipment":5`, "1 Pier")
	if again := agent.with("Idempotency-Key", "a1").send("POST", path, address); again.body != created.body {
		t.Errorf("the same request again: %s, want %s", again.body, created.body)
	}
	agent.want(agent.send("POST", path, strings.Replace(address, `"zip"`, `"zipcode"`, 1)),
		http.StatusUnprocessableEntity, "body.action.input.address.zipcode", "unknown field")
	agent.want(agent.send("POST", path, `{"matcher":{"type":"DATE","date":"2099-01-01"},"action":{"type":"CHANGE_DATE",`+
		`"input":{"newDate":"2099-01-02"}}}`), http.StatusUnprocessableEntity, "body.matcher.type", "CYCLE only")
	agent.want(agent.send("POST", path, `{`), http.StatusBadRequest)
	agent.want(agent.send("POST", "/api/v1/subscriptions/nobody/adjustments", address), http.StatusNotFound)

	viewer := s.as("viewer")
	for _, list := range []string{path, "/api/v1/adjustments?status=pending"} {
		agent.want(agent.get(list), http.StatusOK, "1 Pier")
		if got := viewer.get(list); got.status != http.StatusOK || strings.Contains(got.body, "Pier") {
			t.Errorf("a viewer sees %d %s", got.status, got.body)
		}
	}
	viewer.want(viewer.send("POST", path, address), http.StatusForbidden)
	agent.want(agent.get("/api/v1/subscriptions/"+sub.ID+"/forecast"), http.StatusOK,
		`"shipment":3`, "send it to another address", `"ends_term":true`)

	id := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(created.body)[1]
	viewer.want(viewer.send("DELETE", path+"/"+id, nil), http.StatusForbidden)
	agent.want(agent.send("DELETE", path+"/"+id, nil), http.StatusOK, `"status":"canceled"`)
	agent.want(agent.send("DELETE", path+"/none", nil), http.StatusNotFound)
	if got := agent.get(path); strings.Contains(got.body, "Pier") {
		t.Errorf("the address of one that was taken back is kept: %s", got.body)
	}
	for range 3 {
		agent.want(agent.send("POST", path, `{"matcher":{"type":"CYCLE","shipment":6},"action":{"type":"SKIP_ORDER",`+
			`"input":{"reason":"away"}}}`), http.StatusCreated)
	}
	first := agent.get("/api/v1/adjustments?limit=2")
	next := regexp.MustCompile(`"next":"([^"]+)"`).FindStringSubmatch(first.body)
	if next == nil {
		t.Fatalf("the list was cut and does not say so: %s", first.body)
	}
	rest := agent.get("/api/v1/adjustments?limit=2&cursor=" + url.QueryEscape(next[1]))
	if n := strings.Count(rest.body, `"id":`); rest.status != http.StatusOK || n != 2 {
		t.Errorf("the next part: %d rows, %s", n, rest.body)
	}
	agent.want(agent.get("/api/v1/adjustments?cursor=x"), http.StatusUnprocessableEntity, "cursor")
}

// The forms of the page do the same.
func TestAdjustOnThePage(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	sub := s.subscribe("SIX", "customer-1")
	s.place(sub)
	agent := s.signedIn("agent")
	path := "/subscriptions/" + sub.ID
	page := agent.get(path)
	agent.want(page, http.StatusOK, "Change product", "Give a discount", "Move an order", "Send elsewhere")
	forms := []url.Values{
		{"type": {"product"}, "shipment": {"2"}, "product": {"MINT"}, "quantity": {"2"}},
		{"type": {"discount"}, "shipment": {"2"}, "percentage": {"12.5"}, "title": {"Sorry <b>"}},
		{"type": {"skip"}, "shipment": {"5"}, "reason": {"away"}},
	}
	for _, form := range forms {
		got := agent.send("POST", path+"/adjustments", form)
		if got.status != http.StatusSeeOther {
			t.Fatalf("%v: %d %s", form, got.status, got.body)
		}
		agent.want(agent.get(got.header.Get("Location")), http.StatusOK, "Saved")
	}
	s.settle()
	agent.want(agent.get(path), http.StatusOK, "product MINT, quantity 2", "12.5 % off", "applied", "pending", "Take back")
	if got := s.sim.Incentives(); len(got) != 1 || got[0].Name != "Sorry <b>" || got[0].Value != "12.50" {
		t.Errorf("discounts: %+v", got)
	}
	agent.want(agent.send("POST", path+"/adjustments", url.Values{"type": {"skip"}, "shipment": {"1"}, "reason": {"x"}}),
		http.StatusConflict, "shipment 1 was made already")
	bad := url.Values{"type": {"skip"}, "shipment": {"many"}, "reason": {"x"}}
	agent.want(agent.send("POST", path+"/adjustments", bad), http.StatusConflict,
		"got string, want integer")
	agent.want(agent.get(path+"/remote"), http.StatusOK, "To come", "shipment 6", "ends the term")
	back := regexp.MustCompile(`action="([^"]+/adjustments/[^"]+/cancel)"`).FindStringSubmatch(agent.get(path).body)
	if got := agent.send("POST", back[1], url.Values{}); got.status != http.StatusSeeOther {
		t.Errorf("taking it back: %d %s", got.status, got.body)
	}
	agent.want(agent.get(path), http.StatusOK, "taken back by agent")

	viewer := s.signedIn("viewer")
	if got := viewer.get(path); strings.Contains(got.body, "Change product") || strings.Contains(got.body, "Take back") {
		t.Error("a viewer is offered to adjust")
	}
	viewer.want(viewer.send("POST", path+"/adjustments", forms[0]), http.StatusForbidden)
}
