package counter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/termed/termed/counter"
)

// What an operator may do to one that waits or is released, refusals first.
func TestOperator(t *testing.T) {
	enroll := func(s counter.Subscription) (counter.Subscription, error) { return counter.Enroll(s, true) }
	enrollUntermed := func(s counter.Subscription) (counter.Subscription, error) { return counter.Enroll(s, false) }
	setFive := func(s counter.Subscription) (counter.Subscription, error) { return counter.SetLength(s, 5) }
	byOperator := func(s *counter.Subscription) {
		s.State = counter.Released
		s.ClosedAs = counter.ClosedReleased
		s.ClosedAt = 1
	}
	releasing := func(s *counter.Subscription) { s.ClosedAs = counter.ClosedReleased }
	unapproved := func(s *counter.Subscription) { s.Permission.Approval = counter.ApprovalNeeded }
	awaiting := func(s *counter.Subscription) {
		unapproved(s)
		s.State = counter.AwaitingApproval
	}
	throttled := func(s *counter.Subscription) { s.State = counter.Throttled }
	unshipped := func(s *counter.Subscription) {
		s.State = counter.Attention
		s.Reason = counter.UnshippedZero
	}
	for _, test := range []struct {
		name string
		do   func(counter.Subscription) (counter.Subscription, error)
		sub  counter.Subscription
		want string // state and approval; or why it is refused
	}{
		{"enroll one that is active", enroll, subscribed(), "it is not released"},
		{"enroll one whose product left its term", enroll, subscribed(released), "it was not released by an operator"},
		{"enroll one in no term", enrollUntermed, subscribed(byOperator), "its product GIFT is in no term"},
		{"enroll", enroll, subscribed(byOperator), "ended "},
		{"enroll before the release is carried out", enroll, subscribed(releasing), "active "},
		{"enroll one that nobody approved", enroll, subscribed(byOperator, unapproved), "ended needed"},

		{"approve one that is active", counter.Approve, subscribed(), "it needs no approval"},
		{"approve one that is released", counter.Approve, subscribed(byOperator, unapproved), "it is released"},
		{"approve one that is about to be released", counter.Approve, subscribed(awaiting, releasing), "it is released"},
		{"approve one that is running", counter.Approve, subscribed(unapproved), "active given"},
		{"approve one that is complete", counter.Approve, subscribed(awaiting), "completing given"},
		{"approve one that is throttled", counter.Approve, subscribed(throttled), "completing given"},
		{"approve a zero that nobody shipped", counter.Approve, subscribed(unshipped), "attention given"},

		{"a length for one that was never synced", setFive, subscribed(enrolled), "it was not synced yet"},
		{"a length for one that nobody approved", setFive, subscribed(awaiting), "completing given"},
		{"a length for a zero that nobody shipped", setFive, subscribed(unshipped), "it needs attention first"},
	} {
		t.Run(test.name, func(t *testing.T) {
			after, err := test.do(test.sub)
			got := string(after.State) + " " + string(after.Permission.Approval)
			if err != nil {
				got = err.Error()
			}
			if errors.Is(err, counter.ErrRefused) != (err != nil) || !strings.Contains(got, test.want) ||
				err == nil && got != test.want {
				t.Errorf("%s; want %s", got, test.want)
			}
		})
	}
}
