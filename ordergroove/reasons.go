package ordergroove

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
)

// CancelReason is one that a shop offers for a cancellation.
type CancelReason struct {
	Code string
	Text string
}

// StandardCancelReasons are Ordergroove's own (contract, section 3, "Standard cancel reason codes"); a shop can have
// others.
var StandardCancelReasons = []CancelReason{
	{"1", "Other"},
	{"2", "Overstocked"},
	{"3", "Product not in use"},
	{"8", "Too expensive"},
	{"9", "Disengaged"},
	{"15", "Tried it and does not like it"},
	{"22", "Switches to another product"},
	{"31", "Trouble managing it online"},
	{"70", "No longer uses it"},
}

// CancelReasons reads the cancel reasons of the shop (contract, section 2). The contract says nothing of the answer's
// form, so every usual one is read; another is ErrUnreadable.
func (c *Client) CancelReasons(ctx context.Context) ([]CancelReason, error) {
	r := request{doing: "asking for the cancel reasons", method: http.MethodGet, url: c.base.JoinPath(PingPath)}
	body, err := c.send(ctx, c.reads, r)
	if err != nil {
		return nil, err
	}
	reasons := readCancelReasons(body)
	if len(reasons) == 0 {
		return nil, unavailable(r.what(), ErrUnreadable)
	}
	return reasons, nil
}

// readCancelReasons reads a list, or an object with one.
func readCancelReasons(body []byte) []CancelReason {
	var page struct {
		Results       json.RawMessage `json:"results"`
		CancelReasons json.RawMessage `json:"cancel_reasons"`
	}
	list := json.RawMessage(body)
	if json.Unmarshal(body, &page) == nil {
		if list = page.Results; list == nil {
			list = page.CancelReasons
		}
	}
	var entries []struct {
		Code        text `json:"code"`
		ReasonCode  text `json:"reason_code"`
		Reason      text `json:"reason"`
		Text        text `json:"text"`
		Description text `json:"description"`
		Name        text `json:"name"`
	}
	if json.Unmarshal(list, &entries) != nil {
		return nil
	}
	var reasons []CancelReason
	for _, e := range entries {
		reason := CancelReason{
			Code: printable(string(cmp.Or(e.Code, e.ReasonCode))),
			Text: printable(string(cmp.Or(e.Reason, e.Text, e.Description, e.Name))),
		}
		if reason.Code != "" {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}
