package cancelapp

import (
	"fmt"
	"sync"

	"github.com/termed/termed/ordergroove"
)

const (
	// strugglingAfter is for how many objects in a row a kind of call must fail before it is held back.
	strugglingAfter = 3
	// freshInFlight is how many calls of a kind that fails are in flight at a time, about objects for which it has not
	// failed, and repeatedInFlight how many about those for which it has: these cannot keep the others from the call that
	// would show that it works.
	freshInFlight    = 2
	repeatedInFlight = 1
	// rememberedFailures bounds the objects that are remembered for a kind of call.
	rememberedFailures = 1000
)

// operations holds back a kind of call that fails while Ordergroove as a whole answers, such as a cancel endpoint that
// hangs: few at a time try it, so that it delays only those who need it. One answer ends that. The zero value is ready
// to use.
type operations struct {
	mu  sync.Mutex
	all map[string]*operation
}

type operation struct {
	fresh, repeated int             // calls in flight
	failed          map[string]bool // objects for which it failed since it was last answered
}

// enter counts a call as in flight until leave is called, or refuses it.
func (o *operations) enter(c call) (leave func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.of(c)
	inFlight, most := &one.fresh, freshInFlight
	if one.failed[c.about] {
		inFlight, most = &one.repeated, repeatedInFlight
	}
	// safeguard: struggling-operation
	if len(one.failed) >= strugglingAfter && *inFlight >= most {
		skipped := fmt.Errorf("call skipped, calls of this kind fail: %s: %w", c.operation, ordergroove.ErrUnavailable)
		return nil, ordergroove.NotSent(skipped)
	}
	*inFlight++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		*inFlight--
	}, nil
}

func (o *operations) answer(c call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.of(c).failed)
}

func (o *operations) fail(c call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.of(c)
	if len(one.failed) < rememberedFailures {
		one.failed[c.about] = true
	}
}

// forget takes all calls for working: what failed during an outage says nothing about what comes after it.
func (o *operations) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, one := range o.all {
		clear(one.failed)
	}
}

func (o *operations) of(c call) *operation {
	if o.all == nil {
		o.all = map[string]*operation{}
	}
	one := o.all[c.operation]
	if one == nil {
		one = &operation{failed: map[string]bool{}}
		o.all[c.operation] = one
	}
	return one
}
