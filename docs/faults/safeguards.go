package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// safeguard is a piece of code that keeps a promise, and how to take it out.
type safeguard struct {
	name     string
	file     string
	old, new string // what stands there once, and what is there without it
	tests    string // package and -run
}

var safeguards = []safeguard{
	{"the signature is compared with every key", "ordergroove/signature.go", "if hmac.Equal(sig, want) {", "if hmac.Equal(sig, want) || len(want) > 0 {", "./ordergroove -run TestVerify"},
	{"the age window of a delivery", "ordergroove/signature.go", "if sent.Before(now.Add(-v.maxAge)) || sent.After(now.Add(v.ahead)) {", "if sent.IsZero() {", "./ordergroove -run TestVerify"},
	{"one header line only", "ordergroove/signature.go", "if len(header) != 1 {", "if len(header) == 0 {", "./webhook -run TestStrangeHeaders"},
	{"the body cap", "webhook/door.go", "http.MaxBytesReader(c.Writer, c.Request.Body, d.o.MaxBody)", "c.Request.Body", "./webhook -run TestAnswers"},
	{"an answer in time", "webhook/door.go", "context.WithTimeout(c.Request.Context(), d.o.Within)", "context.WithTimeout(c.Request.Context(), time.Hour)", "./webhook -run TestAnswersInTime"},
	{"the door's timeouts", "webhook/door.go", "ReadTimeout:       5 * time.Second,", "", "./webhook -run TestSlowSenders"},
	{"the unique key of events", "store/sqlite.go", "on conflict do nothing`)", "on conflict do update set attempts = 0`)", "./store -run TestAppend"},
	{"an event under a known id with another body is kept", "store/events.go", "err = s.keepOther(ctx, d)", "", "./store -run TestOtherBody"},
	{"the unique key of shipments", "store/facts.go", "if n, err := result.RowsAffected(); err != nil || n == 0 {", "if n, err := result.RowsAffected(); err != nil || n < 0 {", "./store -run TestFactsAreSets"},
	{"the answer waits for the synced commit", "store/writer.go", "	case w.queue <- j:\n", "	case w.queue <- j:\n		return nil\n", "./store -run TestAppend"},
	{"one bad row does not refuse its batch", "store/writer.go", "len(batch) > 1 && !everyRow(err)", "false", "./store -run TestBadRow"},
	{"facts and the event's end in one transaction", "store/events.go", "where created = ? and id = ? and status = 'pending'`),", "where created = ? and id = ? and status = 'none'`),", "./store -run TestClaimEvents"},
	{"a lease keeps others out", "store/subscriptions.go", "where due <= ? and claim_until <= ?\n				order", "where due <= ? and ? > 0\n				order", "./store -run TestLease"},
	{"the lease fence on every write", "store/subscriptions.go", "where id = ? and claim = ? `", "where id = ? and claim <> ? `", "./store -run TestLease"},
	{"news during a look", "store/subscriptions.go", "news = now.Revision != lease.Revision;", "news = now.Revision < 0;", "./store -run TestNews"},
	{"an adoption is refused when there are more shipments", "store/subscriptions.go", "before.Shipped-before.Past != step.Page.Made {", "before.Shipped < 0 {", "./store -run TestRecord"},
	{"counters sent are recorded before the call", "cancelapp/look.go", "if err := l.record(ctx, counter.Step{Counter: plan.Counter, Put: l.page.Putting(term.Keys, plan.Set)}); err != nil {", "if err := error(nil); err != nil {", "./cancelapp -run TestLateLanding"},
	{"extra_data is written whole, from a fresh GET", "cancelapp/look.go", "data := l.extra", "data := ordergroove.ExtraData{}", "./cancelapp -run TestHalfDone"},
	{"an answer that does not show the change is not believed", "cancelapp/look.go", "if plan.Do == done && done != counter.Begin {", "if false {", "./cancelapp -run TestAnswerIsChecked"},
	{"the counter is derived, not counted down", "counter/ledger.go", "return max(0, l.Due+l.Adjustment-l.Made)", "return max(0, l.Due+l.Adjustment-l.Announced)", "./counter"},
	{"hidden before it is cancelled", "counter/counter.go", "case len(plan.Set)+len(plan.Unset) > 0:", "case len(plan.Set)+len(plan.Unset) > 0 && remaining > 0:", "./counter"},
	{"an older counter written back is not followed", "counter/counter.go", "case counter.kind == number && !ledger.Knows(counter.n):", "case counter.kind == number && counter.n != ledger.Remaining():", "./counter"},
	{"an edit is a difference from what we wrote last", "counter/counter.go", "if unwritten == 1 {", "if false {", "./counter"},
	{"a database that is older than the truth is known for it", "counter/counter.go", "case unwritten > 1 && behind > 0", "case unwritten > 99 && behind > 0", "./counter"},
	{"a cancel that was taken back is not repeated", "counter/ledger.go", "l.CancelSent && l.ReactivatedAt > max(l.LastShipment, l.CancelAfter)", "false", "./cancelapp -run TestReactivated"},
	{"foreign members are never decoded", "ordergroove/client.go", "body: append(append([]byte(`{\"extra_data\":`), form...), '}'),", "body: func() []byte { b, _ := json.Marshal(map[string]json.RawMessage{\"extra_data\": form}); return b }(),", "./ordergroove -run TestClientRequests"},
	{"a change is never repeated by itself", "ordergroove/client.go", "writes: retrying(wire, 0),", "writes: retrying(wire, 2),", "./ordergroove -run TestClientErrors"},
	{"no redirects with the key", "ordergroove/client.go", "return http.ErrUseLastResponse", "return nil", "./ordergroove -run TestClientStays"},
	{"the next page is on the same host", "ordergroove/list.go", "next.Scheme != c.base.Scheme || next.Host != c.base.Host", "false", "./ordergroove -run TestClientStays"},
	{"the limit of calls", "ordergroove/turnstile.go", "if err := t.limiter.Wait(ctx); err != nil {", "if err := error(nil); err != nil {", "./ordergroove -run TestClientLimit"},
	{"the whole service pauses when the key is refused", "cancelapp/gate.go", "if now.Before(g.probe) {", "if false {", "./cancelapp -run TestKeyRefused"},
	{"the breaker for the API as a whole", "cancelapp/gate.go", "} else if g.failing >= shutAfter {", "} else if false {", "./cancelapp -run TestTwelveHours"},
	{"what another instance was in the way of is tried again", "store/dialect.go", `return ok && (e.Code == "40001" || e.Code == "40P01")`, "return ok && e.Code == \"\"", "./store -run TestSerializationFailures"},
	{"a command beside a busy service waits for its turn", "store/dialect.go", `return e.Code()&0xff == sqlite3.SQLITE_BUSY`, "return e.Code() < 0", "./webhook -run TestLockedDatabase"},
	{"what could be a box too many goes first", "store/subscriptions.go", "order by urgency desc, due, id", "order by due, id", "./store -run TestUrgency"},
	{"a complete subscription that cannot be ended is told of", "cancelapp/look.go", "if l.page.Looming() && (l.page.State == counter.Attention || outcome.Attempts >= guardAfter) {", "if false {", "./cancelapp -run TestGuard"},
	{"what was refused is asked for again while a box too many looms", "cancelapp/look.go", "outcome.Next, outcome.Attempts = outcome.At+guardEvery.Milliseconds(), lease.Attempts+1", "outcome.Attempts = lease.Attempts + 1", "./cancelapp -run TestGuard"},
	{"urgent calls overtake others at the limit", "ordergroove/turnstile.go", "return other.urgency < w.urgency", "return false", "./ordergroove -run TestClientUrgency"},
	{"an upcoming order that changed is asked about", "cancelapp/compare.go", `case kind == "" && upcoming != "" && upcoming == page.Upcoming:`, `case kind == "":`, "./cancelapp -run TestReconcile"},
	{"at most five calls in flight", "cancelapp/reconcile.go", "slots: make(chan struct{}, inFlight)", "slots: make(chan struct{}, 1000)", "./cancelapp -run TestReconcileInFlight"},
	{"one that is not listed is asked for", "cancelapp/reconcile.go", "return r.eachSKU(ctx, r.compareUnlisted)", "return nil", "./cmd/termed -run TestScript/reconcile$"},
	{"what an interrupted comparison had compared is compared again", "cancelapp/reconcile.go", "if left != (counter.Place{}) {", "if false {", "./cancelapp -run TestReconcileStaleCursor"},
	{"one compares at a time", "store/reconciliation.go", "err != nil || r.ClaimUntil > at {", "err != nil || r.ClaimUntil < 0 {", "./store -run TestReconciliation"},
	{"the fence on a comparison's places", "store/reconciliation.go", "return counter.ErrLeaseLost", "return nil", "./store -run TestReconciliation"},
	{"orders from before a product was swapped are no boxes", "counter/term.go", "return nil\n	}\n	return sorted[first:]", "return nil\n	}\n	return sorted", "./counter -run TestSinceTermed"},
	{"a released subscription stays released", "counter/counter.go", "case ledger.State == Released && (!remote.Termed || ledger.ExemptFrom(term.Name, remote.SKU)):", "case false:", "./counter -run TestDecide"},
	{"an early end is recounted", "counter/counter.go", "if (state == Ended) != (ledger.State == Ended) && !ledger.Fresh()", "if false && !ledger.Fresh()", "./counter -run TestDecide"},
	{"a prepaid subscription is never cancelled", "counter/counter.go", "case remote.Prepaid:", `case remote.Prepaid && remote.RenewalBehavior == "none":`, "./counter -run TestDecide"},
	{"a list that is refused does not stop the rest", "cancelapp/gate.go", "if !errors.Is(err, ordergroove.ErrUnauthorized) {", "if err == nil || err != nil {", "./cancelapp -run TestReconcileWithoutBulk"},
	{"a silence is told of", "cancelapp/silence.go", "now.Alarm = quiet > patience", "now.Alarm = false", "./cancelapp -run TestSilence"},
	{"no statement lives in a session", "store/postgres.go", "c.DefaultQueryExecMode = pgx.QueryExecModeExec", "_ = pgx.QueryExecModeExec", "./cmd/termed -run TestPooler"},
	{"a released subscription is not enrolled again", "store/facts.go", "(exempt = '' or exempt <> ? and sku <> ?)", "(exempt = '' or exempt <> ? and sku <> ? or true)", "./store -run TestReopenPages"},
	{"boxes from before it was termed again do not count", "store/facts.go", "if page.Reopened && s.At < page.Enrolled && s.Source != counter.Reconciled {", "if false {", "./store -run TestReopenPages"},
	{"an operator's wish waits for a look that is under way", "store/amend.go", "if pages[0].ClaimUntil > a.At {", "if false {", "./store -run TestAmend"},
	{"a look whose lease ran out writes nothing over an operator's wish", "store/amend.go", "revision = revision + 1, claim = '', claim_until = 0", "revision = revision + 1", "./store -run TestAmend"},
	{"a new term is worked out from all boxes", "store/subscriptions.go", "if (step.Adjustment != nil || step.Next != nil) &&", "if step.Adjustment != nil &&", "./store -run TestNextTerm"},
	{"a notice is written with its cause", "store/subscriptions.go", "if err := dispatch(tx, lease.Subscription, o.Dispatch); err != nil {", "if err := error(nil); err != nil {", "./store -run TestToldWithItsCause"},
	{"notices reach public addresses only", "notice/sender.go", "Control: inwards.Safe", "KeepAlive: time.Duration(len(fmt.Sprint(inwards)))", "./notice -run TestNothingInside"},
	{"notices follow no redirect", "notice/sender.go", "CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },", "", "./notice -run TestNothingInside"},
	{"no term is made shorter than what was made of it", "counter/operator.go", "case shipments < l.Boxes():", "case shipments < 0:", "./counter -run TestPolicy"},
	{"what somebody else put into extra_data is not taken out", "counter/ledger.go", `return there && (ours == "" || sameValue(ours, value))`, "return there && ours != value+value", "./counter -run TestMembers"},
	{"a newer schema is refused", "store/schema.go", "case stands > known:", "case false:", "./store -run TestNewerSchema"},
	{"one service a SQLite file", "store/sqlite.go", "if !held {", "if !held && false {", "./store -run TestSQLiteIsOneProcess"},
}

// failure finds a test that failed, or that was still running when the time was up.
var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^running tests:\s+(\S+)`)

// remove runs the tests without the safeguard, on a copy of its file that only the compiler sees, and returns the test that
// turned red.
func (s safeguard) remove() (test string, err error) {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), s.old); n != 1 {
		return "", fmt.Errorf("%q stands %d times in %s", s.old, n, s.file)
	}
	dir, err := os.MkdirTemp("", "safeguard-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	without := filepath.Join(dir, filepath.Base(s.file))
	if err := os.WriteFile(without, []byte(strings.Replace(string(text), s.old, s.new, 1)), 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(s.file)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: without}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	args := append([]string{"test", "-vet=off", "-count=1", "-timeout=2m", "-overlay", list}, strings.Fields(s.tests)...)
	out, err := exec.Command("go", args...).CombinedOutput()
	if err == nil {
		return "", errors.New("nothing turned red without it")
	}
	found := failure.FindAllStringSubmatch(string(out), -1)
	if found == nil {
		return "", fmt.Errorf("no test failed, but the run did:\n%s", out)
	}
	test = found[0][1] + found[0][2]
	for _, f := range found[1:] { // the first that is a part of it
		if strings.HasPrefix(f[1], test+"/") {
			test = f[1]
			break
		}
	}
	// Both databases run each test of the suite, in no order: which of them came first says nothing.
	return strings.TrimSuffix(strings.TrimSuffix(test, "/SQLite"), "/PostgreSQL"), nil
}
