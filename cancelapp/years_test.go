package cancelapp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/apptest"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove/sim"
)

const (
	yearsVariable = "TERMED_YEARS_SEEDS" // how many shops
	seedVariable  = "TERMED_SEED"        // of the first shop; default 1
)

// TestYears plays shops for twelve months of fake time each. Episodes of some minutes follow each other, with a
// fortnight between them in which the service is down and nothing happens. In each, subscriptions begin and are placed,
// agents and customers interfere, webhooks are lost, late and sent twice, and the API fails: as a whole, for one
// subscription, one customer or one operation, or by reads that lag behind. At the end of an episode each subscription
// must be exactly as the simulator's own record asks for, and in it a stopwatch judges isolation (I12) and recovery
// (I13).
//
// A seed makes the same choices each time.
func TestYears(t *testing.T) {
	if os.Getenv(yearsVariable) == "" {
		t.Skipf("set %s to a number of shops", yearsVariable)
	}
	t.Parallel()
	shops, err := strconv.ParseUint(os.Getenv(yearsVariable), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	first := uint64(1)
	if text := os.Getenv(seedVariable); text != "" {
		if first, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var all tally
	t.Cleanup(func() { t.Log(all.String()) })
	for n := range shops {
		seed := first + n
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			options := sim.Options{Snapshot: []string{"top", "none"}[seed%2], ItemEvents: seed%3 == 0}
			apptest.Run(t, options, func(t *testing.T, b *apptest.Bubble) {
				shop := newShop(t, b, seed)
				shop.play()
				all.add(&shop.tally)
			})
		})
	}
}

// TestYearsOnPostgres plays a shop on PostgreSQL, in real time: waits and outages are of seconds.
func TestYearsOnPostgres(t *testing.T) {
	if os.Getenv(yearsVariable) == "" {
		t.Skipf("set %s to a number of shops", yearsVariable)
	}
	t.Parallel()
	apptest.RunOnPostgres(t, sim.Options{}, func(t *testing.T, b *apptest.Bubble) {
		shop := newShop(t, b, 4711)
		shop.real = true
		shop.play()
		t.Log(shop.tally.String())
	})
}

// tally is what was played.
type tally struct {
	mu                                                sync.Mutex
	shops, subscriptions, shipments, calls            int
	lost, doubled, late, faults, outages, restarts    int
	worst                                             time.Duration
	why                                               string
	partial, edits, canceled, reactivated, swapped, _ int
}

func (a *tally) add(o *tally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shops += o.shops
	a.subscriptions += o.subscriptions
	a.shipments += o.shipments
	a.calls += o.calls
	a.lost += o.lost
	a.doubled += o.doubled
	a.late += o.late
	a.faults += o.faults
	a.outages += o.outages
	a.restarts += o.restarts
	a.partial += o.partial
	a.edits += o.edits
	a.canceled += o.canceled
	a.reactivated += o.reactivated
	a.swapped += o.swapped
	if o.worst > a.worst {
		a.worst, a.why = o.worst, o.why
	}
}

func (a *tally) String() string {
	return fmt.Sprintf("%d shop-years, %d subscriptions, %d shipments, %d API calls\n"+
		"%d events lost, %d late, %d sent twice; %d faults, %d of one subscription, customer or operation, %d outages,"+
		" %d restarts\n%d edits, %d cancels, %d reactivations, %d swaps by others\n"+
		"the longest that anybody was wrong after all could be right: %v (%s)",
		a.shops, a.subscriptions, a.shipments, a.calls, a.lost, a.late, a.doubled, a.faults, a.partial, a.outages,
		a.restarts, a.edits, a.canceled, a.reactivated, a.swapped, a.worst, a.why)
}

// shop is one merchant's year.
type shop struct {
	tally
	t      *testing.T
	b      *apptest.Bubble
	seed   uint64
	random *rand.Rand
	lag    *laggingReads
	all    []*customer
	held   []sim.Event // to be delivered later
	real   bool        // in real time, where waiting costs
}

func newShop(t *testing.T, b *apptest.Bubble, seed uint64) *shop {
	s := &shop{
		t:      t,
		b:      b,
		seed:   seed,
		random: rand.New(rand.NewPCG(seed, 12)),
		lag:    &laggingReads{next: apptest.Direct{Handler: b.Sim.Handler()}},
	}
	b.Client = b.NewClient(s.lag, 0)
	return s
}

// pause lets some time pass in which the service works; in real time a sixtieth of it.
func (s *shop) pause(d time.Duration) {
	if s.real {
		d /= 60
	}
	time.Sleep(d)
}

// leap lets a fortnight or so pass in which it does not.
func (s *shop) leap(d time.Duration) {
	if s.real {
		s.b.Clock.Forward(2 * d)
		return
	}
	time.Sleep(d)
}

// customer is one subscription, and what happened to it.
type customer struct {
	sim.Subscription        // at first
	due              int    // recurring orders, or sim.Evergreen
	canceled         bool   // by somebody else
	blocked          int    // how often somebody reactivated it after its end
	edited           string // the last edit of its counter that no sync has seen; its webhooks are not lost
	placed           int    // orders in this episode
}

// play plays twelve months.
func (s *shop) play() {
	for range 12 {
		s.begin(3 + s.random.IntN(3))
	}
	for len(s.all) < 30 {
		s.begin(1)
	}
	episodes := 26
	if s.real {
		episodes = 13
	}
	for episode := 0; episode < episodes && !s.t.Failed(); episode++ {
		s.b.Stop()
		s.leap(13*24*time.Hour + time.Duration(s.random.Int64N(int64(48*time.Hour))))
		s.start()
		for _, c := range s.all {
			c.placed = 0
		}
		switch s.random.IntN(4) {
		case 0:
			s.isolation()
		case 1:
			s.outage()
		default:
			s.chaos()
		}
		s.finish(episode)
	}
	s.shops = 1
	s.subscriptions = len(s.all)
	s.calls = len(s.b.Sim.Calls())
}

func (s *shop) start() {
	s.b.Start(cancelapp.Options{
		Idle:  s.idle(),
		Rules: cancelapp.Rules{EndLimit: ledger.EndLimit{PerHour: math.MaxInt32}},
	})
}

func (s *shop) idle() time.Duration {
	if s.real {
		return 200 * time.Millisecond
	}
	return 2 * time.Second
}

func (s *shop) restart() {
	s.restarts++
	s.b.Stop()
	s.start()
}

// begin makes up to n subscriptions.
func (s *shop) begin(n int) {
	for range n {
		if len(s.all) >= 60 {
			return
		}
		product, due := "GIFT-3MO", 2
		switch s.random.IntN(5) {
		case 0, 1:
			product, due = "SIX", 5
		case 2:
			product, due = "COFFEE", sim.Evergreen
		}
		extra := json.RawMessage(fmt.Sprintf(`{"mine <&>":%d.10,"long":90071992547409931234}`, s.random.IntN(9)))
		sub := s.b.New(sim.NewSubscription{
			Product:   product,
			ExtraData: extra,
			Silent:    s.random.IntN(8) == 0 && due != sim.Evergreen,
		})
		s.all = append(s.all, &customer{Subscription: sub, due: due})
	}
}

// expecting are up to n random ones that have an order to come.
func (s *shop) expecting(n int) []*customer {
	var found []*customer
	for _, i := range s.random.Perm(len(s.all)) {
		c := s.all[i]
		now := s.b.Observed(c.Subscription)
		if len(found) < n && now.Live && (c.due == sim.Evergreen || now.Placed < c.due) && c.placed == 0 {
			found = append(found, c)
		}
	}
	return found
}

func (s *shop) place(customers ...*customer) {
	for _, c := range customers {
		if _, err := s.b.Sim.Place([]string{c.ID}); err != nil {
			s.t.Fatal(err)
		}
		c.placed++
		s.shipments++
	}
}

// deliver delivers what was announced, in random order, some of it twice. Some comes late, or never.
func (s *shop) deliver(mayLose bool) {
	events := s.b.Sim.Take()
	s.random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, e := range events {
		switch n := s.random.IntN(10); {
		case mayLose && n == 0 && !s.isAboutEdited(e):
			s.lost++
			continue
		case mayLose && n < 3:
			s.late++
			s.held = append(s.held, e)
			continue
		case n < 5:
			s.doubled++
			s.b.FileAll([]sim.Event{e})
		}
		s.b.FileAll([]sim.Event{e})
	}
}

// isAboutEdited says whether an event is about a subscription whose counter somebody has just edited. Whether an order
// that nobody announced came before or after such an edit nobody can know, so these are not lost (docs/limits.md).
func (s *shop) isAboutEdited(e sim.Event) bool {
	for _, c := range s.all {
		if c.edited != "" && bytes.Contains(e.Body, []byte(c.ID)) {
			return true
		}
	}
	return bytes.Contains(e.Body, []byte(`"order.success"`)) // without a snapshot it does not name them
}

// right waits until each is right, and keeps the longest time that took.
func (s *shop) right(limit time.Duration, what string, customers ...*customer) {
	start := time.Now()
	for {
		wrong := ""
		for _, c := range customers {
			if faults := s.wrong(c); len(faults) > 0 {
				wrong = c.ID + ": " + strings.Join(faults, "; ")
			}
		}
		took := time.Since(start)
		if took > s.worst {
			s.worst, s.why = took, fmt.Sprintf("seed %d: %s", s.seed, what)
		}
		if wrong == "" {
			return
		}
		if took >= limit {
			s.t.Errorf("seed %d: %s: after %v %s", s.seed, what, took, wrong)
			for _, c := range customers {
				if len(s.wrong(c)) > 0 {
					recorded, err := s.b.DB.Subscription(s.t.Context(), c.ID)
					s.t.Logf("%+v, %v\n%s", recorded, err, s.b.Journal(c.Subscription))
					break
				}
			}
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// wrong says what is wrong with a subscription.
func (s *shop) wrong(c *customer) []string {
	now := s.b.Observed(c.Subscription)
	now.Cancels -= c.blocked
	if !c.canceled {
		return sim.Judge(now, c.due, c.ExtraData)
	}
	if now.Live || now.Cancels > 0 {
		return []string{fmt.Sprintf("somebody canceled it, and it is live %v after %d cancels of ours",
			now.Live, now.Cancels)}
	}
	if counter, _ := now.Counter(); counter == "" {
		return nil // before termed knew of it
	}
	now.Live = true
	return sim.Judge(now, c.due, c.ExtraData)
}

// faults of the API as a whole, or of a part of it. They say nothing about an object, so everything is tried again.
var failures = []sim.Fault{
	{Status: 503},
	{Status: 500, Delay: 300 * time.Millisecond},
	{},
	{TakesEffect: true},
	{Status: 504, TakesEffect: true},
	{Status: 404, Body: "<html>no such upstream</html>"},
	{Status: 400, Body: "<html>blocked</html>"},
	{Status: 429, RetryAfter: "3", Body: `{"detail":"Request was throttled."}`},
	{Status: 423, Body: `{"details":"Resource is currently in use."}`},
	{Status: 403, Body: "<html>blocked</html>"},
	{Status: 200, Body: "<html>login</html>"},
	{Status: 504, Delay: 11 * time.Second},
}

func (s *shop) failure() sim.Fault {
	f := failures[s.random.IntN(len(failures))]
	if s.real {
		f.Delay = min(f.Delay, time.Second)
	}
	return f
}

// isolation makes one subscription, one customer's or one operation fail, and wants the others right.
func (s *shop) isolation() {
	s.deliver(false)
	s.b.Settle()
	s.reconcile()
	customers := s.expecting(14)
	ill := customers[:min(len(customers), 1+s.random.IntN(3))]
	others := customers[len(ill):]
	s.partial++
	fault := s.failure()
	began := time.Now()
	for _, c := range ill {
		fault.Path = "/subscriptions/" + c.ID + "/"
		s.b.Sim.Break(fault)
	}
	s.place(ill...)
	s.deliver(false)
	s.pause(time.Duration(s.random.IntN(300)) * time.Second)
	s.place(others...)
	s.deliver(false)
	s.right(time.Minute, fmt.Sprintf("isolation from %+v", fault), others...)
	if err := s.b.App.Ready(); err != nil {
		s.t.Errorf("seed %d: %+v of %d subscriptions: Ready = %v", s.seed, fault, len(ill), err)
	}
	s.b.Sim.ClearFaults()
	outage := time.Since(began)
	s.right(outage/10+15*time.Second, fmt.Sprintf("recovery from %+v of a few after %v", fault, outage), ill...)
}

// outage takes the API, or one operation of it, away for a second to three days.
func (s *shop) outage() {
	s.deliver(false)
	s.b.Settle()
	s.reconcile()
	customers := s.expecting(20)
	long := time.Duration(math.Exp(s.random.Float64()*math.Log(3600)) * float64(time.Second))
	if s.real {
		long = min(long, 10*time.Second)
	} else if s.random.IntN(20) == 0 {
		long = time.Duration(s.random.Int64N(int64(72 * time.Hour)))
		s.b.Stop()
		s.b.Start(cancelapp.Options{
			Idle:  time.Minute,
			Rules: cancelapp.Rules{EndLimit: ledger.EndLimit{PerHour: math.MaxInt32}},
		})
	}
	fault := s.failure()
	fault.Path = []string{"", "", "", "/update/", "/cancel/", "/items/"}[s.random.IntN(6)]
	s.outages++
	s.b.Sim.Break(fault)
	half := len(customers) / 2
	s.place(customers[:half]...)
	s.deliver(false)
	time.Sleep(long / 2)
	s.place(customers[half:]...)
	s.deliver(false)
	time.Sleep(long - long/2)
	s.b.Sim.ClearFaults()
	s.right(long/10+15*time.Second, fmt.Sprintf("recovery from %+v after %v", fault, long), customers...)
}

// chaos lets everything happen.
func (s *shop) chaos() {
	s.begin(s.random.IntN(4))
	s.lag.behind.Store(s.random.Int64N(2) * s.random.Int64N(int64(5*time.Second)))
	for range 25 {
		switch n := s.random.IntN(20); {
		case n < 8:
			s.place(s.expecting(1 + s.random.IntN(2))...)
		case n < 12:
			s.deliver(true)
		case n < 14:
			s.meddle()
		case n < 17:
			s.faults++
			fault := s.failure()
			fault.Path = []string{"", "", "/subscriptions/", "/update/", "/cancel/", "/items/"}[s.random.IntN(6)]
			fault.Times = 1 + s.random.IntN(4)
			s.b.Sim.Break(fault)
		case n < 18:
			s.restart()
		default:
			events := s.held
			s.held = nil
			s.b.FileAll(events)
		}
		s.pause(time.Duration(s.random.IntN(8000)) * time.Millisecond)
	}
}

// meddle lets somebody else do something to one subscription.
func (s *shop) meddle() {
	c := s.all[s.random.IntN(len(s.all))]
	now := s.b.Observed(c.Subscription)
	if c.due == sim.Evergreen || c.edited != "" {
		return
	}
	var err error
	switch n := s.random.IntN(6); {
	case now.Placed >= c.due:
		if !now.Live && !c.canceled && now.Cancels == 1+c.blocked && len(s.wrong(c)) == 0 {
			s.reactivated++
			c.blocked++ // termed must cancel it once more
			err = s.b.Sim.Reactivate(c.ID)
		}
	case n == 0 && now.Product == "GIFT-3MO" && now.Placed < 1 && c.placed == 0 && now.Live:
		s.swapped++
		if err = s.b.Sim.Swap(c.ID, "SIX"); err == nil {
			c.due = 5
		}
	case n == 1 && len(s.wrong(c)) == 0:
		s.edits++
		err = s.b.Sim.Edit(c.ID, c.ExtraData) // without our keys
	case n == 2 && len(s.wrong(c)) == 0 && now.Live && !c.canceled && !s.isInDoubt(c):
		s.editCounter(c, now)
	case c.canceled || !now.Live:
		s.reactivated++
		c.canceled, err = false, s.b.Sim.Reactivate(c.ID)
	case n == 3:
		s.canceled++
		c.canceled, err = true, s.b.Sim.CancelByAgent(c.ID)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// isInDoubt says whether the last call about a subscription was a change that got no answer. Whether an edit that comes
// before the next read was made before or after that change nobody can know (docs/limits.md).
func (s *shop) isInDoubt(c *customer) bool {
	for _, call := range slices.Backward(s.b.Sim.Calls()) {
		if call.Subscription == c.ID {
			return call.Method != http.MethodGet && call.Status != http.StatusOK
		}
	}
	return false
}

// editCounter lets an agent add shipments, as a difference from what is there. The new counter is one that was never
// written: another would be taken for a stale copy (docs/limits.md).
func (s *shop) editCounter(c *customer, now sim.Subscription) {
	s.edits++
	text, _ := now.Counter()
	counter, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	more := c.due - counter + 1 + s.random.IntN(2)
	c.edited = fmt.Sprint(counter + more)
	edited := bytes.Replace(now.ExtraData, []byte(`"fulfillment_counter":"`+text+`"`),
		[]byte(`"fulfillment_counter":"`+c.edited+`"`), 1)
	if err := s.b.Sim.Edit(c.ID, edited); err != nil {
		s.t.Fatal(err)
	}
	c.due += more
}

// reconcile finds what nobody announced.
func (s *shop) reconcile() {
	for range 3 {
		if _, err := s.b.Reconciler.Reconcile(s.t.Context(), reconcile.Scope{}, nil); err == nil {
			s.b.Settle()
			return
		}
		time.Sleep(time.Minute)
	}
	s.t.Errorf("seed %d: the reconciliation does not end", s.seed)
}

// finish ends all faults, delivers what is late, and judges everything.
func (s *shop) finish(episode int) {
	s.b.Sim.ClearFaults()
	s.lag.behind.Store(0)
	s.pause(10 * time.Second)
	events := s.held
	s.held = nil
	s.b.FileAll(events)
	s.deliver(false)
	s.b.Settle()
	s.reconcile()
	s.pause(10 * time.Second)
	s.b.Settle()
	s.right(0, fmt.Sprintf("the end of episode %d", episode), s.all...)
	for _, c := range s.all {
		c.edited = ""
	}
	nothingDead(s.t, s.b)
}

// laggingReads is a transport to an Ordergroove whose reads of a subscription may be behind a change of ours.
type laggingReads struct {
	next   http.RoundTripper
	behind atomic.Int64 // by how long, nanoseconds

	mu   sync.Mutex
	seen map[string]*lastRead
}

type lastRead struct {
	before, latest []byte // the answer to a read before the last change, and since
	changed        time.Time
}

func (l *laggingReads) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(r)
	parts := strings.Split(r.URL.Path, "/")
	if err != nil || len(parts) < 4 || parts[1] != "subscriptions" || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]*lastRead{}
	}
	last := l.seen[parts[2]]
	if last == nil {
		last = &lastRead{}
		l.seen[parts[2]] = last
	}
	switch {
	case r.Method == http.MethodPatch:
		last.before, last.changed = last.latest, time.Now()
	case last.before != nil && time.Since(last.changed) < time.Duration(l.behind.Load()):
		body = last.before
	default:
		last.latest = body
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}
