package ordergroove_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/testdata"
)

const prepaid = `{"prepaid_orders_remaining":2,"renewal_behavior":"autorenew"}`

// changeCases has a case for each operation.
var changeCases = []struct {
	name   string
	sub    sim.NewSubscription
	change func(id string) ordergroove.Change
}{
	{
		name: "update",
		sub:  sim.NewSubscription{Product: "GIFT", ExtraData: json.RawMessage(`{"old":1}`)},
		change: func(id string) ordergroove.Change {
			data, _ := ordergroove.ParseExtraData(json.RawMessage(foreignData))
			return ordergroove.UpdateExtraData(id, data.With("hide", json.RawMessage("true")))
		},
	},
	{
		name:   "cancel",
		sub:    sim.NewSubscription{Product: "GIFT"},
		change: func(id string) ordergroove.Change { return ordergroove.CancelSubscription(id, "1|Gift complete") },
	},
	{
		name:   "change product",
		sub:    sim.NewSubscription{Product: "GIFT"},
		change: func(id string) ordergroove.Change { return ordergroove.ChangeProduct(id, `COFFEE "&"`) },
	},
	{
		name:   "change renewal behavior",
		sub:    sim.NewSubscription{Product: "GIFT", Prepaid: json.RawMessage(prepaid)},
		change: ordergroove.EndAtRenewal,
	},
	{
		name: "change frequency",
		sub:  sim.NewSubscription{Product: "GIFT"},
		change: func(id string) ordergroove.Change {
			return ordergroove.ChangeFrequency(id, ordergroove.Frequency{Every: 2, Period: 2})
		},
	},
}

// What Apply predicts is what the simulator answers, whatever the form of extra_data.
func TestChangeApplyPredictsAnswer(t *testing.T) {
	covered := map[ordergroove.Operation]bool{}
	for _, form := range []string{"object", "string"} {
		for _, test := range changeCases {
			t.Run(test.name+", extra_data as "+form, func(t *testing.T) {
				simulator := sim.New(sim.Options{
					Key: canaryKey, Payloads: testdata.Webhooks(), ExtraDataAsText: form == "string",
				})
				client := newClient(t, simulator)
				sub, err := simulator.Subscribe(test.sub)
				if err != nil {
					t.Fatal(err)
				}
				before, err := client.Subscription(t.Context(), sub.ID)
				if err != nil {
					t.Fatal(err)
				}
				change := test.change(sub.ID)
				covered[change.Operation] = true
				got := change.Apply(before)
				answer, err := client.Do(t.Context(), change)
				if err != nil {
					t.Fatal(err)
				}
				want := answer.Subscription
				if diff := cmp.Diff(withObject(t, want), withObject(t, got)); diff != "" {
					t.Errorf("Apply (-simulator +predicted):\n%s", diff)
				}
				if cmp.Equal(withObject(t, before), withObject(t, want)) {
					t.Error("the change changed nothing")
				}
			})
		}
	}
	if len(covered) != ordergroove.OperationCount {
		t.Errorf("%d operations are tested, want all %d", len(covered), ordergroove.OperationCount)
	}
}

// withObject returns the subscription with its extra_data as an object, to compare both forms.
func withObject(t *testing.T, s ordergroove.Subscription) ordergroove.Subscription {
	t.Helper()
	data, err := ordergroove.ParseExtraData(s.ExtraData)
	if err != nil {
		t.Fatal(err)
	}
	s.ExtraData = data.Object()
	return s
}

func TestChangeApplyKeepsOriginal(t *testing.T) {
	before := ordergroove.Subscription{
		ID:        "s1",
		Product:   "GIFT",
		ExtraData: json.RawMessage(`{"a":1}`),
		Live:      true,
		Prepaid:   &ordergroove.Prepaid{RenewalBehavior: "autorenew"},
	}
	for _, test := range changeCases {
		test.change("s1").Apply(before)
	}
	if string(before.ExtraData) != `{"a":1}` || before.Prepaid.RenewalBehavior != "autorenew" {
		t.Errorf("Apply changed its argument: %+v, %+v", before, before.Prepaid)
	}
}

func TestDoRejectsUnknownOperation(t *testing.T) {
	s := serve(t, answer(200, live))
	if _, err := s.Do(t.Context(), ordergroove.Change{Operation: "merge", ID: "s1"}); err == nil || len(s.take()) != 0 {
		t.Errorf("Do = %v, want an error and no request", err)
	}
}
