package counter_test

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/termed/termed/counter"
)

// day1 and day2 are before and after the SKU was listed, at noon of the day between them.
const (
	day1   = 1 * day
	listed = 2 * day
	day2   = 3 * day
)

func ranBefore(o *counter.Observed) {
	o.CreatedAt = day1
	o.ListedAt = listed
}

func hold(h counter.Hold) func(*counter.Observed) {
	return func(o *counter.Observed) { o.Hold = h }
}

// What may be written and ended, as policy, refusals first.
func TestPermission(t *testing.T) {
	complete := subscribed(placed(2), sent(2), confirmed(2))
	running := subscribed(placed(1), sent(2), confirmed(2))
	unseen := subscribed(func(e *counter.Subscription) { e.OpenedBy = counter.Reconciled })
	unseenComplete := subscribed(placed(2), func(e *counter.Subscription) { e.OpenedBy = counter.Reconciled })
	seen := func(e *counter.Subscription) { e.Permission.SeenRunning = true }
	approved := func(e *counter.Subscription) { e.Permission.Approval = counter.ApprovalGiven }
	with := func(e counter.Subscription, changes ...func(*counter.Subscription)) counter.Subscription {
		for _, change := range changes {
			change(&e)
		}
		return e
	}
	createdAt := func(at int64) func(*counter.Observed) {
		return func(o *counter.Observed) {
			o.CreatedAt = at
			o.ListedAt = listed + 999
		}
	}
	prepaid := func(o *counter.Observed) { o.Prepaid = true }
	swappedIn := func(e *counter.Subscription) {
		e.OpenedBy = counter.OpenedBySwap
		e.OpenedAt = day2
	}
	byCreation := func(e *counter.Subscription) { e.OpenedBy = counter.OpenedByCreation }
	begun := func(e *counter.Subscription) { e.Permission.AdmittedAt = 7 }
	for _, test := range []struct {
		name       string
		enrollment counter.Subscription
		observed   counter.Observed
		want       string // the action and the state, and what is held back
	}{
		{
			"ran before its SKU was listed: counted, and nothing is written", unseen, observed("", recounted, ranBefore),
			"settle, active: set the counter to 2",
		},
		{
			"ran before, and complete", unseenComplete, observed("", recounted, ranBefore),
			"settle, awaiting_approval: hide and cancel",
		},
		{
			"ran before, announced by its creation", with(unseenComplete, byCreation), observed("", recounted, ranBefore),
			"settle, awaiting_approval: hide and cancel",
		},
		{
			"ran before, prepaid", unseen, observed("", recounted, ranBefore, prepaid),
			"settle, awaiting_approval: make it end at renewal",
		},
		{
			"observe mode", running, observed(`"2"`, hold(counter.Observing)),
			"settle, active: set the counter to 1",
		},
		{
			"observe mode, complete", complete, observed(`"2"`, hold(counter.Observing)),
			"settle, awaiting_approval: hide and cancel",
		},
		{
			"observe mode, complete and approved", with(complete, approved), observed(`"2"`, hold(counter.Observing)),
			"settle, completing: hide and cancel",
		},
		{
			"paused", running, observed(`"2"`, hold(counter.Paused)),
			"settle, active: set the counter to 1",
		},
		{
			"paused, complete", complete, observed(`"2"`, hold(counter.Paused)),
			"settle, completing: hide and cancel",
		},
		{"complete at first sight", unseenComplete, observed("", recounted), "write, completing, unexplained"},
		{"complete at first sight, and begun", with(unseenComplete, begun), observed("", recounted), "write, completing"},
		{
			"complete at first sight, and approved", with(unseenComplete, approved), observed("", recounted, ranBefore),
			"write, completing",
		},
		{"created after its SKU was listed", unseen, observed("", recounted, createdAt(day2)), "write, active"},
		{"created in the very second", unseen, observed("", recounted, createdAt(listed)), "write, active"},
		{
			"ran before, and swapped to the product after it was listed", with(unseen, swappedIn),
			observed("", recounted, ranBefore), "write, active",
		},
		{
			"ran before, and another application counts it", unseen, observed(`"2"`, recounted, ranBefore),
			"adopt, active",
		},
		{
			"ran before, and is ours since long ago", with(complete, seen), observed(`"2"`, ranBefore),
			"write, completing",
		},
		{
			"seen running", with(unseenComplete, sent(2), confirmed(2), seen), observed(`"2"`),
			"write, completing",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := counter.Decide(gift, test.enrollment.Enrollment, test.observed)
			got := string(plan.Do) + ", " + string(plan.State)
			if plan.Unexplained {
				got += ", unexplained"
			}
			if plan.Withheld != "" {
				got += ": " + plan.Withheld
			}
			if got != test.want {
				t.Errorf("Decide: %s; want %s", got, test.want)
			}
		})
	}
}

// braked is a model that is watched, paused and listed again, and beside it what a person knows of it.
type braked struct {
	*model
	created, listed int64
	hold            counter.Hold

	approved, announced, seen, observed bool // by a person: by its creation: running: complete in observe mode
}

// needsApproval is what the owner of the shop would say.
func (b *braked) needsApproval() bool {
	ranBefore := b.created < b.listed && !b.written()
	return !b.approved && (ranBefore || b.observed)
}

func (b *braked) written() bool { return len(b.extra) > 1 }

// sync is the model's, with a brake.
func (b *braked) sync(t *rapid.T, steps int) {
	recounted := false
	for range steps {
		term, e := b.terms[b.sku], b.current()
		if e.IsNew() {
			e = e.WithTerm(term, b.sku)
		}
		o := b.observe(term, true, recounted)
		o.CreatedAt = b.created
		o.ListedAt = b.listed
		o.Hold = b.hold
		plan := counter.Decide(term, e, o)
		if plan.Unexplained && !b.admits(t) {
			plan = counter.Throttle(term, plan)
		}
		prepared := counter.Prepare(term, e, plan, o, b.clock)
		b.save(prepared)
		if plan.Do != counter.Settle && rapid.IntRange(0, 5).Draw(t, "crash before the call") == 0 {
			return
		}
		b.change(t, plan, prepared)
		if plan.Do == counter.Recount {
			b.shipments = append(b.shipments, counter.Without(b.placed, b.shipments)...)
			recounted = true
		}
		b.save(counter.Advance(term, prepared, plan, o, b.clock))
		if plan.Do == counter.Settle {
			b.settled()
			return
		}
	}
}

// admits is the throttle: it may refuse an end, but none that a person could explain.
func (b *braked) admits(t *rapid.T) bool {
	if b.announced || b.seen || b.approved {
		t.Fatalf("an explained end is called unexplained: %+v", b.current())
	}
	return rapid.Bool().Draw(t, "admitted")
}

// change makes a change at Ordergroove, which nothing may hold back.
func (b *braked) change(t *rapid.T, plan counter.Plan, e counter.Enrollment) {
	switch plan.Do {
	case counter.Write, counter.Cancel, counter.Renew, counter.Swap:
		if b.hold != "" || b.needsApproval() {
			t.Fatalf("%s in %q, approval needed: %v: %+v", plan.Do, b.hold, b.needsApproval(), e)
		}
	}
	b.call(t, plan, e)
}

// settled notes what a person sees after a sync.
func (b *braked) settled() {
	e := b.current()
	counterThere := b.extra["fulfillment_counter"] == strconv.Quote(strconv.Itoa(e.Remaining()))
	b.seen = b.seen || b.live && counterThere && e.Remaining() > 0
	b.observed = b.observed || b.live && b.hold == counter.Observing && e.Remaining() == 0 && !b.approved
}

// The law of the brake: whatever the order of events, restarts, pauses and edits of the file, nothing that ran before
// its SKU was listed is written or ended without an approval, nothing is changed while it is held, no explained end is
// held back by the throttle; and in the end everything else is ended as always.
func TestBrake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		due := rapid.IntRange(0, 3).Draw(t, "due")
		term := gift
		term.Shipments = due + 1
		b := &braked{model: newModel("GIFT", map[string]counter.Term{"GIFT": term}), listed: listed}
		b.clock = day2
		b.created = rapid.SampledFrom([]int64{day1, day2}).Draw(t, "created")
		b.announced = rapid.Bool().Draw(t, "announced by its creation")
		if !b.announced {
			b.enrollments[0].OpenedBy = counter.Reconciled
		}
		// What was placed before anybody listened is in the order history.
		for range rapid.IntRange(0, due).Draw(t, "placed before") {
			b.place()
		}
		t.Repeat(map[string]func(*rapid.T){
			"place": func(*rapid.T) {
				if b.live && len(b.placed) < due {
					b.place()
				}
			},
			"announce": func(t *rapid.T) {
				if len(b.placed) > 0 {
					b.announce(rapid.IntRange(0, len(b.placed)-1).Draw(t, "order"))
				}
			},
			"sync":    func(t *rapid.T) { b.sync(t, rapid.IntRange(0, 8).Draw(t, "steps")) },
			"observe": func(*rapid.T) { b.hold = counter.Observing },
			"pause":   func(*rapid.T) { b.hold = counter.Paused },
			"live":    func(*rapid.T) { b.hold = "" },
			"listed again": func(*rapid.T) {
				if b.written() || b.needsApproval() || b.current().IsNew() && b.created == day1 {
					b.listed = b.clock
				}
			},
			"approve": func(*rapid.T) {
				if next, err := counter.Approve(b.subscription()); err == nil {
					b.save(next.Enrollment)
					b.approved = true
				}
			},
		})
		b.hold = ""
		b.announceAll()
		for range 30 {
			b.sync(t, 12)
		}
		b.judge(t, due)
	})
}

func (b *braked) judge(t *rapid.T, due int) {
	left := due - len(b.placed)
	switch e := b.current(); {
	case b.needsApproval():
		if !b.live || left == 0 && e.State != counter.AwaitingApproval {
			t.Fatalf("it needs an approval: live %v, %+v", b.live, e)
		}
	case b.extra["fulfillment_counter"] != strconv.Quote(strconv.Itoa(left)) || b.live != (left > 0):
		if e.State != counter.Throttled { // a throttle that refuses thirty times in a row
			t.Fatalf("with %d to go: live %v, extra %v, %+v", left, b.live, b.extra, e)
		}
	}
}
