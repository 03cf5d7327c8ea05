package main

import (
	"fmt"
	"regexp"
	"strings"
)

// safeguard is a piece of code that keeps a promise. The comment "// safeguard: ID" above it marks it, so that it can
// be renamed and moved without a change here.
type safeguard struct {
	id      string
	name    string
	without mutation // how the marked code reads without it
	tests   string   // package and -run of the tests that must fail
}

var safeguards = []safeguard{
	{"signature", "the signature is compared with every key", always, "./ordergroove -run TestVerify"},
	{"delivery-age", "the age window of a delivery", never, "./ordergroove -run TestVerify"},
	{"one-signature-header", "one signature header only", as(`len(header) == 0`), "./webhook -run TestStrangeHeaders"},
	{
		"header-before-body", "no body is read before its signature is well-formed", never,
		"./webhook -run TestHeaderBeforeBody",
	},
	{"bodies-in-flight", "the bytes of bodies in flight are bounded", never, "./webhook -run TestBodiesInFlight"},
	{"stalled-body", "a body that stalls is cut", drop, "./webhook -run TestBodiesInFlight"},
	{
		"body-cap", "the body cap",
		swap(`http.MaxBytesReader(c.Writer, c.Request.Body, r.options.MaxBody)`, `c.Request.Body`),
		"./webhook -run TestAnswers",
	},
	{
		"answer-in-time", "an answer within the time limit", swap(`r.options.Timeout`, `time.Hour`),
		"./webhook -run TestAnswersInTime",
	},
	{
		"listener-timeouts", "the listener's timeouts", swap(`5 * time.Second`, `time.Hour`),
		"./webhook -run TestSlowSenders",
	},
	{
		"unique-events", "the unique key of events",
		swap(`on conflict do nothing`, `on conflict do update set attempts = 0`), "./store -run TestAppend",
	},
	{"conflicting-body", "an event under a known id with another body is kept", drop, "./store -run TestOtherBody"},
	{"unique-shipments", "the unique key of shipments", swap(`n == 0`, `n < 0`), "./store -run TestFactsAreSets"},
	{"answer-after-commit", "the answer waits for the synced commit", first("return nil"), "./store -run TestAppend"},
	{"bad-row", "one bad row does not fail its batch", never, "./store -run TestBadRow"},
	{
		"facts-with-settlement", "facts and the event's settlement in one transaction",
		swap(`status = 'pending'`, `status = 'none'`), "./store -run TestClaimEvents",
	},
	{"lease", "a lease keeps others out", swap(`lease_until <= ?`, `? > 0`), "./store -run TestLease"},
	{"lease-fence", "the lease fence on every write", swap(`s.lease = ?`, `s.lease <> ?`), "./store -run TestLease"},
	{
		"news-during-sync", "news during a sync", swap(`now.Revision != lease.Revision`, `now.Revision < 0`),
		"./store -run TestNews",
	},
	{
		"sent-before-call", "counters sent are recorded before the call", called(`error(nil)`),
		"./cancelapp -run TestLateLanding",
	},
	{
		"whole-extra-data", "extra_data is written whole, from a fresh GET", as(`ordergroove.ExtraData{}`),
		"./cancelapp -run TestHalfDone",
	},
	{
		"answer-checked", "an answer that does not show the change is not believed", never,
		"./cancelapp -run TestAnswerIsChecked",
	},
	{
		"derived-counter", "the counter is derived, not counted down", swap(`e.Placed.Orders`, `e.Placed.ByWebhook`),
		"./counter",
	},
	{
		"hide-before-cancel", "hidden before it is canceled", as(`len(plan.Set)+len(plan.Unset) > 0 && remaining > 0`),
		"./counter",
	},
	{
		"older-counter", "an older counter written back is not followed",
		as(`counter.kind == number && counter.n != e.Remaining()`), "./counter",
	},
	{"first-look", "orders that were missed are known before the first write", never, "./counter -run TestDecide"},
	{
		"just-created", "only what was created a moment ago has no orders", always,
		"./cancelapp -run TestNotificationOfShipmentFoundByFirstSync",
	},
	{
		"edit-is-difference", "an edit is a difference from what was written last", as(`asCounted`),
		"./counter -run TestDecide",
	},
	{"own-term", "an enrollment keeps its own term", never, "./counter -run TestTermOfAnEnrollment"},
	{"gone-term", "the end of a term that is gone is not guessed", never, "./counter -run TestGoneTerm"},
	{
		"attention-keeps-term", "a swap that cannot be carried out is not recorded", always,
		"./cancelapp -run TestSwapWhile",
	},
	{"respelled-once", "a spelling is mended once a day", always, "./counter -run TestDecide"},
	{
		"confirmed-by-reading", "a lost answer is made up for by reading", never,
		"./cancelapp -run TestSyncCausesAreLogged",
	},
	{"cancel-is-history", "a cancel of an end that was taken back is history", drop, "./counter -run TestExtendedTerm"},
	{"restored-database", "a database that is older than the truth is recognized", never, "./counter"},
	{
		"reactivated-cancel", "a cancellation that somebody took back is not repeated", never,
		"./cancelapp -run TestReactivated",
	},
	{
		"foreign-keys", "foreign keys of extra_data are never decoded",
		swap("append(out, b[name]...)", "func() []byte { v, _ := json.Marshal(b[name]); return append(out, v...) }()"),
		"./ordergroove -run TestClientRequests",
	},
	{
		"changes-not-repeated", "a change is never repeated by the HTTP client",
		swap(`newRetryClient(wire, 0)`, `newRetryClient(wire, 2)`), "./ordergroove -run TestClientErrors",
	},
	{
		"no-redirects", "no redirects with the key", swap(`http.ErrUseLastResponse`, `nil`),
		"./ordergroove -run TestClientStays",
	},
	{"same-host", "the next page is on the same host", never, "./ordergroove -run TestClientStays"},
	{"call-limit", "the limit of calls", swap(`l.limiter.Wait(ctx)`, `error(nil)`), "./ordergroove -run TestClientLimit"},
	{"open-breaker", "no calls while the breaker is open", as(`error(nil)`), "./cancelapp -run TestAPIDown"},
	{
		"breaker", "the breaker for the API as a whole", swap(`c.ConsecutiveFailures > 0`, `false`),
		"./cancelapp -run TestRecoveryOfASmallShop",
	},
	{
		"neutral-call", "a neutral call decides what an outage is", as(`false`),
		"./cancelapp -run TestRecoveryOfASmallShop",
	},
	{"own-cancellation", "a call that we break off is no outage", drop, "./cancelapp -run TestShutdownIsNoOutage"},
	{
		"struggling-operation", "a kind of call that fails takes few workers", never,
		"./cancelapp -run TestHangingOperation",
	},
	{"retries-half", "what fails again takes half of the workers", as(`p.workers`), "./cancelapp -run TestPoolShares"},
	{"retries-not-urgent", "what fails again overtakes nobody", never, "./cancelapp -run TestRetriesOvertakeNobody"},
	{
		"retried-after-outage", "what failed in an outage is tried when it ends", called(`error(nil)`),
		"./cancelapp -run TestRecovery$/503_3s",
	},
	{"work-within-claim", "work ends before its claim does", as(`l.lasts * 50`), "./cancelapp -run TestHold"},
	{
		"renewed-claim", "a settled event is not claimed again", swap(`where due = ?`, `where ? > 0`),
		"./store -run TestRenew",
	},
	{
		"timeout-after-wait", "a call's timeout begins when it is sent", as(`context.WithCancel(r.Context())`),
		"./ordergroove -run TestHangingCall",
	},
	{"throttled-client", "a 429 stops the client", drop, "./ordergroove -run TestThrottledClient"},
	{"foreign-refusal", "a refusal without an explanation is a proxy's", never, "./ordergroove -run TestClientErrors"},
	{
		"order-status", "an order has the status that was asked for", swap(`o.Status != status`, `false`),
		"./ordergroove -run TestOrdersHave",
	},
	{"answer-cap", "the size of an answer is capped", never, "./ordergroove -run TestAnswerTooLarge"},
	{"valid-text", "extra_data that is no valid text is left alone", never, "./ordergroove -run TestInvalidText"},
	{
		"last-of-duplicates", "the last of duplicate keys counts", swap(`slices.Backward(d.fields)`, `d.fields`),
		"./ordergroove -run TestDuplicateKeys",
	},
	{"lagging-read", "a read that is older than our own change is read again", never, "./cancelapp -run TestReadBehind"},
	{"order-without-items", "an order without items is asked again", never, "./cancelapp -run TestOrderWithoutItems"},
	{"upcoming-not-placed", "an upcoming order is not counted", as(`placed`), "./cancelapp -run TestFilterIgnored"},
	{"own-items", "items of other subscriptions are theirs", as(`item.Order != ""`), "./cancelapp -run TestItemsOfOthers"},
	{
		"bounded-sync", "a sync ends", swap(`range maxActions`, `range 800`),
		"./cancelapp -run TestSyncIsBounded",
	},
	{"due-is-no-finding", "what is due anyhow is no finding", never, "./cancelapp/reconcile -run TestDueIsNoFinding"},
	{"enrolled-later", "what was enrolled meanwhile is not unlisted", swap(`s.created < ?`, `s.created < ? + 1000000`),
		"./store -run TestReconciliation"},
	{"synced-commits", "commits are synced", swap(`synchronous(FULL)`, `synchronous(OFF)`), "./store -run TestFileIsSafe"},
	{"private-lock", "the lock file is its owner's alone", swap(`0o600`, `0o666`), "./store -run TestFileIsSafe"},
	{"private-backup", "a backup is its owner's alone", swap(`0o600`, `0o666`), "./store -run TestFileIsSafe"},
	{"abandoned-jobs", "what nobody waits for is not written", as(`batch`), "./store -run TestAbandonedJobs"},
	{
		"settled-once", "a settled message is not settled again", swap(`and status = 'pending'`, ``),
		"./store -run TestSettledMessage",
	},
	{"rows-in-order", "rows are locked in one order", always, "./store -run TestDeadlocks"},
	{
		"no-proxy", "notifications use no proxy",
		swap(`&http.Transport{`, `&http.Transport{Proxy: http.ProxyFromEnvironment,`), "./notify -run TestNoProxy",
	},
	{
		"serialization-retry", "a write that another instance was in the way of is tried again", never,
		"./store -run TestSerializationFailures",
	},
	{"busy-database", "a command beside a busy service waits for its turn", never, "./webhook -run TestLockedDatabase"},
	{"overship-alert", "an overship risk is alerted", never, "./cancelapp -run TestOvershipAlert"},
	{"overship-retry", "a refused call is made again at overship risk", as(`0`), "./cancelapp -run TestOvershipAlert"},
	{
		"urgent-first", "urgent calls overtake others at the limit", swap(`other.priority < w.priority`, `false`),
		"./ordergroove -run TestClientPriority",
	},
	{
		"changed-upcoming", "an upcoming order that changed is asked about", as(`kind == ""`),
		"./cancelapp/reconcile -run TestReconcile",
	},
	{
		"lost-orders-hourly", "lost orders are looked for within the hour", never,
		"./cancelapp/reconcile -run TestLostOrder",
	},
	{
		"without-upcoming", "what was updated is compared without the list of upcoming items",
		swap(`r.o.Log.Error("upcoming items could not be read: what was updated is compared without them", "error", err)`,
			`return err`), "./cancelapp/reconcile -run TestUpcomingItemsRefused",
	},
	{
		"upcoming-share", "the list of upcoming items is read as often as its share of the calls allows",
		swap(`lookEvery.Milliseconds()`, `0`), "./cancelapp/reconcile -run TestLongList",
	},
	{
		"in-flight", "at most five calls in flight", swap(`inFlight`, `1000`),
		"./cancelapp/reconcile -run TestReconcileInFlight",
	},
	{"unlisted", "one that is not listed is asked for", as(`error(nil)`), "./cmd/termed -run TestScript/reconcile$"},
	{
		"stale-cursor", "what an interrupted reconciliation had compared is compared again", never,
		"./cancelapp/reconcile -run TestReconcileStaleCursor",
	},
	{
		"one-reconciliation", "one reconciliation at a time", swap(`r.LeaseUntil > at`, `r.LeaseUntil < 0`),
		"./store -run TestReconciliation",
	},
	{
		"reconciliation-fence", "the fence on a reconciliation's progress", as(`error(nil)`),
		"./store -run TestReconciliation",
	},
	{
		"renewed-reconciliation", "the right to reconcile is renewed while it is used",
		swap(`run.whileRenewed(ctx, run.compareAll)`, `run.compareAll(ctx)`),
		"./cancelapp/reconcile -run TestReconcileInstances",
	},
	{
		"expired-reconciliation", "a reconciliation ends before its right expires", swap(`lose(errNotRenewed)`, ``),
		"./cancelapp/reconcile -run TestReconcileNotRenewed",
	},
	{
		"before-termed", "orders from before a product was swapped do not count", as(`candidates[:0]`),
		"./counter -run TestRecount",
	},
	{"stays-released", "a released subscription stays released", never, "./counter -run TestDecide"},
	{"early-end-recounted", "an early end is recounted", never, "./counter -run TestDecide"},
	{
		"prepaid-not-canceled", "a prepaid subscription is never canceled", as(`o.Prepaid && o.RenewalBehavior == "none"`),
		"./counter -run TestDecide",
	},
	{"action-waits", "an action waits for a sync in progress", never, "./store -run TestClaimOne"},
	{
		"action-recorded", "an action is recorded before its call", drop,
		"./cmd/termed -run TestKilledDuringAnAction/skip,_after",
	},
	{"one-action", "an idempotency key is of one action", swap(`n == 0`, `n < 0`), "./store -run TestActions"},
	{"action-only-live", "only an active subscription is acted on", never, "./cancelapp/agent -run TestRefused"},
	{"skip-shown-order", "only the order that was shown is skipped", never, "./cancelapp/agent -run TestRefused"},
	{
		"skip-not-placed", "an order that was placed was not skipped", never,
		"./cancelapp/agent -run TestPlacedInsteadOfSkipped",
	},
	{
		"adjust-counted", "no order is adjusted before those placed are counted", never,
		"./cancelapp/agent -run TestAdjustWaitsForTheCount",
	},
	{
		"shared-orders", "an order that carries others is changed only where that is wanted", always,
		"./cancelapp/agent -run TestAdjustSharedOrder",
	},
	{
		"adjust-recorded", "an adjustment's call is recorded before it is made",
		swap(`s.saveAdjustment(ctx, a, ledger.Notify{}, nil)`, `error(nil)`),
		"./cmd/termed -run TestKilledDuringAnAdjustment/discount,_after",
	},
	{
		"adjust-unreadable", "a discount whose outcome is not known is not given again", never,
		"./cmd/termed -run TestKilledDuringAnAdjustment/discount,_after",
	},
	{
		"adjust-erased", "an address is erased once its adjustment is settled", never,
		"./cancelapp/agent -run TestAdjustNextOrder",
	},
	{
		"only-adjusted", "news of an order is for subscriptions with adjustments only", swap(`adjustments > 0 and `, ``),
		"./cancelapp/agent -run TestOrderEventsWithoutAdjustments",
	},
	{
		"forget-addresses", "the addresses of a forgotten customer are erased",
		swap(`forgetAddresses(ctx, tx, customer, `, `forgetAddresses(ctx, tx, "", `), "./store -run TestForgetAddresses",
	},
	{
		"summary", "lists select by what is recorded", swap(`summarize(tx, j.rows)`, `error(nil)`),
		"./store -run TestList",
	},
	{"role", "a page refuses what the role does not include", always, "./service -run TestConsoleRoles"},
	{"api-role", "the API refuses what the role does not include", always, "./service -run TestConsoleAPI"},
	{
		"payload-role", "payloads are for operators", swap(`c.may(g, access.SeePayloads)`, `true`),
		"./service -run TestConsoleRoles",
	},
	{"watchdog", "the watchdog's alarm", never, "./cancelapp -run TestWatchdog"},
	{
		"no-session-statements", "no statement lives in a session", swap(`c.DefaultQueryExecMode =`, `_ =`),
		"./cmd/termed -run TestPooler",
	},
	{
		"not-enrolled-again", "a released subscription is not enrolled again", as(`released.State != Released`),
		"./store -run TestReenroll",
	},
	{"late-news", "news from before a release puts nothing back", never, "./cancelapp -run TestLateNewsAfterARelease"},
	{"late-orders", "orders placed while it was released do not count", never, "./store -run TestReenroll"},
	{"operator-waits", "an operator's change waits for a sync in progress", never, "./store -run TestEdit"},
	{
		"operator-fence", "a sync whose lease expired writes nothing over an operator's change",
		swap(`lease = '', lease_until = 0`, `lease = lease`), "./store -run TestEdit",
	},
	{"stale-step", "a step worked out from other shipments is refused", never, "./store -run TestNextTerm|TestRecord"},
	{
		"notification-with-cause", "a notification is written with its cause",
		swap(`notify(tx, lease.ID, o.Notify)`, `error(nil)`), "./store -run TestNotificationIsWrittenWithItsCause",
	},
	{
		"public-addresses", "notifications reach public addresses only",
		swap(`Control: publicOnly.Safe`, `KeepAlive: time.Duration(len(fmt.Sprint(publicOnly)))`),
		"./notify -run TestNothingInside",
	},
	{
		"hanging-endpoint", "each notification endpoint has claims of its own",
		swap(`endpoint = ?`, `(endpoint <> '' or ? = '')`),
		"./notify -run TestHangingEndpoint",
	},
	{"notification-redirects", "notifications follow no redirect", drop, "./notify -run TestNothingInside"},
	{"not-below-shipped", "no term is made shorter than its shipments", never, "./counter -run TestPolicy"},
	{
		"others-keys", "a value that somebody else put into extra_data is not removed", as(`there && ours != value+value`),
		"./counter -run TestManagedKeys",
	},
	{"newer-schema", "a newer schema is refused", never, "./store -run TestNewerSchema"},
	{"no-new-schema", "a command that only reads creates no schema", never, "./store -run TestCreatesNothing"},
	{"failed-reconcile", "a failed reconcile says so first", never, "./cmd/termed -run TestScript/reconcile-failed"},
	{
		"known-state", "a list refuses a state that does not exist", always,
		"./cmd/termed -run TestScript/usage",
	},
	{
		"console-sign-in", "a console that other machines reach needs a sign-in", never,
		"./config -run TestConsoleElsewhereNeedsASignIn",
	},
	{
		"access-sign-in", "such a console does not start without one", never,
		"./console/access -run TestConsoleElsewhere",
	},
	{
		"console-host", "a page whose name resolves to this machine is refused", always,
		"./console/access -run TestWrongHost",
	},
	{
		"console-roles", "what a role may not do is refused before the handler", never,
		"./console/access -run TestMiddlewareRefusesByRole",
	},
	{"profiles-for-operators", "profiles are for operators", never, "./service -run TestProfiles"},
	{
		"new-session-token", "a sign-in changes the token of the session",
		swap(`a.sessions.RenewToken(ctx)`, `error(nil)`), "./console/access -run TestSessionFixation",
	},
	{
		"oidc-state", "a sign-in at the provider counts in the browser that began it only", never,
		"./console/access -run TestOIDC",
	},
	{
		"oidc-nonce", "an ID token counts for the sign-in that asked for it only", never,
		"./console/access -run TestOIDCIsRefused",
	},
	{
		"oidc-group", "who is in no group with a role is refused", never,
		"./console/access -run TestOIDCIsRefused",
	},
	{
		"oidc-name", "nobody signs in under the name of a user or token", never,
		"./console/access -run TestOIDCIsRefused",
	},
	{
		"ended-session", "a running request does not bring an ended session back", never,
		"./console/access -run TestSignOutWhile",
	},
	{
		"dummy-hash", "a user that does not exist takes as long to refuse", never,
		"./console/access -run TestUnknownUser",
	},
	{
		"counted-before-compared", "many sign-ins at a time are no way around the limit", never,
		"./console/access -run TestThrottle",
	},
	{"unknown-command", "an unknown subcommand is refused", drop, "./cmd/termed -run TestScript/usage"},
	{"list-cut", "a list that is cut says so", always, "./cmd/termed -run TestScript/look-ups"},
	{"one-service", "one service per SQLite file", never, "./store -run TestSQLiteIsOneProcess"},
	{
		"must-exist", "who may not create a database creates none", never,
		"./store -run TestCreatesNothing|TestOpenMustExist",
	},
	{"copy-source-schema", "a copy's source must hold the schema", never, "./store -run TestCopyWrongSource"},
	{"copy-target-name", "a copy empties a target only if it was named", never, "./store -run TestCopyTargetName"},
	{
		"copy-one-transaction", "a copy that fails leaves the target as it was", never,
		"./store -run TestCopyFailureKeepsTarget",
	},
	{
		"copy-compared", "a copy is compared before it is committed", never,
		"./store -run TestCopyFailureKeepsTarget",
	},
	{
		"copy-running-service", "a PostgreSQL database of a running service is not copied", never,
		"./store -run TestCopyRunningService",
	},
	{
		"listens-past-pooler", "nobody listens through a pooler", never, "./store -run TestListensPastPooler",
	},
	{
		"newcomer-waits", "an instance makes no call before the others know of it", never,
		"./store -run TestShares",
	},
	{
		"expired-share", "an instance that does not know its share makes no call", as(`false`),
		"./ordergroove -run TestShare",
	},
	{
		"heartbeat", "a service on PostgreSQL shows that it is running",
		swap(`h.renew(renewing, h.db)`, `func() {}, renewing.Err()`),
		"./store -run TestHeartbeat",
	},
	{
		"approval", "what ran before its SKU was listed waits for an approval", never,
		"./counter -run TestPermission|TestBrake",
	},
	{
		"observe-approval", "an end that observe mode held back waits for an approval", never,
		"./counter -run TestPermission",
	},
	{"hold", "observe mode and a pause change nothing", never, "./counter -run TestPermission|TestBrake"},
	{"unshipped-zero", "a zero that no order explains is not followed", never, "./counter -run TestDecide"},
	{
		"restored-paused", "a database that was brought back changes nothing before it is compared",
		swap(`?, 1)`, `?, 0)`), "./store -run TestRestore",
	},
	{
		"restored-not-synced", "nothing is synced before a database that was brought back is recounted",
		swap("notRestored", `"1 = 1"`), "./store -run TestMarkRestored",
	},
	{
		"restored-recounted", "a database that was brought back is recounted at once",
		as(`err == nil || brake.Pause.Restored`),
		"./cancelapp/reconcile -run TestRestored",
	},
	{
		"restored-counters", "what termed wrote since a backup is not taken for an edit", drop,
		"./cancelapp/reconcile -run TestRestoredCounters",
	},
	{
		"restored-adjustments", "what may have been applied since a backup is left to a person",
		as(`a.Spec.Matcher.Shipment > 0`), "./store -run TestRestore",
	},
	{"restored-intact", "a backup that is damaged is not used", as(`len(faults) == 0`), "./store -run TestRestore"},
	{
		"resumed-during-sync", "what a sync holds back while a pause ends is tried again", drop,
		"./store -run TestPauseEndsDuringASync",
	},
	{"probe-not-filed", "a probe is not filed, and clears no alarm", never, "./webhook -run TestProbe"},
	{"pause", "a pause is effective at once, for every instance", as(`err != nil`), "./store -run TestPause"},
	{"throttle", "ends that nobody saw coming are throttled", never, "./store -run TestThrottle"},
	{
		"urgent-due-first", "subscriptions at overship risk go first",
		swap(`order by priority desc, due, id`, `order by due, id`), "./store -run TestPriority",
	},
}

// failure finds a test that failed, or that was still running when the time was up.
var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^running tests:\s+(\S+)`)

// line is the safeguard's line of the page.
func (s safeguard) line(file, test string) string {
	return fmt.Sprintf("| %s | `%s` | `%s` |\n", s.name, file, test)
}

// firstFailure names the test that failed first, without the case: which of its cases came first says nothing.
func firstFailure(out string) (string, error) {
	found := failure.FindStringSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("no test failed, but the run did:\n%s", out)
	}
	test, _, _ := strings.Cut(found[1]+found[2], "/")
	return test, nil
}
