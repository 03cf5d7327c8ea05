package agent_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
)

// scene is a bubble with an Agent at work on a gift that has had one recurring order.
type scene struct {
	*apptest.Bubble
	*testing.T
	sub   sim.Subscription
	agent *agent.Agent
}

func run(t *testing.T, test func(*scene)) {
	t.Helper()
	apptest.Run(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		d := &scene{Bubble: b, T: t, sub: b.Gift()}
		b.Settle()
		b.Place(d.sub)
		b.Settle()
		d.agent = agent.New(b.App, b.DB, agent.Options{Now: b.Clock.Now})
		stop := b.Go(d.agent.Run)
		defer stop()
		test(d)
	})
}

func (d *scene) request(kind ledger.ActionKind) agent.Request {
	r := agent.Request{Key: "k1", Subscription: d.sub.ID, Kind: kind, Actor: "agent-7"}
	if kind == ledger.ActionCancel {
		r.Reason = "8|Too expensive"
	}
	return r
}

func (d *scene) do(r agent.Request) (ledger.Action, error) {
	d.Helper()
	return d.agent.Do(d.Context(), r)
}

// upcoming is the order that Ordergroove would place next.
func (d *scene) upcoming() string {
	d.Helper()
	orders, err := d.App.API().Orders(d.Context(), d.sub.ID, ordergroove.StatusUnsent)
	if err != nil {
		d.Fatal(err)
	}
	id, _ := cancelapp.NextOrder(orders)
	return id
}

// sent is how many changes of a kind reached Ordergroove since the last call of it.
func (d *scene) sent(path string) int {
	n := 0
	for _, call := range d.Sim.Calls() {
		if call.Method == http.MethodPatch && strings.Contains(call.Path, path) {
			n++
		}
	}
	return n
}

func (d *scene) wantStatus(got ledger.Action, want ledger.ActionStatus) {
	d.Helper()
	if got.Status != want {
		d.Errorf("the action is %s (%s), want %s\n%s", got.Status, got.Detail, want, d.Journal(d.sub))
	}
}

func (d *scene) wantEntry(parts ...string) {
	d.Helper()
	for _, e := range d.Entries(d.sub) {
		line := fmt.Sprintf("%s %s: %s → %s: %s", e.Actor, e.What, e.Before, e.After, e.Reason)
		if line == strings.Join(parts, "") {
			return
		}
	}
	d.Errorf("the journal does not say %q:\n%s", strings.Join(parts, ""), d.Journal(d.sub))
}

func TestCancel(t *testing.T) {
	run(t, func(d *scene) {
		done, err := d.do(d.request(ledger.ActionCancel))
		if err != nil {
			t.Fatal(err)
		}
		d.wantStatus(done, ledger.ActionDone)
		d.Settle()
		if now := d.Observed(d.sub); now.Live || now.Cancels != 1 {
			t.Errorf("live %v after %d cancels", now.Live, now.Cancels)
		}
		got := d.Recorded(d.sub)
		if got.State != counter.Ended || got.Reason != "canceled by agent-7 with 1 to go" ||
			got.ClosedAs != counter.ClosedCanceled {
			t.Errorf("it is %s: %s, closed as %s", got.State, got.Reason, got.ClosedAs)
		}
		d.wantEntry("agent-7 cancel: live → canceled: 8|Too expensive")
		d.File() // Ordergroove announces it, too
		d.Settle()
		if got := d.Recorded(d.sub); got.Reason != "canceled by agent-7 with 1 to go" {
			t.Errorf("after the webhook it is %s: %s", got.State, got.Reason)
		}
	})
}

func TestSkip(t *testing.T) {
	run(t, func(d *scene) {
		before := d.Recorded(d.sub).Remaining()
		shown := d.upcoming()
		r := d.request(ledger.ActionSkip)
		r.Order = shown
		done, err := d.do(r)
		if err != nil {
			t.Fatal(err)
		}
		d.wantStatus(done, ledger.ActionDone)
		d.File()
		d.Settle()
		next := d.upcoming()
		if next == shown || next == "" {
			t.Errorf("the next order is %q, want another than %s", next, shown)
		}
		d.wantEntry("agent-7 skip: ", shown, " → ", next, ": ")
		if after := d.Recorded(d.sub).Remaining(); after != before {
			t.Errorf("%d remain after a skip, want %d", after, before)
		}
		// The order that comes in its place counts, and the term ends with it.
		d.Place(d.sub)
		d.Settle()
		d.JudgeGift(d.sub)
	})
}

// The refusals: nothing is sent, and nothing is recorded.
func TestRefused(t *testing.T) {
	observe := func(d *scene) { d.App.Reload(cancelapp.Rules{Terms: d.Terms, Observe: true}) }
	pause := func(d *scene) {
		pause := ledger.Pause{Since: d.Clock.Now().UnixMilli(), Actor: "x", Reason: "y"}
		if _, err := d.DB.Pause(d.Context(), pause); err != nil {
			d.Fatal(err)
		}
	}
	canceled := func(d *scene) {
		if err := d.Sim.CancelByAgent(d.sub.ID); err != nil {
			d.Fatal(err)
		}
	}
	both := []ledger.ActionKind{ledger.ActionCancel, ledger.ActionSkip}
	for _, test := range []struct {
		name  string
		set   func(*scene)
		kinds []ledger.ActionKind
		order string
		want  string
	}{
		{"not live", canceled, both, "", "the subscription is not active at Ordergroove"},
		{"observe mode", observe, both, "", "mode is observe: nothing is changed at Ordergroove"},
		{"paused", pause, both, "", "all changes at Ordergroove are paused"},
		{"another order is upcoming", func(*scene) {}, both[1:], "order-of-yesterday", "another order is upcoming by now"},
	} {
		for _, kind := range test.kinds {
			t.Run(test.name+" "+string(kind), func(t *testing.T) {
				run(t, func(d *scene) {
					test.set(d)
					r := d.request(kind)
					r.Order = test.order
					_, err := d.do(r)
					if !errors.Is(err, counter.ErrRefused) || !strings.Contains(err.Error(), test.want) {
						d.Errorf("Do = %v, want refused: %s", err, test.want)
					}
					if n := d.sent("/cancel/") + d.sent("/skip_subscription/"); n != 0 {
						d.Errorf("%d changes were sent", n)
					}
					if _, found, err := d.DB.Action(d.Context(), "k1"); found || err != nil {
						d.Errorf("the action was recorded: %v, %v", found, err)
					}
				})
			})
		}
	}
}

// Ordergroove's explanation is shown, and nothing is tried again.
func TestOrdergrooveRefuses(t *testing.T) {
	for kind, path := range paths {
		t.Run(string(kind), func(t *testing.T) {
			run(t, func(d *scene) {
				const refusal = `{"subscription":["Not while it is on hold."]}`
				d.Sim.Break(sim.Fault{Method: "PATCH", Path: path, Status: 400, Body: refusal})
				failed, err := d.do(d.request(kind))
				if err != nil {
					d.Fatal(err)
				}
				d.wantStatus(failed, ledger.ActionFailed)
				if failed.Detail != "subscription: Not while it is on hold." {
					d.Errorf("it says %q", failed.Detail)
				}
				d.Sim.ClearFaults()
				d.Settle()
				if got := d.Recorded(d.sub); got.State != counter.Active || got.CanceledBy != "" {
					d.Errorf("it is %s, canceled by %q", got.State, got.CanceledBy)
				}
				again, err := d.do(d.request(kind))
				if err != nil || again != failed {
					d.Errorf("the same request again: %+v, %v; want the same answer", again, err)
				}
				d.wantEntry("agent-7 ", string(kind), " failed: ", d.entryBefore(kind),
					" → : subscription: Not while it is on hold.")
			})
		})
	}
}

var paths = map[ledger.ActionKind]string{ledger.ActionCancel: "/cancel/", ledger.ActionSkip: "/skip_subscription/"}

func (d *scene) entryBefore(kind ledger.ActionKind) string {
	if kind == ledger.ActionSkip {
		return d.upcoming()
	}
	return "live"
}

// A second click, a repeated request, and several at the same moment are one action.
func TestSecondClick(t *testing.T) {
	for kind, path := range paths {
		t.Run(string(kind), func(t *testing.T) {
			t.Logf("FAULT | a person clicks %s twice, and the same request comes again later | I14: one effect", kind)
			run(t, func(d *scene) {
				r := d.request(kind)
				r.Order = d.upcoming()
				var clicks sync.WaitGroup
				for range 3 {
					clicks.Go(func() {
						done, err := d.do(r)
						if err != nil || done.Status != ledger.ActionDone {
							d.Errorf("a click: %s, %v", done.Status, err)
						}
					})
				}
				clicks.Wait()
				if done, err := d.do(r); err != nil || done.Status != ledger.ActionDone {
					d.Errorf("the same request again: %s, %v", done.Status, err)
				}
				if n := d.sent(path); n != 1 {
					d.Errorf("%d calls, want one", n)
				}
				// Another key is another action: what the person saw is no longer so.
				r.Key = "k2"
				if _, err := d.do(r); !errors.Is(err, counter.ErrRefused) {
					d.Errorf("another action = %v, want it refused", err)
				}
				r.Key, r.Kind = "k1", otherKind(kind)
				if _, err := d.do(r); !errors.Is(err, ledger.ErrActionExists) {
					d.Errorf("another action with the same key = %v, want it refused", err)
				}
			})
		})
	}
}

func otherKind(kind ledger.ActionKind) ledger.ActionKind {
	if kind == ledger.ActionCancel {
		return ledger.ActionSkip
	}
	return ledger.ActionCancel
}

// No answer within 15 seconds: nothing more is sent, nobody is told that it failed, and what became of it is read.
func TestNoAnswerInTime(t *testing.T) {
	for kind, path := range paths {
		for _, test := range []struct {
			name  string
			fault sim.Fault
			want  ledger.ActionStatus
		}{
			{"it has no effect", sim.Fault{Delay: time.Minute}, ledger.ActionFailed},
			{"it has taken effect", sim.Fault{TakesEffect: true}, ledger.ActionDone},
			{"it takes effect later", sim.Fault{Delay: 40 * time.Second, TakesEffect: true}, ledger.ActionDone},
		} {
			t.Run(string(kind)+", "+test.name, func(t *testing.T) {
				t.Logf("FAULT | Ordergroove does not answer a %s within 15 s; %s | I14: unknown, then what is so", kind, test.name)
				run(t, func(d *scene) { d.noAnswer(kind, path, test.fault, test.want) })
			})
		}
	}
}

func (d *scene) noAnswer(kind ledger.ActionKind, path string, fault sim.Fault, want ledger.ActionStatus) {
	fault.Method, fault.Path = "PATCH", path
	d.Sim.Break(fault)
	began := time.Now()
	got, err := d.do(d.request(kind))
	if err != nil {
		d.Fatal(err)
	}
	if took := time.Since(began); took > agent.Timeout+10*time.Second {
		d.Errorf("it took %s", took)
	}
	if got.Status == ledger.ActionFailed || fault.Delay > 0 && got.Status != ledger.ActionUnknown {
		d.Errorf("it is %s", got.Status)
	}
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	d.Sim.ClearFaults()
	settled, _, err := d.DB.Action(d.Context(), "k1")
	if err != nil {
		d.Fatal(err)
	}
	d.wantStatus(settled, want)
	if n := d.sent(path); n != 1 {
		d.Errorf("%d calls were sent, want one: none after its time", n)
	}
}

// An order that was placed while nobody knew what became of its skip was not skipped.
func TestPlacedInsteadOfSkipped(t *testing.T) {
	t.Log("FAULT | a skip is not answered, and the order is placed meanwhile | I14: not skipped; it counts")
	run(t, func(d *scene) {
		d.Sim.Break(sim.Fault{Method: "PATCH", Path: "/skip_subscription/", Delay: time.Minute})
		got, err := d.do(d.request(ledger.ActionSkip))
		if err != nil {
			t.Fatal(err)
		}
		d.wantStatus(got, ledger.ActionUnknown)
		d.Place(d.sub)
		time.Sleep(time.Minute)
		synctest.Wait()
		d.Sim.ClearFaults()
		settled, _, err := d.DB.Action(d.Context(), "k1")
		if err != nil {
			t.Fatal(err)
		}
		d.wantStatus(settled, ledger.ActionFailed)
		if settled.Detail != "the order was placed before it could be skipped" {
			t.Errorf("it says %q", settled.Detail)
		}
		d.JudgeGift(d.sub)
	})
}
