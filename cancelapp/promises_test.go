package cancelapp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/store"
)

// reloadTerms puts other terms in force.
func reloadTerms(t *testing.T, b *apptest.Bubble, terms ...counter.Term) {
	t.Helper()
	file, err := counter.NewTerms(counter.Keys{}, terms)
	if err != nil {
		t.Fatal(err)
	}
	b.Terms = file
	b.App.Reload(cancelapp.Rules{Terms: file})
}

// A product is sold no more: its SKU leaves the term, which stays in termed.yaml. Its enrollments end as was promised.
func TestSKULeavesItsTerm(t *testing.T) {
	for _, what := range []counter.OnComplete{counter.ReleaseAtEnd, counter.RenewAtEnd} {
		t.Run(string(what), func(t *testing.T) {
			t.Logf("FAULT | a SKU is taken out of a term with on_complete: %s | I4: its enrollments end as they were sold", what)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				b.Reload(func(term *counter.Term) { term.OnComplete = what }, nil)
				sub := b.Gift()
				b.Settle()
				b.Place(sub)
				b.Settle()
				gift, _ := b.Terms.Of("GIFT-3MO")
				gift.SKUs = []string{"GIFT-3MO-2027"}
				reloadTerms(t, b, gift)
				b.Place(sub)
				b.Settle()
				if now := b.Observed(sub); !now.Live || now.Cancels > 0 {
					t.Errorf("live %v, canceled %d times; it was sold to go on", now.Live, now.Cancels)
				}
			})
		})
	}
}

// A whole term leaves termed.yaml: what comes at its end is not guessed, and a person hears of it.
func TestTermLeaves(t *testing.T) {
	t.Log("FAULT | a term is taken out of termed.yaml | I4: at zero its enrollments need attention," +
		" and nothing is guessed")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Reload(func(term *counter.Term) { term.OnComplete = counter.ReleaseAtEnd }, nil)
		gift, _ := b.Terms.Of("GIFT-3MO")
		sub := b.Gift()
		b.Settle()
		b.Place(sub)
		b.Settle()
		six, _ := b.Terms.Of("SIX")
		reloadTerms(t, b, six)
		b.Place(sub)
		b.Settle()
		if now := b.Observed(sub); !now.Live || now.Cancels > 0 {
			t.Errorf("live %v, canceled %d times; what its end is to be is not known", now.Live, now.Cancels)
		}
		recorded := b.Recorded(sub)
		if recorded.State != counter.Attention || !strings.Contains(recorded.Reason, "no longer in termed.yaml") {
			t.Errorf("%s: %s", recorded.State, recorded.Reason)
		}
		reloadTerms(t, b, six, gift)
		b.Retry(sub)
		b.Settle()
		if recorded := b.Recorded(sub); recorded.State != counter.Released {
			t.Errorf("listed again: %s, %s", recorded.State, recorded.Reason)
		}
	})
}

// A swap that cannot be carried out yet is not forgotten.
func TestSwapWhileInAttention(t *testing.T) {
	for _, test := range []struct {
		name  string
		hurt  func(b *apptest.Bubble, sub sim.Subscription) error
		mend  func(b *apptest.Bubble, sub sim.Subscription) error
		fault string
	}{
		{"counter", func(b *apptest.Bubble, sub sim.Subscription) error {
			return b.Sim.Edit(sub.ID, json.RawMessage(`{"mine":1.10,"fulfillment_counter":"two","termed":"true"}`))
		}, func(b *apptest.Bubble, sub sim.Subscription) error {
			return b.Sim.Edit(sub.ID, json.RawMessage(`{"mine":1.10,"fulfillment_counter":"2","termed":"true"}`))
		}, "its counter is text"},
		{"items", func(b *apptest.Bubble, _ sim.Subscription) error {
			b.Sim.Break(sim.Fault{
				Method: "GET",
				Path:   "/items/",
				Status: 400,
				Body:   `{"detail":"Not now."}`,
				Times:  1,
			})
			return nil
		}, func(*apptest.Bubble, sim.Subscription) error { return nil }, "its placed orders cannot be asked for"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Logf("FAULT | a subscription is swapped while %s | I2: it takes the length of the new term once that is mended",
				test.fault)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				sub := b.Gift()
				b.Settle()
				if err := test.hurt(b, sub); err != nil {
					t.Fatal(err)
				}
				if err := b.Sim.Swap(sub.ID, "SIX"); err != nil {
					t.Fatal(err)
				}
				b.File()
				b.Settle()
				if recorded := b.Recorded(sub); recorded.State != counter.Attention || recorded.SKU != "GIFT-3MO" {
					t.Fatalf("%s, %s: want it in attention with the product that it had", recorded.State, recorded.SKU)
				}
				if err := test.mend(b, sub); err != nil {
					t.Fatal(err)
				}
				b.Retry(sub)
				b.Settle()
				if recorded := b.Recorded(sub); recorded.Term != "Program" || recorded.OrdersDue != 5 {
					t.Errorf("%s, %d orders due; want the Program's 5", recorded.Term, recorded.OrdersDue)
				}
			})
		})
	}
}

// Ordergroove refuses for good to have extra_data written: the subscription is canceled all the same, and hidden as
// soon as that is possible.
func TestEndWithoutWrite(t *testing.T) {
	t.Log("FAULT | Ordergroove refuses for good to write extra_data (400) | I4: canceled within ten minutes of its last" +
		" order, hidden within a day of the mend")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		b.Place(sub)
		b.Settle()
		b.Sim.Break(sim.Fault{
			Method: "PATCH", Path: "/update/", Status: 400, Body: `{"extra_data":["No more than 65535 characters."]}`,
		})
		b.Place(sub)
		time.Sleep(10 * time.Minute)
		if now := b.Observed(sub); now.Live || now.Cancels != 1 {
			t.Errorf("ten minutes later: live %v, canceled %d times", now.Live, now.Cancels)
		}
		recorded := b.Recorded(sub)
		if recorded.State != counter.Attention || !strings.Contains(recorded.Reason, "65535 characters") {
			t.Errorf("%s: %s; want it in attention, with Ordergroove's words", recorded.State, recorded.Reason)
		}
		before := b.Calls(http.MethodPatch)
		b.Stop()
		b.Start(cancelapp.Options{Idle: time.Minute}) // days of fake time are many queries
		time.Sleep(25 * time.Hour)
		if n := b.Calls(http.MethodPatch) - before; n < 1 || n > 6 {
			t.Errorf("%d changes were tried in a day, want it tried about once", n)
		}
		b.Sim.ClearFaults()
		time.Sleep(25 * time.Hour)
		b.JudgeGift(sub)
		if recorded := b.Recorded(sub); recorded.State != counter.Completed {
			t.Errorf("in the end: %s", recorded.State)
		}
	})
}

// Ordergroove spells a value in another way than it was written: that is right enough to go on.
func TestHideSpelledOtherwise(t *testing.T) {
	t.Log("FAULT | Ordergroove answers hide as the text \"true\" | I4: canceled at once; the spelling is mended" +
		" once a day")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		b.Place(sub)
		b.Settle()
		time.Sleep(time.Minute)
		spelled := fmt.Sprintf(`{"public_id":%q,"customer":"c","product":"GIFT-3MO","live":true,`+
			`"extra_data":{"mine":1.10,"fulfillment_counter":"0","termed":"true","hide":"true"}}`, sub.ID)
		b.Sim.Break(sim.Fault{
			Method:      "PATCH",
			Path:        "/update/",
			Status:      200,
			TakesEffect: true,
			Body:        spelled,
		})
		before := b.Calls(http.MethodPatch)
		b.Place(sub)
		time.Sleep(time.Minute)
		if now := b.Observed(sub); now.Live || now.Cancels != 1 {
			t.Errorf("live %v, canceled %d times", now.Live, now.Cancels)
		}
		if n := b.Calls(http.MethodPatch) - before; n > 3 {
			t.Errorf("%d changes, want the write, one to mend the spelling, and the cancel", n)
		}
		b.Sim.ClearFaults()
	})
}

// The items of a placed order are not there yet when they are asked for: they are asked for again.
func TestOrderWithoutItems(t *testing.T) {
	t.Log("FAULT | Ordergroove lists no items of a placed order yet | I1 I2: it is asked again")
	apptest.Run(t, sim.Options{Snapshot: "none"}, func(t *testing.T, b *apptest.Bubble) {
		sub := b.Gift()
		b.Settle()
		none := sim.Fault{
			Method: "GET",
			Path:   "/items/",
			Status: 200,
			Body:   `{"next":null,"results":[]}`,
			Times:  3,
		}
		b.Sim.Break(none)
		b.Place(sub)
		time.Sleep(time.Minute)
		b.JudgeGift(sub)

		none.Times = 0
		b.Sim.Break(none)
		b.Place(sub)
		time.Sleep(90 * time.Minute)
		dead, err := b.DB.Events(t.Context(), store.EventFilter{Status: ledger.EventDead}, 10)
		if err != nil || len(dead) != 1 || !strings.Contains(dead[0].LastError, "lists no items of it") {
			t.Fatalf("an order that has no items after an hour is for a person to look at: %v, %v", dead, err)
		}
		b.Sim.ClearFaults()
		q := store.EventQuery{ID: dead[0].ID}
		if _, err := b.DB.RetryEvents(t.Context(), q, time.Now().UnixMilli(), nil); err != nil {
			t.Fatal(err)
		}
		b.Settle()
		b.JudgeGift(sub)
	})
}

// A proxy in between answers 404 for a while: that says nothing about the subscriptions.
func TestForeign404(t *testing.T) {
	t.Log("FAULT | a proxy answers 404 with HTML for 10 s while last orders are placed | I4 I13: all ended" +
		" within 16 s of it")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		gifts := []sim.Subscription{b.Gift(), b.Gift(), b.Gift()}
		b.Settle()
		b.Place(gifts...)
		b.Settle()
		b.Sim.Break(sim.Fault{Status: 404, Body: "<html>nginx: no such upstream</html>"})
		b.Place(gifts...)
		time.Sleep(10 * time.Second)
		b.Sim.ClearFaults()
		time.Sleep(16 * time.Second)
		for _, gift := range gifts {
			b.JudgeGift(gift)
		}
		nothingDead(t, b)
	})
}

// A read that is older than our own cancel is not taken for a reactivation.
func TestReadBehindOurCancel(t *testing.T) {
	for _, policy := range []counter.OnReactivation{counter.Block, counter.NewTerm, counter.ReleaseReactivation} {
		t.Run(string(policy), func(t *testing.T) {
			t.Logf("FAULT | a read is seconds behind our own cancel, on_reactivation: %s | I4: it is read again", policy)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				b.Reload(func(term *counter.Term) { term.OnReactivation = policy }, nil)
				sub := b.Gift()
				b.Settle()
				b.Place(sub)
				b.Settle()
				time.Sleep(time.Minute)
				old := ""
				b.Sim.Break(sim.Fault{Method: "PATCH", Path: "/cancel/", Before: func() {
					old = fmt.Sprintf(`{"public_id":%q,"customer":"c","product":"GIFT-3MO","extra_data":%s,"live":true}`,
						sub.ID, b.Observed(sub).ExtraData)
				}})
				b.Place(sub)
				time.Sleep(500 * time.Millisecond)
				b.Sim.ClearFaults()
				if now := b.Observed(sub); now.Live {
					t.Fatal("it is not canceled yet")
				}
				b.Sim.Break(sim.Fault{
					Method:    "GET",
					Path:      "/subscriptions/" + sub.ID + "/",
					WholePath: true,
					Status:    200,
					Body:      old,
					Times:     1,
				})
				b.Retry(sub)
				b.Settle()
				b.JudgeGift(sub)
				if recorded := b.Recorded(sub); recorded.State != counter.Completed || recorded.Number != 1 {
					t.Errorf("%s, enrollment %d\n%s", recorded.State, recorded.Number, b.Journal(sub))
				}
			})
		})
	}
}

// An agent changes the counter, and several orders are placed before the next sync: both count.
func TestEditAroundSeveralOrders(t *testing.T) {
	for name, announced := range map[string]int{"both orders announced": 2, "one webhook lost": 1} {
		t.Run(name, func(t *testing.T) {
			t.Logf("FAULT | an agent adds two shipments, two orders are placed before the next sync, %s | I2", name)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				sub := b.Subscribe("SIX")
				b.Settle()
				b.Stop()
				edited := json.RawMessage(`{"mine":1.10,"fulfillment_counter":"7","termed":"true"}`)
				if err := b.Sim.Edit(sub.ID, edited); err != nil {
					t.Fatal(err)
				}
				for range 2 - announced {
					b.PlaceUnannounced(sub)
				}
				for range announced {
					b.Place(sub)
				}
				b.Start(cancelapp.Options{})
				b.Settle()
				b.Judge(sub, 7) // five were due, and two were added
			})
		})
	}
}

// The database is brought back from a copy: the counter in extra_data was written after that, by ourselves, and is not
// taken for an edit.
func TestCounterFromAfterTheCopy(t *testing.T) {
	for _, test := range []struct {
		name              string
		counted, lost     int // orders before the copy was brought back: in the counter, and not
		announcedAfter    int
		remaining, placed int
	}{
		{"three orders counted, one not", 3, 1, 0, 1, 4},
		{"one order not, and another announced after it", 1, 1, 1, 2, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Logf("FAULT | the database is brought back from a copy; since then %s | I2", test.name)
			apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
				sub := b.Subscribe("SIX")
				b.Settle()
				b.Stop()
				time.Sleep(48 * time.Hour)
				for range test.counted + test.lost {
					b.PlaceUnannounced(sub)
					time.Sleep(30 * 24 * time.Hour)
				}
				written := fmt.Sprintf(`{"mine":1.10,"fulfillment_counter":"%d","termed":"true"}`, 5-test.counted)
				if err := b.Sim.Edit(sub.ID, json.RawMessage(written)); err != nil {
					t.Fatal(err)
				}
				b.Start(cancelapp.Options{})
				for range test.announcedAfter {
					b.Place(sub)
				}
				b.Retry(sub)
				b.Settle()
				if now, _ := b.Observed(sub).Counter(); now != fmt.Sprint(test.remaining) {
					t.Errorf("the counter is %s, want %d\n%s", now, test.remaining, b.Journal(sub))
				}
			})
		})
	}
}

// unfiltered is a transport to an Ordergroove that ignores one of the filters that items are asked for by.
type unfiltered struct {
	http.RoundTripper
	filter string
}

func (u unfiltered) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/items/" {
		r = r.Clone(r.Context())
		query := r.URL.Query()
		query.Del(u.filter)
		r.URL.RawQuery = query.Encode()
	}
	return u.RoundTripper.RoundTrip(r)
}

// An order that is still to come is not counted, whatever the filter of the list did.
func TestFilterIgnored(t *testing.T) {
	t.Log("FAULT | Ordergroove ignores the status that a list of items is filtered by | I2: upcoming orders do not count")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		b.Client = b.NewClient(unfiltered{apptest.Direct{Handler: b.Sim.Handler()}, "status"}, 0)
		b.Start(cancelapp.Options{})
		sub := b.GiftAnnouncedLate()
		b.Settle()
		b.JudgeGift(sub)
	})
}

// Items of another subscription in an answer are not ours.
func TestItemsOfOthers(t *testing.T) {
	t.Log("FAULT | Ordergroove ignores the subscription that a list of items is filtered by | I2: others' orders" +
		" do not count")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		b.Client = b.NewClient(unfiltered{apptest.Direct{Handler: b.Sim.Handler()}, "subscription"}, 0)
		b.Start(cancelapp.Options{})
		other := b.Subscribe("SIX")
		b.Settle()
		b.PlaceUnannounced(other)
		sub := b.GiftAnnouncedLate()
		b.Settle()
		b.JudgeGift(sub)
		// Recorded in passing, it would count and never be written.
		if found, err := b.DB.Shipments(t.Context(), other.ID); err != nil || len(found) > 0 {
			t.Errorf("a sync of one subscription recorded the order of another: %v, %v", found, err)
		}
	})
}

// restless is a transport to an Ordergroove whose answer to each write is another counter, and lacks a key.
type restless struct {
	http.RoundTripper
	writes atomic.Int32
}

func (r *restless) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := r.RoundTripper.RoundTrip(request)
	if err != nil || request.Method != http.MethodPatch {
		return answer, err
	}
	_ = answer.Body.Close()
	n := r.writes.Add(1)
	id := strings.Split(request.URL.Path, "/")[2]
	body := fmt.Sprintf(`{"public_id":%q,"customer":"c","product":"GIFT-3MO","live":true,`+
		`"extra_data":{"fulfillment_counter":"%d"}}`, id, 10+n)
	answer.Body = io.NopCloser(strings.NewReader(body))
	return answer, nil
}

// A subscription that somebody keeps changing does not hold a worker for ever.
func TestSyncIsBounded(t *testing.T) {
	t.Log("FAULT | somebody changes a subscription after each of our changes | I7: a sync ends, and is made again later")
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		b.Stop()
		busy := &restless{RoundTripper: apptest.Direct{Handler: b.Sim.Handler()}}
		b.Client = b.NewClient(busy, 0)
		b.Start(cancelapp.Options{})
		sub := b.Gift()
		time.Sleep(500 * time.Millisecond)
		if n := busy.writes.Load(); n < 2 || n > 8 {
			t.Errorf("%d writes in one sync", n)
		}
		if recorded := b.Recorded(sub); recorded.Attempts != 1 || !strings.Contains(recorded.Error, "keeps changing") {
			t.Errorf("%d attempts: %s", recorded.Attempts, recorded.Error)
		}
	})
}
